"""What a case shows of many events without saying anything twice: what they share once, then what differs."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from koban.base import Instant
from koban.cases.types import CaseSignal
from koban.console.fields import FieldLine
from koban.events import Entry

FIELDS_SHOWN: Final = 14
SEQS_SHOWN: Final = 30


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """One event as people saw it: its plain fields, and what was written, where it is open to the reader."""

    entry: Entry
    fields: list[FieldLine]
    texts: list[tuple[str, str]]  # path and what was written
    is_sealed: bool
    own: bool  # of the case itself, and not of the conversation around it


class Again(msgspec.Struct, frozen=True, kw_only=True):
    """A further event in which the same was written."""

    one: Evidence
    who: FieldLine | None
    fields: list[FieldLine]  # that are not as in the first of them


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """An event with the fields that are its own."""

    one: Evidence
    who: FieldLine | None  # the account behind it, where not all have the same
    fields: list[FieldLine]
    rest: list[FieldLine]  # all of them, where some are left out above
    again: list[Again]

    @property
    def people(self) -> int:
        """How many accounts wrote the same."""
        found = (self.who, *(each.who for each in self.again))
        return len({who.value for who in found if who is not None})


class Folded(msgspec.Struct, frozen=True, kw_only=True):
    """All events of a case."""

    common: list[FieldLine]
    told: list[Told]
    are_many: bool  # something is folded


class Why(msgspec.Struct, frozen=True, kw_only=True):
    """A reason for a case, with how often and when it was given."""

    first: CaseSignal
    count: int
    from_at: Instant
    to_at: Instant
    seqs: list[int]
    reporters: list[str]


def fold(evidence: Sequence[Evidence]) -> Folded:
    """Return what all events share, and each with what it has apart; the same text stands once.

    The first event of the case itself is told whole; another one names what is not as in the last one of the same
    account, else as in that first one.
    """
    visible = [{line.path: line for line in one.fields if line.kind != "pseudonym"} for one in evidence]
    common = _common(visible)
    left = [{path: line for path, line in lines.items() if path not in common} for lines in visible]
    own_ids = _own_ids(left)
    lead = next((place for place, one in enumerate(evidence) if one.own), 0)
    told: list[Told] = []
    first_of: dict[object, int] = {}
    last_of: dict[str, Mapping[str, FieldLine]] = {}
    for place, one in enumerate(evidence):
        lines = left[place]
        key = (one.own, one.entry.type, tuple(one.texts)) if one.texts else place
        there = first_of.setdefault(key, len(told))
        if there < len(told):
            first = told[there]
            as_first = {line.path: line for line in (*first.fields, *first.rest)}
            again = Again(one=one, who=_who(lines), fields=_unlike(lines, as_first, own_ids))
            told[there] = msgspec.structs.replace(first, again=[*first.again, again])
            continue
        who = _who(lines)
        before = {} if place == lead else last_of.get(who.value if who is not None else "", left[lead])
        fields = _unlike(lines, before, frozenset() if place == lead else own_ids)
        last_of[who.value if who is not None else ""] = lines
        is_whole = len(fields) + (who is not None) == len(lines) <= FIELDS_SHOWN
        rest = [] if is_whole else list(lines.values())
        told.append(Told(one=one, who=who, fields=fields[:FIELDS_SHOWN], rest=rest, again=[]))
    shown = [line for line in common.values() if line.value]
    return Folded(common=shown, told=told, are_many=any(each.rest or each.again for each in told))


def reasons(signals: Iterable[CaseSignal]) -> list[Why]:
    """Return why a case was opened: each rule with its reason once."""
    found: dict[tuple[str, tuple[tuple[str, str], ...]], Why] = {}
    for each in signals:
        key = (each.rule, tuple(sorted(each.because.items())))
        why = found.get(key)
        who = [each.reporter] if each.reporter is not None else []
        if why is None:
            found[key] = Why(
                first=each, count=1, from_at=each.at, to_at=each.at, seqs=[each.seq], reporters=who
            )  # fmt: skip
            continue
        found[key] = msgspec.structs.replace(
            why,
            count=why.count + 1,
            from_at=min(why.from_at, each.at),
            to_at=max(why.to_at, each.at),
            seqs=[*why.seqs, each.seq][:SEQS_SHOWN],
            reporters=list(dict.fromkeys([*why.reporters, *who])),
        )
    return list(found.values())


def _common(visible: Sequence[Mapping[str, FieldLine]]) -> dict[str, FieldLine]:
    if len(visible) < 2:
        return {}
    first, *others = visible
    return {path: line for path, line in first.items() if all(each.get(path) == line for each in others)}


def _own_ids(left: Sequence[Mapping[str, FieldLine]]) -> frozenset[str]:
    """Return the paths of ids that are another in each event: the message's, the comment's. They say nothing by differing."""
    values: dict[str, list[str]] = {}
    for lines in left:
        for path, line in lines.items():
            if line.kind == "subject" and line.subject_kind != "account":
                values.setdefault(path, []).append(line.value)
    return frozenset(path for path, each in values.items() if len(each) > 1 and len(set(each)) == len(each))


def _who(lines: Mapping[str, FieldLine]) -> FieldLine | None:
    return next((line for line in lines.values() if line.kind == "subject" and line.subject_kind == "account"), None)


def _unlike(
    lines: Mapping[str, FieldLine], before: Mapping[str, FieldLine], own_ids: frozenset[str]
) -> list[FieldLine]:  # fmt: skip
    who = _who(lines)
    return [
        line
        for path, line in lines.items()
        if before.get(path) != line and path not in own_ids and (who is None or path != who.path)
    ]
