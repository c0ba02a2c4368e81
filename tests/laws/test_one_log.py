"""Laws 1, 2, 3 and 6 over one random life of a log: events once and mixed, changes by people, failures and crashes.

Law 1: an answer, once given, stays; every event stands once and is decided once. Law 2: a replay of the log alone gives
the same decisions, and an explanation the same matches. Law 3: nothing acts without a reason. Law 6: timers fire once.
"""

import os
import pathlib
from collections.abc import Callable
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.laws.town import RULES, Replayed, Town, loaded, message, open_town, own_picture, payout, picture, replay

from koban import enforcement
from koban.base import DAY, HOUR, MINUTE, SECOND, Instant, Refusal
from koban.cases import claim
from koban.cases.types import CaseOutcome, DecideCase, ReopenCase
from koban.db import Database
from koban.decisions import DecisionRecord
from koban.emergency import EmergencyStarted, EndEmergency, ExtendEmergency
from koban.emergency.types import Measure
from koban.enforcement.types import SanctionImposed
from koban.events import Kind
from koban.events.routes import Conflicting, Decided, Kept, Taken
from koban.labels import LabelSet, LabelSource
from koban.lists import EntriesAdded, EntryRemoved
from koban.packs import Hide, Hold, Mode, ModeName
from koban.pipeline import casework, commands, explain
from koban.pipeline.urgent import end_emergency, extend_emergency, prepare_overlay, start_emergency
from koban.rules import ModeChanged, ReviewAllSwitched, SnoozeSet
from koban.scores import ScoreRecorded

LURE = "直取引しませんか"
Act = Callable[[Town], None]

accounts = st.sampled_from(("a1", "a2", "a3", "a9"))
moments = st.sampled_from((None, 1, 30 * MINUTE, 3 * HOUR))
# For whom a rule is mute: any kind of subject that events name, by the name that they send; a kind that none names.
mute = st.one_of(
    st.tuples(st.just("account"), accounts),
    st.tuples(st.just("message"), st.sampled_from(("m", "m1", "m2", "m3"))),
    st.tuples(st.just("device"), st.sampled_from(("d1", "d2"))),
    st.just(("parcel", "p1")),
)


@st.composite
def messages(draw: st.DrawFn, ids: st.SearchStrategy[int]) -> Callable[[Town], dict[str, object]]:
    """Draw a message; what it says is a function of its number, so that one number is always the same event."""
    number = draw(ids)
    chance = draw(st.randoms(use_true_random=False))
    late = draw(st.sampled_from((0, 0, 0, 0, 11 * MINUTE)))
    if number % 7 == 6:
        amount = chance.choice((None, 10, 999, 1_000, 2**63 - 1))
        account = chance.choice(("a1", "a2", None))
        return lambda town: town.sent.get(
            f"e{number}",
            payout(
                f"e{number}",
                Instant(town.clock.now() - late),
                account__id=account,
                account__name="山田",
                amount_minor=amount,
            ),
        )
    fields: dict[str, Any] = {  # Any: values of every JSON kind
        "sender__id": chance.choice(("a1", "a1", "a2", "a3", "a9", None)),
        "sender__name": chance.choice(("山田", None)),
        "sender__email": chance.choice(("x@example.com", None)),
        "sender__created_at": chance.choice(("2026-10-21T11:30:00Z", "2020-01-01T00:00:00+09:00", None)),
        "recipient__id": chance.choice(("a2", "b1", None)),
        "message__id": chance.choice((f"m{number}", "m", None)),
        "text": chance.choice((LURE, LURE, LURE, "こんにちは", f"こんにちは {number}", None)),
        "device__id": chance.choice(("d1", "d2", None)),
        "price": chance.choice((1.5, 1.499999, 0, 12345678901.000001, None)),
        "flag": chance.choice((True, False, None)),
        "tags": chance.choice((["a", "b"], [], None)),
        "unknown": chance.choice((None, None, {"deep": ["kept"]})),
    }
    return lambda town: town.sent.get(f"e{number}", message(f"e{number}", Instant(town.clock.now() - late), **fields))


@st.composite
def sendings(draw: st.DrawFn) -> Act:
    """Send one to six events; numbers repeat, within a batch and between them."""
    made = draw(st.lists(messages(st.integers(0, 30)), min_size=1, max_size=6))
    asynchronous = draw(st.sampled_from((False, False, True)))
    changed = draw(st.sampled_from((False, False, False, True)))

    def act(town: Town) -> None:
        events = []
        for make in made:
            event = make(town)
            town.sent.setdefault(str(event["id"]), event)
            events.append(event)
        if changed and town.results.get(str(events[0]["id"])):
            town.send([{**events[0], "subject": "another"}])
        town.send(events, asynchronous=asynchronous)

    return act


def _ask(town: Town, run: Callable[..., object]) -> None:
    try:
        town.command(run)
    except Refusal:
        return  # a refusal is an answer too: the pictures at the end show that it changed nothing


@st.composite
def changes(draw: st.DrawFn) -> Act:
    """A person changes a list, a label, a mode, a sanction."""
    account, rule, after = draw(accounts), draw(st.sampled_from(RULES)), draw(moments)
    mute_for = draw(mute)
    kind = draw(st.integers(0, 11))
    risk = draw(st.sampled_from((0, 400_000, 600_000, 1_000_001)))
    value = draw(st.sampled_from(("fraud", "honest", None)))
    source = draw(st.sampled_from(tuple(LabelSource)))
    mode = draw(
        st.sampled_from((None, *(Mode(name=one) for one in ModeName), Mode(name=ModeName.LIVE, basis_points=5_000)))
    )

    def act(town: Town) -> None:
        until = None if after is None else Instant(town.clock.now() + after)
        match kind:
            case 0 | 1:
                added = EntriesAdded(list="trusted", values=(account,), note="", by="staff_1", expires_at=until)
                _ask(town, lambda memory, tx: commands.change_list(memory, tx, added))
            case 2:
                removed = EntryRemoved(list="trusted", value=account, note="", by="staff_1")
                _ask(town, lambda memory, tx: commands.change_list(memory, tx, removed))
            case 3:
                devices = EntriesAdded(list="bad_devices", values=("d1",), note="", by="staff_1", expires_at=until)
                _ask(town, lambda memory, tx: commands.change_list(memory, tx, devices))
            case 4 | 5:
                said = LabelSet(
                    subject_kind="account", subject_id=account, label="truth", value=value, source=source, by="staff_1",
                    expires_at=until,
                )  # fmt: skip
                _ask(town, lambda memory, tx: commands.label(memory, tx, said))
            case 6 | 7:
                set_to = ModeChanged(rule=rule, mode=mode, by="staff_1", reason="law")
                _ask(town, lambda memory, tx: commands.set_mode(memory, tx, set_to))
            case 9 | 10:
                scored = ScoreRecorded(
                    name="risk", subject_kind="account", subject_id=account, score=risk, model="m1", by="model",
                    expires_at=until,
                )  # fmt: skip
                _ask(town, lambda memory, tx: commands.score(memory, tx, scored))
            case 8:
                what, who = mute_for
                snooze = SnoozeSet(rule=rule, kind=what, subject=who, until=until, by="staff_1", reason="law")
                _ask(town, lambda memory, tx: commands.set_mode(memory, tx, snooze))
            case _:
                switched = ReviewAllSwitched(on=after is None, by="staff_1", reason="law")
                _ask(town, lambda memory, tx: commands.set_mode(memory, tx, switched))

    return act


@st.composite
def judgements(draw: st.DrawFn) -> Act:
    """A person imposes, lifts, overturns, or undoes a rule."""
    account, rule, place, kind = (
        draw(accounts),
        draw(st.sampled_from(RULES)),
        draw(st.integers(0, 9)),
        draw(st.integers(0, 3)),
    )

    def act(town: Town) -> None:
        found = [str(row[0]) for row in town.rows("SELECT id FROM sanctions ORDER BY id")]
        chosen = found[place % len(found)] if found else "sanction_none"
        command: enforcement.Command
        match kind:
            case 0:
                command = enforcement.ImposeSanction(
                    subject=enforcement.SubjectRef(kind="account", id=account),
                    kind="strike",
                    policy="fraud/lure",
                    by="staff_1",
                    because={"en": "seen", "ja": "確認"},
                )
            case 1:
                command = enforcement.LiftSanction(sanction_id=chosen, by="staff_1", reason="enough")
            case 2:
                command = enforcement.OverturnSanctions(sanction_ids=(chosen,), by="staff_1", reason="wrong")
            case _:
                command = enforcement.UndoRule(rule=rule, since_at=Instant(0), by="staff_1", reason="wrong")
        _ask(town, lambda memory, tx: commands.sanction(memory, tx, command))

    return act


@st.composite
def casework_(draw: st.DrawFn) -> Act:
    """A person judges a case, or takes a judgement back."""
    place, kind = draw(st.integers(0, 9)), draw(st.integers(0, 5))
    take_back = draw(st.booleans())

    def act(town: Town) -> None:
        wanted = "closed" if kind == 5 else "open"
        found = [str(row[0]) for row in town.rows("SELECT id FROM cases WHERE status = ? ORDER BY id", (wanted,))]
        if not found:
            return
        case_id = found[place % len(found)]
        if kind == 5:
            again = ReopenCase(case_id=case_id, by="staff_4", reason="law")
            _ask(town, lambda memory, tx: casework.reopen(memory, tx, again))
            return
        with town.real.write() as tx:
            held = claim(tx, town.clock.now(), case_id, by="staff_3")
        outcome: CaseOutcome = ("honest", "honest", "upheld", "upheld", "unclear")[kind]
        judged = DecideCase(case_id=case_id, fence=held.fence, by="staff_3", outcome=outcome, take_back=take_back)
        _ask(town, lambda memory, tx: casework.decide(memory, tx, judged))

    return act


@st.composite
def emergencies(draw: st.DrawFn) -> Act:
    """A person types a rule for an hour, lets it live longer, or ends it; some read what no rule of the pack reads."""
    kind, number = draw(st.integers(0, 5)), draw(st.integers(0, 3))
    when = draw(
        st.sampled_from(
            ("mentions(text, 'lures')", "texts_1d >= 2", "of(paid_out, sender.id) > 0 OR flag", "messages_1h >= 1")
        )
    )
    hold = Hold(for_us=HOUR, becomes="allow")
    measures: tuple[tuple[Measure, ...], ...] = ((Hide(),), (hold,), (Hide(), hold))
    then = draw(st.sampled_from(measures))
    lasts = draw(st.sampled_from((MINUTE, 30 * MINUTE, HOUR)))

    def act(town: Town) -> None:
        name = f"emergency.r{number}"
        if kind == 4:
            longer = ExtendEmergency(name=name, lasts_us=HOUR, by="staff_2", reason="law")
            _ask(town, lambda memory, tx: extend_emergency(memory, tx, longer))
        elif kind == 5:
            over = EndEmergency(name=name, by="staff_2", reason="law")
            _ask(town, lambda memory, tx: end_emergency(memory, tx, over))
        else:
            started = EmergencyStarted(
                name=name, policy="fraud", on=("message.sent",), when=when, then=then, cap_per_hour=2,
                because={"en": "for now", "ja": "当面"}, lasts_us=lasts, ends_at=Instant(0),
                review_due_at=Instant(town.clock.now() + DAY), by="staff_1", reason="law",
            )  # fmt: skip
            try:
                overlay = prepare_overlay(town.desk.memory, started)
            except Refusal:
                return
            _ask(town, lambda memory, tx: start_emergency(memory, tx, started, overlay))

    return act


def _fail_next(how: Any) -> Act:  # Any: one of the words of Flaky.next_write
    def act(town: Town) -> None:
        town.database.next_write = how

    return act


@st.composite
def happenings(draw: st.DrawFn) -> Act:
    """Time passes, a clock is set, the pack is switched, a commit fails, the process ends."""
    choices: tuple[Act, ...] = (
        *(_pass(us) for us in (SECOND, 20 * MINUTE, HOUR, 25 * HOUR, 80 * HOUR)),
        *(_step(us) for us in (-2 * HOUR, 3 * HOUR, -2 * SECOND)),
        lambda town: town.switch("second"),
        lambda town: town.switch("first"),
        _leave_out,
        _leave_out,
        *(_fail_next(how) for how in ("fails", "fails", "is_unknown", "is_unknown")),
        lambda town: town.restart(crash=True),
        lambda town: town.restart(crash=True),
        lambda town: town.restart(crash=False),
    )
    return draw(st.sampled_from(choices))


def _leave_out(town: Town) -> None:
    """Run programs without the rules that are off, as a server does after each change of a mode."""
    town.desk.memory.leave_out()


def _pass(us: int) -> Act:
    def act(town: Town) -> None:
        town.clock.advance(us)

    return act


def _step(us: int) -> Act:
    def act(town: Town) -> None:
        town.clock.step(us)

    return act


lives = st.lists(
    st.one_of(sendings(), sendings(), sendings(), changes(), judgements(), happenings(), emergencies(), casework_()),
    min_size=3,
    max_size=25,
)

LAW = settings(
    max_examples=400 if os.environ.get("KOBAN_LONG") == "1" else 20,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@LAW
@given(life=lives)
def test_a_log_keeps_its_laws_through_every_life(database: Database, tmp_path: pathlib.Path, life: list[Act]) -> None:
    with open_town(database, tmp_path) as town:
        for act in life:
            act(town)
        town.database.next_write = "works"
        _send_one(town)
        town.send(list(town.sent.values()))
        town.drain()
        town.send([_turned(event) for event in town.sent.values()])
        _check_answers(town)
        replayed = _check_replay(town)
        _check_memory(town)
        _check_explanations(town, replayed)
        _check_reasons(town)
        town.clock.advance(60 * DAY)
        town.drain()
        _check_timers(town)


def _turned(event: dict[str, object]) -> dict[str, object]:
    """Return the same event with its members in another order, as another client library writes it."""
    return {name: _turned(value) if isinstance(value, dict) else value for name, value in reversed(list(event.items()))}


def _send_one(town: Town) -> None:
    town.send([town.sent.get("last", message("last", town.clock.now(), text=LURE))])


def _check_answers(town: Town) -> None:
    """Law 1: whoever was answered gets that answer for ever; everything sent is in the log once."""
    log = [entry for entry in town.log() if entry.kind is Kind.EVENT]
    assert sorted(entry.event_id for entry in log) == sorted(town.sent)
    assert {entry.seq for entry in log} == set(town.decisions())
    for event_id, results in town.results.items():
        stored = town.answer_of(event_id)
        decided = [bytes(one.body).decode() for one in results if isinstance(one, Decided)]
        assert decided
        assert set(decided) == {stored}
        others = [one for one in results if not isinstance(one, Decided)]
        assert all(
            isinstance(one, Taken) or (isinstance(one, Conflicting) and one.field == "subject") for one in others
        )
        first_decided = next(i for i, one in enumerate(results) if isinstance(one, Decided))
        assert not any(isinstance(one, Taken) for one in results[first_decided:])
    assert not any(isinstance(one, Kept) for results in town.results.values() for one in results)


def _check_replay(town: Town) -> dict[int, Replayed]:
    """Law 2: the log alone gives the same signals, verdicts and feature values, and the same state to go on from."""
    replayed, memory = replay(town.real, town.vault)
    lived = town.decisions()
    assert replayed.keys() == lived.keys()
    for seq, (record, features) in lived.items():
        again = replayed[seq]
        assert again.features == features, record.id
        assert _essence(again.record) == _essence(record)
    at = town.desk.memory.log_time.peek()
    assert picture(memory, at) == picture(town.desk.memory, at)
    return replayed


def _essence(record: DecisionRecord) -> dict[str, object]:
    """Return what a replay says as well: all but what followed, for a replay has no consequences."""
    followed = {"sanctions", "cases", "unread"}
    essence = {name: value for name, value in msgspec.structs.asdict(record).items() if name not in followed}
    essence["signals"] = tuple(msgspec.structs.replace(one, unmet=()) for one in record.signals)
    return essence


def _check_memory(town: Town) -> None:
    """Memory that lived through it all equals memory made from the database."""
    fresh = loaded(town)
    at = max(fresh.log_time.peek(), town.desk.memory.log_time.peek())  # a start takes up a clock that was set
    assert picture(fresh, at) == picture(town.desk.memory, at)
    assert own_picture(fresh, at) == own_picture(town.desk.memory, at)


def _check_explanations(town: Town, replayed: dict[int, Replayed]) -> None:
    """Law 2 for explanations: they find the rules that the decision names, and those that were off."""
    for seq in (min(replayed), max(replayed)) if replayed else ():
        explained = explain(town.real, town.vault, seq)
        matched = {one.rule for one in explained.rules if one.matched}
        assert matched - replayed[seq].silent == {one.rule for one in explained.decision.signals}


def _check_reasons(town: Town) -> None:
    """Law 3: every verdict, sanction and case names its signals, rules or persons, and a cause in the log."""
    causes = {entry.seq: entry for entry in town.log()}
    for record, _ in town.decisions().values():
        assert all(one.rule and one.policy and one.because for one in record.signals)
        assert record.pack
        if record.verdict != "allow":
            assert record.fallback or any(one.applied and one.actions for one in record.signals)
        if record.sanctions or record.cases:
            assert any(one.applied for one in record.signals)
    for entry in causes.values():
        if not entry.type.startswith("sanction."):
            continue
        assert entry.cause_seq is not None
        cause = causes[entry.cause_seq]
        assert cause.seq < entry.seq
        assert cause.kind is Kind.EVENT or cause.type.startswith("command.") or cause.type == "timer.fired"
        change = enforcement.decode_change(entry.data)
        if isinstance(change, SanctionImposed):
            grounds = change.sanction.grounds
            assert grounds
            assert all((one.rule or one.actor) and one.cause_seq in causes for one in grounds)
            assert change.sanction.policy
            assert enforcement.statement_of(change.sanction)
    known = {str(row[0]) for row in town.rows("SELECT id FROM sanctions")}
    assert {one for record, _ in town.decisions().values() for one in record.sanctions} <= known
    for seq, rule in town.rows("SELECT seq, rule FROM case_signals"):
        if causes[int(str(seq))].type == "emergency.started":
            continue  # the review that an emergency rule owes
        assert rule in {one.rule for one in town.decisions()[int(str(seq))][0].signals}


def _check_timers(town: Town) -> None:
    """Law 6: every timer fired once, in order, not before it was due; nothing that had an end still stands."""
    assert town.rows("SELECT count(*) FROM timers") == [(0,)]
    fired = [(entry, msgspec.json.decode(entry.data)) for entry in town.log() if entry.type == "timer.fired"]
    ids = [data["timer"] for _, data in fired]
    assert len(ids) == len(set(ids))
    assert all(entry.log_at >= data["due_at"] for entry, data in fired)
    _check_holds(town, {int(data["about"]): entry.seq for entry, data in fired if data["kind"] == "hold.lapse"})
    assert town.rows("SELECT id FROM sanctions WHERE status = 'in_force' AND ends_at IS NOT NULL") == []


def _check_holds(town: Town, lapses: dict[int, int]) -> None:
    """Law 6 for holds: each ended once, by its time or by a person, and what it became follows from the cause."""
    log = {entry.seq: entry for entry in town.log()}
    held = {seq: record for seq, (record, _) in town.decisions().items() if record.hold is not None}
    ends = {int(str(row[0])): row for row in town.rows("SELECT seq, why, verdict, cause_seq FROM hold_ends")}
    assert ends.keys() == held.keys()
    for seq, (_, why, verdict, cause_seq) in ends.items():
        cause, hold = log[int(str(cause_seq))], held[seq].hold
        assert hold is not None
        if seq not in lapses:
            assert cause.type != "timer.fired"
        match cause.type:
            case "timer.fired":
                assert (lapses[seq], why, verdict) == (cause.seq, "lapsed", hold.becomes)
            case "case.closed":
                outcome = msgspec.json.decode(cause.data)["outcome"]
                assert why == "judged"
                assert (verdict == "block") if outcome == "upheld" else (outcome == "honest" and verdict != "hold")
                assert lapses.get(seq, 0) < cause.seq  # nothing lapses after it was judged
            case "case.reopened":
                assert why == "lapsed"
            case _:
                assert cause.type.startswith("command.")
                assert (why, verdict) != ("withdrawn", "hold")
