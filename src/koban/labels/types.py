"""What sets labels, and what is refused."""

import enum
from typing import ClassVar, Final

import msgspec

from koban.base import Instant, Refusal

LABEL_SET: Final = "label.set"
TRUTH: Final = "truth"  # the label that precision and recall are measured against: fraud or honest
WORD_CHARS_MAX: Final = 80
SUBJECT_CHARS_MAX: Final = 256


class LabelSource(enum.StrEnum):
    """Who says so, the strongest first: a person's word stands against an import's, and both against a rule's."""

    PERSON = "person"
    IMPORT = "import"
    AUTOMATION = "automation"


class LabelSet(msgspec.Struct, frozen=True, kw_only=True):
    """Payload of `label.set`: what a source says about a subject from now on; `value` None takes its word back."""

    subject_kind: str
    subject_id: str
    label: str
    value: str | None
    source: LabelSource
    by: str
    note: str = ""
    expires_at: Instant | None = None


class LabelRow(msgspec.Struct, frozen=True, kw_only=True):
    """One row of a subject's labels."""

    seq: int
    at: Instant
    subject_kind: str
    subject_id: str
    label: str
    value: str | None
    source: LabelSource
    set_by: str
    note: str
    expires_at: Instant | None


class LabelInvalid(Refusal):
    """A label that cannot be set."""

    code: ClassVar[str] = "label_invalid"
    status: ClassVar[int] = 422
    title: ClassVar[str] = "The label cannot be used."
