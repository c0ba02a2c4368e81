"""From signals that act to one verdict: the strictest wins."""

from collections.abc import Collection, Iterable, Sequence
from typing import Literal, assert_never

import koban.packs as asked
from koban.base import Instant
from koban.decisions.types import (
    VERDICT_NAMES,
    Allow,
    Block,
    Challenge,
    DecisionRecord,
    Hold,
    Verdict,
    VerdictName,
    Warn,
)


def conclude(actions: Iterable[asked.Action], at: Instant) -> Verdict:
    """Return the verdict for the actions of all signals that act, block > hold > challenge > warn > allow.

    Among holds the one that lapses last wins, and one that becomes a block before one that becomes an allow.
    restrict, freeze, suspend, strike and review leave the verdict as it is.
    """
    block = False
    holds: list[Hold] = []
    kinds: list[str] = []
    targets: list[Literal["author", "recipient"]] = []
    for action in actions:
        match action:
            case asked.Block() | asked.Hide():
                block = True
            case asked.Hold(for_us=for_us, becomes=becomes):
                holds.append(Hold(lifts_at=Instant(at + for_us), becomes=becomes))
            case asked.Challenge(kind=kind):
                kinds.append(kind)
            case asked.Warn(target=target):
                targets.extend(("author", "recipient") if target == "both" else (target,))
            case asked.Restrict() | asked.FreezePayout() | asked.Suspend() | asked.Strike() | asked.Review():
                pass
            case _:
                assert_never(action)
    if block:
        return Block()
    if holds:
        return max(holds, key=lambda hold: (hold.becomes == "block", hold.lifts_at))
    if kinds:
        return Challenge(kinds=tuple(dict.fromkeys(kinds)))
    if targets:
        return Warn(targets=tuple(dict.fromkeys(targets)))
    return Allow()


def verdict_name(verdict: Verdict) -> VerdictName:
    """Return the one word that API, log and console use for a verdict."""
    match verdict:
        case Allow():
            return "allow"
        case Warn():
            return "warn"
        case Challenge():
            return "challenge"
        case Hold():
            return "hold"
        case Block():
            return "block"
        case _:
            assert_never(verdict)


def remaining_verdict(record: DecisionRecord, without: Collection[str]) -> VerdictName:
    """Return what a decision would have been if some of its rules had not acted; a fallback was no rule's doing."""
    if record.fallback:
        return record.verdict
    led_to = {"hide": "block"}
    words = [
        led_to.get(verb, verb)
        for signal in record.signals
        if signal.applied and signal.rule not in without
        for verb in (action.partition(":")[0] for action in signal.actions)
    ]
    return max((name for name in VERDICT_NAMES if name in words), key=VERDICT_NAMES.index, default="allow")


def fallback_verdict(name: str, at: Instant) -> Verdict:
    """Return the verdict that stands in for an answer that came too late; `name` is declared by the event type.

    A fallback hold lasts an hour and then lets the event through: nobody decided anything against the person.
    """
    match name:
        case "allow":
            return Allow()
        case "hold":
            return Hold(lifts_at=Instant(at + 3_600_000_000), becomes="allow")
        case "challenge":
            return Challenge(kinds=("passkey",))
        case "block":
            return Block()
        case _:
            raise AssertionError(f"packs lets no fallback {name!r} through")


def describe_actions(actions: Sequence[asked.Action]) -> tuple[str, ...]:
    """Name what a signal asked for, for its record: `hide`, `warn:recipient`, `restrict:messaging`."""
    names = []
    for action in actions:
        match action:
            case asked.Warn(target=target):
                names.append(f"warn:{target}")
            case asked.Restrict(scope=scope):
                names.append(f"restrict:{scope}")
            case asked.Challenge(kind=kind):
                names.append(f"challenge:{kind}")
            case asked.Review(queue=queue):
                names.append(f"review:{queue}")
            case asked.Hide():
                names.append("hide")
            case asked.Block():
                names.append("block")
            case asked.Hold():
                names.append("hold")
            case asked.FreezePayout():
                names.append("freeze_payout")
            case asked.Suspend():
                names.append("suspend")
            case asked.Strike():
                names.append("strike")
            case _:
                assert_never(action)
    return tuple(names)
