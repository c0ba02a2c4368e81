"""Who is on call, how they are reached, what they are paged for, and every step of a page."""

from typing import Final, Literal, TypeAlias

import msgspec

from koban.base import Instant, Refusal

Severity: TypeAlias = Literal["low", "medium", "high", "critical"]
SEVERITIES: Final[tuple[Severity, ...]] = ("low", "medium", "high", "critical")
ContactKind: TypeAlias = Literal["webhook", "slack", "mail"]
PageStatus: TypeAlias = Literal["open", "acknowledged", "resolved"]
SendStatus: TypeAlias = Literal["waiting", "sent", "given_up", "dropped"]
StepKind: TypeAlias = Literal[
    "opened", "told", "nobody", "unreachable", "escalated", "acknowledged", "again", "resolved", "failed"
]


class Shift(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the weekly pattern: somebody is on call at a level on some days between two times of a zone.

    `until_minute` not after `from_minute` means that the shift ends on the next day.
    """

    id: str
    level: int
    staff_id: str
    weekdays: tuple[int, ...]  # 0 is Monday
    from_minute: int
    until_minute: int
    zone: str


class Override(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody stands in for whoever the pattern says, for a span of time."""

    id: str
    level: int
    staff_id: str
    from_at: Instant
    until_at: Instant
    reason: str


class Contact(msgspec.Struct, frozen=True, kw_only=True):
    """How somebody is reached. In quiet hours what is less severe than `quiet_least` waits until they are over."""

    id: str
    staff_id: str
    kind: ContactKind
    address: str
    allow_private: bool
    zone: str
    quiet_from: int | None = None  # minute of the day
    quiet_until: int | None = None
    quiet_least: Severity = "high"
    secret: bytes = b""  # sealed; webhooks are signed with it


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """A call for a person about one trouble. While it is open, the same trouble counts up instead of calling again."""

    id: str
    kind: str
    object: str
    severity: Severity
    detail: str
    status: PageStatus
    level: int
    times: int
    opened_at: Instant
    last_at: Instant
    escalate_at: Instant | None = None
    alert_id: str | None = None
    acknowledged_at: Instant | None = None
    acknowledged_by: str | None = None
    acknowledged_how: str | None = None
    resolved_at: Instant | None = None
    resolved_by: str | None = None


class Send(msgspec.Struct, frozen=True, kw_only=True):
    """One message to one contact about one page."""

    id: str
    page_id: str
    staff_id: str
    contact_id: str
    level: int
    status: SendStatus
    attempts: int
    next_attempt_at: Instant
    last_error: str = ""
    sent_at: Instant | None = None


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened to a page; rows are never changed."""

    page_id: str
    at: Instant
    what: StepKind
    who: str
    detail: str


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """A span of time in which the same people are on call at a level; nobody: a gap."""

    from_at: Instant
    until_at: Instant
    staff: tuple[str, ...]


class PageMissing(Refusal):
    """No such page."""

    code = "page_missing"
    status = 404
    title = "There is no such page."


class PageOver(Refusal):
    """The page is resolved; the same trouble opens a new one."""

    code = "page_over"
    status = 409
    title = "This page is resolved."


class ReceiptInvalid(Refusal):
    """The link was not made by this installation, or names what is gone."""

    code = "receipt_invalid"
    status = 410
    title = "This link does not acknowledge anything."


class RotaInvalid(Refusal):
    """A shift, stand-in or contact that cannot be used."""

    code = "rota_invalid"
    status = 422
    title = "This cannot be entered into the rota."


class RotaMissing(Refusal):
    """No such shift, stand-in or contact."""

    code = "rota_missing"
    status = 404
    title = "There is no such line in the rota."
