"""JSON Schema for editors says what the readers say; the formatter changes no meaning."""

import os
import pathlib
import re
import shutil
import subprocess
import sys

import jsonschema_rs
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.laws.town import COMMON

from koban.packs import files_of
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
    text = "- rule: a  \n  when: >-\n    x = 1\n\n\n    AND y  \n\n\n- rule: b\n# about c  \n- rule: c\n\n\n"
    formed = "- rule: a\n  when: >-\n    x = 1\n\n\n    AND y  \n\n- rule: b\n# about c\n- rule: c\n"
    assert format_text("rules.yaml", text) == formed
    quoted = "- rule: a\n  why: 'x  \n\n\n    y'  # said\n  tab: \"a\tb\"\t\n- rule: b\n"
    assert format_text("rules.yaml", quoted) == quoted.replace("- rule: b", "\n- rule: b")
    kept = "- rule: a\n  when: |+\n    x\n\n\n- rule: b   \n"
    assert format_text("rules.yaml", kept) == kept  # its blank lines are part of the text
    assert format_text("rules.yaml", "- a: 1\u2028\n") == "- a: 1\u2028\n"
    assert format_text("pack.yaml", "pack: a  \n\n\n\nx: 1") == "pack: a\n\n\n\nx: 1\n"
    plain = "- rule: a\n  when: x   \n- rule: b\n  when: y\n\n\n\n- rule: c\n"
    assert format_text("rules.yaml", plain) == "- rule: a\n  when: x\n\n- rule: b\n  when: y\n\n- rule: c\n"
    assert format_text("lists/words.txt", "b  \r\na\n\n\n") == "b\na\n"
    assert format_text("lists/words.txt", "a\tb") == "a\tb\n"  # a tab inside a value is a part of it
    assert format_text("rules.yaml", "- [") == "- ["


def test_the_starter_pack_is_in_form() -> None:
    assert {name: format_text(name, text) for name, text in files_of(STARTER).items()} == dict(files_of(STARTER))


UGLY = st.sampled_from(["  \n", "\t\n", "\n\n", "\r\n", "\n\n\n\n", "  # said\n", "\n# said\n", "\n"])


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(["rules/money.yaml", "features.yaml", "cases/wallet.yaml", "pack.yaml"]), st.data())
def test_whatever_people_leave_behind_form_keeps_what_is_said_and_every_comment(name: str, data: st.DataObject) -> None:
    lines = (STARTER / name).read_text(encoding="utf-8").split("\n")
    start = data.draw(st.integers(0, max(0, len(lines) - 30)))
    ends = data.draw(st.lists(UGLY, min_size=30, max_size=30))
    spoiled = (line + end for line, end in zip(lines[start : start + 30], ends, strict=False))
    text = "\n".join(lines[:start]) + "\n" + "".join(spoiled) + "\n".join(lines[start + 30 :])
    formed = format_text(name, text)
    try:
        said = yaml.load(text, Loader=yaml.CSafeLoader)
    except yaml.YAMLError:
        assert formed == text
        return
    assert yaml.load(formed, Loader=yaml.CSafeLoader) == said
    assert format_text(name, formed) == formed
    assert re.findall(r"#.*\S", formed) == re.findall(r"#.*\S", text)


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


def test_one_exit_code_means_one_thing(tmp_path: pathlib.Path) -> None:
    faulty, missing, fine = tmp_path / "faulty", str(tmp_path / "missing"), str(ROOT / "tests" / "small_pack")
    shutil.copytree(fine, faulty)
    rules = faulty / "rules" / "rules.yaml"
    rules.write_text(rules.read_text(encoding="utf-8").replace("messages_1h >= 3", "mesages_1h >= 3"), encoding="utf-8")

    said: list[str] = []

    def code(*arguments: str) -> int:
        environment = {**os.environ, "KOBAN_DATA": str(tmp_path / "data")}
        done = subprocess.run([KOBAN, *arguments], capture_output=True, check=False, env=environment, text=True)
        said.append(done.stderr)
        return done.returncode

    for verb, of_fine in (("check", 0), ("test", 1)):  # not all of its rules have cases
        codes = (code(verb, fine), code(verb, str(faulty)), code(verb, missing), code(verb))
        assert codes == (of_fine, 1, 2, 2), verb
    sql = ("sql", "big_payout", "--dialect")
    assert code(*sql, "duckdb", "--pack", fine) == 0
    assert code(*sql, "duckdb", "--pack", str(faulty)) == 1
    assert code("sql", "lure", "--dialect", "duckdb", "--pack", fine) == 1  # it reads what people wrote
    assert code(*sql, "oracle", "--pack", fine) == 2
    assert code("sql", "no_such_rule", "--dialect", "duckdb", "--pack", fine) == 2
    assert code("pack", "diff", fine, fine) == 0
    assert code("pack", "diff", fine, str(faulty)) == 1
    assert code("pack", "diff", fine, missing) == 2
    assert "is no folder" in said[-1], "a path that is wrong is no server that is missing"
    assert code("pack", "diff", fine, "0c48c9cf") == 2
    assert "No server runs" in said[-1]
