"""The board: its money equals a recount of the log, its minutes are kept, its stream is one moment for all."""

import asyncio
import functools
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

import msgspec
import pytest
from tests.console.conftest import Visitor
from tests.console.scene import Scene

from koban.base import DAY, HOUR, MINUTE, SECOND, Instant, Unavailable, from_rfc3339, to_rfc3339
from koban.board import NO_ACTIVITY, HeldMoney, Now, RuleTally, choose, read_now, read_series, sample, sums_of
from koban.cases import claim
from koban.cases.types import CaseOutcome, DecideCase
from koban.console import live
from koban.console.live import Broadcast
from koban.db import Database
from koban.decisions import ACTED_SQL, DecisionRecord
from koban.enforcement import ImposeSanction, LiftSanction, OverturnSanctions, SubjectRef
from koban.events import decode
from koban.events.routes import Decided
from koban.labels import LabelSet, LabelSource
from koban.packs import Mode, ModeName, PackDef
from koban.pipeline import casework, commands
from koban.rules import ModeChanged


def decide(scene: Scene, event_id: str, type_: str, data: dict[str, object]) -> DecisionRecord:
    event = {
        "specversion": "1.0",
        "id": event_id,
        "source": "shop",
        "type": type_,
        "time": to_rfc3339(scene.clock.advance(2 * SECOND)),
        "data": data,
    }
    items = decode(json.dumps(event).encode(), "application/json")
    result = scene.desk.submit(items, scene.clock.now(), False).result(timeout=60)[0]
    assert isinstance(result, Decided), result
    return msgspec.json.decode(bytes(result.body), type=DecisionRecord)


def payout(scene: Scene, event_id: str, account: str, amount_minor: int) -> DecisionRecord:
    data: dict[str, object] = {
        "account": {"id": account, "created_at": "2020-01-01T00:00:00Z", "verified": True, "trades": 80},
        "amount_minor": amount_minor,
        "currency": "JPY",
        "bank": {"id": f"bank of {account}"},
        "new_device": False,
    }
    return decide(scene, event_id, "payout.requested", data)


def ship_nothing(scene: Scene, seller: str) -> None:
    """Press 'shipped' three times though no carrier has a parcel: the next payout is held."""
    for number in range(3):
        data: dict[str, object] = {"seller": {"id": seller}, "order": {"id": f"order-{seller}-{number}"}}
        decide(scene, f"shipped-{seller}-{number}", "order.shipped", data)


def freeze(scene: Scene, account: str, policy: str) -> str:
    command = ImposeSanction(
        subject=SubjectRef(kind="account", id=account), kind="freeze_payout", policy=policy, by="staff_x",
        because={"en": "money mule", "ja": "口座の不正利用"}, for_us=2 * HOUR,
    )  # fmt: skip
    outcome = scene.desk.command(lambda live_, tx: commands.sanction(live_, tx, command))
    return outcome.sanction_ids[0]


def recount(database: Database, pack: PackDef, at: Instant) -> dict[str, int]:
    """Count held money from the decisions themselves, one by one."""
    sums: dict[str, int] = {}
    with database.read() as tx:
        rows = tx.rows(
            "SELECT d.body, e.data FROM decisions d JOIN log_entries e ON e.seq = d.seq"
            " WHERE NOT EXISTS (SELECT 1 FROM hold_ends h WHERE h.seq = d.seq)"
        )
    for body, data in rows:
        record = msgspec.json.decode(body, type=DecisionRecord)
        money = pack.events[record.type].money
        if record.hold is None or money is None or (from_rfc3339(record.hold.lifts_at) or 0) <= at:
            continue
        sent = json.loads(data)
        sums[money.kind] = sums.get(money.kind, 0) + sent[money.path]
    return sums


def test_held_money_equals_a_recount_of_the_log_and_goes_when_the_hold_lapses(scene: Scene) -> None:
    money = HeldMoney()
    for look in range(3):
        ship_nothing(scene, f"h-{look}")
        assert payout(scene, f"held-{look}", f"h-{look}", 10_000 + look).verdict == "hold"
        with scene.database.read() as tx:
            waiting = money.look(tx, scene.clock.now(), scene.pack)
            anew = HeldMoney().look(tx, scene.clock.now(), scene.pack)
        assert waiting == anew
        held = [each for each in waiting if each.why == "held"]
        assert sums_of(held)["JPY"] == recount(scene.database, scene.pack, scene.clock.now())
    with scene.database.read() as tx:
        later = money.look(tx, Instant(scene.clock.now() + 400 * DAY), scene.pack)
    assert [each for each in later if each.why == "held"] == []


@pytest.mark.parametrize(
    ("outcome", "said"), [("honest", "The hold is over. Now: Allow"), ("upheld", "The hold is over. Now: Block")]
)
def test_money_no_longer_waits_once_a_person_judged_it(
    scene: Scene, admin: Visitor, outcome: CaseOutcome, said: str
) -> None:
    held = HeldMoney()
    ship_nothing(scene, f"judged-{outcome}")
    record = payout(scene, f"judged-{outcome}", f"judged-{outcome}", 700_000)
    with scene.database.read() as tx:
        assert record.seq in {each.seq for each in held.look(tx, scene.clock.now(), scene.pack)}
    for case_id in record.cases:
        with scene.database.write() as tx:
            case = claim(tx, scene.clock.now(), case_id, by="staff_x")
        command = DecideCase(case_id=case_id, fence=case.fence, by="staff_x", outcome=outcome)
        scene.desk.command(functools.partial(casework.decide, command=command))
    with scene.database.read() as tx:
        again, anew = (each.look(tx, scene.clock.now(), scene.pack) for each in (held, HeldMoney()))
    page = admin.get(f"/decisions/{record.seq}").text
    assert said in page
    assert "Unless somebody decides" not in page
    assert again == anew
    assert record.seq not in {each.seq for each in again}


def test_a_payout_asked_for_during_a_freeze_waits_until_the_freeze_is_lifted(scene: Scene) -> None:
    money, policy = HeldMoney(), next(iter(scene.pack.policies))
    payout(scene, "before-freeze", "frozen-1", 700)
    sanction = freeze(scene, "frozen-1", policy)
    payout(scene, "in-freeze", "frozen-1", 1_895)

    def frozen() -> list[tuple[int, str]]:
        with scene.database.read() as tx:
            waiting = money.look(tx, scene.clock.now(), scene.pack)
        of_account = [each for each in waiting if each.account == "frozen-1"]
        return [(each.amount_minor, each.why) for each in choose(tuple(of_account), kind="frozen", currency="JPY")]

    assert frozen() == [(1_895, "frozen")]
    lift = LiftSanction(sanction_id=sanction, by="staff_x", reason="it was theirs")
    scene.desk.command(lambda live_, tx: commands.sanction(live_, tx, lift))
    assert frozen() == []


def test_the_rows_of_the_money_are_a_page_and_lead_to_their_decisions(scene: Scene, admin: Visitor) -> None:
    freeze(scene, "frozen-2", next(iter(scene.pack.policies)))
    record = payout(scene, "row-1", "frozen-2", 48_123)
    text = admin.get("/waiting?account=frozen-2").text
    assert "¥48,123" in text
    assert f'href="/decisions/{record.seq}"' in text
    assert "¥48,123" not in admin.get("/waiting?account=nobody").text


def test_people_who_turn_out_honest_are_counted_with_the_rule_that_touched_them(scene: Scene) -> None:
    record = scene.message("honest-1", "直取引しませんか。手数料分お安くします")
    rule = next(signal.rule for signal in record.signals if signal.applied)

    def touched() -> int:
        words = scene.desk.memory.labels.words
        with scene.database.read() as tx:
            tally = RuleTally(lambda account, at: words.get((account, "honest"), -1) > at)
            return tally.honest(tx, scene.clock.now()).get(rule, 0)

    before = touched()
    label = LabelSet(
        subject_kind="account", subject_id="s-honest-1", label="truth", value="honest", source=LabelSource.PERSON,
        by="staff_x", note="",
    )  # fmt: skip
    scene.desk.command(lambda live_, tx: commands.label(live_, tx, label))
    assert touched() == before + 1


def test_a_person_whose_sanction_was_a_mistake_is_counted_with_its_rule(scene: Scene) -> None:
    def touched(after: int = 0) -> Mapping[str, int]:
        with scene.database.read() as tx:
            return RuleTally(lambda _account, _at: False).honest(tx, Instant(scene.clock.now() + after))

    record = scene.message("mistaken-1", "直取引しませんか。手数料分お安くします")
    with scene.database.read() as tx:
        rule = str(tx.rows("SELECT rule FROM sanctions WHERE id = ?", (record.sanctions[0],))[0][0])
    before = touched().get(rule, 0)
    mistake = OverturnSanctions(sanction_ids=(record.sanctions[0],), by="staff_x", reason="it was a quote")
    scene.desk.command(lambda live_, tx: commands.sanction(live_, tx, mistake))
    assert touched().get(rule, 0) == before + 1
    assert touched(DAY + MINUTE).get(rule, 0) == 0, "and no more once it is long ago"
    scene.clock.advance(MINUTE)  # pages count it anew four times a minute
    admin = Visitor(scene).sign_in()
    with scene.database.read() as tx:
        count = scene.kit.tally.honest(tx, scene.clock.now())[rule]
    assert count >= before + 1, "labels say so of others"
    said = f"{count} of them turned out honest: by a label, a case or an overturned sanction"
    assert said in admin.get(f"/rules/{rule}").text
    line = next(row for row in admin.get("/rules").text.split("<tr>") if f'href="/rules/{rule}"' in row)
    assert f'<strong class="alarm">{count}</strong>' in line


def test_a_tally_that_reads_on_equals_one_that_reads_anew(scene: Scene) -> None:
    lure, kept = "直取引しませんか。手数料分お安くします", RuleTally(lambda account, _at: account != "tally-b")
    rule = next(signal.rule for signal in scene.message("tally-first", lure).signals if signal.applied)
    seen = []
    for number, (account, text) in enumerate((("a", lure), ("b", lure), ("a", lure), ("c", "ありがとう"), ("d", lure))):
        if number == 3:
            scene.clock.advance(DAY + MINUTE)
        sender = {"id": f"tally-{account}", "created_at": to_rfc3339(scene.clock.now()), "verified": False, "trades": 0}
        scene.message(f"tally-{number}", text, sender=sender)
        anew, at = RuleTally(lambda account, _at: account != "tally-b"), scene.clock.now()
        with scene.database.read() as tx:
            for _ in range(2):  # the second look finds nothing new
                assert kept.activity(tx, at) == anew.activity(tx, at)
                assert kept.activity_of(tx, at, rule) == anew.activity(tx, at).get(rule, NO_ACTIVITY)
                assert kept.buckets(tx, at, rule, bucket_us=HOUR // 2) == anew.buckets(
                    tx, at, rule, bucket_us=HOUR // 2
                )
                scene.clock.advance(MINUTE)
                assert kept.honest(tx, scene.clock.now()) == anew.honest(tx, scene.clock.now())
            seen.append((kept.activity(tx, at).get(rule, NO_ACTIVITY), kept.buckets(tx, at, rule, bucket_us=HOUR // 2)))
    hits, people = [one.hits for one, _ in seen], [one.accounts for one, _ in seen]
    assert [hits[1] - hits[0], hits[2] - hits[1], hits[3], hits[4]] == [1, 1, 0, 1]
    assert [people[1] - people[0], people[2] - people[1], people[3], people[4]] == [1, 0, 0, 1]
    assert all(sum(one for one, _ in spans) == done.hits for done, spans in seen), "the spans hold all of the day"
    assert [len(spans) for _, spans in seen] == [49] * 5


def put(scene: Scene, rule: str, mode: ModeName | None) -> None:
    change = ModeChanged(
        rule=rule, mode=None if mode is None else Mode(name=mode), by="staff_x", reason="a test", approved_by="staff_y"
    )
    scene.desk.command(lambda live_, tx: commands.set_mode(live_, tx, change))


def test_a_signal_that_only_opened_a_case_is_a_hit_that_did_not_act(scene: Scene) -> None:
    lure = "直取引しませんか。手数料分お安くします"
    rule = next(signal.rule for signal in scene.message("only-first", lure).signals if signal.applied)
    put(scene, rule, ModeName.REVIEW)
    tally = RuleTally(lambda _account, _at: False)
    with scene.database.read() as tx:
        before = tally.activity_of(tx, scene.clock.now(), rule)
    limited = next(each for each in scene.message("only-second", lure).signals if each.rule == rule)
    put(scene, rule, None)
    assert (limited.applied, limited.withheld) == (True, "review_mode")
    with scene.database.read() as tx:
        after = tally.activity_of(tx, scene.clock.now(), rule)
    assert (after.hits, after.applied, after.accounts) == (before.hits + 1, before.applied, before.accounts)


def test_rules_done_in_a_day_are_what_the_signals_say(scene: Scene) -> None:
    scene.message("tally-signals", "直取引しませんか。手数料分お安くします")
    at = scene.clock.now()
    with scene.database.read() as tx:
        found = RuleTally(lambda _account, _at: True).activity(tx, at)
        told = tx.rows(
            f"SELECT rule, count(*), sum(CASE WHEN {ACTED_SQL} THEN 1 ELSE 0 END),"
            f" count(DISTINCT CASE WHEN {ACTED_SQL} THEN acting END), max(log_at)"
            " FROM signals WHERE log_at >= ? GROUP BY rule",
            ((at - DAY) // MINUTE * MINUTE,),
        )
    assert {name: (one.hits, one.applied, one.accounts, one.last_at) for name, one in found.items()} == {
        row[0]: tuple(map(int, row[1:])) for row in told
    }


def test_figures_are_kept_by_the_minute_and_gaps_stay_as_before(scene: Scene) -> None:
    def keep() -> Now:
        at = scene.clock.now()
        figures = scene.desk.memory.figures.snapshot(at)
        found: list[Now] = []

        def now(tx: object) -> Now:
            found.append(read_now(tx, at, figures, scene.pack, HeldMoney()))  # type: ignore[arg-type]  # it is a Tx
            return found[-1]

        sample(scene.database, now)
        return found[0]

    first = keep()
    scene.clock.advance(3 * MINUTE)
    scene.message("minute-1", "直取引しませんか")
    second = keep()
    with scene.database.read() as tx:
        series = read_series(tx, scene.clock.now())
    assert series["sanctions"][-4:] == [first.sanctions["in_force"]] * 3 + [second.sanctions["in_force"]]
    assert second.sanctions["in_force"] == first.sanctions["in_force"] + 1


def read_events(parts: list[bytes]) -> list[tuple[str, str, dict[str, str]]]:
    events = []
    for part in parts:
        fields = dict(line.split(": ", 1) for line in part.decode().strip().split("\n"))
        if "event" in fields:
            events.append((fields["id"], fields["event"], json.loads(fields["data"])))
    return events


class Counting:
    """Something to watch: a number that rises with every look."""

    def __init__(self) -> None:
        self.looks = 0
        self.rendered = 0

    def compute(self) -> object:
        self.looks += 1
        return self.looks

    def render(self, moment: object, key: live.Key) -> live.Parts:
        self.rendered += 1
        return {"now": f"{moment} {key[0]}", "still": "always the same"}


def watch(
    run: Callable[[Broadcast, Counting], Awaitable[None]], *, stopping: Callable[[], bool] = lambda: False
) -> Counting:
    counting = Counting()

    async def main() -> None:
        broadcast = Broadcast(counting.compute, counting.render, stopping=stopping, name="x", tick_s=0.01)
        await asyncio.wait_for(run(broadcast, counting), 60)

    asyncio.run(main())
    return counting


async def take(stream: AsyncIterator[bytes], count: int) -> list[bytes]:
    """Take so many parts of a stream; beats, which come where a look takes long on a slow machine, are not counted."""
    taken = []
    async for part in stream:
        if b"\nevent: beat\n" in part:
            continue
        taken.append(part)
        if len(taken) == count:
            break
    await stream.aclose()  # type: ignore[attr-defined]  # it is a generator
    return taken


def test_a_stream_sends_a_part_only_when_it_changed() -> None:
    async def run(broadcast: Broadcast, _: Counting) -> None:
        events = read_events(await take(broadcast.follow(("en", ""), ""), 4))
        assert [name for _, name, _ in events] == ["parts"] * 3
        assert set(events[0][2]) == {"now", "still"}
        assert [set(each[2]) for each in events[1:]] == [{"now"}, {"now"}]
        moments = [int(each[0].removeprefix("x.")) for each in events]
        assert moments == sorted(set(moments)), "each later than the one before; a slow reader leaves some out"

    watch(run)


def test_many_readers_cost_one_look_and_one_rendering_per_language() -> None:
    async def run(broadcast: Broadcast, counting: Counting) -> None:
        readers = [take(broadcast.follow((language, ""), ""), 6) for language in ("en", "ja") * 25]
        streams = await asyncio.gather(*readers)
        for parts in streams:
            assert len(read_events(parts)) == 5
        assert counting.rendered <= 2 * counting.looks

    counting = watch(run)
    assert counting.looks < 50


def test_whoever_comes_back_with_the_number_of_this_moment_waits_for_the_next() -> None:
    async def run(broadcast: Broadcast, _: Counting) -> None:
        first = read_events(await take(broadcast.follow(("en", ""), ""), 2))[0]
        again = read_events(await take(broadcast.follow(("en", ""), first[0]), 2))[0]
        assert again[0] != first[0]
        other = read_events(await take(broadcast.follow(("en", ""), "of another server"), 2))[0]
        assert set(other[2]) == {"now", "still"}

    watch(run)


def test_nobody_is_worked_for_when_nobody_watches() -> None:
    async def run(broadcast: Broadcast, counting: Counting) -> None:
        await take(broadcast.follow(("en", ""), ""), 2)
        ticking = broadcast._task
        assert ticking is not None
        await ticking  # it ends by itself
        looks = counting.looks
        await asyncio.sleep(0.05)
        assert counting.looks == looks

    watch(run)


def test_a_stopping_server_ends_its_streams() -> None:
    stopping = [False]

    async def run(broadcast: Broadcast, _: Counting) -> None:
        parts = []
        async for part in broadcast.follow(("en", ""), ""):
            parts.append(part)
            stopping[0] = len(parts) == 3
        assert len(parts) == 3

    watch(run, stopping=lambda: stopping[0])


def test_too_many_readers_are_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "STREAMS_MAX", 1)

    async def run(broadcast: Broadcast, _: Counting) -> None:
        stream = broadcast.follow(("en", ""), "")
        await anext(stream)
        with pytest.raises(Unavailable):
            broadcast.follow(("en", ""), "")
        await stream.aclose()  # type: ignore[attr-defined]  # it is a generator

    watch(run)
