"""Signals and what becomes of them; the log entries that change how rules act; what is refused."""

import enum
from typing import ClassVar, Final, Literal, TypeAlias

import msgspec

from koban.base import Instant, Refusal
from koban.packs import Action, Mode

MODE_CHANGED: Final = "mode.changed"
ACCOUNT: Final = "account"  # of the acting account, where a rule is mute for one
REVIEW_ALL_SWITCHED: Final = "review_all.switched"
SNOOZE_SET: Final = "snooze.set"
PACK_ACTIVATED: Final = "pack.activated"
BUDGET_TRIPPED: Final = "budget.tripped"
RULE_EXPECTED: Final = "rule.expected"


class Why(enum.StrEnum):
    """Why a signal did not act, or not with all that its rule says."""

    SHADOW = "shadow"  # the rule only watches
    OUTSIDE_SHARE = "outside_share"  # the rule is live for a share of people, and this one is not in it
    SNOOZED = "snoozed"  # somebody muted the rule for this account, listing, device, …
    IMPORTED = "imported"  # imported logs have no consequences
    REVIEW_MODE = "review_mode"  # the rule only opens cases
    BUDGET_TRIPPED = "budget_tripped"  # it had harmed as many people in an hour as it may
    REVIEW_ALL = "review_all"  # the switch that puts every rule to review is on
    LATE = "late"  # the event arrived late, and a backlog must not count against a person
    OVERDUE = "overdue"  # the answer was the fallback, and what it did not do needs a person's look

    @property
    def only_reviews(self) -> bool:
        """Tell whether such a signal opens a case and no more: to people, nothing happens by itself."""
        return self in {Why.REVIEW_MODE, Why.BUDGET_TRIPPED, Why.REVIEW_ALL, Why.OVERDUE}


class Applied(msgspec.Struct, frozen=True, kw_only=True, tag="applied"):
    """The signal acts as its rule says."""

    then: tuple[Action, ...]


class Limited(msgspec.Struct, frozen=True, kw_only=True, tag="limited"):
    """The signal acts with less than its rule says: what harms a person became a case."""

    then: tuple[Action, ...]
    why: Why


class Withheld(msgspec.Struct, frozen=True, kw_only=True, tag="withheld"):
    """The signal does nothing but stand in the decision."""

    why: Why


Disposition: TypeAlias = Applied | Limited | Withheld


class Signal(msgspec.Struct, frozen=True, kw_only=True):
    """One rule that matched one event, and whether it acts."""

    rule: str
    policy: str
    disposition: Disposition


class Circumstance(enum.StrEnum):
    """What about an event, not about a rule, limits its signals."""

    ORDINARY = "ordinary"
    LATE = "late"
    OVERDUE = "overdue"
    IMPORTED = "imported"


class ModeChanged(msgspec.Struct, frozen=True, kw_only=True):
    """Payload of `mode.changed`: a person set a rule's mode; None follows the pack again. It also ends a tripped budget."""

    rule: str
    mode: Mode | None
    by: str
    reason: str
    approved_by: str | None = None  # the second person, where the rule is severe and acts on more people than before


class ReviewAllSwitched(msgspec.Struct, frozen=True, kw_only=True):
    """Payload of `review_all.switched`: every rule to review, or back."""

    on: bool
    by: str
    reason: str


class SnoozeSet(msgspec.Struct, frozen=True, kw_only=True):
    """Payload of `snooze.set`: a rule is mute for one subject until then; None ends the snooze."""

    rule: str
    subject: str = msgspec.field(name="account")  # so the first logs have it, when only accounts could be named
    until: Instant | None
    by: str
    reason: str
    kind: str = ACCOUNT


class PackActivated(msgspec.Struct, frozen=True, kw_only=True):
    """Payload of `pack.activated`: this version decides from the next entry on."""

    name: str
    label: str
    digest: str
    by: str
    reason: str


class BudgetTripped(msgspec.Struct, frozen=True, kw_only=True):
    """Payload of `budget.tripped`: a rule has harmed as many people in an hour as it may, and only opens cases now."""

    rule: str
    harmed: int
    cause_seq: int
    why: Literal["cap", "ceiling"] = "cap"


class RuleExpected(msgspec.Struct, frozen=True, kw_only=True):
    """Payload of `rule.expected`: what a rule is expected to do, and from which count in an hour on it is too much.

    `ceiling` stands here, computed, so that a replay reads a number and no statistics.
    """

    rule: str
    basis: Literal["none", "backtest", "past"]
    people: int
    hours: int
    ceiling: int
    counts: Literal["actions", "people"]
    by: str
    reason: str
    approved_by: str | None = None  # the second person, where the rule is severe and may touch more people than before


class ExpectationInvalid(Refusal):
    """Figures that no expectation can be made of."""

    code: ClassVar[str] = "expectation_invalid"
    status: ClassVar[int] = 422
    title: ClassVar[str] = "This cannot be expected of a rule."


ModeChange: TypeAlias = ModeChanged | ReviewAllSwitched | SnoozeSet | BudgetTripped


def mode_entry_type(change: ModeChange) -> str:
    """Return the kind of log entry that a change of mode is."""
    match change:
        case ModeChanged():
            return MODE_CHANGED
        case ReviewAllSwitched():
            return REVIEW_ALL_SWITCHED
        case SnoozeSet():
            return SNOOZE_SET
        case BudgetTripped():
            return BUDGET_TRIPPED


class RuleMissing(Refusal):
    """A rule that the active pack does not have."""

    code: ClassVar[str] = "rule_missing"
    status: ClassVar[int] = 404
    title: ClassVar[str] = "There is no such rule."


class ModeInvalid(Refusal):
    """A mode, snooze or switch that cannot be set."""

    code: ClassVar[str] = "mode_invalid"
    status: ClassVar[int] = 422
    title: ClassVar[str] = "The change of mode cannot be used."
