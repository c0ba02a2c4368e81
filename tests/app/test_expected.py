"""What the backtest of a draft said is what its rules are expected to do, from the moment it is switched to."""

import time

from tests.app.conftest import send
from tests.app.test_versions import BESIDE, SEVERE, House, house, site

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
    for _ in range(900):
        status, found = house.ask("mika", "GET", f"/v1/backtests/{run['id']}")
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
