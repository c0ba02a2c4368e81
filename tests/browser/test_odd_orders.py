"""Judging in odd orders: a line that breaks, a session that ends, a page that comes back. Nothing typed is lost, nothing is done twice."""

import random
import re

import pytest
from playwright.sync_api import Page, expect
from tests.browser.conftest import Opener, Reader, Site
from tests.browser.test_casework import away_from, lure, rows, take, unlike
from tests.console.scene import PASSWORD

from koban.base import MINUTE

TYPED = "typed with great care"
FACTS = "サイトの外での支払いを求める内容でした。"


@pytest.fixture
def case_id(site: Site, request: pytest.FixtureRequest) -> str:
    """A case of its own, like no other one."""
    place = 1_000 + len(rows(site, "SELECT id FROM cases"))
    return lure(site, f"odd-{place}", unlike(random.Random(request.node.name), place))


def judgement(site: Site, case_id: str) -> list[tuple[object, ...]]:
    return rows(site, "SELECT outcome, note FROM cases WHERE id = ?", case_id)


def closings(site: Site, case_id: str) -> int:
    return len(rows(site, "SELECT kind FROM case_timeline WHERE case_id = ? AND kind = 'closed'", case_id))


def write(reader: Reader) -> None:
    """Say that the policy was broken, and type what the person and colleagues are to read."""
    page = reader.page
    page.keyboard.press("1")
    page.keyboard.press("f")
    page.fill("#facts_ja", FACTS)
    page.fill("#note", TYPED)
    page.keyboard.press("Escape")


def expect_typed(reader: Reader) -> None:
    page = reader.page
    expect(page.locator("#note")).to_have_value(TYPED)
    expect(page.locator("#facts_ja")).to_have_value(FACTS)
    expect(page.locator("[name=outcome][value=upheld]")).to_be_checked()


def sign_in_again(page: Page, site: Site, role: str) -> None:
    page.fill("#email", site.scene.email(role))
    page.fill("#password", PASSWORD)
    page.click("form.fields button")


def test_a_session_that_ends_while_somebody_types_takes_nothing_with_it(
    open_reader: Opener, site: Site, case_id: str
) -> None:
    reader = open_reader("ja").sign_in("reviewer")
    take(reader, case_id)
    write(reader)
    reader.page.context.clear_cookies(name="koban_session")
    reader.page.keyboard.press("p")
    expect(reader.page.locator("[data-lost]")).to_be_visible()
    expect_typed(reader)
    reader.page.keyboard.press("d")
    reader.page.wait_for_url("**/sign-in?next=*")
    assert judgement(site, case_id) == [(None, "")]
    sign_in_again(reader.page, site, "reviewer")
    reader.page.wait_for_url(f"**/cases/{case_id}*")
    expect_typed(reader)
    reader.page.fill("#note", "")
    reader.page.keyboard.press("Escape")
    reader.page.keyboard.press("2")
    reader.page.keyboard.press("d")
    expect(reader.page.locator(".pill.large")).to_be_visible()
    assert judgement(site, case_id) == [("honest", "")]
    assert reader.page.evaluate("Object.keys(sessionStorage).filter((each) => each.startsWith('koban-draft'))") == []


def test_a_line_that_breaks_for_a_minute_loses_nothing_and_sends_nothing_twice(
    open_reader: Opener, site: Site, case_id: str
) -> None:
    reader = open_reader("en").sign_in("reviewer")
    take(reader, case_id)
    write(reader)
    reader.page.keyboard.press("2")
    reader.page.context.set_offline(True)
    reader.page.wait_for_function("!navigator.onLine")  # the page hears of it a moment later
    for _ in range(2):
        reader.page.keyboard.press("d")
    expect(reader.page.locator("[data-lost]")).to_be_visible()
    expect(reader.page.locator("#note")).to_have_value(TYPED)
    assert judgement(site, case_id) == [(None, "")]
    site.scene.clock.advance(MINUTE)
    reader.page.context.set_offline(False)
    expect(reader.page.locator("[data-lost]")).to_be_hidden()
    reader.page.keyboard.press("d")
    expect(reader.page.locator(".pill.large")).to_be_visible()
    assert judgement(site, case_id) == [("honest", TYPED)]
    assert closings(site, case_id) == 1


def test_a_double_click_and_the_way_back_judge_once(open_reader: Opener, site: Site, case_id: str) -> None:
    reader = open_reader("en").sign_in("reviewer")
    take(reader, case_id)
    reader.page.keyboard.press("2")
    reader.page.fill("#note", TYPED)
    reader.page.dblclick("button[value=decide]")
    expect(reader.page.locator(".pill.large")).to_be_visible()
    assert closings(site, case_id) == 1
    reader.page.go_back()
    expect(reader.page.locator(".judge")).to_have_count(0)
    expect(reader.page.locator(".pill.large")).to_be_visible()
    assert judgement(site, case_id) == [("honest", TYPED)]
    assert closings(site, case_id) == 1


def test_the_same_case_in_two_tabs_is_judged_once_and_the_second_is_told(
    open_reader: Opener, site: Site, case_id: str
) -> None:
    reader = open_reader("en").sign_in("reviewer")
    take(reader, case_id)
    other = reader.page.context.new_page()
    other.goto(reader.page.url)
    other.keyboard.press("1")
    other.fill("#note", "from the other tab")
    reader.page.keyboard.press("2")
    reader.page.fill("#note", TYPED)
    reader.page.keyboard.press("Control+Enter")
    expect(reader.page.locator(".pill.large")).to_be_visible()
    other.keyboard.press("Control+Enter")
    expect(other.locator("[role=alert]:not([hidden])")).to_be_visible()
    expect(other.locator("#kept")).to_have_value(re.compile("from the other tab"))
    assert judgement(site, case_id) == [("honest", TYPED)]
    assert closings(site, case_id) == 1


def test_a_claim_that_lapsed_is_taken_up_again_with_what_was_typed(
    open_reader: Opener, site: Site, case_id: str
) -> None:
    reader = open_reader("ja").sign_in("reviewer")
    take(reader, case_id, flow="general")
    write(reader)
    site.scene.clock.advance(21 * MINUTE)
    reader.page.reload()
    expect(reader.page.locator(".judge")).to_have_count(0)
    reader.page.keyboard.press("c")
    expect(reader.page.locator(".judge")).to_be_visible()
    expect_typed(reader)
    reader.page.keyboard.press("3")
    reader.page.keyboard.press("d")
    reader.page.wait_for_url(away_from(case_id))
    assert judgement(site, case_id) == [("unclear", TYPED)]


def test_what_was_typed_on_any_page_stands_there_again_after_the_sign_in_and_nowhere_else(
    open_reader: Opener, site: Site
) -> None:
    reader = open_reader("ja").sign_in("specialist")
    page = reader.page
    reader.go("/lists/bad_domains")
    page.fill("#values", "one.test\nｔｗｏ．ｔｅｓｔ")
    page.fill("#note", TYPED)
    page.select_option("#until", "week")
    page.context.clear_cookies(name="koban_session")
    page.get_by_role("button", name="リストに追加").click()
    page.wait_for_url("**/sign-in?next=*")
    sign_in_again(page, site, "specialist")
    page.wait_for_url("**/lists/bad_domains*")
    expect(page.locator("#values")).to_have_value("one.test\nｔｗｏ．ｔｅｓｔ")
    expect(page.locator("#note")).to_have_value(TYPED)
    expect(page.locator("#until")).to_have_value("week")
    page.get_by_role("button", name="リストに追加").dblclick()
    expect(page.locator("main > .notice[role=status]")).to_be_focused()
    assert (
        len(rows(site, "SELECT 1 FROM log_entries WHERE type = 'list.entry_added' AND data LIKE ?", f"%{TYPED}%")) == 1
    )
    expect(page.locator("#note")).to_have_value("")
    reader.go("/lists/bad_domains")
    expect(page.locator("#values")).to_have_value("")
    assert page.evaluate("Object.keys(sessionStorage).filter((each) => each.startsWith('koban-'))") == ["koban-of"]


def test_nobody_else_who_signs_in_to_a_tab_reads_what_was_typed_in_it(open_reader: Opener, site: Site) -> None:
    case_id = lure(site, "odd-other", unlike(random.Random("of another"), 950))
    reader = open_reader("en").sign_in("specialist")
    page = reader.page
    take(reader, case_id)
    page.fill("#note", TYPED)
    reader.go("/lists/bad_domains")
    page.fill("#values", "typed-by-one.test")
    page.fill("#note", TYPED)
    page.context.clear_cookies(name="koban_session")
    page.get_by_role("button", name="Add to the list").click()
    page.wait_for_url("**/sign-in?next=*")
    sign_in_again(page, site, "admin")
    page.wait_for_url("**/lists/bad_domains*")
    expect(page.locator("#values")).to_have_value("")
    site.scene.clock.advance(21 * MINUTE)
    take(reader, case_id)
    expect(page.locator("#note")).to_have_value("")
