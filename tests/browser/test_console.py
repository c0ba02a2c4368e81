"""The console in a real Chromium: it works, with script and without, and moves by itself."""

import re

from playwright.sync_api import Route, expect
from tests.browser.conftest import Opener, Site

from koban.decisions import store as decision_store


def test_from_the_sign_in_page_to_the_reasons_of_a_decision(open_reader: Opener) -> None:
    reader = open_reader("ja")
    page = reader.page
    reader.go("/decisions")
    expect(page).to_have_url(re.compile("/sign-in"))
    page.fill("#email", reader.site.scene.email("specialist"))
    page.fill("#password", "a wrong password")
    page.click("form.fields button")
    expect(page.get_by_role("alert")).to_have_text("メールアドレスかパスワードが違います。")
    page.fill("#email", reader.site.scene.email("specialist"))
    page.fill("#password", "correct horse battery staple")
    page.click("form.fields button")
    expect(page.get_by_role("heading", level=1)).to_have_text("判定")
    page.select_option("#f-verdict", "block")
    page.click("main button.primary:not(.small)")
    expect(page).to_have_url(re.compile("verdict=block"))
    page.locator("a.pill-link").first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("ブロック")
    expect(page.locator(".reason .condition").first).to_contain_text("次のすべて")
    expect(page.get_by_text("封印済み（個人情報").first).to_be_visible()


def test_everything_that_matters_works_without_script(open_reader: Opener) -> None:
    page = open_reader(script=False).page
    site = open_reader().site
    page.goto(site.url + "/sign-in?next=/rules")
    page.fill("#email", site.scene.email("admin"))
    page.fill("#password", "correct horse battery staple")
    page.click("form.fields button")
    expect(page.get_by_role("heading", level=1)).to_have_text("Rules")
    page.goto(site.url + "/board")
    expect(page.get_by_role("link", name="Reload")).to_be_visible()
    page.locator(".shares a").first.click()
    expect(page).to_have_url(re.compile("/decisions.verdict=allow&since="))
    page.goto(site.url + "/decisions?verdict=block")
    page.locator("a.pill-link").first.click()
    expect(page.get_by_role("heading", level=2, name="Why")).to_be_visible()
    page.locator(".side").get_by_role("button", name="日本語").click()
    expect(page.get_by_role("heading", level=2, name="理由")).to_be_visible()


def test_the_board_moves_by_itself_and_stands_still_when_asked(open_reader: Opener, site: Site) -> None:
    reader = open_reader().sign_in()
    page = reader.page
    sanctions = page.locator("a.tile[href^='/sanctions'] .figure")
    before = int(sanctions.inner_text())
    site.scene.message("moves-1", "直取引しませんか")
    expect(sanctions).to_have_text(str(before + 1))
    pause = page.get_by_role("button", name="Pause")
    pause.click()
    expect(pause).to_have_attribute("aria-pressed", "true")
    site.scene.message("moves-2", "直取引しませんか")
    page.wait_for_timeout(4_000)
    expect(sanctions).to_have_text(str(before + 1))
    pause.click()
    expect(sanctions).to_have_text(str(before + 2))


def test_a_lost_connection_is_said_and_mends_by_itself(open_reader: Opener) -> None:
    reader = open_reader().sign_in()
    page = reader.page
    page.route("**/board/*", lambda route: route.abort())
    reader.go("/board")
    expect(page.get_by_text("Connection lost; trying again")).to_be_visible()
    page.unroute("**/board/*")
    expect(page.get_by_text("Updates by itself")).to_be_visible()
    expect(page.get_by_text("Connection lost; trying again")).to_be_hidden()
    lost = ("ERR_FAILED", "Failed to fetch")
    reader.complaints[:] = [each for each in reader.complaints if not any(word in each for word in lost)]


def test_without_a_stream_the_board_asks_by_itself(open_reader: Opener, site: Site) -> None:
    reader = open_reader().sign_in()
    page = reader.page
    page.route("**/board/stream", lambda route: route.abort())
    reader.go("/board")
    sanctions = page.locator("a.tile[href^='/sanctions'] .figure")
    before = int(sanctions.inner_text().replace(",", ""))
    site.scene.message("asks-1", "直取引しませんか")
    expect(sanctions).to_have_text(str(before + 1))
    reader.complaints[:] = [each for each in reader.complaints if "ERR_FAILED" not in each]


def test_language_and_theme_are_switched_on_the_page_and_stay(open_reader: Opener) -> None:
    reader = open_reader("en").sign_in()
    page = reader.page
    reader.go("/rules")
    side = page.locator(".side")
    side.get_by_role("button", name="日本語").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("ルール")
    side.get_by_role("button", name="暗い").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    reader.go("/cases")
    expect(page.locator("html")).to_have_attribute("lang", "ja")
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(229, 233, 234)"


def test_the_keyboard_reaches_the_content_first_and_the_menu_on_a_small_screen(open_reader: Opener) -> None:
    reader = open_reader("en", width=390).sign_in()
    page = reader.page
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    menu = page.locator(".drawer summary")
    menu.focus()
    page.keyboard.press("Enter")
    expect(page.locator(".drawer").get_by_role("link", name="Rules")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator(".drawer").get_by_role("link", name="Rules")).to_be_hidden()
    expect(menu).to_be_focused()


def test_the_events_of_the_scene_are_of_every_verdict_that_the_pages_show(site: Site) -> None:
    with site.scene.database.read() as tx:
        counts = decision_store.count_verdicts(tx, since_at=0)
    assert counts["allow"] > 500
    assert counts["block"] >= 3


def test_what_the_lab_said_of_another_text_is_not_shown_while_it_looks_again(open_reader: Opener, site: Site) -> None:
    reader = open_reader("ja").sign_in()
    page = reader.page
    rule = next(iter(site.scene.desk.memory.compiled.pack.rules))
    reader.go(f"/lab?section=rules&name={rule}")
    good, again = page.get_by_text("誤りはありません"), page.get_by_text("検査しています")
    expect(good).to_be_visible()
    expect(again).to_be_hidden()
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/lab/check", hold)
    whole = page.locator("#text").input_value()
    page.fill("#text", whole + "\nnonsense")
    expect(good).to_be_hidden()
    expect(again).to_be_visible()
    page.fill("#text", whole)
    expect(good).to_be_visible()
    page.fill("#text", whole + "\nnonsense")
    while not held:  # it asks
        page.wait_for_timeout(100)
    expect(good).to_be_hidden()
    for each in held:
        each.continue_()
    expect(again).to_be_hidden()
    expect(page.locator("#checked .pill.bad")).to_be_visible()
    expect(good).to_be_hidden()
