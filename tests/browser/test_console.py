"""The console in a real Chromium: it works, keeps its content policy, reads well in both languages, and axe agrees."""

import itertools
import re

import pytest
from playwright.sync_api import expect
from tests.browser.conftest import AXE, Opener, Reader, Site
from tests.console.scene import NAMES

from koban.decisions import store as decision_store

PAGES = ("/board", "/waiting", "/search?q=u-", "/sessions", "/roles", "/decisions", "/events", "/rules", "/sanctions", "/cases", "/cases/figures", "/cases/protection", "/appeals", "/actions", "/lists", "/alerts",
         "/quarantine", "/audit", "/staff", "/tokens", "/rules/all-to-review", "/account/password",
         "/decisions?rule=no_such_rule")  # fmt: skip
LINKED = (
    ("/decisions?verdict=block", "a.pill-link"),
    ("/rules", "main tbody a.id"),
    ("/sanctions", "main tbody td:nth-child(2) a"),
    ("/cases", "main tbody a[href^='/cases/case']"),
    ("/lists", "main tbody a.id"),
    ("/decisions?verdict=block", "main tbody a[href^='/subjects/account/']"),
)
FORMS = list(itertools.product(("en", "ja"), ("light", "dark")))

# Every piece of text that somebody sees or hears, without what is nobody's language: ids, names, a pack's own texts.
TEXTS = """
() => {
  const told = [];
  const mine = (node) => {
    const held = node.closest("[lang]");
    return !node.closest("[translate=no], script, style, noscript") && held === document.documentElement;
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode;
    if (node.textContent.trim() && mine(node.parentElement)) told.push(node.textContent.trim());
  }
  for (const node of document.querySelectorAll("[aria-label], [placeholder], [title]")) {
    if (!mine(node)) continue;
    for (const name of ["aria-label", "placeholder", "title"]) {
      if (node.hasAttribute(name)) told.push(node.getAttribute(name));
    }
  }
  if (!document.querySelector("head > title[translate=no]")) told.push(document.title);
  return told;
}
"""
# Names and units that Japanese readers read in Latin letters too. Ids, keys and formats are marked on the page.
LATIN = r"(?<![A-Za-z])(Koban|Webhook|JSON|API|JST|ID|IP|ms|URL)(?![A-Za-z])"
FIRST_NAME = "Administrator"  # what the first administrator is called until they say who they are
JAPANESE = re.compile(r"[ぁ-んァ-ヶ一-龠]")


def linked_pages(reader: Reader) -> list[str]:
    pages = []
    for path, link in LINKED:
        reader.go(path)
        found = reader.page.locator(link)
        assert found.count() > 0, path
        pages.append(str(found.first.get_attribute("href")))
    rule = next(page for page in pages if page.startswith("/rules/"))
    sanction = next(page for page in pages if page.startswith("/sanctions/"))
    return [*pages, f"{rule}/mode?to=live", f"{rule}/undo", f"{sanction}/overturn"]


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


@pytest.mark.parametrize(("language", "theme"), FORMS)
def test_axe_finds_no_violation_on_any_page(open_reader: Opener, language: str, theme: str) -> None:
    reader = open_reader(language, theme)
    reader.go("/sign-in")
    assert violations(reader) == []
    reader.sign_in()
    linked = linked_pages(reader)
    whole = (language, theme) in (("en", "light"), ("ja", "dark"))  # the other two forms differ in nothing but these
    found = {}
    for path in [*PAGES, *linked] if whole else [*PAGES[:6], *linked[:3]]:
        reader.go(path)
        found[path] = violations(reader)
    assert {path: each for path, each in found.items() if each} == {}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_no_violation_on_a_small_screen(open_reader: Opener, theme: str) -> None:
    reader = open_reader("ja", theme, width=390)
    reader.go("/sign-in")
    assert violations(reader) == []
    reader.sign_in()
    found = {}
    for path in ("/board", "/decisions", "/rules", "/cases", *linked_pages(reader)[:4]):
        reader.go(path)
        found[path] = violations(reader)
    assert {path: each for path, each in found.items() if each} == {}


@pytest.mark.parametrize("language", ["en", "ja"])
def test_a_small_screen_scrolls_in_one_direction_only(open_reader: Opener, language: str) -> None:
    reader = open_reader(language, width=390).sign_in()
    wide = {}
    for path in [*PAGES, *linked_pages(reader)]:
        reader.go(path)
        wide[path] = reader.page.evaluate("document.scrollingElement.scrollWidth")
    assert {path: width for path, width in wide.items() if width > 390} == {}


@pytest.mark.parametrize("language", ["en", "ja"])
def test_no_page_speaks_the_other_language(open_reader: Opener, language: str) -> None:
    reader = open_reader(language).sign_in()
    foreign = {}
    for path in [*PAGES, *linked_pages(reader), "/nothing"]:
        reader.go(path)
        foreign[path] = [text for text in reader.page.evaluate(TEXTS) if is_foreign(text, language)]
    reader.complaints[:] = [each for each in reader.complaints if "404" not in each]
    assert {path: texts for path, texts in foreign.items() if texts} == {}


def test_the_events_of_the_scene_are_of_every_verdict_that_the_pages_show(site: Site) -> None:
    with site.scene.database.read() as tx:
        counts = decision_store.count_verdicts(tx, since_at=0)
    assert counts["allow"] > 500
    assert counts["block"] >= 3


def is_foreign(text: str, language: str) -> bool:
    for name in (*NAMES.values(), FIRST_NAME):
        text = text.replace(name, "")
    if language == "en":
        return JAPANESE.search(text) is not None
    return re.search("[A-Za-z]{2}", re.sub(LATIN, "", text)) is not None


def violations(reader: Reader) -> list[str]:
    """Return what axe has against the page, each with the first place."""
    page = reader.page
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE)
    rules = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
    result = page.evaluate("(tags) => axe.run({runOnly: {type: 'tag', values: tags}})", rules)
    return [f"{each['id']}: {each['nodes'][0]['html'][:200]}" for each in result["violations"]]
