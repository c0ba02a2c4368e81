import functools
import os
import pathlib
import re

import pytest
from tests.docs.pages import ROOT

from koban.access.permissions import CATALOGUE, ROLES
from koban.base.settings import SETTING_NOTES, read_settings
from koban.language import FUNCTIONS, OPERATORS
from koban.schema import INDEX_METADATA, METADATA
from tools import reference, reference_words


@functools.cache
def _written() -> dict[str, str]:
    return reference.write_pages()


@pytest.mark.parametrize("name", ["README.md", *reference.PAGES])
def test_page_of_the_reference_is_what_the_code_says(name: str) -> None:
    kept = reference.OUT / name
    assert kept.is_file(), "run python tools/reference.py"
    assert kept.read_text(encoding="utf-8") == _written()[name], "run python tools/reference.py"


def test_the_reference_holds_no_page_that_nobody_writes() -> None:
    assert {path.name for path in reference.OUT.iterdir()} == {"README.md", *reference.PAGES}


def test_every_variable_that_the_code_reads_is_described() -> None:
    read = set()
    for path in (ROOT / "src" / "koban").rglob("*.py"):
        read.update(re.findall(r'"(KOBAN_[A-Z_]+)"', path.read_text(encoding="utf-8")))
    described = {name for name in read if f"`{name}`" in _written()["settings.md"] + _written()["cli.md"]}
    assert read == described
    assert set(SETTING_NOTES) <= read
    assert read_settings({}) == read_settings({"KOBAN_HOST": "127.0.0.1", "KOBAN_PORT": "8420"})


def test_every_function_and_operator_has_a_heading_and_examples() -> None:
    page = _written()["koban-sql.md"]
    for name in (*FUNCTIONS, *(name.replace("_", " ") for name in OPERATORS)):
        section = page.partition(f"\n### {name}\n")[2].partition("\n#")[0]
        assert "| expression | where | gives |" in section, name
        assert section.count("\n| `") >= 2, name


def test_every_refusal_has_a_line_and_a_status() -> None:
    page = _written()["refusals.md"]
    for each in reference.refusals():
        assert f"| `{each.code}` | {each.status} | {each.title} |" in page  # type: ignore[attr-defined]  # Refusals


def test_codes_of_refusals_have_one_meaning() -> None:
    meanings: dict[str, set[tuple[int, str]]] = {}
    for each in reference.refusals():
        meanings.setdefault(each.code, set()).add((each.status, each.title))  # type: ignore[attr-defined]  # Refusals
    assert {code: said for code, said in meanings.items() if len(said) > 1} == {}


def test_every_permission_and_role_has_a_line() -> None:
    page = _written()["permissions.md"]
    assert all(f"| `{name}` | {texts['en']} | {texts['ja']} |" in page for name, texts in CATALOGUE.items())
    assert all(f"| `{role}` |" in page for role in ROLES)


def test_every_column_has_a_comment_and_a_line() -> None:
    page = _written()["tables.md"]
    tables = (*METADATA.sorted_tables, *INDEX_METADATA.sorted_tables)
    bare = [f"{table.name}.{each.name}" for table in tables for each in table.columns if not each.comment]
    assert bare == []
    for table in tables:
        section = page.partition(f"\n## {table.name}\n")[2].partition("\n## ")[0]
        assert all(f"| `{each.name}` |" in section for each in table.columns), table.name


def test_every_verb_and_option_of_the_command_line_has_a_line() -> None:
    page = _written()["cli.md"]
    for name, command in reference.verbs():
        assert f"\n## {name}\n" in page
        section = page.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
        assert all(
            option in section for each in command.params for option in each.opts if each.param_type_name == "option"
        ), name


def test_every_key_of_a_pack_has_words() -> None:
    for what, (required, optional) in reference.pack_keys().items():
        if what in {example[0] for example in reference_words.FILES}:
            assert all(f"{what}.{key}" in reference_words.KEY_WORDS for key in required + optional), what


def test_words_are_about_what_exists() -> None:
    keys = {f"{what}.{key}" for what, groups in reference.pack_keys().items() for group in groups for key in group}
    assert set(reference_words.KEY_WORDS) - keys == set()
    assert set(reference_words.ENTRY_WORDS) == set(reference.kinds_of_entries())
    assert set(reference_words.WEBHOOK_WORDS) == set(reference.kinds_of_webhooks())
    assert set(reference_words.ALERT_WORDS) == set(reference.kinds_of_alerts())
    assert set(reference_words.TABLE_WORDS) <= set(METADATA.tables)


def test_examples_of_pack_files_make_a_pack(tmp_path: pathlib.Path) -> None:
    from koban.ledger import run_ledger_cases
    from koban.packs import load_pack
    from koban.rules import check_pack, run_cases

    for what, place, example in reference_words.FILES:
        if what in reference_words.NESTED or place.startswith("payments.yaml"):  # the next test's
            continue
        file = tmp_path / place.split(" ")[0]
        file.parent.mkdir(exist_ok=True)
        before = file.read_text(encoding="utf-8") if file.exists() else ""
        file.write_text(f"{before}{example}\n", encoding="utf-8")
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "payment_words.txt").write_text("PayPay\n", encoding="utf-8")
    with (tmp_path / "rules.yaml").open("a", encoding="utf-8") as rules:
        rules.write(
            "- rule: outside_payment\n  policy: spam\n  on: [message.sent]\n  when: mentions(text, 'payment_words')\n"
            "  then: [hide]\n  because: {en: a, ja: b}\n"
        )
    pack = load_pack(tmp_path)
    assert not check_pack(pack)
    assert run_cases(pack).passed
    assert [each.wrong for each in run_ledger_cases(pack.ledger)] == [()]


def test_the_example_of_payments_fits_the_starter_pack() -> None:
    from koban.packs import files_of, parse_files

    examples = [example for _, place, example in reference_words.FILES if place.startswith("payments.yaml")]
    assert examples
    example = "\n".join(examples)
    assert parse_files({**files_of(ROOT / "packs" / "starter"), "payments.yaml": example}).payments.name


def test_check_says_that_nothing_is_stale(capsys: pytest.CaptureFixture[str]) -> None:
    assert reference.main(["--check", "settings.md"]) == 0
    assert capsys.readouterr().out == "reference: 0 pages stale: \n"
    assert os.fspath(reference.OUT).endswith("reference")
