import json
import re

import msgspec
import pytest
from tests.docs.pages import ROOT

from koban.base import MINUTE
from koban.enforcement import StateBody
from koban.packs import files_of, parse_files
from koban.rules import check_pack, run_cases
from koban.text import PhraseList, PhraseMatcher, contacts, normalise
from koban.webhooks.logic import UNCONFIRMED_AFTER, Body

CONCEPTS = ROOT / "docs" / "concepts"
WORDS = PhraseMatcher(
    [
        PhraseList(
            name="words",
            phrases=("PayPay", "直取引", "ライン"),
            unless=("PayPayドーム", "ラインストーン"),
        )
    ]
)


def _examples(page: str) -> str:
    text = (CONCEPTS / page).read_text(encoding="utf-8")
    return "\n".join(re.findall(r"^```yaml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))


@pytest.mark.parametrize("page", ["packs-and-rules.md", "rules.ja.md"])
def test_rules_and_features_on_the_page_fit_the_starter_pack(page: str) -> None:
    files = files_of(ROOT / "packs" / "starter")
    kept = {name: text for name, text in files.items() if not name.startswith("cases/")}
    parts = re.split(r"^(?=- )", _examples(page), flags=re.MULTILINE)
    for name in ("sender_contact_people_24h", "outside_contact_spread"):  # the pack's own, shown shorter
        parts = [part.replace(name, f"shown_{name}") for part in parts]
    rules = "".join(part for part in parts if "\n  when:" in part)
    cases = "".join(part for part in parts if "\n  field:" in part)
    features = "".join(part for part in parts if part.startswith("- feature:"))
    pack = parse_files(
        {
            **kept,
            "rules/shown.yaml": rules,
            "features.yaml": files["features.yaml"] + "\n" + features,
            **({"cases/shown.yaml": cases} if cases else {}),
        }
    )
    assert rules
    assert features
    assert not check_pack(pack)
    assert all(not result.failed for result in run_cases(pack).rules)


@pytest.mark.parametrize(
    "row",
    re.findall(
        r"^\| ([^|]+) \| (PayPay|ライン|直取引) \| (見つける|数えない)",
        (CONCEPTS / "rules.ja.md").read_text(encoding="utf-8"),
        re.MULTILINE,
    ),
    ids=lambda row: row[0],
)
def test_text_of_the_table_is_found_or_not_as_it_says(row: tuple[str, str, str]) -> None:
    text, phrase, result = row
    assert WORDS.find(normalise(text)) == ({"words": (phrase,)} if result == "見つける" else {})


def test_other_words_of_the_page_about_words_are_true() -> None:
    page = (CONCEPTS / "packs-and-rules.md").read_text(encoding="utf-8")
    for found in ("ＰａｙＰａｙ", "P a y P a y", "らいん", "直取引できませんか", "値下げ不可ですが直取引なら"):
        assert found in page
        assert WORDS.find(normalise(found)) != {}, found
    for not_found in ("ペイペイ", "PayPayドーム", "ラインストーン", "直取引はお断りします", "no direct deals please"):
        assert not_found in page
        assert WORDS.find(normalise(not_found)) == {}, not_found
    assert contacts(normalise("追跡番号は1234-5678-9012です")) == ()


def test_the_webhook_on_the_page_has_the_state_that_is_sent() -> None:
    page = (CONCEPTS / "integration.md").read_text(encoding="utf-8")
    shown = json.loads(re.findall(r"^```json\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)[0])
    assert set(shown["data"]["state"]) == {each.name for each in msgspec.structs.fields(StateBody)}
    assert set(shown) == {each.name for each in msgspec.structs.fields(Body)}
    assert UNCONFIRMED_AFTER == 10 * MINUTE


def test_the_page_about_privacy_names_every_way_in_which_a_sealed_field_is_opened() -> None:
    page = (CONCEPTS / "privacy.md").read_text(encoding="utf-8")
    looked = page[page.index("## Who looked") :]
    others = {"appeal.opened", "case.opened", "dispute.opened", "ledger.book_opened", "page.opened", "session.opened"}
    kinds = set[str]()
    for module in (ROOT / "src" / "koban").rglob("*.py"):
        text = module.read_text(encoding="utf-8")
        kinds.update(re.findall(r'"([a-z_]+\.(?:opened|disclosed|searched|[a-z_]+_opened))"', text))
    assert kinds > others
    assert set(re.findall(r"`([a-z]+\.[a-z_]+)` \|$", looked, re.MULTILINE)) == kinds - others
