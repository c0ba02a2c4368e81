"""One entry of the log: what was decided, why, from which values, and what followed."""

from collections.abc import Mapping, Sequence

import msgspec

from koban.access import Answer, Call, Endpoint, endpoint, redirect
from koban.base import Instant, Refusal, Unavailable, from_rfc3339, limits
from koban.cases import Case, CaseMissing
from koban.cases import store as case_store
from koban.console import store
from koban.console.fields import FieldLine, field_lines
from koban.console.filters import seq_of
from koban.console.formats import Formats
from koban.console.kit import ConsoleKit
from koban.console.pages import done, page
from koban.console.traces import RuleTrace, traces_of
from koban.console.under import Choice, choices, read_then, sealed_fields
from koban.console.words import language_of
from koban.db import Tx
from koban.decisions import DecisionMissing, DecisionRecord, HoldEnd, Inputs
from koban.decisions import store as decision_store
from koban.enforcement import Sanction
from koban.enforcement import store as sanction_store
from koban.events import Entry, EventMissing, Flag, Kind
from koban.events import store as event_store
from koban.finding import CaseElsewhere, DiscloseBody, EntryLine, FieldNotSealed
from koban.webhooks.types import Action

FOLLOWED_MAX = 50
CASES_OFFERED = 20
ID_CHARS_MAX = 200
OPEN_MINUTES = 15


class Story(msgspec.Struct, frozen=True, kw_only=True):
    """Everything stored about one entry."""

    entry: Entry
    record: DecisionRecord | None
    hold_end: HoldEnd | None
    withdrawn: frozenset[str]  # rules whose part in it was taken back
    judged: list[Case]  # cases about it, closed
    inputs: Inputs | None
    acting: str | None
    took_us: int
    sanctions: list[Sanction]
    followed: list[EntryLine]
    asked: list[Action]
    opened: Mapping[str, tuple[str | None, Instant]]
    choices: list[Choice]  # versions to explain it under


def endpoints(kit: ConsoleKit) -> tuple[Endpoint, ...]:
    """Return the page of this part."""

    def show(call: Call) -> Answer:
        try:
            story = _story(kit, call)
        except DecisionMissing:
            return _in_archive(kit, call)
        if story.record is None:
            return _entry_page(kit, call, story)
        return _decision_page(kit, call, story, story.record)

    return (
        endpoint(
            "GET",
            "/decisions/{seq}",
            "decisions.read",
            show,
            summary="A decision",
            page=True,
            raises=(DecisionMissing,),
        ),
        endpoint("GET", "/decisions/{seq}/open", "personal.read", lambda call: _open_form(kit, call),
                 summary="Open a personal field", page=True, raises=(DecisionMissing,)),
        endpoint("POST", "/decisions/{seq}/open", "personal.read", lambda call: _open(kit, call),
                 summary="Open a personal field for a case", accepts="form", page=True,
                 raises=(DecisionMissing, CaseMissing, CaseElsewhere, FieldNotSealed, EventMissing)),
    )  # fmt: skip


def _in_archive(kit: ConsoleKit, call: Call) -> Answer:
    """Send to what the archive keeps of a decision that has left the database: its rules and features, as it was decided.

    Refuses: DecisionMissing.
    """
    seq = seq_of(call.path["seq"])
    if seq is None:
        raise DecisionMissing(f"There is no decision {call.path['seq'][:40]!r}.")
    with kit.database.read() as tx:
        _, inputs, _ = kit.stored(tx, seq)
    return redirect(f"/decisions/{seq}/under?pack={inputs.pack}")


def _story(kit: ConsoleKit, call: Call) -> Story:
    seq = seq_of(call.path["seq"])
    if seq is None:
        raise DecisionMissing(f"There is no decision {call.path['seq'][:40]!r}.")
    with kit.database.read() as tx:
        entry = event_store.read_entry(tx, seq)
        if entry is None:
            raise DecisionMissing(f"There is no decision {seq}.")
        record = decision_store.read_bodies(tx, [seq]).get(seq)
        hold_end = decision_store.read_hold_ends(tx, [seq]).get(seq)
        acting, took_us = decision_store.read_facts(tx, [seq]).get(seq, (None, 0))
        followed = store.causes(tx, seq, FOLLOWED_MAX)
        found = sanction_store.read(tx, record.sanctions) if record is not None else {}
        return Story(
            entry=entry,
            record=record,
            hold_end=hold_end,
            withdrawn=decision_store.read_withdrawn(tx, seq),
            judged=_judged(tx, record.cases) if record is not None else [],
            inputs=decision_store.read_inputs(tx, seq) if record is not None else None,
            acting=acting,
            took_us=took_us,
            sanctions=list(found.values()),
            followed=followed,
            asked=store.actions_of(tx, [seq, *(line.seq for line in followed)]),
            opened=kit.disclosed(tx, call.at, call.principal.actor, entry) if entry.sealed is not None else {},
            choices=choices(tx) if record is not None else [],
        )


def _judged(tx: Tx, cases: Sequence[str]) -> list[Case]:
    found = (case_store.read_case(tx, each) for each in cases)
    return [each for each in found if each is not None and each.status == "closed"]


def _formats(kit: ConsoleKit, call: Call) -> Formats:
    return Formats(language_of(call.language), kit.zone, call.at)


def _fields(kit: ConsoleKit, call: Call, story: Story) -> list[FieldLine]:
    entry = story.entry
    declared = kit.pack().events.get(entry.type) if entry.kind is Kind.EVENT else None
    return field_lines(entry.data, declared, _formats(kit, call), sealed=entry.sealed is not None, opened=story.opened)


def _flags(entry: Entry) -> list[str]:
    return [flag.name.lower() for flag in Flag if flag and flag in entry.flags and flag.name]


def _decision_page(kit: ConsoleKit, call: Call, story: Story, record: DecisionRecord) -> Answer:
    traces: dict[str, RuleTrace] = {}
    unexplained = ""
    try:
        traces = traces_of(kit.explain(record.seq, None), sealed_fields(kit.pack(), record.type), _formats(kit, call))
    except (Refusal, Unavailable) as refusal:  # the stored reasons are shown all the same
        unexplained = str(refusal)
    pack = kit.pack()
    applied = [signal for signal in record.signals if signal.applied]
    return page(
        kit,
        call,
        "decision.html",
        kept=story,
        entry=story.entry,
        record=record,
        signals=[*applied, *(signal for signal in record.signals if not signal.applied)],
        headline=applied[0] if applied else None,
        traces=traces,
        unmatched=[trace for trace in traces.values() if not trace.matched],
        unexplained=unexplained,
        fields=_fields(kit, call, story),
        flags=_flags(story.entry),
        hold_end=story.hold_end,
        lifts_at=from_rfc3339(record.hold.lifts_at) if record.hold else None,
        committed_at=kit.committed_at(record.seq),
        decided_at=Instant(story.entry.received_at + story.took_us),
        features=sorted(read_then(kit, story.inputs, _formats(kit, call)).items()) if story.inputs else [],
        pack=pack,
        choices=story.choices,
        decided_by=story.inputs.pack if story.inputs else "",
        under=pack,
        same_pack=bool(record.pack) and pack.digest.startswith(record.pack),
    )


def _entry_page(kit: ConsoleKit, call: Call, story: Story) -> Answer:
    return page(
        kit,
        call,
        "entry.html",
        kept=story,
        entry=story.entry,
        fields=_fields(kit, call, story),
        flags=_flags(story.entry),
    )


def _open_form(kit: ConsoleKit, call: Call, *, problem: str = "") -> Answer:
    story = _story(kit, call)
    asked = call.form or call.query
    with kit.database.read() as tx:
        cases = store.cases_about(tx, story.entry.seq, story.acting, limit=CASES_OFFERED)
    return page(
        kit,
        call,
        "open_field.html",
        status=422 if problem else 200,
        entry=story.entry,
        path=asked.get("path", "")[:200],
        cases=cases,
        chosen=asked.get("case", "")[:200],
        purpose=asked.get("purpose", "")[: limits.PURPOSE_CHARS_MAX],
        minutes=OPEN_MINUTES,
        pack=kit.pack(),
        problem=problem,
    )


def _open(kit: ConsoleKit, call: Call) -> Answer:
    form, seq = call.form, seq_of(call.path["seq"])
    purpose, case_id, path = form.get("purpose", "").strip(), form.get("case", "").strip(), form.get("path", "")
    if (
        seq is None
        or not limits.PURPOSE_CHARS_MIN <= len(purpose) <= limits.PURPOSE_CHARS_MAX
        or not 0 < len(case_id) <= ID_CHARS_MAX
    ):
        return _open_form(kit, call, problem="open.problem_purpose")
    try:
        kit.disclose(call.at, call.principal.actor, seq, DiscloseBody(path=path, case=case_id, purpose=purpose))
    except (CaseMissing, CaseElsewhere) as refusal:
        return _open_form(kit, call, problem=f"problem.{refusal.code}")
    return done(call, f"/decisions/{seq}", "field_opened")
