"""What the backtest of a draft said is what its rules are expected to do, from the moment it is switched to."""

import copy
import time

from tests.app.conftest import Site, send
from tests.app.test_versions import BESIDE, FILES, SEVERE, House, house, noted, site

from koban.app.web import asgi
from koban.base import HOUR
from koban.packs import parse_files
from koban.rules import RuleExpected, ceiling_of

__all__ = ["house", "site"]  # fixtures

HOURS = 30


def payouts(house: House, site: object, hours: int) -> None:
    """One account an hour asks for a large payout, and every third hour a second one does."""
    clock = house.koban.clock
    for hour in range(hours):
        clock.advance(HOUR)  # type: ignore[attr-defined]  # a manual clock
        for account in ("a1", f"b{hour}")[: 2 if hour % 3 == 0 else 1]:
            event = site.event(f"p{house.koban.memory.last_seq}-{account}")  # type: ignore[attr-defined]  # a site
            event |= {"type": "payout.requested", "data": {"account": {"id": account}, "amount_minor": 250_000}}
            send(house.koban, event)


def tried(house: House, draft: str, body: dict[str, object]) -> dict[str, object]:
    status, run = house.ask("mika", "POST", f"/v1/drafts/{draft}/backtest", body)
    assert status == 202, run
    return waited(house, run["id"])


def waited(house: House, run: str) -> dict[str, object]:
    for _ in range(900):
        _, found = house.ask("mika", "GET", f"/v1/backtests/{run}")
        if found["state"] != "running":
            assert found["state"] == "done", found
            return dict(found["report"])
        time.sleep(0.2)
    raise AssertionError("the backtest did not end")


def expected(house: House, rule: str) -> RuleExpected | None:
    return house.koban.memory.ceilings.of(rule)


def test_a_backtest_of_the_very_version_is_what_is_expected(house: House, site: object) -> None:
    house.bring(SEVERE)
    payouts(house, site, HOURS)
    before = expected(house, "big_payout")
    draft = house.ask("mika", "POST", "/v1/drafts", {"files": BESIDE, "reason": "rarely right"})[1]["id"]
    report = tried(house, draft, {"since": "90d"})
    assert report["pack"] == parse_files(BESIDE).digest
    assert report["hours"] == HOURS
    assert house.approve(draft, "ken")[0] == 200

    found = expected(house, "big_payout")
    assert found is not None
    assert found != before
    assert (found.basis, found.people, found.hours, found.counts) == ("backtest", 40, HOURS, "people")
    assert found.ceiling == ceiling_of(40, HOURS)
    assert found.reason.startswith("backtest of this version over 30 hours, ")
    assert expected(house, "lure") is None  # it did not change


def test_a_first_look_or_a_day_not_seen_is_no_expectation(house: House, site: object) -> None:
    house.bring(SEVERE)
    payouts(house, site, 20)
    draft = house.ask("mika", "POST", "/v1/drafts", {"files": BESIDE, "reason": "rarely right"})[1]["id"]
    assert tried(house, draft, {"since": "90d"})["hours"] == 20
    payouts(house, site, 20)
    assert tried(house, draft, {"since": "90d", "newest": 10_000})["hours"] == 40
    assert house.approve(draft, "ken")[0] == 200
    assert expected(house, "big_payout") is None


def test_what_a_version_was_tried_with_outlives_a_restart_of_the_server(site: Site) -> None:
    with site.open() as koban:
        before = House(koban)
        before.bring(SEVERE)
        payouts(before, site, HOURS)
        draft = before.ask("mika", "POST", "/v1/drafts", {"files": BESIDE, "reason": "rarely right"})[1]["id"]
        run = before.ask("mika", "POST", f"/v1/drafts/{draft}/backtest", {"since": "90d"})[1]["id"]
        report = waited(before, run)
    with site.open() as koban:
        after = copy.copy(before)
        after.koban, after.app = koban, asgi(koban)
        found = after.ask("mika", "GET", f"/v1/backtests/{run}")[1]
        assert (found["state"], found["kept"]) == ("done", True)
        assert found["report"] == report | {"caught_samples": [], "freed_samples": []}
        kept = koban.runs.find_of(parse_files(BESIDE).digest)
        assert kept is not None
        assert kept.id == run
        assert after.approve(draft, "ken")[0] == 200

        held = expected(after, "big_payout")
        assert held is not None
        assert (held.basis, held.people, held.hours, held.ceiling) == ("backtest", 40, HOURS, ceiling_of(40, HOURS))


def test_a_way_back_takes_back_nothing_that_was_said_of_a_rule_since(house: House, site: object) -> None:
    fewer = FILES | {
        "rules/rules.yaml": FILES["rules/rules.yaml"].replace("amount_minor >= 100000", "amount_minor >= 200000")
    }
    payouts(house, site, HOURS)
    draft = house.ask("mika", "POST", "/v1/drafts", {"files": fewer, "reason": "rarely right"})[1]["id"]
    tried(house, draft, {"since": "90d"})
    assert house.approve(draft, "ken")[0] == 200
    assert expected(house, "big_payout") is not None
    status, _ = house.ask(
        "mika", "PUT", "/v1/rules/big_payout/expectation", {"people": 7, "hours": 24, "reason": "the season is over"}
    )
    assert status == 200
    said = expected(house, "big_payout")

    noted_since = fewer | {"pack.yaml": noted("again")["pack.yaml"]}
    house.bring(noted_since)
    assert house.back(parse_files(fewer).digest)[0] == 200
    assert expected(house, "big_payout") == said
    house.bring(FILES)  # the rule as it was: what is known of it, nobody has tried
    assert house.back(parse_files(fewer).digest)[0] == 200
    again = expected(house, "big_payout")
    assert again is not None
    assert (again.basis, again.people, again.hours) == ("backtest", 40, HOURS)
