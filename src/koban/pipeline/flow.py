"""The synchronous flow: one event in, one decision out, with everything it brings about.

Read `decide` top down: it is the whole of it. Nothing here performs I/O; rows are gathered and written with the batch.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import msgspec

import koban.decisions as decided
from koban import enforcement
from koban.base import Instant, to_rfc3339
from koban.decisions import DecisionRecord, FeatureValue, HoldRecord, Inputs, SignalRecord, Verdict
from koban.events import Entry, Flag, Row
from koban.language import Value
from koban.packs import EventType, RuleDef
from koban.pipeline.holds import hold
from koban.pipeline.memory import Memory, subject_of
from koban.rules import Circumstance, Limited, Signal, Withheld, acts, harms, select
from koban.text import Normalised

_ENCODER = msgspec.json.Encoder()
_ALLOW = decided.Allow()
_UNMARKED = Flag.NONE


class Arrival(msgspec.Struct, frozen=True, kw_only=True):
    """An event on its way into the log: what will be its entry, but for its place and time, and its row of values."""

    entry: Entry
    row: Row
    unread: tuple[str, ...]
    since_at: Instant | None  # when somebody began to wait for the answer; None: nobody waits
    hurried: bool = True  # the answer is worth nothing after `within_ms`; not so in a batch
    replayed: bool = False  # the entry stands in the log already, with its place, time and flags


def decide(memory: Memory, arrival: Arrival, texts: dict[str, Normalised] | None = None) -> bytes:
    """Decide one event and return the answer as JSON, byte for byte what is stored.

    `texts`: fields that were normalised already; each is at most once, for features and rules alike.
    Law 3: the decision names its signals, their rules' reasons, and the pack's version; its inputs are stored.
    """
    entry = arrival.entry if arrival.replayed else _enter(memory, arrival, memory.log_time.next())
    texts = {} if texts is None else texts
    values = memory.features.apply(memory.tx, entry.seq, entry.type, arrival.row, entry.log_at, texts=texts)
    matched = _match(memory, entry, arrival.row, values, texts)
    if not arrival.replayed:
        memory.rows.entries.append(entry)
    return _conclude(memory, entry, arrival, values=values, matched=matched, texts=texts)


def decide_together(
    memory: Memory, arrivals: Sequence[Arrival], texts: Sequence[dict[str, Normalised]]
) -> list[tuple[int, bytes]]:
    """Decide several events in order and return their places and answers, those that one by one would have given.

    All features are computed, then all rules asked, then each event is concluded: code and tables of one step stay
    at hand for the next event, which costs a tenth less. Where something follows from an event that those behind it
    could see, they are taken back and not answered: the list is shorter, by all but one at most.
    """
    start = len(memory.undo)
    times = memory.log_time.several(len(arrivals))
    entries = [_enter(memory, arrival, at) for arrival, at in zip(arrivals, times, strict=True)]
    marks, values = [], []
    apply, mark, tx = memory.features.apply, memory.features.mark, memory.tx
    for entry, arrival, known in zip(entries, arrivals, texts, strict=True):
        values.append(apply(tx, entry.seq, entry.type, arrival.row, entry.log_at, texts=known))
        marks.append(mark())
    matched = [
        _match(memory, entry, arrival.row, found, known)
        for entry, arrival, found, known in zip(entries, arrivals, values, texts, strict=True)
    ]
    answers: list[tuple[int, bytes]] = []
    for place, (entry, arrival) in enumerate(zip(entries, arrivals, strict=True)):
        memory.go_to(entry.seq, entry.log_at)
        memory.rows.entries.append(entry)
        body = _conclude(memory, entry, arrival, values=values[place], matched=matched[place], texts=texts[place])
        answers.append((entry.seq, body))
        # Whatever changes what others see can be undone, or is an entry of its own.
        if memory.last_seq != entry.seq or len(memory.undo) != start:
            memory.features.undo(marks[place])
            break
    return answers


def _match(
    memory: Memory, entry: Entry, row: Row, values: dict[str, Value], texts: dict[str, Normalised]
) -> list[RuleDef]:
    """Return the pack's rules that match, after adding to `values` the scores that they read."""
    rules = memory.compiled.rules.get(entry.type)
    if rules is None:
        return []
    for key, name, path in rules.scores:
        values[key] = memory.scores.value(name, row.get(path), entry.log_at)
    return memory.awake.matched(rules, memory.modes, row, values, entry.log_at, texts=texts)


def _conclude(
    memory: Memory,
    entry: Entry,
    arrival: Arrival,
    *,
    values: dict[str, Value],
    matched: list[RuleDef],
    texts: dict[str, Normalised],
) -> bytes:
    """Say what becomes of an event whose rules were asked, have it carried out, and gather its rows."""
    compiled = memory.compiled
    event_type = compiled.pack.events[entry.type]
    seq, at = entry.seq, entry.log_at
    urgent, asked = memory.emergency.run(entry.type, arrival.row, values, at, texts)
    matched += urgent
    acting = _text(arrival.row, event_type.acting)
    signals: tuple[Signal, ...] = ()
    if matched:
        signals = select(
            matched,
            memory.modes,
            account=acting,
            at=at,
            circumstance=_circumstance(entry),
            default_queue=compiled.default_queue,
            subjects=_named(arrival.row, event_type) if memory.modes.has_snoozes() else (),
        )

    is_marked = entry.flags is not _UNMARKED  # asked once: to name a flag, and to ask for it, is dear
    overdue = is_marked and Flag.OVERDUE in entry.flags
    verdict: Verdict = _ALLOW
    if overdue:
        verdict = decided.fallback_verdict(event_type.fallback, at)
    elif signals:
        verdict = decided.conclude((action for signal in signals for action in acts(signal.disposition)), at)
    brought = _carry_out(memory, entry, arrival.row, matched=matched, signals=signals) if signals else _NOTHING
    record = DecisionRecord(
        id=entry.event_id,
        source=entry.source,
        type=entry.type,
        seq=seq,
        decided_at=to_rfc3339(at),
        verdict="allow",
        late=is_marked and Flag.LATE in entry.flags,
        ahead=is_marked and Flag.AHEAD in entry.flags,
        text_damaged=is_marked and Flag.DAMAGED in entry.flags,
        unread=arrival.unread,
        pack=compiled.pack.digest[:12],
        emergency=asked,
    )
    if signals or overdue:
        record = _with_reasons(record, verdict, matched, signals, brought, overdue=overdue)
    body = _ENCODER.encode(record)
    _keep(memory, entry, record, body, values=values, signals=signals, acting=acting, since_at=arrival.since_at)
    if memory.consequences:
        if isinstance(verdict, decided.Hold):
            hold(memory, seq, verdict.lifts_at)
        if verdict is not _ALLOW or brought is not _NOTHING:
            _tell(memory, entry, record, brought, waited=arrival.since_at is not None)
    return body


def _with_reasons(
    record: DecisionRecord,
    verdict: Verdict,
    matched: Sequence[RuleDef],
    signals: Sequence[Signal],
    brought: "_Brought",
    *,
    overdue: bool,
) -> DecisionRecord:
    """Say what was decided, why, and what followed; an event that no rule spoke about is allowed and needs none of it."""
    return msgspec.structs.replace(
        record,
        verdict=decided.verdict_name(verdict),
        signals=_records(matched, signals, brought.unmet) if signals else (),
        hold=HoldRecord(lifts_at=to_rfc3339(verdict.lifts_at), becomes=verdict.becomes)
        if isinstance(verdict, decided.Hold)
        else None,
        challenge=verdict.kinds if isinstance(verdict, decided.Challenge) else (),
        warn=verdict.targets if isinstance(verdict, decided.Warn) else _warned(signals),
        sanctions=brought.sanctions,
        cases=brought.cases,
        fallback=overdue,
    )


def _named(row: Row, event_type: EventType) -> tuple[tuple[str, str], ...]:
    """Return the subjects that an event names, but for accounts: of these, only the acting one can be spared a rule."""
    found = ((role.kind, row.get(path)) for path, role in event_type.subjects.items() if role.kind != "account")
    return tuple((kind, value) for kind, value in found if isinstance(value, str))


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Brought:
    """What followed from a decision."""

    sanctions: tuple[str, ...] = ()
    cases: tuple[str, ...] = ()
    recorded: tuple[enforcement.Recorded, ...] = ()
    notices: tuple[enforcement.Notice, ...] = ()
    unmet: tuple[enforcement.Unmet, ...] = ()


_NOTHING = _Brought()


def _enter(memory: Memory, arrival: Arrival, at: Instant) -> Entry:
    """Give the event its place and time in the log, and note whether its answer comes too late."""
    flags = arrival.entry.flags
    if arrival.hurried and arrival.since_at is not None:
        within_ms = memory.compiled.pack.events[arrival.entry.type].within_ms
        if at - arrival.since_at > within_ms * 1_000:
            flags |= Flag.OVERDUE
    return msgspec.structs.replace(arrival.entry, seq=memory.next_seq(), log_at=at, flags=flags)


def _circumstance(entry: Entry) -> Circumstance:
    if entry.flags is _UNMARKED:
        return Circumstance.ORDINARY
    if Flag.IMPORTED in entry.flags:
        return Circumstance.IMPORTED
    if Flag.OVERDUE in entry.flags:
        return Circumstance.OVERDUE
    return Circumstance.LATE if Flag.LATE in entry.flags else Circumstance.ORDINARY


def _text(row: Row, path: str | None) -> str | None:
    value = row.get(path) if path is not None else None
    return value if isinstance(value, str) and value else None


def _carry_out(
    memory: Memory, entry: Entry, row: Row, *, matched: Sequence[RuleDef], signals: Sequence[Signal]
) -> _Brought:
    """Enter what the signals bring: sanctions, cases, and the budgets they use up. An imported log brings nothing."""
    rules = {rule.name: rule for rule in matched}
    applied = [
        enforcement.Applied(
            rule=signal.rule,
            policy=signal.policy,
            because=rules[signal.rule].because,
            actions=acts(signal.disposition),
        )
        for signal in signals
        if acts(signal.disposition)
    ]
    if not applied or not memory.consequences:
        return _NOTHING
    event_type = memory.compiled.pack.events[entry.type]
    occasion = enforcement.occasion_of(event_type, row, event_id=entry.event_id)
    plan = enforcement.plan_actions(
        applied,
        occasion,
        memory.compiled.pack.policies,
        memory.sanctions.of_subject,
        at=entry.log_at,
        seq=entry.seq,
    )
    recorded = tuple(memory.enter_change(change, entry.seq) for change in plan.changes)
    cases = tuple(memory.open_case(review, entry, row) for review in plan.reviews)
    _spend(memory, entry, rules, signals, occasion)
    return _Brought(
        sanctions=tuple(dict.fromkeys(each.step.after.id for each in recorded)),
        cases=tuple(dict.fromkeys(cases)),
        recorded=recorded,
        notices=plan.notices,
        unmet=plan.unmet,
    )


def _spend(
    memory: Memory,
    entry: Entry,
    rules: Mapping[str, RuleDef],
    signals: Sequence[Signal],
    occasion: enforcement.Occasion,
) -> None:
    """Count whom each rule harmed (law 8); the one who uses a budget up trips it for those who come after."""
    harmed = occasion.acting or occasion.content
    if harmed is None:
        return
    for signal in signals:
        if harms(signal):
            memory.spend(signal.rule, f"{harmed.kind}:{harmed.id}", rules[signal.rule].cap_per_hour, entry)


def _records(
    matched: Sequence[RuleDef], signals: Sequence[Signal], unmet: Sequence[enforcement.Unmet]
) -> tuple[SignalRecord, ...]:
    rules = {rule.name: rule for rule in matched}
    records = []
    for signal in signals:
        rule = rules[signal.rule]
        disposition = signal.disposition
        asked = disposition.then if not isinstance(disposition, Withheld) else rule.then
        records.append(
            SignalRecord(
                rule=signal.rule,
                policy=signal.policy,
                applied=not isinstance(disposition, Withheld),
                withheld=disposition.why.value if isinstance(disposition, Withheld | Limited) else "",
                actions=decided.describe_actions(asked),
                unmet=tuple(f"{one.action}: {one.why}" for one in unmet if one.rule == signal.rule),
                because=rule.because,
            )
        )
    return tuple(records)


def _warned(signals: Sequence[Signal]) -> tuple[str, ...]:
    """Name who is to be warned beside a stricter verdict: a hidden lure still wants its recipient warned."""
    if not signals:
        return ()
    concluded = decided.conclude(
        (action for signal in signals for action in acts(signal.disposition) if type(action).__name__ == "Warn"),
        Instant(0),
    )
    return concluded.targets if isinstance(concluded, decided.Warn) else ()


def _keep(
    memory: Memory,
    entry: Entry,
    record: DecisionRecord,
    body: bytes,
    *,
    values: Mapping[str, FeatureValue],
    signals: Sequence[Signal],
    acting: str | None,
    since_at: Instant | None,
) -> None:
    """Gather the rows of the decision and of its signals."""
    took_us = max(0, memory.clock.now() - (since_at if since_at is not None else entry.received_at))
    inputs = _ENCODER.encode(Inputs(features=values, pack=memory.compiled.pack.digest, emergency=record.emergency))
    memory.rows.decisions.append(
        (entry.seq, entry.log_at, entry.type, record.verdict, acting, took_us, body.decode(), inputs.decode())
    )
    for signal, kept in zip(signals, record.signals, strict=True):
        memory.rows.signals.append(
            (entry.seq, signal.rule, entry.log_at, signal.policy, int(kept.applied), kept.withheld, acting)
        )
    if record.fallback:
        memory.figures.count("overdue")


def _tell(memory: Memory, entry: Entry, record: DecisionRecord, brought: _Brought, *, waited: bool) -> None:
    """Queue what the marketplace must carry out: changed states, notices, and decisions that nobody waited for."""
    for notice in brought.notices:
        memory.tell_notice(notice)
    memory.tell_states(brought.recorded)
    if not waited and record.verdict != "allow":
        memory.tell_decision(record, subject_of(memory.compiled, entry), entry.log_at)
