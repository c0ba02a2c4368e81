"""Comparing versions: what was added, removed and changed, and nothing that only moved."""

import pathlib

from koban.packs import Difference, compare_packs, files_of, parse_files

FILES = files_of(pathlib.Path(__file__).parent / "small")
OLD = parse_files(FILES)


def test_a_pack_does_not_differ_from_itself_moved_down_a_line() -> None:
    assert (
        compare_packs(
            OLD, parse_files({name: text if name.endswith("txt") else "\n" + text for name, text in FILES.items()})
        )
        == ()
    )


def test_what_was_added_removed_and_changed_is_listed_by_section_and_name() -> None:
    files = dict(FILES)
    files["features.yaml"] = files["features.yaml"].replace("within: 1 hour", "within: 2 hours")
    files["lists/lures.txt"] += "アマギフ\n"
    files["queues.yaml"] += "- {queue: goods, title: {en: Goods, ja: 商品}, due: 1 day}\n"
    start = files["rules/scams.yaml"].index("- rule: many_recipients")
    files["rules/scams.yaml"] = (
        files["rules/scams.yaml"][:start].replace("{live: 10%}", "live").replace("50 per", "60 per")
    )
    start = files["cases/scams.yaml"].index("- rule: many_recipients")
    files["cases/scams.yaml"] = files["cases/scams.yaml"][:start]
    assert compare_packs(OLD, parse_files(files)) == (
        Difference(section="features", name="messages_1h", kind="changed", fields=("within_us",)),
        Difference(section="lists", name="lures", kind="changed", fields=("entries",)),
        Difference(section="queues", name="goods", kind="added"),
        Difference(section="rules", name="many_recipients", kind="removed"),
        Difference(section="rules", name="off_platform", kind="changed", fields=("mode", "cap_per_hour")),
    )
