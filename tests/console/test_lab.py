"""The rule lab in the console: text checked as it is typed, tried, proposed, approved by a second person, rolled back."""

import re

import msgspec
import pytest
from tests.console.conftest import Visitor
from tests.console.scene import Scene

from koban.app.runs import RunsFull
from koban.console.lab import refused
from koban.console.tried import day_bars, why_live
from koban.console.words import Words
from koban.insight import measure
from koban.lab import RuleFigures
from koban.lab.drafts import NothingChanged
from koban.lab.editing import block_of
from koban.packs import PackDef


def typed(pack: PackDef, name: str, old: str, new: str) -> str:
    text = block_of(pack, "rules", name).text
    assert old in text
    return text.replace(old, new)


def form(visitor: Visitor, name: str, text: str, **more: str) -> tuple[int, str, str]:
    answer = visitor.send(f"/lab?section=rules&name={name}", "/lab", section="rules", name=name, text=text, **more)
    return answer.status_code, answer.text, answer.headers.get("location", "")


def test_the_editor_shows_the_rule_as_it_is_written_and_points_at_errors(scene: Scene, admin: Visitor) -> None:
    name = next(iter(scene.pack.rules))
    page = admin.get(f"/lab?section=rules&name={name}").text
    assert f"- rule: {name}" in page
    assert "Nothing to mend" in page
    text = block_of(scene.pack, "rules", name).text.replace("AND", "AND nothing_such >", 1)

    status, page, _ = form(admin, name, text, do="check")

    assert status == 422
    assert "nothing_such" in page
    assert re.search(r"line \d+, column \d+", page)
    assert "line wrong" in page


def test_an_item_that_is_too_long_is_refused_whole_and_never_cut(scene: Scene, admin: Visitor) -> None:
    name = next(iter(scene.pack.rules))
    text = block_of(scene.pack, "rules", name).text + "# " + "長" * 50_000
    status, page, _ = form(admin, name, text, do="propose", reason="all of it")
    assert status == 422
    assert f"the item has {len(text) + 1:,} characters, and 50,000 is the most here" in page
    assert "長" * 50_000 in page
    reader = Visitor(scene, "ja").sign_in()
    page = reader.send(f"/lab?section=rules&name={name}", "/lab/check", section="rules", name=name, text=text).text
    assert "ここでの上限は 50,000 文字です" in page


def test_errors_are_said_in_the_readers_language_while_one_types(scene: Scene) -> None:
    reader = Visitor(scene, "ja").sign_in()
    name = next(iter(scene.pack.rules))
    text = block_of(scene.pack, "rules", name).text.replace("AND", "AND nothing_such AND", 1)
    page = reader.send(f"/lab?section=rules&name={name}", "/lab/check", section="rules", name=name, text=text).text
    assert "フィールドまたは特徴量「nothing_such」はここにはありません" in page
    assert "there is no field" not in page
    english = Visitor(scene).sign_in()
    page = english.send(f"/lab?section=rules&name={name}", "/lab/check", section="rules", name=name, text=text).text
    assert "there is no field or feature" in page


def test_a_backtest_from_the_editor_says_what_the_rule_would_have_hit(scene: Scene, admin: Visitor) -> None:
    name = next(iter(scene.pack.rules))
    text = block_of(scene.pack, "rules", name).text
    text = re.sub(r"  when: >-\n(    .*\n)+", "  when: account.id IS NOT NULL\n", text)
    status, page, _ = form(admin, name, text, do="look")
    assert status == 200, page
    found = re.search(r"/lab/runs/(run_\d+)", page)
    assert found is not None
    result = admin.get(f"/lab/runs/{found[1]}").text
    assert "Honest people touched" in result
    assert name in result


def test_a_proposal_is_activated_and_rolled_back_with_its_difference_shown(scene: Scene, admin: Visitor) -> None:
    before = scene.desk.memory.compiled.pack
    name = next(name for name, rule in before.rules.items() if before.policies[rule.policy].severity != "severe")
    text = block_of(before, "rules", name).text.rstrip() + "\n  # looked at\n"
    cap = before.rules[name].cap_per_hour
    text = text.replace(f"cap: {cap} per hour", "cap: 7 per hour")

    assert form(admin, name, text, do="propose")[0] == 422  # a reason is missing
    status, _, where = form(admin, name, text, do="propose", reason="fewer people")
    assert status == 303
    draft = where.partition("?")[0]
    page = admin.get(draft).text
    assert "cap: 7 per hour" in page
    assert "fewer people" in page

    assert admin.send(draft, draft, do="activate").status_code == 303
    after = scene.desk.memory.compiled.pack
    assert after.rules[name].cap_per_hour == 7
    assert "fewer people" in admin.get("/versions").text
    assert admin.get(draft).status_code == 404  # decided once

    answer = admin.send(f"/versions/{before.digest}", f"/versions/{before.digest}", reason="it was right before")
    assert answer.status_code == 303
    assert scene.desk.memory.compiled.pack.digest == before.digest


def test_who_proposes_under_a_severe_policy_does_not_activate_it(scene: Scene, admin: Visitor) -> None:
    pack = scene.desk.memory.compiled.pack
    name = next(name for name, rule in pack.rules.items() if pack.policies[rule.policy].severity == "severe")
    cap = pack.rules[name].cap_per_hour
    text = typed(pack, name, f"cap: {cap} per hour", "cap: 3 per hour")
    _, _, where = form(admin, name, text, do="propose", reason="careful")
    draft = where.partition("?")[0]

    answer = admin.send(draft, draft, do="activate")

    assert answer.status_code == 422
    assert "Somebody else must activate it" in answer.text
    assert scene.desk.memory.compiled.pack.digest == pack.digest
    assert admin.send(draft, draft, do="withdraw").status_code == 303


def test_a_list_change_is_previewed(scene: Scene, admin: Visitor) -> None:
    pack = scene.desk.memory.compiled.pack
    name = next(name for name in pack.lists if any(f"'{name}'" in rule.when for rule in pack.rules.values()))
    answer = admin.send(
        f"/lists/{name}", f"/lists/{name}", values="こんにちは\nＳＯＳ", note="seen today", until="week", do="preview"
    )
    assert answer.status_code == 200
    run = re.search(r'hx-get="(/lab/runs/[^"]+)"', answer.text)
    assert run is not None
    assert admin.get(run[1]).status_code == 200
    assert ">こんにちは\nＳＯＳ</textarea>" in answer.text
    assert 'value="seen today"' in answer.text
    assert '<option value="week" selected>' in answer.text
    assert "こんにちは" not in admin.get(f"/lists/{name}?q=こんにちは").text.partition("<table")[2]


def test_taking_a_value_off_a_list_is_previewed_and_changes_nothing(admin: Visitor) -> None:
    page = "/lists/trusted_accounts"
    admin.send(page, page, values="shop_9", note="a partner")
    assert 'name="try_off" value="shop_9"' in admin.get(page).text
    answer = admin.send(page, page, try_off="shop_9")
    assert answer.status_code == 200
    assert "What would have changed without shop_9" in answer.text
    assert "It is still on the list." in answer.text
    run = re.search(r'hx-get="(/lab/runs/[^"]+)"', answer.text)
    assert run is not None
    assert admin.get(run[1]).status_code == 200
    assert 'name="remove" value="shop_9"' in admin.get(page).text


def test_features_say_what_is_counted_of_a_subject(scene: Scene, admin: Visitor) -> None:
    name = next(iter(scene.desk.memory.compiled.pack.features))
    page = admin.get(f"/features?feature={name}&subject=nobody").text
    assert "0 events count now" in page
    assert name in page


def test_a_first_look_follows_what_is_typed_where_it_is_sound(scene: Scene, admin: Visitor) -> None:
    name = next(iter(scene.pack.rules))
    text = block_of(scene.pack, "rules", name).text
    lab = f"/lab?section=rules&name={name}"

    def typing(typed_text: str, **more: str) -> str:
        return admin.send(lab, "/lab/check", section="rules", name=name, text=typed_text, **more).text

    changed = re.sub(r"  when: >-\n(    .*\n)+", "  when: account.id IS NOT NULL\n", text)
    assert 'hx-post="/lab"' in typing(changed, while_typing="1")
    assert 'hx-post="/lab"' not in typing(changed)
    assert 'hx-post="/lab"' not in typing(text, while_typing="1"), "nothing changed"
    assert 'hx-post="/lab"' not in typing(changed.replace("IS NOT", "IS NOT A"), while_typing="1")


def test_an_item_that_somebody_changed_meanwhile_is_not_proposed_over_theirs(scene: Scene, admin: Visitor) -> None:
    pack = scene.desk.memory.compiled.pack
    name = next(name for name, rule in pack.rules.items() if pack.policies[rule.policy].severity != "severe")
    cap = pack.rules[name].cap_per_hour
    theirs = typed(pack, name, f"cap: {cap} per hour", "cap: 8 per hour")
    mine = typed(pack, name, f"cap: {cap} per hour", "cap: 6 per hour")
    seen = re.search(r'name="seen" value="(\w+)"', admin.get(f"/lab?section=rules&name={name}").text)
    assert seen is not None
    draft = form(admin, name, theirs, do="propose", reason="theirs", seen=seen[1])[2].partition("?")[0]
    admin.send(draft, draft, do="activate")

    status, page, _ = form(admin, name, mine, do="propose", reason="mine", seen=seen[1])

    assert status == 422
    assert "Somebody changed this item while you wrote" in page
    assert "-  cap: 8 per hour" in page
    assert "+  cap: 6 per hour" in page
    again = re.search(r'name="seen" value="(\w+)"', page)
    assert again is not None
    assert form(admin, name, mine, do="propose", reason="knowingly", seen=again[1])[0] == 303


def test_the_second_person_sees_what_was_tried_and_why_they_are_asked(scene: Scene, admin: Visitor) -> None:
    pack = scene.desk.memory.compiled.pack
    name = next(name for name, rule in pack.rules.items() if pack.policies[rule.policy].severity == "severe")
    cap = pack.rules[name].cap_per_hour
    text = typed(pack, name, f"cap: {cap} per hour", "cap: 2 per hour")
    draft = form(admin, name, text, do="propose", reason="fewer")[2].partition("?")[0]
    page = admin.get(draft).text
    assert "Because of these, a second person must look:" in page
    assert "Nobody has tried this version on the past" in page

    answer = admin.send(draft, f"{draft}/backtest", since="7d")

    assert answer.status_code == 303
    run = re.search(r"run=(run_\d+)", answer.headers["location"])
    assert run is not None
    assert f'hx-get="/lab/runs/{run[1]}"' in admin.get(draft).text, "whoever opens the proposal next sees it as well"
    result = admin.get(f"/lab/runs/{run[1]}").text
    assert name in result
    assert "DuckDB" in result
    admin.send(draft, draft, do="withdraw")


@pytest.mark.parametrize(
    ("why", "english", "japanese"),
    [
        ("the feature 'pair_2h' is a sequence of events", "pair_2h is a sequence of events", "pair_2hは出来事の順序を見る特徴量です"),
        ("it reads a score", "it reads a score", "スコアを参照しています"),
        ("mentions over a feature", "mentions over the value of a feature", "特徴量の値にmentionsを使っています"),
        ("something else", "something else", "something else"),
    ],
)  # fmt: skip
def test_why_a_rule_ran_on_the_live_engine_is_said_in_the_readers_language(
    why: str, english: str, japanese: str
) -> None:
    rule = RuleFigures(
        rule="r", mode="live", changed="added", engine="live", why_live=why, people=0, honest_people=0, person_hours=0,
        also_old=0, overlaps=(), before=None, measured=measure("r", true=0, false=0, unknown=0, harmful=0, honest=0),
    )  # fmt: skip
    assert why_live(Words("en"), rule) == english
    assert why_live(Words("ja"), rule) == japanese


def test_days_stand_on_one_scale_and_a_single_hit_is_seen() -> None:
    bars = day_bars([("2026-11-01", 1_000, 0), ("2026-11-02", 1, 500)], compared=True)
    assert [(each.height, each.height_before) for each in bars] == [("72.0", "0.0"), ("1.5", "36.0")]
    assert day_bars([], compared=False) == []
    assert msgspec.structs.asdict(day_bars([("2026-11-01", 0, 0)], compared=False)[0])["height"] == "0.0"


def test_who_agreed_to_a_version_stands_in_its_history_by_name(scene: Scene, admin: Visitor) -> None:
    pack = scene.desk.memory.compiled.pack
    name = next(name for name, rule in pack.rules.items() if pack.policies[rule.policy].severity == "severe")
    cap = pack.rules[name].cap_per_hour
    text = typed(pack, name, f"cap: {cap} per hour", "cap: 5 per hour")
    draft = form(admin, name, text, do="propose", reason="five are enough")[2].partition("?")[0]
    second = Visitor(scene).sign_in("specialist")
    assert second.send(draft, draft, do="activate").status_code == 303
    page = admin.get("/versions").text
    assert "(approved by" not in page
    assert re.search(r"five are enough</span> · approved by <span[^>]*>Mika Sato</span>", page)


def test_too_many_runs_at_once_are_told_in_the_readers_words() -> None:
    assert refused("ja", RunsFull("Wait for one of them.")) == {"problem": "lab.runs_full"}
    nothing = NothingChanged("Change something first.")
    assert refused("en", nothing) == {"problem": "lab.refused", "detail": "Change something first."}
    assert refused("ja", nothing) == {"problem": "lab.refused", "detail": "まだ何も変更されていません。"}
