"""What a rule or a ladder does, read from YAML: `hide`, `{hold: 72 hours, becomes: block}`, `{review: scams}`."""

from typing import Final

from koban.packs import reading
from koban.packs.documents import Entries, Node, Scalar
from koban.packs.faults import Fault, nearest
from koban.packs.reading import Record
from koban.packs.types import (
    Action,
    Block,
    Challenge,
    FreezePayout,
    Hide,
    Hold,
    LadderStep,
    Restrict,
    Review,
    Strike,
    Suspend,
    Warn,
)

SCOPES: Final = ("messaging", "listing", "commenting", "buying", "live")
CHALLENGES: Final = ("passkey", "ekyc", "three_d_secure", "photo")
_WORDS: Final = ("hide", "block", "suspend", "strike")
_MAPPINGS: Final = ("hold", "challenge", "warn", "restrict", "freeze_payout", "suspend", "review")
_EXTRA: Final = {"hold": "becomes", "restrict": "for"}
_OTHER_WORDS: Final = {
    "ban": "suspend", "disable": "suspend", "delete": "hide", "remove": "hide", "reject": "block", "deny": "block",
    "mute": "restrict", "limit": "restrict", "notify": "warn", "alert": "review", "case": "review", "queue": "review",
    "flag": "review", "freeze": "freeze_payout", "verify": "challenge", "delay": "hold", "allow": "",
}  # fmt: skip
_EXAMPLES: Final = {"restrict": "{restrict: messaging, for: 24 hours}", "hold": "{hold: 72 hours, becomes: block}"}
_OPTIONAL: Final = {"review": "of"}


def read_action(node: Node, faults: list[Fault]) -> Action | None:
    """Read one action."""
    if isinstance(node, Scalar):
        match node.text:
            case "hide":
                return Hide()
            case "block":
                return Block()
            case "suspend":
                return Suspend(for_us=None)
            case "strike":
                return Strike()
            case _ if node.text in _MAPPINGS:
                hint = "for example {hold: 72 hours, becomes: block}, {warn: recipient}, {review: scams}"
                faults.append(Fault(source=node.at, detail=f"'{node.text}' needs a value", hint=hint))
            case _:
                detail = f"there is no action '{node.text[:80]}'"
                faults.append(Fault(source=node.at, detail=detail, hint=_meant(node.text)))
        return None
    if not isinstance(node, Entries):
        faults.append(Fault(source=node.at, detail="an action must be a word or a mapping"))
        return None
    verb = next((key.text for key, _ in node.pairs if key.text in _MAPPINGS), None)
    if verb is None:
        first = node.pairs[0][0] if node.pairs else None
        detail = f"there is no action '{first.text[:80]}'" if first else "an action must not be empty"
        hint = _meant(first.text) if first else ""
        faults.append(Fault(source=first.at if first else node.at, detail=detail, hint=hint))
        return None
    extra = [_EXTRA[verb]] if verb in _EXTRA else []
    record = reading.open_record(
        node,
        faults,
        what=f"the action '{verb}'",
        required=[verb, *extra],
        optional=filter(None, [_OPTIONAL.get(verb)]),
        example=_EXAMPLES.get(verb, ""),
    )
    return None if record is None else _read_mapping(verb, record)


def _meant(word: str) -> str:
    """Suggest the action that a word of other systems, or a slip of the pen, means."""
    meant = _OTHER_WORDS.get(word.lower())
    if meant == "":
        return "an event that no rule stops is allowed; leave the action out"
    return f"did you mean '{meant}'?" if meant else nearest(word, {*_WORDS, *_MAPPINGS})


def _read_mapping(verb: str, record: Record) -> Action | None:
    node = record.fields[verb][1]
    match verb:
        case "hold":
            becomes = reading.one_of(record, "becomes", ("allow", "block"), "block")
            for_us = reading.duration(node, record.faults, what="'hold'")
            return Hold(for_us=for_us, becomes="allow" if becomes == "allow" else "block")
        case "challenge":
            kind = reading.one_of(record, "challenge", CHALLENGES, "passkey")
            return Challenge(kind=kind)  # type: ignore[arg-type]  # one_of has checked it against CHALLENGES
        case "warn":
            target = reading.one_of(record, "warn", ("author", "recipient", "both"), "author")
            return Warn(target=target)  # type: ignore[arg-type]  # one_of has checked it
        case "restrict":
            length = record.value("for")
            return Restrict(
                scope=reading.one_of(record, "restrict", SCOPES, SCOPES[0]),
                for_us=reading.duration(length, record.faults, what="'for'") if length is not None else 1,
            )
        case "freeze_payout":
            return FreezePayout(for_us=reading.duration(node, record.faults, what="'freeze_payout'"))
        case "suspend":
            return Suspend(for_us=reading.duration(node, record.faults, what="'suspend'"))
        case _:
            of = reading.one_of(record, "of", ("subject", "reporter"), "subject")
            return Review(queue=reading.name(record, "review"), of="reporter" if of == "reporter" else "subject")


def read_ladder_step(node: Node, faults: list[Fault]) -> LadderStep | None:
    """Read one step of a policy's ladder: a warning to the author, a restriction, a freeze or a suspension."""
    action = read_action(node, faults)
    if action is None:
        return None
    if isinstance(action, Warn | Restrict | FreezePayout | Suspend):
        return LadderStep(action=action)
    hint = "one of warn, restrict, freeze_payout, suspend"
    faults.append(Fault(source=node.at, detail="this action cannot be a step of a ladder", hint=hint))
    return None
