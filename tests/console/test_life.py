"""A rule's life as its page tells it: versions that wrote it and modes that people gave it, who, when and why."""

from tests.console.conftest import Visitor
from tests.console.scene import Scene
from tests.lab.test_severity import FILES as WITH_CASES

from koban.base import MINUTE, Instant
from koban.console.life import life_of_rule
from koban.db import Database
from koban.packs import Mode, ModeName, parse_files, save_activation
from koban.packs.load import digest_of
from koban.rules import ModeChanged

FILES = {name: text for name, text in WITH_CASES.items() if not name.startswith("cases")}


def bring(database: Database, seq: int, files: dict[str, str], reason: str) -> str:
    with database.write() as tx:
        save_activation(tx, seq, Instant(seq * MINUTE), parse_files(files), author=f"staff_{seq}", reason=reason)
    return digest_of(files)


def test_versions_that_brought_changed_and_dropped_a_rule_are_steps_of_its_life(database: Database) -> None:
    rules = FILES["rules/rules.yaml"]
    aside = FILES | {"rules/rules.yaml": rules.replace("- rule: lure_again", "# of old\n\n- rule: lure_again")}
    lower = FILES | {"rules/rules.yaml": rules.replace("cap: 5 per hour", "cap: 4 per hour")}
    gone = FILES | {"rules/rules.yaml": "- rule: lure_again" + rules.split("- rule: lure_again")[1]}
    digests = [
        bring(database, seq, files, reason)
        for seq, files, reason in (
            (1, FILES, "first"), (2, aside, "a remark"), (3, lower, "fewer"), (4, gone, "over"), (5, FILES, "back"),
        )
    ]  # fmt: skip
    with database.read() as tx:
        found = [(each.kind, each.version, each.by, each.reason) for each in life_of_rule(tx, "lure")]
        assert life_of_rule(tx, "no_such_rule") == []
    assert found == [
        ("added", digests[4], "staff_5", "back"),
        ("removed", digests[3], "staff_4", "over"),
        ("changed", digests[2], "staff_3", "fewer"),
        ("added", digests[0], "staff_1", "first"),
    ]


def test_the_page_tells_versions_and_modes_in_one_list(admin: Visitor, scene: Scene) -> None:
    rule = next(name for name, each in scene.pack.rules.items() if each.mode.name is ModeName.LIVE)
    change = ModeChanged(
        rule=rule, mode=Mode(name=ModeName.REVIEW), by="staff_x", reason="for a look", approved_by="staff_y"
    )
    scene.kit.modes.change(change)
    page = admin.get(f"/rules/{rule}").text
    scene.kit.modes.change(ModeChanged(rule=rule, mode=None, by="staff_x", reason="done", approved_by="staff_y"))
    life = page.split('aria-label="Its life"')[1].split("</table>")[0]
    assert "for a look" in life
    assert f'href="/versions/{scene.pack.digest}"' in life
    assert life.index("for a look") < life.index("/versions/"), "the newest stands first"
