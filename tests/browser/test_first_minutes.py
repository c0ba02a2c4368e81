"""The first minutes of a demonstration in a real Chromium: the story from sign-in to truth page, own CSV to precision."""

import contextlib
import csv
import itertools
import os
import pathlib
import random
import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import APIResponse, Browser, BrowserContext, ConsoleMessage, Page, Route, expect
from tests.browser.conftest import WATCH
from tests.browser.looks import TEXTS, axe, is_foreign
from tests.server.conftest import Server, start_server

STARTER = str(pathlib.Path(__file__).parents[2] / "packs" / "starter")
SOON = 240_000  # milliseconds that something may take on a machine that does much else
OWN_ROWS = int(os.environ.get("KOBAN_OWN_ROWS", "400"))
LURES = (
    "手数料がもったいないので直接振込でお願いします",
    "LINEでやりとりしませんか IDはkoban2026です",
    "please pay me by bank transfer outside the app",
)
HONEST = ("購入しました。発送お待ちしています", "サイズは何センチですか？", "お値下げは可能でしょうか", "Is this still available?",
          "無事に届きました。ありがとうございました", "直取引はお断りしています", "明日発送いたします")  # fmt: skip
FORMS = list(itertools.product(("en", "ja"), ("light", "dark")))

pytestmark = pytest.mark.timeout(1_200)  # whoever reads a file lets all others go first, several times in a test


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A demonstration whose evening is over within a quarter of a minute."""
    with started(tmp_path_factory, speed=240) as server:
        yield server


@pytest.fixture
def long_demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A demonstration whose evening takes two minutes: it can be steered before it is over, however slow the machine."""
    with started(tmp_path_factory, speed=30) as server:
        yield server


@contextlib.contextmanager
def started(tmp_path_factory: pytest.TempPathFactory, *, speed: int) -> Iterator[Server]:
    data = tmp_path_factory.mktemp("demo") / "data"
    with start_server(data, "demo", "--speed", str(speed), "--no-past", KOBAN_PACK=STARTER) as server:
        yield server


class Window:
    """A browser window with everything that it complained about."""

    def __init__(self, chromium: Browser, demo: Server, language: str, theme: str, width: int) -> None:
        self.url = str(demo.client.base_url).rstrip("/")
        self.context: BrowserContext = chromium.new_context(
            locale=language,
            color_scheme="dark" if theme == "dark" else "light",
            viewport={"width": width, "height": 900},
        )
        self.context.add_init_script(WATCH)
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(SOON)
        self.complaints: list[str] = []
        self.page.on("console", self._complain)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _complain(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.complaints.append(message.text)

    def go(self, path: str) -> Page:
        self.page.goto(self.url + path)
        return self.page

    def enter(self, role: str = "specialist") -> Page:
        self.go("/sign-in")
        self.page.click(f"button[value={role}]")
        self.page.wait_for_url("**/board")
        return self.page

    def violations(self) -> list[str]:
        return axe(self.page)

    def foreign(self, language: str) -> list[str]:
        """Return the texts of the page that are in the other language."""
        return [each for each in self.page.evaluate(TEXTS) if is_foreign(each, language)]


@pytest.fixture
def open_window(chromium: Browser, demo: Server) -> Iterator["Opener"]:
    with opened(chromium, demo) as opener:
        yield opener


@pytest.fixture
def open_long_window(chromium: Browser, long_demo: Server) -> Iterator["Opener"]:
    with opened(chromium, long_demo) as opener:
        yield opener


@contextlib.contextmanager
def opened(chromium: Browser, demo: Server) -> Iterator["Opener"]:
    opener = Opener(chromium, demo)
    yield opener
    for window in opener.windows:
        window.complaints.extend(f"csp {each}" for each in window.page.evaluate("window.violations"))
        window.context.close()
    assert [each for window in opener.windows for each in window.complaints] == []


class Opener:
    """Opens windows and remembers them."""

    def __init__(self, chromium: Browser, demo: Server) -> None:
        self._chromium = chromium
        self._demo = demo
        self.windows: list[Window] = []

    def __call__(self, language: str = "en", theme: str = "light", *, width: int = 1440) -> Window:
        self.windows.append(Window(self._chromium, self._demo, language, theme, width))
        return self.windows[-1]


def test_the_story_from_sign_in_to_the_truth_page(open_window: Opener) -> None:
    window = open_window("ja")
    page = window.go("/board")
    expect(page.get_by_role("heading", level=1)).to_have_text("役割を選んでください")
    page.get_by_role("button", name="T&Sスペシャリスト").click()
    page.wait_for_url("**/board")
    bar = page.locator("#story")
    expect(bar).to_be_visible()
    expect(page.get_by_text("模擬データです。")).to_be_visible()
    # The bar moves by itself, to the end of the evening.
    expect(page.locator("#story[data-story=over]")).to_be_attached(timeout=SOON)
    expect(bar).to_contain_text("一夜が終わりました")
    bar.get_by_role("link", name="見る").click()
    page.wait_for_url("**/truth")
    expect(page.get_by_role("heading", level=1)).to_have_text("答え合わせ")
    expect(page.get_by_text("Kobanはこれを見ていません。")).to_be_visible()
    hurt = page.locator("#hurt tbody tr", has_text="荒らされた配信の視聴者")
    expect(hurt).to_have_count(1)
    expect(hurt).to_contain_text("live_devices")
    expect(hurt.locator(".pill.good")).to_contain_text("分後")
    raid = page.locator("tbody tr", has=page.get_by_role("rowheader", name="配信荒らし"))
    expect(raid).to_contain_text("%")
    hurt.get_by_role("link", name="判定1").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("ブロック")


def test_the_page_and_the_command_line_say_the_same(open_window: Opener, demo: Server) -> None:
    from koban.sim import Target, main_report

    page = open_window("en").enter()
    expect(page.locator("#story[data-story=over]")).to_be_attached(timeout=SOON)
    said = main_report(
        Target(base_url=str(demo.client.base_url), token=demo.token), demo.data.parent / f"{demo.data.name}-truth"
    )
    page.goto(f"{page.url.rsplit('/', 1)[0]}/truth")
    missed = [line for line in said.culprits if not line.found]
    assert page.locator("#missed tbody tr").count() == len(missed)
    assert page.locator("#hurt tbody tr").count() == said.honest_hurt
    tiles = page.locator(".tile .figure").all_inner_texts()
    assert tiles[0].replace("\n", "").startswith(f"{len(said.culprits) - len(missed)}")
    assert f"{said.planted_minor - said.stopped_minor - said.reviewed_minor:,}" in tiles[2]
    assert any(line.undone_after_us is not None and not line.standing for line in said.hurt)
    assert {line.name for line in said.rules} >= {"live_devices"}


def test_a_newcomer_finds_the_evening_s_money_from_the_board(open_window: Opener) -> None:
    page = open_window("en").enter("finance")
    expect(page.locator("#story[data-story=over]")).to_be_attached(timeout=SOON)
    page.get_by_role("navigation").get_by_role("link", name="Money", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Money")
    expect(page.get_by_text("JPY: debits equal credits")).to_be_visible()
    page.locator(".page-head").get_by_role("link", name="Payments").click()
    captured = page.locator("tbody tr", has_text="captured").first
    captured.locator("td").nth(4).get_by_role("link").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("o-")
    expect(page.locator("main")).to_contain_text("An authorised payment was captured")


def test_the_evening_is_paused_restarted_and_left_from_any_page(open_long_window: Opener) -> None:
    page = open_long_window("en").enter("lead")
    page.goto(page.url.replace("/board", "/rules"))
    page.get_by_role("button", name="Leave").click()
    expect(page.locator("#story[data-story=left]")).to_contain_text("The simulation was left")
    page.get_by_role("button", name="Restart").click()
    expect(page.locator("#story[data-story=playing]")).to_be_attached()
    assert page.url.endswith("/rules")
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("#story[data-story=paused]")).to_be_attached()
    stood = page.locator(".story-clock").inner_text()
    page.wait_for_timeout(4_000)  # two minutes of an evening that goes on
    assert page.locator(".story-clock").inner_text() == stood
    page.get_by_role("button", name="Go on").click()
    expect(page.locator("#story[data-story=playing]")).to_be_attached()
    page.get_by_role("button", name="Leave").click()
    expect(page.locator("#story[data-story=left]")).to_be_attached()


def test_own_csv_to_a_precision_figure(open_window: Opener, tmp_path: pathlib.Path) -> None:
    lines = ["受信日時,送信者,本文,判定"]
    for number in range(60):
        lure = number % 5 == 0
        text = "手数料がもったいないので直接振込でお願いします" if lure else "購入しました。発送お待ちしています"
        lines.append(f"2024/03/01 10:{number:02d},会員{number % 7},{text}{number},{'違反' if lure else '正常'}")
    file = tmp_path / "問い合わせ.csv"
    file.write_bytes("\r\n".join(lines).encode("cp932"))
    window = open_window("ja")
    page = window.enter()
    window.go("/logs")
    page.set_input_files("#file", file)
    page.get_by_role("button", name="取り込んで中身を見る").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("問い合わせ.csv", timeout=SOON)
    assert page.locator("#encoding").input_value() == "cp932"
    expect(page.get_by_role("combobox", name="本文 意味")).to_have_value("text")
    expect(page.get_by_role("combobox", name="判定 意味")).to_have_value("truth")
    expect(page.locator("#own-preview")).to_contain_text("手数料がもったいないので直接振込でお願いします0")
    # What is chosen wrongly is said at once, kindly; and put right.
    page.get_by_role("combobox", name="送信者 意味").select_option("text")
    expect(page.locator("#own-preview")).to_contain_text("同じ意味の列が2つあります", timeout=SOON)
    page.get_by_role("combobox", name="送信者 意味").select_option("sender.id")
    expect(page.locator("#own-preview")).to_contain_text("会員0", timeout=SOON)
    page.get_by_role("button", name="判定する", exact=True).click()
    expect(page.locator("#own-precision")).to_have_text("–", timeout=SOON)
    expect(page.locator("[data-hit]").first).to_be_focused()
    assert page.locator("[data-hit]").count() == 12
    late: list[tuple[Route, APIResponse]] = []
    page.route("**/logs/*/marks", lambda route: late.append((route, route.fetch())), times=1)
    for key in "11112113":
        page.keyboard.press(key)
    while not late:
        page.wait_for_timeout(100)
    page.wait_for_timeout(1_000)  # in which the marks behind it would overtake the answer to the first
    late[0][0].fulfill(response=late[0][1])
    expect(page.locator("#own-precision")).to_have_text("85.7%", timeout=SOON)
    expect(page.locator("#own-figures")).to_contain_text("採点7件中6件が正解")
    with page.expect_download() as download:
        page.get_by_role("link", name="採点をダウンロード").click()
    labels = pathlib.Path(download.value.path()).read_text(encoding="utf-8").splitlines()
    assert len(labels) == 9
    assert sum(",right," in line for line in labels) == 6
    page.get_by_role("button", name="このログを削除").click()
    expect(page.get_by_text("ログを削除しました。")).to_be_visible()
    expect(page.get_by_text("問い合わせ.csv")).to_have_count(0)


def test_a_whole_inbox_from_upload_to_a_precision_figure_with_what_each_step_took(
    open_window: Opener, tmp_path: pathlib.Path
) -> None:
    """`KOBAN_OWN_ROWS=10000 pytest -s` says what docs/guides/first-minutes.md says of the ten thousand."""
    rng, file = random.Random(20_261_021), tmp_path / "inbox.csv"
    rows = [["sent_at", "member", "body"]]
    for number in range(OWN_ROWS):
        said = rng.choice(LURES) if rng.random() < 0.02 else rng.choice(HONEST)
        rows.append(
            [f"2026-09-{1 + number * 29 // OWN_ROWS:02d} 12:00:00", f"m{rng.randrange(3_000)}", f"{said} {number}"]
        )
    with file.open("w", encoding="utf-8", newline="") as out:
        csv.writer(out).writerows(rows)
    lures = sum(any(lure in row[2] for lure in LURES) for row in rows)
    window = open_window("en")
    page = window.enter()
    window.go("/logs")
    began, told = time.monotonic(), []

    def step(what: str) -> None:
        told.append(f"{what} {time.monotonic() - began:.1f} s")

    page.set_input_files("#file", file)
    page.locator("form[enctype] button.primary").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("inbox.csv", timeout=SOON)
    expect(page.get_by_role("combobox", name="body Means")).to_have_value("text")
    expect(page.locator("#own-preview")).to_contain_text("m", timeout=SOON)
    step("mapped")
    page.get_by_role("button", name="Judge it now", exact=True).click()
    expect(page.locator("#own-precision")).to_have_text("–", timeout=4 * SOON)
    step("judged")
    expect(page.locator("main")).to_contain_text(f"{OWN_ROWS:,}")
    marked = min(20, lures)
    for number in range(marked):
        page.keyboard.press("1" if number % 10 else "2")
        expect(page.locator("#own-figures")).to_contain_text(f"of {number + 1} marked are right", timeout=SOON)
    right = marked - len(range(0, marked, 10))
    expect(page.locator("#own-precision")).to_have_text(f"{100 * right / marked:.1f}%", timeout=SOON)
    step(f"precision after {marked} marks")
    print(f"{OWN_ROWS} rows: {', '.join(told)}")
    page.locator("button[value=delete]").click()
    page.wait_for_url("**/logs?done=*")


@pytest.mark.parametrize(("language", "theme"), FORMS)
def test_these_pages_read_well_in_every_form(
    open_window: Opener, tmp_path: pathlib.Path, language: str, theme: str
) -> None:
    file = tmp_path / "mine.csv"
    file.write_text(
        "text,label\n" + "".join(f"直接取引しませんか {each},{each % 2}\n" for each in range(30)), encoding="utf-8"
    )
    window = open_window(language, theme, width=390 if theme == "dark" else 1440)
    window.go("/sign-in")
    found = {"/sign-in": (window.violations(), window.foreign(language))}
    page = window.enter()
    window.go("/logs")
    page.set_input_files("#file", file)
    page.locator("form[enctype] button.primary").click()
    expect(page.locator("[data-own-map]")).to_be_visible(timeout=SOON)
    found["map"] = (window.violations(), window.foreign(language))
    page.locator("button[value=judge]").click()
    expect(page.locator("#own-precision")).to_be_visible(timeout=SOON)
    found["judged"] = (window.violations(), window.foreign(language))
    page.locator("button[value=delete]").click()
    page.wait_for_url("**/logs?done=*")
    found["logs"] = (window.violations(), window.foreign(language))
    window.go("/truth")
    found["truth"] = (window.violations(), window.foreign(language))
    if page.viewport_size is not None and page.viewport_size["width"] == 390:
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert {name: each for name, each in found.items() if any(each)} == {}
