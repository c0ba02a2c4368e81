"""Rows of three sides, what matches, what does not and why: frozen data. Amounts are `int` minor units."""

import enum
from collections.abc import Mapping
from typing import Literal

import msgspec

from koban.base import Instant, Refusal

Side = Literal["ledger", "provider", "bank"]
Leg = Literal["provider", "bank", "settlement"]
Pass = Literal["reference", "reference_sum", "amount_and_date", "settlement_reference", "settlement_days"]
ExceptionState = Literal["open", "proposed", "resolved", "cleared"]
ProposalStatus = Literal["waiting", "approved", "declined"]


class ExceptionType(enum.StrEnum):
    """What is wrong between two sides. In order of how sure it is."""

    CURRENCY_DIFFERS = "currency_differs"
    FEE_DIFFERS = "fee_differs"
    AMOUNT_DIFFERS = "amount_differs"
    DUPLICATED = "duplicated"
    UNKNOWN_REFERENCE = "unknown_reference"
    MISSING_IN_LEDGER = "missing_in_ledger"
    MISSING_AT_PROVIDER = "missing_at_provider"
    MISSING_AT_BANK = "missing_at_bank"
    LATE = "late"  # the other side may still come: it becomes one of the others when its time is over


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One movement of money as one side tells it, for one comparison (`leg`).

    `amount_minor` is signed: more than zero raises what is ours outside. `keys` are references, the surest first; `named`:
    one of them is meant to be ours. `fee_minor` of a ledger row is within the amount, of a provider's row beside it.
    `group` names the payout in which a provider settles the row, where its report says so.
    """

    id: str
    leg: Leg
    side: Side
    source: str  # the provider, or the account at a bank; of the ledger: the owner of the book
    kind: str
    keys: tuple[str, ...]
    amount_minor: int
    currency: str
    booked_on: str  # YYYY-MM-DD
    fee_minor: int = 0
    named: bool = False
    group: str = ""


class Match(msgspec.Struct, frozen=True, kw_only=True):
    """Rows that tell the same, and in which pass that was found."""

    leg: Leg
    found_by: Pass
    rows: tuple[str, ...]


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """An exception as the matcher finds it. `key` stays the same from run to run; amount: ledger less the other side."""

    key: str
    type: ExceptionType
    leg: Leg
    rows: tuple[str, ...]
    source: str
    amount_minor: int
    currency: str
    since: str  # earliest date of its rows
    due: str  # until when somebody should have seen to it


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of all rows: each is in exactly one match or exception of its leg."""

    matches: tuple[Match, ...]
    exceptions: tuple[Found, ...]


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """How long the other side may take. Units: days."""

    provider_days: int = 2
    bank_days: int = 3
    settled_days: int = 40
    window_days: int = 3  # how far dates may lie apart where only the amount speaks
    act_days: int = 3  # until when somebody should have seen to an exception


class Discrepancy(msgspec.Struct, frozen=True, kw_only=True):
    """An exception as it is kept and worked on."""

    id: str
    key: str
    type: ExceptionType
    leg: Leg
    source: str
    amount_minor: int
    currency: str
    since: str
    due: str
    state: ExceptionState
    owner: str | None
    opened_at: Instant
    changed_at: Instant
    note: str


class Proposal(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody wants done about an exception: a posting, or an explanation without one (`template` empty)."""

    id: str
    exception: str
    template: str
    currency: str
    parameters: Mapping[str, str | int]
    reason: str
    by: str
    at: Instant
    status: ProposalStatus
    decided_by: str | None
    decided_at: Instant | None
    answer: str  # why it was declined


class RunReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a run did."""

    ledger_rows: int
    provider_rows: int
    bank_rows: int
    open_before: int
    matched: int
    exceptions: int
    cleared: int


class RowsUnreadable(Refusal):
    """A file that cannot be taken in; nothing of it was."""

    code = "reconciliation_file_unreadable"
    status = 422
    title = "The file cannot be taken in."


class ExceptionMissing(Refusal):
    """No such exception."""

    code = "exception_missing"
    status = 404
    title = "There is no such exception."


class ExceptionDone(Refusal):
    """The exception is not open for that."""

    code = "exception_done"
    status = 409
    title = "The exception is not open for that any more."


class AdjustmentMissing(Refusal):
    """No such proposal waits."""

    code = "adjustment_missing"
    status = 409
    title = "This proposal does not wait for anybody."


class AdjustmentOwn(Refusal):
    """Nobody approves their own proposal."""

    code = "adjustment_own"
    status = 403
    title = "Somebody else must approve this."


class AdjustmentRefused(Refusal):
    """The ledger would not take the posting."""

    code = "adjustment_refused"
    status = 422
    title = "The ledger does not take this posting."


class PeriodUnreconciled(Refusal):
    """Exceptions of the period are open."""

    code = "period_unreconciled"
    status = 409
    title = "Exceptions of this period are open."
