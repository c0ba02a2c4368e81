"""Banks against a running server: from the command line, and in a real Chromium with axe."""

import json
import pathlib
import random
import time
from collections.abc import Iterator

import msgspec
import pytest
from playwright.sync_api import Browser
from tests.banking.ground import HANAKO, US, statement, without_rules
from tests.browser.conftest import WATCH, chromium
from tests.browser.looks import TEXTS, axe, is_foreign
from tests.conftest import hire
from tests.server.conftest import Server, run_koban, start_server

from koban.access import SYSTEM, issue_token
from koban.access.permissions import CATALOGUE
from koban.audit import SystemSecrets
from koban.base import Instant
from koban.db import Database

assert chromium is not None  # the fixture of the browser's tests


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with money in a wallet."""
    folder = tmp_path_factory.mktemp("bank")
    with start_server(folder / "data", KOBAN_PACK=str(without_rules(folder))) as started:
        earned = {"order": "o1", "payment": "p1", "provider": "gmo", "amount": 10_000}
        for posting, template, parameters in (
            ("paid", "order_paid_card", earned),
            ("done", "order_completed", {"order": "o1", "seller": "a", "amount": 10_000, "fee": 0}),
            ("own", "company_paid_in", {"bank_line": "z", "amount": 20_000}),
        ):
            answer = started.client.post(
                "/v1/ledger/postings",
                json={"id": posting, "template": template, "parameters": parameters},
                headers=second_person(started),
            )
            assert answer.json()["code"] == "posted", answer.text
        yield started


def cli(bank: Server, *arguments: str) -> str:
    done = run_koban("bank", *arguments, data=bank.data, port=bank.port)
    assert done.returncode == 0, done.stderr
    return done.stdout


def second_person(bank: Server) -> dict[str, str]:
    """Issue a token of somebody else with every scope, those of machines among them."""
    database = Database.open(f"sqlite:///{bank.data}/koban.db")
    try:
        hire(database, "staff_ben")
        with database.write() as tx:
            _, token = issue_token(
                tx, Instant(time.time_ns() // 1_000), random.Random(9), SystemSecrets(),
                by=msgspec.structs.replace(SYSTEM, id="staff_ben"), name="ben", scopes=tuple(CATALOGUE), days=1,
            )  # fmt: skip
    finally:
        database.close()
    return {"authorization": f"Bearer {token}"}


def test_a_cash_out_from_the_command_line(bank: Server, tmp_path: pathlib.Path) -> None:
    own = tmp_path / "account.json"
    own.write_text(json.dumps(US))
    assert '"consignor": "123456789"' in cli(bank, "add-account", str(own))
    assert "P000001  account  main  new  a new account of ours" in cli(bank, "line", "proposals")
    refused = run_koban("bank", "line", "approve", "P000001", data=bank.data, port=bank.port)
    assert (refused.returncode, "A second person has to approve this." in refused.stderr) == (2, True)
    bank.client.post("/v1/bank/proposals/P000001/approve", headers=second_person(bank)).raise_for_status()
    assert "main  みずほ  0001-001 1234567  zengin" in cli(bank, "accounts")
    asked = {"id": "out", "account": "a", "amount_minor": 5_000, "level": "identity", "payee": HANAKO}
    assert bank.command("/v1/bank/cash-outs", asked).status_code == 403  # no person names where money goes
    machine = bank.client.post("/v1/bank/cash-outs", json=asked, headers=second_person(bank))
    assert machine.status_code == 200, machine.text
    assert "out         5,000 JPY  waiting  -" in cli(bank, "cash-outs", "--state", "waiting")
    assert cli(bank, "batch", "propose", "main").startswith("T000001: 1 cash-outs, 5,000, on ")
    refused = run_koban("bank", "batch", "approve", "T000001", data=bank.data, port=bank.port)
    assert (refused.returncode, "A second person has to approve this." in refused.stderr) == (2, True)
    approved = bank.client.post("/v1/bank/batches/T000001/approve", headers=second_person(bank))
    assert approved.json()["state"] == "released", approved.text
    file = tmp_path / "file.txt"
    assert approved.json()["file_hash"] in cli(bank, "batch", "file", "T000001", "--to", str(file))
    assert {len(line) for line in file.read_bytes().split(b"\r\n")[:-1]} == {120}
    assert "T000001  main  released  1  5,000" in cli(bank, "batch", "list")
    assert '"state": "sent"' in cli(bank, "batch", "show", "T000001")
    day = tmp_path / "day.txt"
    today = time.gmtime(time.time() + 9 * 3_600)
    written = f"{today.tm_year - 2018:02d}{today.tm_mon:02d}{today.tm_mday:02d}"
    day.write_bytes(statement([(-5_000, "", "", ""), (-330, "", "", "")], opening=20_000, day=written))
    assert ": 2 lines" in cli(bank, "import", str(day))
    assert ": 2 lines" in cli(bank, "import", str(day))
    assert "unmatched_debit" in cli(bank, "line", "list")
    assert "somebody else approves it" in cli(bank, "line", "match", "S000001.00002", "fee", "--reason", "monthly")
    assert "P000002  match  S000001.00002  fee  monthly" in cli(bank, "line", "proposals")
    assert cli(bank, "line", "decline", "P000002") == "P000002: declined\n"
    broken = tmp_path / "broken.txt"
    broken.write_bytes(day.read_bytes()[:-203])
    refused = run_koban("bank", "import", str(broken), data=bank.data, port=bank.port)
    assert (refused.returncode, "/records/4/データ区分" in refused.stderr) == (2, True)
    assert "a file that leaves now is taken on" in cli(bank, "calendar")


@pytest.mark.parametrize("language", ["en", "ja"])
@pytest.mark.parametrize(("theme", "width"), [("light", 1440), ("dark", 390)])
def test_bank_pages_are_accessible_and_speak_one_language(
    bank: Server, chromium: Browser, language: str, theme: str, width: int
) -> None:
    context = chromium.new_context(
        locale=language,
        color_scheme="dark" if theme == "dark" else "light",
        viewport={"width": width, "height": 900},
        extra_http_headers={**second_person(bank), "accept-language": language},
    )
    context.add_init_script(WATCH)
    page = context.new_page()
    base = str(bank.client.base_url).rstrip("/")
    for path in ("/bank", "/bank/batches/T000001", "/bank/lines", "/bank/lines/S000001.00002", "/bank/cash-outs/out"):
        page.goto(base + path)
        assert page.title().endswith("Koban"), path
        assert axe(page) == [], path
        assert [each for each in page.evaluate(TEXTS) if is_foreign(each, language)] == [], path
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        assert page.evaluate("window.violations") == [], path
    context.close()
