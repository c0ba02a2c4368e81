"""A rule under a severe policy acts, or acts on more people, only with a second person; stepping down is one person's."""

import pytest
from tests.app.test_versions import BESIDE, SEVERE, House, house, site

from koban.lab.drafts import ApprovalMissing
from koban.packs import Mode, ModeName
from koban.pipeline import commands
from koban.rules import BudgetTripped, ModeChanged

__all__ = ["house", "site"]  # fixtures


def ask(
    house: House, who: str, mode: str | None, share: int = 10_000, rule: str = "lure"
) -> tuple[int, dict[str, object]]:
    body = {"mode": mode, "basis_points": share, "reason": "seen enough"}
    return house.ask(who, "POST", f"/v1/rules/{rule}/mode", body)


def now(house: House, rule: str = "lure") -> Mode:
    memory = house.koban.memory
    return memory.modes.mode(memory.compiled.pack.rules[rule])


SHADOW = Mode(name=ModeName.SHADOW)
LIVE = Mode(name=ModeName.LIVE)


def test_a_severe_rule_goes_live_only_once_somebody_else_agrees(house: House) -> None:
    house.bring(SEVERE)
    assert ask(house, "mika", "shadow")[0] == 200  # stepping down is at once
    seq = house.koban.memory.last_seq

    status, said = ask(house, "mika", "live")
    assert (status, said["seq"]) == (202, None)
    assert (now(house), house.koban.memory.last_seq) == (SHADOW, seq)
    assert ask(house, "mika", "live")[1] == said  # the same draft, however often
    waiting = house.ask("ken", "GET", "/v1/mode-drafts")[1]
    assert [(each["rule"], each["mode"], each["state"], each["stale"]) for each in waiting] == [
        ("lure", "live", "open", False)
    ]

    for who in ("mika", "mika again", "owner"):  # herself, another token of hers, nobody's person
        status, refused = house.ask(who, "POST", f"/v1/mode-drafts/{said['draft']}/approve")
        assert (status, refused["code"]) == (409, "approval_missing"), who
    assert now(house) == SHADOW

    status, done = house.ask("ken", "POST", f"/v1/mode-drafts/{said['draft']}/approve")
    assert (status, now(house)) == (200, LIVE)
    assert done["seq"] == house.koban.memory.last_seq
    assert house.ask("ken", "POST", f"/v1/mode-drafts/{said['draft']}/approve")[0] == 404
    with house.koban.database.read() as tx:
        data = next(iter(tx.rows("SELECT data FROM log_entries ORDER BY seq DESC LIMIT 1")))[0]
        trail = {str(row[0]) for row in tx.rows("SELECT action FROM audit_entries")}
    assert '"approved_by":"token_' in str(data)
    assert {"mode.proposed", "mode.approved", "mode.changed"} <= trail


def test_a_larger_share_waits_and_a_smaller_one_does_not(house: House) -> None:
    house.bring(SEVERE)
    assert ask(house, "mika", "live", 5_000)[0] == 200  # it was live for everybody
    assert ask(house, "mika", "live", 2_500)[0] == 200
    assert ask(house, "mika", "live", 2_500)[0] == 200  # the same is no more
    assert ask(house, "mika", "live", 2_501)[0] == 202
    assert ask(house, "mika", None)[0] == 202  # the pack says live for everybody
    assert now(house) == Mode(name=ModeName.LIVE, basis_points=2_500)
    for milder in ("review", "shadow", "off", "review"):
        assert ask(house, "mika", milder)[0] == 200
    assert ask(house, "mika", "live", 1)[0] == 202


def test_a_severe_rule_whose_budget_is_used_up_is_let_loose_by_two(house: House) -> None:
    house.bring(SEVERE)
    tripped = BudgetTripped(rule="lure", harmed=5, cause_seq=1)
    house.koban.desk.command(lambda memory, tx: commands.set_mode(memory, tx, tripped))
    status, said = ask(house, "mika", "live")
    assert (status, house.koban.memory.modes.tripped("lure")) == (202, True)
    assert house.ask("ken", "POST", f"/v1/mode-drafts/{said['draft']}/approve")[0] == 200
    assert not house.koban.memory.modes.tripped("lure")


def test_rules_that_are_not_severe_need_nobody(house: House) -> None:
    house.bring(SEVERE)
    assert ask(house, "mika", "shadow", rule="big_payout")[0] == 200
    assert ask(house, "mika", "live", rule="big_payout")[0] == 200
    assert now(house, "big_payout") == LIVE


def test_a_draft_counts_over_the_version_that_was_looked_at(house: House) -> None:
    house.bring(SEVERE)
    ask(house, "mika", "shadow")
    draft = ask(house, "mika", "live")[1]["draft"]
    house.bring(BESIDE)
    status, refused = house.ask("ken", "POST", f"/v1/mode-drafts/{draft}/approve")
    assert (status, refused["code"], now(house)) == (409, "draft_stale", SHADOW)
    assert house.ask("ken", "GET", "/v1/mode-drafts")[1][0]["stale"] is True
    assert house.ask("mika", "POST", f"/v1/mode-drafts/{draft}/withdraw")[1]["state"] == "withdrawn"
    assert house.ask("mika", "POST", f"/v1/mode-drafts/{draft}/withdraw")[0] == 404


def test_the_decider_itself_refuses_what_no_second_person_agreed_to(house: House) -> None:
    house.bring(SEVERE)
    ask(house, "mika", "shadow")
    seq = house.koban.memory.last_seq
    alone = ModeChanged(rule="lure", mode=LIVE, by="staff_1", reason="quick")
    with pytest.raises(ApprovalMissing):
        house.koban.desk.command(lambda memory, tx: commands.set_mode(memory, tx, alone))
    assert (now(house), house.koban.memory.last_seq) == (SHADOW, seq)


def test_a_rule_that_is_not_there_makes_no_draft(house: House) -> None:
    house.bring(SEVERE)
    assert ask(house, "mika", "live", rule="nothing")[0] == 404
    assert house.ask("ken", "GET", "/v1/mode-drafts")[1] == []
