"""Which signals act: mode, share, snooze, the switch that puts all to review, and what is special about the event."""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Final, Protocol, assert_never

from koban.packs import Action, FreezePayout, Mode, ModeName, PackDef, Restrict, Review, RuleDef, Strike, Suspend, Warn
from koban.rules.types import ACCOUNT, Applied, Circumstance, Disposition, Limited, Signal, Why, Withheld

EVERYONE: Final = 10_000  # basis points


class Modes(Protocol):
    """What selection needs to know of the modes in force; `LiveModes` knows it, and tests say it."""

    @property
    def review_all(self) -> bool:
        """Whether every rule only opens cases."""
        ...

    def mode(self, rule: RuleDef) -> Mode:
        """Return the mode that a person set, or else the pack's."""
        ...

    def tripped(self, rule: str) -> bool:
        """Whether the rule's budget is used up and nobody has decided yet."""
        ...

    def snoozed(self, rule: str, subject: str, at: int, kind: str = ACCOUNT) -> bool:
        """Whether the rule is mute for the subject."""
        ...


def select(
    matched: Iterable[RuleDef],
    modes: Modes,
    *,
    account: str | None,
    at: int,
    circumstance: Circumstance,
    default_queue: str,
    subjects: Sequence[tuple[str, str]] = (),
) -> tuple[Signal, ...]:
    """Decide for each rule that matched whether it acts. A rule that is off gives no signal.

    `account` is the acting account; `subjects` are the other subjects of the event for which a rule may be mute, each
    with its kind; `default_queue` takes the cases of rules that name no queue themselves.
    """
    mute_for = subjects if account is None else ((ACCOUNT, account), *subjects)
    signals = []
    for rule in matched:
        disposition = _dispose(
            rule, modes, account, at, circumstance=circumstance, default_queue=default_queue, mute_for=mute_for
        )
        if disposition is not None:
            signals.append(Signal(rule=rule.name, policy=rule.policy, disposition=disposition))
    return tuple(signals)


def _dispose(
    rule: RuleDef,
    modes: Modes,
    account: str | None,
    at: int,
    *,
    circumstance: Circumstance,
    default_queue: str,
    mute_for: Sequence[tuple[str, str]],
) -> Disposition | None:
    mode = modes.mode(rule)
    if not mode.name.is_asked:
        return None
    if circumstance is Circumstance.IMPORTED:
        return Withheld(why=Why.IMPORTED)
    if mode.name is ModeName.SHADOW:
        return Withheld(why=Why.SHADOW)
    if any(modes.snoozed(rule.name, subject, at, kind) for kind, subject in mute_for):
        return Withheld(why=Why.SNOOZED)
    if mode.name is ModeName.LIVE and not in_share(rule.name, account, mode.basis_points):
        return Withheld(why=Why.OUTSIDE_SHARE)
    why: Why | None = None
    if modes.review_all:
        why = Why.REVIEW_ALL
    elif modes.tripped(rule.name):
        why = Why.BUDGET_TRIPPED
    elif mode.name is ModeName.REVIEW:
        why = Why.REVIEW_MODE
    elif circumstance is Circumstance.OVERDUE:
        why = Why.OVERDUE
    if why is not None:
        return Limited(then=only_review(rule.then, default_queue), why=why)
    if circumstance is Circumstance.LATE and any(is_on_person(action) for action in rule.then):
        kept = tuple(action for action in rule.then if not is_on_person(action))
        reviews = () if any(isinstance(action, Review) for action in kept) else (Review(queue=default_queue),)
        return Limited(then=kept + reviews, why=Why.LATE)
    return Applied(then=rule.then)


def kinds_of_rule(pack: PackDef, rule: RuleDef) -> tuple[str, ...]:
    """Return the kinds of subject that a rule can be mute for: an account first, then what else its events name."""
    named = {role.kind for name in rule.on if name in pack.events for role in pack.events[name].subjects.values()}
    return (ACCOUNT, *sorted(named - {ACCOUNT}))


def in_share(rule: str, account: str | None, basis_points: int) -> bool:
    """Tell whether an account belongs to the share of people for whom a rule is live.

    Invariant: who is in a share is in every larger one, so raising it only adds people; two rules share nobody by
    design. An event without an acting account belongs only to everyone.
    """
    if basis_points >= EVERYONE:
        return True
    if account is None:
        return False
    digest = hashlib.blake2b(f"{rule}\x00{account}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) % EVERYONE < basis_points


def only_review(then: tuple[Action, ...], default_queue: str) -> tuple[Action, ...]:
    """Keep the cases that a rule opens; one that opens none opens one in the default queue."""
    reviews = tuple(action for action in then if isinstance(action, Review))
    return reviews or (Review(queue=default_queue),)


def is_on_person(action: Action) -> bool:
    """Tell whether an action falls on the account rather than on the event or its content."""
    return isinstance(action, Restrict | FreezePayout | Suspend | Strike)


def is_harm(action: Action) -> bool:
    """Tell whether an action costs somebody something; warnings and cases do not."""
    return not isinstance(action, Warn | Review)


def acts(disposition: Disposition) -> tuple[Action, ...]:
    """Return what a signal does."""
    match disposition:
        case Applied() | Limited():
            return disposition.then
        case Withheld():
            return ()
        case _:
            assert_never(disposition)


def harms(signal: Signal) -> bool:
    """Tell whether a signal harms somebody: such a person counts against the rule's budget."""
    return any(is_harm(action) for action in acts(signal.disposition))
