"""Rule health over a log: hours are counted once, the past becomes an expectation, dead rules are named."""

from tests.pipeline.conftest import Station, open_station, reopen, station

from koban.base import DAY, HOUR, Instant
from koban.insight import health_store, measure_hours, rule_health, watch_health
from koban.insight.health import expectations_of
from koban.packs import Mode, ModeName, parse_files
from koban.pipeline import commands
from koban.rules import ModeChanged, RuleExpected
from koban.webhooks import search_alerts

__all__ = ["open_station", "reopen", "station"]  # fixtures of another folder


def lived(station: Station, hours: int, *, first: int = 0) -> None:
    """Let one person lure in every hour, and nobody pay anything out."""
    for hour in range(first, first + hours):
        event = station.event(f"h{hour}", "直取引しませんか")
        data = event["data"]
        assert isinstance(data, dict)
        data["sender"] = {"id": f"a{hour}"}
        data["message"] = {"id": f"m{hour}"}
        station.send(event, station.event(f"q{hour}"))
        station.clock.advance(HOUR)


def test_hours_that_are_over_are_counted_and_only_once(station: Station) -> None:
    lived(station, 5)
    pack = station.desk.memory.compiled.pack
    counted = measure_hours(station.database, station.clock, pack)
    assert counted in {4, 5}
    assert measure_hours(station.database, station.clock, pack) == 0
    with station.database.read() as tx:
        hours = health_store.read_hours(tx, since=Instant(0))["lure"]
    assert sum(each.events for each in hours) == 10
    assert [(each.hits, each.acted, each.people) for each in hours if each.events] == [(1, 1, 1)] * 5


def test_a_day_of_its_own_past_is_what_is_expected_of_a_rule(station: Station) -> None:
    lived(station, 30)
    pack = station.desk.memory.compiled.pack
    while measure_hours(station.database, station.clock, pack):
        pass
    with station.database.read() as tx:
        found = {each.rule: each for each in expectations_of(tx, pack, station.clock.now())}
    assert found["lure"].basis == "past"
    assert found["lure"].people == found["lure"].hours >= 28
    assert found["lure"].ceiling == 100


def said(people: int) -> RuleExpected:
    return RuleExpected(
        rule="lure", basis="backtest", people=people, hours=100, ceiling=900, counts="people", by="t", reason="said"
    )


def test_what_a_backtest_or_a_person_said_stands_against_what_the_rule_did_before(station: Station) -> None:
    lived(station, 8 * 24)
    pack = station.desk.memory.compiled.pack
    station.run(lambda live, tx: commands.expect(live, tx, said(7_000)))
    lived(station, 2, first=1_000)

    def moved() -> list[str]:
        while measure_hours(station.database, station.clock, pack):
            pass
        with station.database.read() as tx:
            return [each.rule for each in expectations_of(tx, pack, station.clock.now())]

    assert "lure" not in moved()
    station.clock.advance(HOUR)
    lived(station, 7 * 24, first=2_000)
    assert "lure" in moved()


def test_a_rule_that_came_lately_or_was_switched_on_lately_is_not_dead(station: Station) -> None:
    lived(station, 2)
    for _ in range(33):
        station.clock.advance(DAY)
        station.send(station.event(f"d{station.clock.now()}", "x"))
    pack = station.desk.memory.compiled.pack
    while measure_hours(station.database, station.clock, pack):
        pass
    files = dict(station.desk.memory.compiled.pack.files)
    rules = next(name for name in files if name.startswith("rules"))
    one = files[rules].index("- rule: many_recipients")
    files[rules] += files[rules][one : files[rules].index("- rule: big_payout")].replace("many_recipients", "newcomer")
    compiled = station.desk.memory.compile(parse_files(files))
    station.run(lambda live, tx: commands.activate(live, tx, compiled, by="t", reason="new"), alone=True)
    changed = ModeChanged(rule="lure_again", mode=Mode(name=ModeName.SHADOW), by="t", reason="x")
    station.run(lambda live, tx: commands.set_mode(live, tx, changed))
    station.clock.advance(2 * HOUR)
    assert measure_hours(station.database, station.clock, compiled.pack) == 2
    with station.database.read() as tx:
        dead = [each.rule for each in rule_health(tx, compiled.pack, station.clock.now()).rules if each.dead]
    assert dead == ["big_payout", "lure", "many_recipients"]


def test_the_job_enters_expectations_and_names_what_is_dead(station: Station) -> None:
    lived(station, 30)
    station.clock.advance(31 * DAY)
    station.send(station.event("last", "直取引しませんか"))
    station.clock.advance(HOUR)
    memory = station.desk.memory

    def expect(change: RuleExpected) -> object:
        return station.run(lambda live, tx: commands.expect(live, tx, change))

    for _ in range(20):
        watch_health(station.database, station.clock, memory.randomness, memory.compiled.pack, expect)
    with station.database.read() as tx:
        health = rule_health(tx, memory.compiled.pack, station.clock.now())
        alerts = search_alerts(tx, before=None, limit=10, is_open=True)
    assert [each.rule for each in health.rules if each.dead] == ["big_payout", "lure_again", "many_recipients"]
    assert [each.kind for each in alerts if each.kind.startswith("rule.")] == ["rule.dead"]
    assert health.dead_lists == []
