"""Law 8 by one person: a severe rule's ceiling rises, and its budget begins anew, only with a second person."""

import pytest
from tests.app.conftest import send
from tests.app.test_severe_modes import ask, now
from tests.app.test_versions import BESIDE, SEVERE, House, changed, house, site

from koban.base import HOUR
from koban.lab.drafts import ApprovalMissing
from koban.lab.mode_drafts import expected
from koban.packs import Mode, ModeName
from koban.pipeline import commands
from koban.rules import RuleExpected, ceiling_of
from koban.rules.expect import FLOOR_PEOPLE
from koban.rules.store import expectations

__all__ = ["house", "site"]  # fixtures


def say(house: House, who: str, people: int, hours: int, rule: str = "lure") -> tuple[int, dict[str, object]]:
    body = {"people": people, "hours": hours, "reason": "backtest of October"}
    return house.ask(who, "PUT", f"/v1/rules/{rule}/expectation", body)


def held(house: House, rule: str = "lure") -> RuleExpected | None:
    return house.koban.memory.ceilings.of(rule)


def test_a_severe_rules_ceiling_rises_only_once_somebody_else_agrees(house: House) -> None:
    house.bring(SEVERE)
    seq = house.koban.memory.last_seq
    status, said = say(house, "mika", 2_000, 10)
    assert (status, said["seq"], said["ceiling"]) == (202, None, ceiling_of(2_000, 10))
    assert (held(house), house.koban.memory.last_seq) == (None, seq)
    assert say(house, "mika", 2_000, 10)[1] == said  # the same draft, however often
    waiting = house.ask("ken", "GET", "/v1/mode-drafts")[1]
    assert [(each["what"], each["rule"], each["people"], each["hours"], each["ceiling"]) for each in waiting] == [
        ("expectation", "lure", 2_000, 10, said["ceiling"])
    ]
    for who in ("mika", "mika again", "owner"):
        status, refused = house.ask(who, "POST", f"/v1/mode-drafts/{said['draft']}/approve")
        assert (status, refused["code"], held(house)) == (409, "approval_missing", None), who
    status, done = house.ask("ken", "POST", f"/v1/mode-drafts/{said['draft']}/approve")
    assert (status, done["seq"]) == (200, house.koban.memory.last_seq)
    found = held(house)
    assert found is not None
    assert (found.ceiling, found.people, found.hours, found.basis) == (said["ceiling"], 2_000, 10, "backtest")
    assert found.by != found.approved_by
    with house.koban.database.read() as tx:
        assert [each.approved_by for each in expectations(tx)] == [found.approved_by]
        trail = {str(row[0]) for row in tx.rows("SELECT action FROM audit_entries")}
    assert {"expectation.proposed", "expectation.approved", "rule.expected"} <= trail


def test_a_lower_ceiling_is_one_persons_and_the_floor_too(house: House) -> None:
    house.bring(SEVERE)
    assert say(house, "mika", 0, 1_000)[0] == 200  # nothing was expected, and this is the least there is
    assert held(house) is not None
    assert held(house).ceiling == FLOOR_PEOPLE  # type: ignore[union-attr]  # as just said
    draft = say(house, "mika", 2_000, 10)[1]["draft"]
    assert house.ask("ken", "POST", f"/v1/mode-drafts/{draft}/approve")[0] == 200
    assert say(house, "mika", 1_000, 10)[0] == 200
    assert say(house, "mika", 1_001, 10)[0] in {200, 202}  # its ceiling decides, not its figures
    assert say(house, "mika", 2_000, 10)[0] == 202


@pytest.mark.parametrize(("who", "people"), [("mika", 5_000), ("owner", 5_000)])
def test_rules_that_are_not_severe_need_nobody(house: House, who: str, people: int) -> None:
    house.bring(SEVERE)
    status, said = say(house, who, people, 10, rule="big_payout")
    assert (status, said["draft"], held(house, "big_payout").ceiling) == (200, None, said["ceiling"])  # type: ignore[union-attr]  # set


def test_a_count_of_actions_gives_way_to_one_of_people_only_by_two(house: House) -> None:
    house.bring(SEVERE)
    doubted = RuleExpected(
        rule="lure", basis="none", people=0, hours=0, ceiling=50, counts="actions", by="koban", reason="new"
    )
    house.koban.desk.command(lambda memory, tx: commands.expect(memory, tx, doubted, measured=True))
    assert say(house, "mika", 0, 1_000)[0] == 202
    assert held(house) == doubted


def test_a_draft_of_a_ceiling_counts_over_the_version_that_was_looked_at(house: House) -> None:
    house.bring(SEVERE)
    draft = say(house, "mika", 2_000, 10)[1]["draft"]
    house.bring(BESIDE)
    status, refused = house.ask("ken", "POST", f"/v1/mode-drafts/{draft}/approve")
    assert (status, refused["code"], held(house)) == (409, "draft_stale", None)
    assert house.ask("mika", "POST", f"/v1/mode-drafts/{draft}/withdraw")[1]["state"] == "withdrawn"


def test_the_decider_itself_refuses_a_ceiling_that_nobody_else_agreed_to(house: House) -> None:
    house.bring(SEVERE)
    seq = house.koban.memory.last_seq
    alone = expected("lure", people=2_000, hours=10, by="staff_1", reason="quick")
    with pytest.raises(ApprovalMissing):
        house.koban.desk.command(lambda memory, tx: commands.expect(memory, tx, alone))
    assert (held(house), house.koban.memory.last_seq) == (None, seq)


def test_figures_that_no_ceiling_follows_from_and_rules_that_are_not_there_are_refused(house: House) -> None:
    house.bring(SEVERE)
    assert say(house, "mika", 1, 1, rule="nothing")[0] == 404
    assert say(house, "mika", -1, 1)[0] == 422
    assert say(house, "mika", 1, 0)[0] == 422
    assert house.ask("ken", "GET", "/v1/mode-drafts")[1] == []


def lure(house: House, site: object, account: str) -> None:
    number = house.koban.memory.last_seq
    send(house.koban, site.event(f"m{number}", "直取引でお願いします", account))  # type: ignore[attr-defined]  # a site


def harmed(house: House) -> int:
    memory = house.koban.memory
    return memory.budgets.harmed("lure", memory.log_time.peek())


def test_one_person_cannot_give_a_severe_rule_its_budget_again_and_again(house: House, site: object) -> None:
    house.bring(SEVERE)
    for number in range(3):
        lure(house, site, f"a{number}")
    assert harmed(house) == 3
    assert ask(house, "mika", "live")[0] == 200  # the same mode: nothing more acts, and the count goes on
    assert harmed(house) == 3
    with house.koban.database.read() as tx:
        house.koban.memory.budgets.load(tx, house.koban.memory.log_time.peek())  # as after a restart
    assert harmed(house) == 3
    for number in range(3, 5):
        lure(house, site, f"a{number}")
    assert house.koban.memory.modes.tripped("lure")  # five people, as its pack says

    assert ask(house, "mika", "shadow")[0] == 200
    assert (harmed(house), house.koban.memory.modes.tripped("lure")) == (5, False)
    draft = ask(house, "mika", "live")[1]["draft"]
    assert house.ask("ken", "POST", f"/v1/mode-drafts/{draft}/approve")[0] == 200
    assert (harmed(house), now(house)) == (0, Mode(name=ModeName.LIVE))
    lure(house, site, "b1")
    with house.koban.database.read() as tx:
        house.koban.memory.budgets.load(tx, house.koban.memory.log_time.peek())
    assert harmed(house) == 1
    house.koban.clock.advance(HOUR)  # type: ignore[attr-defined]  # a manual clock
    lure(house, site, "b2")
    assert harmed(house) == 1


def test_a_budget_that_is_larger_in_the_pack_waits(house: House) -> None:
    house.bring(SEVERE)
    status, said = house.push(changed("cap: 5 per hour", "cap: 6 per hour"))
    assert (status, said["needs"]) == (202, ["changed rules lure"])
