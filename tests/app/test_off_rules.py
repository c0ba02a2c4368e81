"""A rule that is off or retired is left out of what runs, from the switch on and after a restart, and runs once it is back."""

from tests.app.conftest import Site, send
from tests.app.test_severe_modes import ask
from tests.app.test_versions import House, house, site

from koban.packs import Mode, ModeName
from koban.pipeline import commands, explain
from koban.rules import ModeChanged

__all__ = ["house", "site"]  # fixtures


def left_out(house: House) -> tuple[str, ...]:
    memory = house.koban.memory
    return memory.awake.left_out(memory.compiled.rules["message.sent"], memory.modes)


def matched(house: House, site: Site, event_id: str) -> set[str]:
    """Return the rules of which an explanation of the event says that they matched."""
    send(house.koban, site.event(event_id, "直取引しませんか"))
    explained = explain(house.koban.database, house.koban.vault, house.koban.memory.last_seq)
    return {each.rule for each in explained.rules if each.matched}


def test_a_rule_that_is_off_costs_nothing_and_can_still_be_explained(house: House, site: Site) -> None:
    assert left_out(house) == ()
    assert ask(house, "mika", "off")[0] == 200
    assert left_out(house) == ("lure",)
    assert matched(house, site, "e1") == {"lure"}

    assert ask(house, "mika", "shadow", rule="many_recipients")[0] == 200
    assert left_out(house) == ("lure",)
    assert ask(house, "mika", "retired", rule="lure_again")[0] == 200
    assert left_out(house) == ("lure", "lure_again")

    assert ask(house, "mika", "live")[0] == 200
    assert left_out(house) == ("lure_again",)
    send(house.koban, site.event("e2", "直取引しませんか"))
    with house.koban.database.read() as tx:
        said = [str(row[0]) for row in tx.rows("SELECT rule FROM signals ORDER BY seq")]
    assert said == ["lure"]


def test_a_start_leaves_out_what_was_switched_off_before(site: Site) -> None:
    off = ModeChanged(rule="lure", mode=Mode(name=ModeName.OFF), by="staff_1", reason="quiet")
    with site.open() as koban:
        koban.desk.command(lambda memory, tx: commands.set_mode(memory, tx, off))
    with site.open() as koban:
        memory = koban.memory
        assert memory.awake.left_out(memory.compiled.rules["message.sent"], memory.modes) == ("lure",)
