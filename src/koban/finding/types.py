"""What finding speaks of."""

from collections.abc import Mapping
from typing import Annotated, Literal, Protocol, TypeAlias

import msgspec

from koban.base import Instant, Refusal, limits
from koban.db import Tx
from koban.events import Entry

WordKind: TypeAlias = Literal["rule", "policy", "event_type", "queue", "list"]


class SubjectHit(msgspec.Struct, frozen=True, kw_only=True):
    """A subject that the log names."""

    kind: str
    id: str
    last_seq: int


class IndexLag(msgspec.Struct, frozen=True, kw_only=True):
    """An index that is far behind its log, and therefore finds less than there is."""

    up_to: Instant | None  # log time of the last entry that it took in; None: it has just begun


class ReadArchived(Protocol):
    """Read entries that left the database."""

    def __call__(self, tx: Tx, *, after_seq: int, limit: int) -> list[Entry]:
        """Return those that come next after a place in the log, in order."""


class Word(msgspec.Struct, frozen=True, kw_only=True):
    """Something of the pack whose name or text holds what was looked for."""

    kind: WordKind
    name: str
    title: Mapping[str, str]


class SavedView(msgspec.Struct, frozen=True, kw_only=True):
    """A list with its filters, kept under a name."""

    id: str
    owner: str
    shared: bool
    page: str
    query: str
    name: str
    created_at: Instant


class ViewMissing(Refusal):
    """No such view, or one that its owner keeps to themselves."""

    code = "view_missing"
    status = 404
    title = "There is no such view."


class ViewNotYours(Refusal):
    """Only the owner of a view, or who manages staff, takes it away."""

    code = "view_not_yours"
    status = 403
    title = "This view belongs to somebody else."


class ViewUnfit(Refusal):
    """The view is of no page that keeps views, or there are too many."""

    code = "view_unfit"
    status = 422
    title = "This cannot be kept as a view."


class DiscloseBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which field of which entry, for which case, and why it must be read."""

    path: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    case: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    purpose: Annotated[str, msgspec.Meta(min_length=limits.PURPOSE_CHARS_MIN, max_length=limits.PURPOSE_CHARS_MAX)]


class DisclosedField(msgspec.Struct, frozen=True, kw_only=True):
    """A personal field that is open for a while; null where its person was erased."""

    path: str
    value: str | None
    until: str


class SealedQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to look for in what people wrote, and why."""

    q: Annotated[str, msgspec.Meta(min_length=2, max_length=256)]
    purpose: Annotated[str, msgspec.Meta(min_length=limits.PURPOSE_CHARS_MIN, max_length=limits.PURPOSE_CHARS_MAX)]
    account: Annotated[str, msgspec.Meta(max_length=256)] | None = None
    before_seq: Annotated[int, msgspec.Meta(ge=0)] | None = None


class SealedHit(msgspec.Struct, frozen=True, kw_only=True):
    """An entry whose sealed fields hold what was looked for: which fields, never what they say."""

    seq: int
    at: Instant
    type: str
    paths: tuple[str, ...]


class SealedFound(msgspec.Struct, frozen=True, kw_only=True):
    """What a search of sealed fields found, and how far back it looked."""

    hits: list[SealedHit]
    same: list[SubjectHit]  # pseudonyms of the query itself: an e-mail, a number, a device
    looked_at: int
    back_to_at: Instant | None
    next_before_seq: int | None  # go on from here; None at the start of the log


class CaseElsewhere(Refusal):
    """The case is not about this entry."""

    code = "case_elsewhere"
    status = 403
    title = "This case is not about this entry."


class FieldNotSealed(Refusal):
    """The entry has no such sealed field."""

    code = "field_not_sealed"
    status = 404
    title = "There is no such sealed field."
