"""Which rules read a list, also where its name stands in a definition only."""

import pathlib

import pytest

from koban.packs import files_of, parse_files, read_by, readers_of_lists

FILES = files_of(pathlib.Path(__file__).parent / "small")
ABOUT = "about: {en: a, ja: b}"
NEAR = f"- {{define: lured, as: \"mentions(text, 'lures')\", {ABOUT}}}\n"
FAR = f"- {{define: known, as: \"in_list(sender.id, 'trusted')\", {ABOUT}}}\n- {{define: fine, as: known AND TRUE, {ABOUT}}}\n"
LURES, TRUSTED = "mentions(text, 'lures')", "NOT in_list(sender.id, 'trusted')"


@pytest.mark.parametrize(
    ("old", "new", "definitions"),
    [
        (LURES, LURES, ""),
        (LURES, "lured", NEAR),
        (LURES, "LURED", NEAR),
        (TRUSTED, "NOT fine", FAR),
        (TRUSTED, f"NOT fine AND {TRUSTED}", FAR),
    ],
)
def test_a_list_is_read_where_its_name_stands_and_through_what_a_rule_names(
    old: str, new: str, definitions: str
) -> None:
    files = dict(FILES)
    files["rules/scams.yaml"] = files["rules/scams.yaml"].replace(old, new)
    files["definitions.yaml"] = definitions or "[]\n"
    readers = readers_of_lists(parse_files(files))
    assert {name: [rule.name for rule in rules] for name, rules in readers.items()} == {
        "lures": ["off_platform"],
        "trusted": ["many_recipients"],
    }


def test_a_list_whose_name_is_only_a_word_elsewhere_has_no_reader() -> None:
    files = dict(FILES)
    files["rules/scams.yaml"] = files["rules/scams.yaml"].replace(LURES, "text = 'trusted lures'")
    pack = parse_files(files)
    assert readers_of_lists(pack)["lures"] == []
    assert read_by(pack, [pack.rules["off_platform"]]) >= {"lures", "messages_1h", "count"}
