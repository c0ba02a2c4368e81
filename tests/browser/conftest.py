"""A real Chromium in front of a real server on a free port; skipped only where no Chromium is on the machine."""

import dataclasses
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright
from tests.conftest import START, fresh_database
from tests.console.scene import PASSWORD, Scene, open_scene
from tests.serving import serving

from koban.base import ManualClock

SOON_MS = 60_000  # that a click, a page or what is expected of it may take on a machine that does much else
expect.set_options(timeout=SOON_MS)

LAUNCH = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--no-first-run",
]
WATCH = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) => {
  window.violations.push(`${event.violatedDirective} ${event.blockedURI}`);
});
"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Site:
    """The server, and what it serves."""

    url: str
    scene: Scene


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reader:
    """Somebody in front of a browser, with everything that the browser complained about."""

    page: Page
    site: Site
    complaints: list[str]

    def go(self, path: str) -> None:
        self.page.goto(self.site.url + path)
        self.note_violations()

    def note_violations(self) -> None:
        self.complaints.extend(f"csp {each}" for each in self.page.evaluate("window.violations"))

    def sign_in(self, role: str = "admin") -> "Reader":
        self.go("/sign-in")
        self.page.fill("#email", self.site.scene.email(role))
        self.page.fill("#password", PASSWORD)
        self.page.click("form.fields button")
        self.page.wait_for_url("**/board")
        return self


def _chromium() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    return found


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """One Chromium for all tests."""
    path = _chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=LAUNCH)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server over a scene, on a free port of this machine."""
    folder = tmp_path_factory.mktemp("site")
    with (
        fresh_database(request, "sqlite", folder) as database,
        open_scene(database, ManualClock(START), folder) as scene,
        serving(scene.app) as port,
    ):
        yield Site(url=f"http://127.0.0.1:{port}", scene=scene)


@pytest.fixture
def open_reader(chromium: Browser, site: Site) -> Iterator["Opener"]:
    """Open browsers of any language, theme and width; at the end none of them may have complained."""
    opener = Opener(chromium, site)
    yield opener
    for reader in opener.readers:
        reader.note_violations()
    for context in opener.contexts:
        context.close()
    assert [complaint for reader in opener.readers for complaint in reader.complaints] == []


class Opener:
    """Opens readers and remembers them."""

    def __init__(self, chromium: Browser, site: Site) -> None:
        self._chromium = chromium
        self._site = site
        self.readers: list[Reader] = []
        self.contexts: list[BrowserContext] = []

    def __call__(self, language: str = "en", theme: str = "light", *, width: int = 1440, script: bool = True) -> Reader:
        context = self._chromium.new_context(
            locale=language,
            color_scheme="dark" if theme == "dark" else "light",
            viewport={"width": width, "height": 900},
            java_script_enabled=script,
        )
        context.add_init_script(WATCH)
        page = context.new_page()
        page.set_default_timeout(SOON_MS)
        complaints: list[str] = []

        def complain(message: ConsoleMessage) -> None:
            if message.type == "error":
                complaints.append(message.text)

        page.on("console", complain)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        reader = Reader(page=page, site=self._site, complaints=complaints)
        self.contexts.append(context)
        if script:
            self.readers.append(reader)
        return reader
