"""Rule health over a log: hours are counted once, the past becomes an expectation, dead rules are named."""

from tests.pipeline.conftest import Station, open_station, reopen, station

from koban.base import DAY, HOUR, Instant
from koban.insight import health_store, measure_hours, rule_health, watch_health
from koban.insight.health import expectations_of
from koban.pipeline import commands
from koban.rules import RuleExpected
from koban.webhooks import search_alerts

__all__ = ["open_station", "reopen", "station"]  # fixtures of another folder


def lived(station: Station, hours: int) -> None:
    """Let one person lure in every hour, and nobody pay anything out."""
    for hour in range(hours):
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
