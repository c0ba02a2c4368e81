"""Judging in a real Chromium: three cases by keyboard, two people on one case, an appeal with everything restored."""

import os
import random
import re
from collections.abc import Callable

import msgspec
import pytest
from playwright.sync_api import Response, expect
from tests.browser.conftest import Opener, Reader, Site
from tests.browser.looks import axe

from koban.base import MINUTE

LURES = (
    "はじめまして。こちらで本人確認をお願いいたします http://amazonite.top/pay",
    "お荷物をお届けできませんでした。再配達のお手続きはこちらから https://yamato-re.xyz/b",
    "在庫の写真はこのページに全部のせてありますのでご覧ください http://photo-album.click/a1",
)

JUDGED = int(os.environ.get("KOBAN_JUDGED", "20"))
WORDS = [
    "青い傘",
    "古い時計",
    "木の椅子",
    "赤い靴",
    "春の着物",
    "旅行鞄",
    "絵本",
    "珈琲豆",
    "写真機",
    "万年筆",
    "望遠鏡",
    "金魚鉢",
    "将棋盤",
    "毛布",
    "風鈴",
    "楽譜",
    "陶器",
    "手袋",
    "帽子",
    "本棚",
    "地図",
    "水筒",
    "枕",
    "鏡",
    "花瓶",
    "電球",
    "釣竿",
    "太鼓",
    "琴",
    "笛",
    "茶碗",
    "急須",
    "座布団",
    "屏風",
    "提灯",
    "扇子",
    "簪",
    "下駄",
    "足袋",
    "羽織",
    "袴",
    "帯",
    "浴衣",
    "風呂敷",
    "巾着",
    "硯",
    "筆",
    "墨",
    "和紙",
    "紙風船",
]


def lure(site: Site, name: str, text: str) -> str:
    """Send a lure and return its case."""
    cases = site.scene.message(name, text).cases
    assert cases, f"no rule asks for a judgement of {text}"
    return cases[0]


def rows(site: Site, sql: str, *values: object) -> list[tuple[object, ...]]:
    with site.scene.database.read() as tx:
        return [tuple(row) for row in tx.rows(sql, values)]


def queue_of(site: Site, case_id: str) -> str:
    return str(rows(site, "SELECT queue FROM cases WHERE id = ?", case_id)[0][0])


def away_from(case_id: str) -> Callable[[str], bool]:
    return lambda url: case_id not in url.split("?")[0]


def take(reader: Reader, case_id: str, flow: str = "") -> None:
    reader.go(f"/cases/{case_id}" + (f"?flow={flow}" if flow else ""))
    reader.page.keyboard.press("c")
    expect(reader.page.locator(".judge")).to_be_visible()
    reader.page.wait_for_load_state()  # the form may be seen before the script that hears its keys has run


@pytest.mark.parametrize("language", ["ja", "en"])
def test_three_cases_are_judged_by_keyboard_and_the_next_opens_by_itself(
    open_reader: Opener, site: Site, language: str
) -> None:
    cases = [lure(site, f"keys-{language}-{place}", text) for place, text in enumerate(LURES)]
    reader = open_reader(language).sign_in("reviewer")
    page = reader.page
    me = rows(site, "SELECT id FROM staff WHERE email = ?", site.scene.email("reviewer"))[0][0]
    before = len(rows(site, "SELECT id FROM cases WHERE closed_by = ?", me))
    take(reader, cases[0], flow=queue_of(site, cases[0]))
    judged = []
    for key, outcome in (("1", "upheld"), ("2", "honest"), ("3", "unclear")):
        here = re.search(r"/cases/(case_[0-9a-f]+)", page.url)
        assert here is not None
        judged.append((here[1], outcome))
        page.keyboard.press(key)
        if key == "1":
            page.keyboard.press("h")
            page.keyboard.press("s")
            expect(page.locator("[name=hide]")).not_to_be_checked()
        page.keyboard.press("n")
        page.keyboard.type(f"seen {outcome}")
        page.keyboard.press("Escape")
        page.keyboard.press("d")
        page.wait_for_url(away_from(here[1]))
        if page.locator(".judge").count() == 0:
            reader.go("/cases")
            page.keyboard.press("Enter")
            expect(page.locator(".judge")).to_be_visible()
    for case_id, outcome in judged:
        assert rows(site, "SELECT outcome, note, closed_by FROM cases WHERE id = ?", case_id) == [
            (outcome, f"seen {outcome}", me)
        ]
    assert len(rows(site, "SELECT id FROM cases WHERE closed_by = ?", me)) == before + 3
    page.keyboard.press("?")
    expect(page.locator("#keys")).to_be_visible()
    page.keyboard.press("Escape")
    assert axe(page) == []


@pytest.mark.parametrize(
    ("language", "claim", "decide", "judging"),
    [("en", "Take this case", "Decide", "Judgement"), ("ja", "この案件を受け持つ", "判断を確定する", "判断")],
)
def test_who_hears_the_page_is_told_names_without_keys_and_goes_on_where_the_work_is(
    open_reader: Opener, site: Site, language: str, claim: str, decide: str, judging: str
) -> None:
    chance = random.Random(f"heard {language}")  # cases of their own, which no later test finds among its own
    cases = [lure(site, f"heard-{language}-{place}", unlike(chance, 900 + place)) for place in range(2)]
    reader = open_reader(language).sign_in("reviewer")
    page = reader.page
    reader.go(f"/cases/{cases[0]}?flow={queue_of(site, cases[0])}")
    assert page.evaluate("document.querySelector('h1, h2, h3, h4').tagName") == "H1"
    expect(page.locator("h1")).to_be_focused()
    page.get_by_role("button", name=claim, exact=True).press("Enter")
    expect(page.get_by_role("heading", name=judging, exact=True)).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.locator("[name=outcome][value=upheld]")).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("radio", checked=True)).to_have_attribute("value", "honest")
    for _ in range(20):
        if page.evaluate("document.activeElement.matches('.judge button.primary')"):
            break
        page.keyboard.press("Tab")
    button = page.get_by_role("button", name=decide, exact=True)
    expect(button).to_be_focused()
    expect(button).to_have_attribute("aria-keyshortcuts", "d")
    page.keyboard.press("Enter")
    page.wait_for_url(away_from(cases[0]))
    expect(page.locator("[data-goes-on], main > .notice[role=status]").first).to_be_focused()
    assert rows(site, "SELECT outcome FROM cases WHERE id = ?", cases[0]) == [("honest",)]


def test_a_queue_is_worked_by_keyboard_alone_with_keys_and_server_time_counted(open_reader: Opener, site: Site) -> None:
    """`KOBAN_JUDGED=200 pytest -s` says how it goes with an hour's worth; 200 an hour leave 18 s for reading each."""
    chance = random.Random(20_261_129)
    made = [lure(site, f"many-{place}", unlike(chance, place)) for place in range(JUDGED)]
    assert len(set(made)) == JUDGED, "each is a case of its own"
    reader = open_reader("ja").sign_in("reviewer")
    page = reader.page
    me = rows(site, "SELECT id FROM staff WHERE email = ?", site.scene.email("reviewer"))[0][0]
    # What is severe waits for a second person: that is a judgement too.
    judged_by_me = "SELECT count(*) FROM cases WHERE closed_by = ? OR proposal IS NOT NULL"
    (before,) = rows(site, judged_by_me, me)[0]
    waits: list[float] = []

    def wait_of(answer: Response) -> None:
        kind, timing = answer.request.resource_type, answer.request.timing
        if kind == "document" and timing["responseStart"] >= 0:
            waits.append(timing["responseStart"] - timing["requestStart"])

    page.on("response", wait_of)
    keys = 0

    def press(key: str) -> None:
        nonlocal keys
        keys += 1
        page.keyboard.press(key)

    reader.go(f"/cases?queue={queue_of(site, made[0])}")
    press("Enter")
    expect(page.locator(".judge")).to_be_visible()
    opening = keys
    for place in range(JUDGED):
        here = re.search(r"/cases/(case_[0-9a-f]+)", page.url)
        assert here is not None
        press("123"[place % 3])
        press("d")
        if place < JUDGED - 1:
            page.wait_for_url(away_from(here[1]))
            expect(page.locator(".judge")).to_be_visible()
    expect(page.locator("[role=status]").first).to_be_visible()
    assert rows(site, judged_by_me, me) == [(int(str(before)) + JUDGED,)]
    assert keys == opening + 2 * JUDGED, "an outcome and a decision each; the next case opens by itself"
    assert rows(site, "SELECT count(*) FROM cases WHERE claimed_by = ? AND proposal IS NOT NULL", me) == [(0,)]
    waits.sort()
    print(
        f"{JUDGED} cases: {keys} keys; the server took {waits[len(waits) // 2]:.0f} ms in the middle, {waits[-1]:.0f} at most"
    )


def unlike(chance: random.Random, place: int) -> str:
    """Say a lure in words that make it no near-duplicate of another one."""
    words = chance.sample(WORDS, 12)
    return f"{'、'.join(words)}。本人確認はこちら http://amazonite-{place}.top/{chance.randrange(1 << 40):x}"


def test_two_people_on_one_case_and_what_the_slower_one_typed_is_not_lost(open_reader: Opener, site: Site) -> None:
    case_id = lure(site, "two-1", LURES[0] + "お返事お待ちしています")
    first, second = open_reader("en").sign_in("reviewer"), open_reader("ja").sign_in("specialist")
    take(first, case_id)
    second.go(f"/cases/{case_id}")
    expect(second.page.locator(".judge")).to_have_count(0)
    expect(second.page.locator("main")).to_contain_text("担当者")
    first.page.keyboard.press("1")
    first.page.fill("#note", "typed with great care")
    site.scene.clock.advance(21 * MINUTE)
    take(second, case_id)
    first.page.keyboard.press("Control+Enter")
    expect(first.page.locator("[role=alert]")).to_contain_text("You no longer hold this case")
    expect(first.page.locator("#kept")).to_have_value(re.compile("typed with great care"))
    assert rows(site, "SELECT status FROM cases WHERE id = ?", case_id) == [("open",)]
    second.page.keyboard.press("2")
    second.page.keyboard.press("d")
    expect(second.page.locator("[role=status]").first).to_be_visible()
    assert rows(site, "SELECT outcome FROM cases WHERE id = ?", case_id) == [("honest",)]
    first.complaints[:] = [each for each in first.complaints if "409" not in each]


def test_an_appeal_without_signing_in_is_overturned_and_everything_is_restored(open_reader: Opener, site: Site) -> None:
    case_id = lure(site, "appeal-1", LURES[1] + "よろしくお願いします")
    reviewer = open_reader("ja").sign_in("reviewer")
    take(reviewer, case_id)
    page = reviewer.page
    page.keyboard.press("1")
    page.keyboard.press("f")
    page.fill("#facts_ja", "サイトの外での支払いを求める内容でした。")
    page.keyboard.press("Escape")
    page.keyboard.press("p")
    expect(page.locator("#preview .letter").first).to_contain_text("サイトの外での支払いを求める内容でした。")
    assert axe(page) == []
    expect(page.locator("#preview")).to_contain_text("もう一人の承認が必要です")
    page.keyboard.press("d")
    expect(page.locator("main")).to_contain_text("もう一人が承認または却下します")
    second = open_reader("en").sign_in("admin")
    second.go(f"/cases/{case_id}")
    second.page.keyboard.press("c")
    expect(second.page.locator(".notice.caution")).to_contain_text("A second person is needed")
    assert axe(second.page) == []
    second.page.keyboard.press("d")
    expect(second.page.locator(".pill.large")).to_contain_text("Broken")
    imposed = [str(row[0]) for row in rows(site, "SELECT sanction_id FROM case_sanctions WHERE case_id = ?", case_id)]
    assert len(imposed) == 2
    link = notice_of(site, case_id)
    person = open_reader("ja", width=390)
    person.go(link)
    expect(person.page.locator("h1")).to_have_text("判断への異議申し立て")
    assert axe(person.page) == []
    person.page.fill("#text", "値下げの相談をしただけで、支払いはサイト内のつもりでした。")
    person.page.click("button.primary")
    expect(person.page.locator("[role=status]")).to_contain_text("申し立てを受け付けました")
    ((appeal_case,),) = rows(site, "SELECT case_id FROM appeals WHERE sanction_id = ?", link_sanction(site, imposed))
    reviewer.go(f"/cases/{appeal_case}")
    expect(page.locator("main")).to_contain_text("別の担当者が判断します")
    specialist = open_reader("en").sign_in("specialist")
    specialist.go(f"/cases/{appeal_case}")
    specialist.page.keyboard.press("c")
    expect(specialist.page.locator(".judge")).to_be_visible()
    expect(specialist.page.locator(".said").first).to_contain_text("値下げの相談をしただけで")
    assert axe(specialist.page) == []
    specialist.page.fill("#facts_ja", "値下げの相談で、問題はありませんでした。")
    specialist.page.keyboard.press("Escape")
    specialist.page.keyboard.press("2")
    expect(specialist.page.locator("[role=status]").first).to_be_visible()
    marks = ", ".join("?" * len(imposed))
    assert set(rows(site, f"SELECT status FROM sanctions WHERE id IN ({marks})", *imposed)) == {("overturned",)}
    person.go(link)
    expect(person.page.locator("[role=status]")).to_contain_text("判断は誤りでした")
    expect(person.page.locator("[role=status]")).to_contain_text("値下げの相談で、問題はありませんでした。")
    told = rows(site, "SELECT count(*) FROM notices WHERE case_id = ? AND withdrawn_at IS NULL", case_id)
    assert told == [(0,)]


def notice_of(site: Site, case_id: str) -> str:
    """Return the path of the page that the person judged was told of."""
    ((body,),) = rows(site, "SELECT body FROM notices WHERE case_id = ? AND role = 'author'", case_id)
    url = str(msgspec.json.decode(str(body))["appeal_url"])
    assert url.startswith("https://koban.test/appeal/")
    return url.removeprefix("https://koban.test")


def link_sanction(site: Site, imposed: list[str]) -> str:
    """Return the sanction that the link was for: what fell on the account."""
    marks = ", ".join("?" * len(imposed))
    return str(rows(site, f"SELECT id FROM sanctions WHERE kind = 'strike' AND id IN ({marks})", *imposed)[0][0])
