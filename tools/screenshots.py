"""Take pictures of the console's main pages from a running server: both languages, both themes, two widths.

`python tools/screenshots.py --url http://127.0.0.1:8420 --email you@example.com --password … --out screenshots`
"""

import argparse
import dataclasses
import os
import pathlib
import shutil
import sys

from playwright.sync_api import Browser, Page, sync_playwright

WIDTHS = {"wide": (1440, 900), "narrow": (390, 844)}
LAUNCH = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-dev-shm-usage")
FOLLOWED = {  # name -> page it is reached from, and the first link there to follow
    "decision": ("/decisions?verdict=block", "a.pill-link"),
    "rule": ("/rules", "main tbody a.id"),
    "sanction": ("/sanctions", "main tbody td:nth-child(2) a"),
    "case": ("/cases", "main tbody td:nth-child(3) a[href^='/cases/']"),
    "list": ("/lists", "main tbody a.id"),
    "subject": ("/sanctions?kind=freeze_payout", "main tbody a[href^='/subjects/account/']"),
}
PAGES = {
    "board": "/board",
    "decisions": "/decisions",
    "events": "/events",
    "rules": "/rules",
    "rules-all": "/rules/all-to-review",
    "sanctions": "/sanctions",
    "cases": "/cases",
    "case-figures": "/cases/figures",
    "protection": "/cases/protection",
    "appeals": "/appeals",
    "actions": "/actions",
    "money": "/money",
    "money-books": "/money/books",
    "money-payments": "/money/payments",
    "money-exceptions": "/money/exceptions",
    "money-bookings": "/money/bookings",
    "money-close": "/money/close",
    "bank": "/bank",
    "bank-lines": "/bank/lines",
    "bank-cash-outs": "/bank/cash-outs",
    "lists": "/lists",
    "truth": "/truth",
    "logs": "/logs",
    "alerts": "/alerts",
    "quarantine": "/quarantine",
    "audit": "/audit",
    "staff": "/staff",
    "tokens": "/tokens",
    "nothing": "/nothing/here",
    "empty": "/decisions?rule=no_such_rule",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Wanted:
    """What to take, and from where."""

    url: str
    email: str
    password: str
    out: pathlib.Path
    only: tuple[str, ...]
    forms: tuple[tuple[str, str, str], ...]  # language, theme, width


def main() -> int:
    """Take the pictures; return how the process ends."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        print("screenshots: no Chromium on this machine (apt-get install chromium)", file=sys.stderr)
        return 2
    wanted = _wanted()
    wanted.out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(LAUNCH))
        for language, theme, width in wanted.forms:
            _take(browser, wanted, language=language, theme=theme, width=width)
        browser.close()
    return 0


def _wanted() -> Wanted:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="http://127.0.0.1:8420")
    parser.add_argument("--email", default=os.environ.get("KOBAN_EMAIL", ""))
    parser.add_argument("--password", default=os.environ.get("KOBAN_PASSWORD", ""))
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("screenshots"))
    parser.add_argument("--only", nargs="*", default=(), help="names of pages")
    parser.add_argument("--languages", nargs="*", default=("ja", "en"))
    parser.add_argument("--themes", nargs="*", default=("light", "dark"))
    parser.add_argument("--widths", nargs="*", default=tuple(WIDTHS))
    given = parser.parse_args()
    return Wanted(
        url=given.url.rstrip("/"),
        email=given.email,
        password=given.password,
        out=given.out,
        only=tuple(given.only),
        forms=tuple((a, b, c) for a in given.languages for b in given.themes for c in given.widths),
    )


def _take(browser: Browser, wanted: Wanted, *, language: str, theme: str, width: str) -> None:
    wide, tall = WIDTHS[width]
    context = browser.new_context(
        viewport={"width": wide, "height": tall}, locale=language, color_scheme="dark" if theme == "dark" else "light"
    )
    page = context.new_page()
    form = f"{language}-{theme}-{width}"

    def keep(name: str) -> None:
        if not wanted.only or name in wanted.only:
            page.screenshot(path=wanted.out / f"{name}-{form}.png", full_page=True)

    page.goto(f"{wanted.url}/sign-in")
    keep("sign-in")
    page.fill("#email", wanted.email)
    page.fill("#password", wanted.password)
    page.click("form.fields button")
    page.wait_for_load_state()
    for name, path in PAGES.items():
        if not wanted.only or name in wanted.only:
            page.goto(wanted.url + path)
            keep(name)
    for name, (path, link) in FOLLOWED.items():
        if not wanted.only or name in wanted.only:
            _follow(page, wanted.url + path, link)
            keep(name)
            if name == "rule":
                page.goto(page.url + "/mode?to=live")
                keep("rule-mode")
            if name == "sanction":
                page.goto(page.url + "/overturn")
                keep("sanction-overturn")
    context.close()


def _follow(page: Page, address: str, link: str) -> None:
    page.goto(address)
    found = page.locator(link)
    if found.count():
        page.goto(page.url.split("/", 3)[0] + "//" + page.url.split("/", 3)[2] + str(found.first.get_attribute("href")))


if __name__ == "__main__":
    sys.exit(main())
