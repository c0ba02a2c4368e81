"""JSON Schema for editors says what the readers say; the formatter changes no meaning."""

import pathlib
import re
import subprocess
import sys

import jsonschema_rs
import pytest
import yaml
from tests.laws.town import COMMON

from koban.packs import files_of, parse_files
from koban.packs.schema import format_text, schemas

ROOT = pathlib.Path(__file__).parents[2]
STARTER = ROOT / "packs" / "starter"
KOBAN = str(pathlib.Path(sys.executable).with_name("koban"))


class Yaml12(yaml.SafeLoader):
    """YAML as editors read it since 2009: `on` and `off` are words."""


Yaml12.yaml_implicit_resolvers = {
    first: [(tag, form) for tag, form in forms if not tag.endswith((":bool", ":timestamp"))]
    for first, forms in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
Yaml12.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("^(?:true|false)$"), list("tf"))


def test_packs_fit_the_schemas_and_each_schema_has_a_file_that_fits() -> None:
    found = schemas()
    seen = set()
    # The starter pack has no definitions and scores; the town of the laws has.
    for name, text in [*files_of(STARTER).items(), *COMMON.items()]:
        if name.endswith(".yaml"):
            section = name.removesuffix(".yaml").split("/")[0]
            seen.add(section)
            document = yaml.load(text, Loader=Yaml12)  # noqa: S506 - a safe loader
            errors = [error.message for error in jsonschema_rs.validator_for(found[section]).iter_errors(document)]
            assert errors == [], name
    assert seen == set(found)


@pytest.mark.parametrize(
    ("what", "section"),
    [("an event type", "events"), ("a feature", "features"), ("a policy", "policies"), ("a list", "lists"),
     ("a queue", "queues"), ("a rule", "rules"), ("a case", "cases"), ("a table of cases", "cases")],
)  # fmt: skip
def test_a_schema_has_the_keys_that_the_reader_asks_for(what: str, section: str) -> None:
    sys.path.insert(0, str(ROOT))
    try:
        from tools.reference import pack_keys
    finally:
        sys.path.remove(str(ROOT))
    required, optional = pack_keys()[what]
    item = schemas()[section]["items"]
    if section == "cases":
        item = item["anyOf"][what == "a table of cases"]
    assert set(item["required"]) == set(required)
    assert set(item["properties"]) == {*required, *optional}


@pytest.mark.parametrize(
    ("section", "wrong"),
    [
        ("rules", [{"rule": "r"}]),
        (
            "rules",
            [
                {
                    "rule": "R!",
                    "policy": "p",
                    "on": "a.b",
                    "when": "x",
                    "then": "hide",
                    "because": {"en": "e", "ja": "j"},
                }
            ],
        ),
        ("queues", [{"queue": "q", "title": {"en": "e", "ja": "j"}, "due": "soon"}]),
        ("lists", [{"list": "l", "kind": "bag", "about": {"en": "e", "ja": "j"}}]),
    ],
)
def test_what_is_wrong_is_refused(section: str, wrong: object) -> None:
    assert not jsonschema_rs.validator_for(schemas()[section]).is_valid(wrong)


def test_form_changes_spaces_and_nothing_else() -> None:
    text = "- rule: a\n  when: >-\n    x = 1\n\n\n    AND y  \n- rule: b\n# about c\n- rule: c\n\n\n"
    formed = format_text("rules.yaml", text)
    assert formed == "- rule: a\n  when: >-\n    x = 1\n\n\n    AND y  \n- rule: b\n# about c\n- rule: c\n\n\n" or (
        yaml.safe_load(formed) == yaml.safe_load(text)
    )
    plain = "- rule: a\n  when: x   \n- rule: b\n  when: y\n\n\n\n- rule: c\n"
    assert format_text("rules.yaml", plain) == "- rule: a\n  when: x\n\n- rule: b\n  when: y\n\n- rule: c\n"
    assert format_text("lists/words.txt", "b  \r\na\n\n\n") == "b\na\n"
    assert format_text("rules.yaml", "- [") == "- ["


def test_the_starter_pack_says_the_same_in_form() -> None:
    files = files_of(STARTER)
    formed = {name: format_text(name, text) for name, text in files.items()}
    before, after = parse_files(files), parse_files(formed)
    assert before.rules.keys() == after.rules.keys()
    assert [rule.when for rule in before.rules.values()] == [rule.when for rule in after.rules.values()]
    assert {name: format_text(name, text) for name, text in formed.items()} == formed


def test_the_commands_tell_by_their_exit_codes(tmp_path: pathlib.Path) -> None:
    (tmp_path / "pack.yaml").write_text('pack: t\nversion: "1"\nabout: {en: e, ja: j}  \n', encoding="utf-8")

    def code(*arguments: str) -> int:
        return subprocess.run([KOBAN, *arguments], capture_output=True, check=False, cwd=ROOT).returncode

    assert code("fmt", str(tmp_path), "--check") == 1
    assert code("fmt", str(tmp_path)) == 0
    assert code("fmt", str(tmp_path), "--check") == 0
    assert code("schema", "rules") == 0
    assert code("schema", "nothing") == 2
    assert code("schema", "--out", str(tmp_path / "schemas")) == 0
    assert len(list((tmp_path / "schemas").iterdir())) == 14
