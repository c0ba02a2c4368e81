"""Every page of the console in a real Chromium, found by following links: both languages, both themes, wide and small.

Nothing here names a page that the navigation leads to: a new one is looked at by itself. A failure is a table from the
page's address to what is wrong with it. If a kind of page is not reached, `furnish` lacks what would link to it.
"""

import functools
import html
import os
import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.browser.conftest import Opener, Reader, Site
from tests.browser.looks import TEXTS, axe, is_foreign
from tests.browser.money import furnish_money
from tests.console.conftest import Visitor
from tests.console.scene import Scene
from tests.console.test_lab import form as lab_form

from koban import console
from koban.access import PUBLIC
from koban.base import DAY, Instant
from koban.enforcement.appeals import link_token
from koban.lab.editing import block_of
from koban.ledger.bookings import BookingBody, WantsPosting
from koban.oncall import link_of, open_page
from koban.pipeline.booking import propose_booking
from koban.reconciliation import take_file

WIDE, SMALL = 1440, 390
FORM_RULES = ("color-contrast", "target-size", "scrollable-region-focusable")  # what theme and width change
FORMS = (  # theme, width, whether all of axe's rules are asked; small and dark comes last, for what is looked at besides
    ("light", WIDE, True), ("dark", WIDE, False), ("light", SMALL, False), ("dark", SMALL, True),
)  # fmt: skip
EVERY_FORM = os.environ.get("KOBAN_EVERY_FORM") == "1"  # all rules in all forms
PARTS = 3  # of all pages, so that no single test is long
TRIED = 4  # addresses of each kind of page that are read, so that the one with the most on it is looked at
APART = {  # kinds of pages that are no pages by themselves, or looked at elsewhere
    "/": "leads to the board",
    "/board/live": "a part of the board",
    "/board/stream": "a part of the board",
    "/export/{list}": "leads to a file",
    "/money/journal": "leads to a file",
    "/sign-in": "looked at before anybody signs in",
    "/static/{file}": "no page",
    "/story/bar": "a part of each page of a demonstration",
    "/logs": "needs the whole application: test_first_minutes.py",
    "/logs/{name}": "needs the whole application: test_first_minutes.py",
    "/logs/{name}/labels.csv": "a file",
}
EMPTY = (
    "/decisions?rule=no_such_rule",
    "/search?q=zzzz",
    "/cases?status=closed&queue=none",
    "/money/orders?order=none",
)
MISSING = "/nothing/here"
BANK = b"id,booked_on,amount,currency\nl9,2026-10-21,320,JPY\n"
LURE = "はじめまして。こちらで本人確認をお願いします http://amazonite.top/pay"


def furnish(scene: Scene, admin: Visitor) -> list[str]:
    """Bring about what pages need to be there; return the addresses that only forms lead to."""
    cases = [scene.message(f"page-{place}", LURE).cases[0] for place in range(3)]
    record = scene.message("page-hidden", "直取引しませんか")
    money = furnish_money(scene)
    wanted = BookingBody(
        id="by-hand",
        reason="l7 at the bank",
        wants=WantsPosting(
            template="cash_in", level="identity", parameters={"account": "b1", "bank_line": "l7", "amount": 700}
        ),
    )
    scene.desk.command(functools.partial(propose_booking, body=wanted, by="staff_other"))
    take_file(scene.database, scene.clock.now(), "bank", "main", BANK)
    assert scene.kit.reconciliation.run().exceptions > 0
    batch = admin.send("/cases", "/cases/bulk", **{f"case_{cases[0]}": "1"}, outcome="upheld", do="apply")
    assert batch.status_code == 303, batch.text[:400]
    for shop in ("u-31", "u-32"):  # a list that has a version to go back to
        listed = admin.send(
            "/lists/trusted_accounts", "/lists/trusted_accounts", values=shop, note="a partner", until="week"
        )
        assert listed.status_code == 303, listed.text[:400]
    rule = next(iter(scene.pack.rules))
    text = block_of(scene.pack, "rules", rule).text
    changed = text.rstrip() + "\n  # looked at\n"
    _, looked, _ = lab_form(
        admin, rule, re.sub(r"  when: >-\n(    .*\n)+", "  when: account.id IS NOT NULL\n", text), do="look"
    )
    run = re.search(r"/lab/runs/run_\d+", looked)
    assert run is not None
    cap = scene.pack.rules[rule].cap_per_hour
    _, _, draft = lab_form(
        admin, rule, changed.replace(f"cap: {cap} per", "cap: 7 per"), do="propose", reason="fewer people"
    )
    assert draft.startswith("/drafts/"), draft
    with scene.database.write() as tx:
        called = open_page(
            scene.kit.oncall, tx, scene.clock.now(), kind="actions.unconfirmed", about="page", detail="3 of 9"
        )
        staff = str(tx.rows("SELECT id FROM staff WHERE email = ?", (scene.email("specialist"),))[0][0])
    receipt = link_of(scene.kit.oncall, called.id, staff).removeprefix("http://koban.test")
    token = link_token(scene.kit.appeal_key, record.sanctions[0], Instant(scene.clock.now() + DAY))
    return [
        run[0], draft.partition("?")[0], batch.headers["location"].partition("?")[0], f"/on-call/pages/{called.id}", receipt,
        f"/appeal/{token}", f"/take-back?kind=message&id=m-page-hidden&s.{record.sanctions[0]}=1&how=overturn",
        "/money/orders?order=o1", *money,
    ]  # fmt: skip


class Walk:
    """Follows links from the board and keeps, for each kind of page, the address with the most on it."""

    def __init__(self, scene: Scene, reader: Visitor) -> None:
        found = [each for each in console.endpoints(scene.kit) if each.method == "GET" and each.path not in APART]
        self.kinds = sorted((each.path for each in found), key=lambda path: (path.count("{"), path))
        self.public = {each.path for each in found if each.permission == PUBLIC}
        self._patterns = [(kind, re.compile(_pattern(kind))) for kind in self.kinds]
        self._reader = reader
        self._read: dict[str, dict[str, int]] = {kind: {} for kind in self.kinds}
        self.broken: dict[str, int] = {}

    def follow(self, starts: list[str]) -> list[str]:
        left = list(starts)
        while left:
            address = left.pop(0)
            kind = self.kind_of(address)
            if kind is None or address in self._read[kind] or len(self._read[kind]) >= TRIED:
                continue
            answer = self._reader.get(address)
            self._read[kind][address] = len(answer.text)
            if answer.status_code != 200:
                self.broken[address] = answer.status_code
            links = re.findall(r'href="(/[^"#]*)', answer.text)
            left.extend(html.unescape(link) for link in links if "language=" not in link)
        return [max(each, key=lambda address: (each[address], address)) for each in self._read.values() if each]

    def kind_of(self, address: str) -> str | None:
        path = address.partition("?")[0]
        return next((kind for kind, pattern in self._patterns if pattern.fullmatch(path)), None)

    def unread(self) -> list[str]:
        return [kind for kind, read in self._read.items() if not read]


def _pattern(kind: str) -> str:
    return re.sub(r"\\{\w+(:path)?\\}", lambda found: ".+" if found[1] else "[^/]+", re.escape(kind))


@pytest.fixture(scope="module")
def walk(site: Site) -> tuple[Walk, list[str]]:
    def run() -> tuple[Walk, list[str]]:
        admin = Visitor(site.scene).sign_in()
        made = Walk(site.scene, admin)
        return made, made.follow(["/board", *furnish(site.scene, admin)])

    with ThreadPoolExecutor(1) as apart:  # a browser that is open has this thread's event loop
        return apart.submit(run).result()


def test_every_kind_of_page_is_reached_by_links_and_no_link_is_broken(walk: tuple[Walk, list[str]]) -> None:
    made, _ = walk
    assert made.broken == {}, "these links lead nowhere"
    assert made.unread() == [], (
        "no link leads to these kinds of pages: link to them, or let furnish() in this file make what links to them,"
        " or say in APART why they are no pages"
    )


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("language", ["en", "ja"])
def test_every_page_reads_well_in_every_form(
    open_reader: Opener, walk: tuple[Walk, list[str]], language: str, part: int
) -> None:
    _, addresses = walk
    reader = open_reader(language)
    reader.go("/sign-in")
    found = {"/sign-in": faults(reader, language)} if part == 0 else {}
    reader.sign_in()
    for address in [*addresses, *EMPTY, MISSING][part::PARTS]:
        reader.go(address)
        found[address] = faults(reader, language)
    wrong = [f"{address}: {each}" for address, told in found.items() for each in told]
    assert not wrong, "\n".join(["", *wrong])


def faults(reader: Reader, language: str) -> list[str]:
    """Return all that is wrong with the page that is open, in words; it stands wide and light before and after."""
    page = reader.page
    told = [f"speaks the other language: {text!r}" for text in page.evaluate(TEXTS) if is_foreign(text, language)]
    told += [f"an id for a name: {each}" for each in re.findall(r"staff_0\w+", page.inner_text("main"))]
    for theme, width, whole in FORMS:
        page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
        page.set_viewport_size({"width": width, "height": 900})
        found = axe(page) if whole or EVERY_FORM else axe(page, only=FORM_RULES)
        told += [f"{width} wide, {theme}: {each}" for each in found]
    reaches = int(page.evaluate("document.scrollingElement.scrollWidth"))
    if reaches > SMALL:
        told.append(f"small: scrolls sideways, {reaches} px wide: {page.evaluate(STICKING_OUT)}")
    page.set_viewport_size({"width": WIDE, "height": 900})
    page.emulate_media(color_scheme="light")
    reader.note_violations()
    told += [f"the browser complains: {each}" for each in reader.complaints if "404" not in each]
    reader.complaints.clear()
    return told


STICKING_OUT = """
() => [...document.querySelectorAll("main *")]
  .filter((node) => node.getBoundingClientRect().right > innerWidth + 1 && !node.closest(".scroll"))
  .slice(0, 3).map((node) => node.outerHTML.slice(0, 120)).join(" | ")
"""
