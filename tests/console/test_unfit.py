"""Why a judgement does not fit its case is told in the reader's language, whatever the code refuses."""

import ast
import pathlib
import re

import pytest
from tests.console.conftest import Visitor
from tests.console.scene import Scene
from tests.console.test_forms import PHISHING

from koban.console.unfit import KNOWN, unfit_said
from koban.console.words import LANGUAGES, Words

SOURCES = pathlib.Path(__file__).parents[2] / "src" / "koban"


def refusals() -> list[str]:
    """Every reason for which the code raises JudgementUnfit, with a name where a value goes in."""
    found = []
    for file in SOURCES.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            call = node.exc if isinstance(node, ast.Raise) else None
            if isinstance(call, ast.Call) and ast.unparse(call.func) == "JudgementUnfit":
                found.append(said(call.args[0]))
    return found


def said(text: ast.expr) -> str:
    if isinstance(text, ast.Constant):
        return str(text.value)
    assert isinstance(text, ast.JoinedStr), ast.dump(text)
    parts = []
    for each in text.values:
        if isinstance(each, ast.FormattedValue):
            parts.append("'fraud/lure'" if each.conversion == ord("r") else "queue_name")
        else:
            parts.append(str(ast.literal_eval(each)))
    return "".join(parts)


def test_every_refusal_of_a_judgement_is_told_in_both_languages() -> None:
    found = refusals()
    assert len(found) >= len(KNOWN)
    for reason in found:
        english, japanese = (unfit_said(Words(language), reason) for language in reversed(LANGUAGES))
        assert english, reason
        assert re.search(r"[ぁ-ん]", japanese), reason
    assert unfit_said(Words("ja"), "something else") == ""


@pytest.mark.parametrize(
    ("language", "told"), [("en", "Choose at least one thing of the case."), ("ja", "対象を1つ以上選んで")]
)
def test_a_judgement_about_nothing_says_what_is_missing(scene: Scene, language: str, told: str) -> None:
    visitor = Visitor(scene, language).sign_in()
    cases = [scene.message(f"unfit-{language}-{each}", PHISHING).cases[0] for each in range(2)]
    page = f"/cases/{cases[0]}"
    visitor.send("/lists", page, do="claim")
    fence = re.search(r'name="fence" value="(\d+)"', visitor.get(page).text)
    assert fence is not None
    assert cases[0] == cases[1], "it is about two messages"
    policy = "no/such policy"
    answer = visitor.send(page, page, do="decide", outcome="honest", policy=policy, fence=fence[1])
    assert answer.status_code == 409
    assert policy in answer.text
    answer = visitor.send(page, page, do="decide", outcome="honest", fence=fence[1])
    assert (answer.status_code, told in answer.text) == (409, True)
    visitor.send(page, page, do="release", fence=fence[1])
