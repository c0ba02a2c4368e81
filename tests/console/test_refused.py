"""Why something was refused is said in the reader's language, with what stands in it taken over."""

import ast
import pathlib
import re
from collections.abc import Iterator

import pytest
from markupsafe import Markup

import koban
from koban.base import Problem
from koban.console.refused import detail_said, refusal_said
from koban.console.words import Words, as_it_is, catalogue
from koban.lab.drafts import DraftStale
from koban.lists import ListEntryInvalid

ROOT = pathlib.Path(koban.__file__).parent
FILES = tuple(
    f"{room}/{name}.py"
    for room, names in {
        "app": "banking own_data urgent",
        "banking": "directory iso20022 kana zengin",
        "lab": "backtest drafts editing lists list_routes measure suggest",
        "lists": "actions owners routes types",
        "oncall": "rota routes",
        "pipeline": "bank_accounts banking booking commands expecting paying reconciling rerouting saga urgent",
        "reconciliation": "actions files",
        "rules": "expect mode_drafts modes routes",
        "webhooks": "sender",
    }.items()
    for name in names.split()
)
VALUE = re.compile(r'<bdi translate="no">.*?</bdi>', re.DOTALL)
JAPANESE = re.compile("[ぁ-んァ-ヶ一-龠]")
CODE = re.compile(r"https?://|URL|Webhook|ID|UTF-8|Shift_JIS")
# An id and a state: there is nothing to translate, and a pattern for it would take other sentences for this one.
BARE = re.compile(r"(\d+|It) is \d+\.?")


def said_in(path: pathlib.Path) -> Iterator[str]:
    """Return what a module's refusals say: details of problems, and of what it raises."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        given: list[ast.expr] = []
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and node.exc.args:
            name = ast.unparse(node.exc.func)
            given = [] if name in {"AssertionError", "PackInvalid", "NotInSql", "PageMissing"} else node.exc.args[-1:]
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "Problem":
            given = [each.value for each in node.keywords if each.arg in {"detail", "hint"}]
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in {"_invalid", "_refused", "_Wrong", "_check_sum"}:
            given = list(node.args)
        elif isinstance(node, ast.FunctionDef) and node.name.startswith("_wrong"):  # finds what is wrong with a value
            given = [each.value for each in ast.walk(node) if isinstance(each, ast.Return) and each.value is not None]
        yield from (
            text for each in given if (text := sentence(each)) and " " in text.strip() and not BARE.fullmatch(text)
        )


def sentence(node: ast.expr) -> str:
    """Return a text with numbers in the places that are filled in later."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if isinstance(node, ast.JoinedStr):
        parts = enumerate(node.values)
        return "".join(str(part.value) if isinstance(part, ast.Constant) else f"{place}7" for place, part in parts)
    return ""


SAID = sorted({(name, text) for name in FILES for text in said_in(ROOT / name)})


@pytest.mark.parametrize(("name", "text"), SAID)
def test_every_refusal_of_these_rooms_is_said_in_japanese(name: str, text: str) -> None:
    assert detail_said("en", text) == text
    told = CODE.sub("", VALUE.sub("", detail_said("ja", text)))
    assert JAPANESE.search(told), f"{name}: {text}"
    assert not re.search("[A-Za-z]{2,}", told), told


def test_each_sentence_is_taken_for_itself() -> None:
    words = Words("ja")
    for name, text in catalogue("en").items():
        if name.startswith("refused."):
            values = {place: f"X{number}" for number, place in enumerate(re.findall(r"\{(\w+)\}", text), 1)}
            told = words(name, **{place: as_it_is(value) for place, value in values.items()})
            assert detail_said("ja", text.format(**values)) == told, name


def test_the_walk_sees_the_refusals() -> None:
    assert len(SAID) > 50
    assert {
        ("lists/actions.py", "A value must not hold line breaks or control characters."),
        ("rules/modes.py", "The share must be more than 0 % and at most 100 %."),
        ("lab/drafts.py", "It was made from 17, and 37 decides now. Propose it anew."),
    } <= set(SAID)


@pytest.mark.parametrize(
    ("detail", "japanese"),
    [
        ("", ""),
        ("At most 500 characters.", '<bdi translate="no">500</bdi>字以内にしてください。'),
        (
            "The active pack declares no list '<b>'.",
            '有効なパックにリスト<bdi translate="no">&#39;&lt;b&gt;&#39;</bdi>はありません。',
        ),
        (
            "There is nothing to test. The log has no event that the pack's rules read.",
            "対象になるものがありません。パックのルールが見るイベントが、ログにありません。",
        ),
        (
            "There is nothing to test. Something new.",
            '対象になるものがありません。<bdi translate="no">Something new.</bdi>',
        ),
        ("there is no list 'x'", "リスト「x」はありません"),
        ("Nobody wrote <this> down.", '<bdi translate="no">Nobody wrote &lt;this&gt; down.</bdi>'),
    ],
)
def test_a_detail_is_said_with_its_values(detail: str, japanese: str) -> None:
    assert detail_said("ja", detail) == japanese


def test_problems_are_said_instead_of_the_detail_and_several_one_after_the_other() -> None:
    problems = [Problem(path="/note", detail=text) for text in ("A value stands there twice.", "Unknown & new.")]
    refusal = ListEntryInvalid("Nothing was added to 'x'.", problems=tuple(problems))
    assert refusal_said("ja", refusal) == Markup(
        '同じ値が2回書かれています。 <bdi translate="no">Unknown &amp; new.</bdi>'
    )
    assert refusal_said("en", refusal) == "A value stands there twice. Unknown &amp; new."
    stale = DraftStale("It was made from abc, and def decides now. Propose it anew.")
    assert "もう一度提案し直してください" in refusal_said("ja", stale)
