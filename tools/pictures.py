"""Take the pictures of the docs and the README: `make screenshots`.

Starts the demonstration on a free port with its own data, opens a one-click role, waits until there is something to see,
and writes each page as a small WebP to docs/pictures. Needs a Chromium; nothing else is touched.
"""

import base64
import contextlib
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

from playwright.sync_api import BrowserContext, Page, StorageState, sync_playwright

ROOT = pathlib.Path(__file__).resolve().parent.parent
OUT = ROOT / "docs" / "pictures"
BYTES_MAX = 200_000  # of one picture: the repository is not to grow by them
QUALITY = 62
LAUNCH = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-dev-shm-usage")
WATCHED_S = 150  # of the evening, before the first picture: the raid and the outage have begun by then
PLAIN = {
    "board": "/board",
    "search": "/search?q=%E3%82%B5%E3%82%A4%E3%83%88%E5%A4%96",
    "cases": "/cases",
    "rules": "/rules",
    "truth": "/truth",
    "money": "/money",
    "exceptions": "/money/exceptions",
    "audit": "/audit",
    "accounts": "/accounts?state=any",
}
LINKED = {  # name -> page it is reached from, and the first link there to follow
    "decision": ("/decisions?verdict=block", "main a.pill-link"),
    "account": ("/sanctions?kind=freeze_payout", "main tbody a[href^='/subjects/account/']"),
    "case": ("/cases?queue=scams", "main tbody a[href^='/cases/case_']"),
    "rule": ("/rules", "main tbody a.id"),
    "lab": ("/lab?section=rules&name=off_platform_payment", ""),
}
FORMS = (("ja", "light"), ("en", "light"))


def main() -> int:
    """Take the pictures; return how the process ends."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        print("screenshots: no Chromium on this machine (apt-get install chromium)", file=sys.stderr)
        return 2
    OUT.mkdir(parents=True, exist_ok=True)
    with demonstration() as (url, link), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(LAUNCH))
        state = _sign_in(browser.new_context(), link)
        for language, theme in FORMS:
            context = browser.new_context(
                storage_state=state, locale=language, color_scheme="dark" if theme == "dark" else "light",
                viewport={"width": 1440, "height": 900},
            )  # fmt: skip
            page = context.new_page()
            for name, path in {**PLAIN, **{name: path for name, (path, _) in LINKED.items()}}.items():
                page.goto(url + path)
                if name in LINKED and LINKED[name][1] and page.locator(LINKED[name][1]).count():
                    page.goto(url + str(page.locator(LINKED[name][1]).first.get_attribute("href")))
                _keep(page, f"{name}-{language}")
            context.close()
        browser.close()
    return 0


@contextlib.contextmanager
def demonstration() -> Iterator[tuple[str, str]]:
    """Run the demonstration until the block ends; yield its address and the first sign-in."""
    with tempfile.TemporaryDirectory() as data, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        environment = {**os.environ, "KOBAN_DATA": data, "KOBAN_PORT": str(port), "KOBAN_LOG_LEVEL": "warning"}
        process = subprocess.Popen(
            [pathlib.Path(sys.executable).parent / "koban", "demo"],
            env=environment, cwd=ROOT, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            assert process.stdout is not None
            link = next(
                found[0] for line in process.stdout if (found := re.search(r"http://\S+/sign-in/link/\S+", line))
            )
            time.sleep(WATCHED_S)
            yield f"http://127.0.0.1:{port}", link
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=60)


def _sign_in(context: BrowserContext, link: str) -> StorageState:
    page = context.new_page()
    page.goto(link)
    page.fill("#name", "相田 恵")
    page.fill("#email", "admin@koban.test")
    page.fill("#password", "correct horse battery staple")
    page.click("form.fields button")
    page.wait_for_url(re.compile("/board"))
    state = context.storage_state()
    context.close()
    return state


def _keep(page: Page, name: str) -> None:
    """Write what the window shows as WebP, in a lower quality where it would be too large."""
    session = page.context.new_cdp_session(page)
    for quality in (QUALITY, QUALITY // 2, QUALITY // 4):
        shot = session.send("Page.captureScreenshot", {"format": "webp", "quality": quality})
        picture = base64.b64decode(shot["data"])
        if len(picture) <= BYTES_MAX:
            break
    (OUT / f"{name}.webp").write_bytes(picture)
    print(f"docs/pictures/{name}.webp: {len(picture) // 1000} kB")


if __name__ == "__main__":
    sys.exit(main())
