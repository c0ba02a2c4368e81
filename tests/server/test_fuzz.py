"""An API fuzzer over our own OpenAPI document finds no answer of the 500 kind.

The server has something of everything first, and the fuzzer knows what it is called: behind an id that is not there it
would see nothing but 404s.
"""

import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import httpx
import pytest
from tests.conftest import fresh_address
from tests.server.conftest import Server, start_server

from koban.access import CATALOGUE
from koban.access.logic import csrf_token

IS_LONG = os.environ.get("KOBAN_LONG") == "1"
EXAMPLES = 20 if IS_LONG else 5  # of each operation
PHASES = "coverage,fuzzing" if IS_LONG else "fuzzing"  # coverage: every bound and wrong type that the document names
STARTER = pathlib.Path(__file__).parents[2] / "packs" / "starter"
LURE = "手数料がもったいないので、サイトを通さず直接振り込んでください"
THREAT = "殺すぞ。家に行くからな。住所は知ってる"
PAYEE = {"bank": "0001", "branch": "001", "type": "ordinary", "number": "7654321", "name": "ヤマダ タロウ"}

# A part of the API, where its things are listed, what a thing's name is called there, and in the path.
FAMILIES = (
    ("cases", "/v1/cases", "id", "id"),
    ("sanctions", "/v1/sanctions", "id", "id"),
    ("appeals", "/v1/appeals", "id", "id"),
    ("actions", "/v1/actions", "id", "id"),
    ("webhooks", "/v1/webhooks", "id", "id"),
    ("quarantine", "/v1/quarantine", "id", "quarantine_id"),
    ("payments", "/v1/payments", "id", "id"),
    ("bank/cash-outs", "/v1/bank/cash-outs", "id", "id"),
    ("bank/batches", "/v1/bank/batches", "id", "id"),
    ("ledger/books", "/v1/ledger/books", "book", "id"),
    ("ledger/transfers", "/v1/ledger/transfers", "id", "id"),
    ("lists", "/v1/lists", "name", "name"),
    ("queues", "/v1/queues", "queue", "name"),
    ("reconciliation/exceptions", "/v1/reconciliation/exceptions", "id", "id"),
    ("oncall/pages", "/v1/oncall/pages", "id", "id"),
    ("decisions", "/v1/decisions", "seq", "seq"),
    ("packs", "/v1/packs/activations", "digest", "digest"),
    ("staff", "/v1/staff", "id", "id"),
    ("logs", "/v1/logs", "name", "name"),
)

MAY_LACK = {"logs", "bank/batches", "reconciliation/exceptions"}  # what another day or another person brings

ENDS_TOKENS = r"^/v1/tokens/\{id\}$"  # the fuzzer learns ids from answers, and its own token is one of them


def _take_every_scope(server: Server) -> None:
    """Go on with a token that may do whatever a token may: an administrator gives it, machines' scopes by name."""
    admin = next(each for each in server.client.get("/v1/staff").json()["items"] if each["roles"] == ["admin"])
    link = server.command(f"/v1/staff/{admin['id']}/link", {}).json()["path"]
    with httpx.Client(base_url=server.client.base_url, trust_env=False, timeout=30) as browser:
        assert browser.get(link).status_code == 303
        guard = {"x-csrf-token": csrf_token(browser.cookies["koban_session"])}
        wanted = {"name": "fuzzer", "scopes": sorted(CATALOGUE), "days": 1}
        given = browser.post("/v1/tokens", json=wanted, headers=guard)
    assert given.status_code == 201, given.text
    server.token = given.json()["secret"]
    server.client.headers["authorization"] = f"Bearer {server.token}"


def _furnish(server: Server) -> dict[str, str]:
    """Bring about something of everything; return the settings file's text for each part of the API."""

    def ask(path: str, body: Mapping[str, Any]) -> None:  # Any: JSON of all kinds
        answer = server.command(path, body)
        assert answer.status_code < 300, (path, answer.text)

    for number, text in enumerate((LURE, THREAT, LURE)):
        sender = {"id": f"u{number}"}
        data = {"sender": sender, "recipient": {"id": "hana"}, "message": {"id": f"m{number}"}, "text": text}
        event = {"specversion": "1.0", "id": f"e{number}", "source": "shop", "type": "message.sent", "data": data}
        assert server.post(event).status_code == 200
        assert server.post({**event, "id": f"q{number}", "type": "nobody.knows"}).status_code == 422
    posting = {"account": "u1", "bank_line": "l1", "amount": 50_000}
    ask(
        "/v1/ledger/postings",
        {"id": "in", "template": "cash_in", "currency": "JPY", "level": "identity", "parameters": posting},
    )
    account = {"id": "main", "title": "Main", "bank": "0001", "branch": "001", "number": "1234567", "name": "コバン"}
    server.command("/v1/bank/accounts", {**account, "consignor": "0000000001"})  # where one person may add one
    ask(
        "/v1/bank/cash-outs", {"id": "co1", "account": "u1", "amount_minor": 3_000, "payee": PAYEE, "level": "identity"}
    )
    server.command("/v1/bank/batches", {"account": "main"})
    part = {"method": "card", "amount_minor": 1_000, "provider": "main", "token": "tok"}
    ask("/v1/payments", {"id": "pay1", "order": "o1", "account": "u1", "parts": [part], "level": "identity"})
    ask("/v1/webhooks", {"url": "http://127.0.0.1:9/", "allow_private": True})
    ask("/v1/oncall/pages", {"detail": "help"})
    ask("/v1/staff", {"email": "hana@example.jp", "name": "Hana", "roles": ["finance"]})
    ask("/v1/reconciliation/runs", {})
    sanction = {"subject_kind": "account", "subject_id": "u1", "kind": "suspend", "policy": "fraud/phishing"}
    ask("/v1/sanctions", {**sanction, "because": {"en": "It is known.", "ja": "確認済みです。"}})
    sanctions = server.client.get("/v1/sanctions").json()["items"]
    ask("/v1/appeals", {"sanction_id": sanctions[0]["id"], "text": "違います", "language": "ja"})
    return {
        family: name
        for family, listed, member, parameter in FAMILIES
        if (name := _settings(server, family, listed, member, parameter))
    }


def _settings(server: Server, family: str, listed: str, member: str, parameter: str) -> str:
    answer = server.client.get(listed).json()
    items = answer["items"] if isinstance(answer, dict) else answer
    if family == "staff":
        items = [each for each in items if each["roles"] != ["admin"]]  # whoever disables the admin ends the token
    if not items:
        return ""
    pattern = "^/v1/" + family + r"/\{" + parameter + r"\}"
    return (
        f"[[operations]]\ninclude-path-regex = {json.dumps(pattern)}\n[operations.parameters]\n"
        f'"path.{parameter}" = {json.dumps(items[0][member])}\n'
    )


@pytest.mark.timeout(1_500 if IS_LONG else 900)
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_the_fuzzer_finds_no_server_error(request: pytest.FixtureRequest, tmp_path: pathlib.Path, kind: str) -> None:
    providers = tmp_path / "providers.json"
    providers.write_text(json.dumps([{"name": "main", "kind": "simulated"}]), encoding="utf-8")
    more = {"KOBAN_PACK": str(STARTER), "KOBAN_PAYMENT_PROVIDERS": str(providers), "KOBAN_ALLOW_PRIVATE_WEBHOOKS": "1"}
    with (
        fresh_address(request, kind, tmp_path / "data") as address,
        start_server(tmp_path / "data", KOBAN_DATABASE_URL=address, **more) as server,
    ):
        _take_every_scope(server)
        known = _furnish(server)
        assert {each[0] for each in FAMILIES} - set(known) <= MAY_LACK
        (tmp_path / "fuzz.toml").write_text("\n".join(known.values()), encoding="utf-8")
        settings = tmp_path / "fuzz.toml"
        _fuzz(server, settings, "--exclude-path-regex", ENDS_TOKENS)
        assert server.client.get("/v1/rules").status_code == 200, "the token came to an end, and with it the fuzzing"
        _fuzz(server, settings, "--include-path-regex", ENDS_TOKENS)
        assert server.client.get("/v1/rules").status_code in {200, 401}
        del server.client.headers["authorization"]
        assert server.alive()


def _fuzz(server: Server, settings: pathlib.Path, *selected: str) -> None:
    ended = subprocess.run(
        [
            sys.executable, "-m", "schemathesis.cli", "--config-file", str(settings),
            "run", f"http://127.0.0.1:{server.port}/openapi.json",
            "--header", f"Authorization: Bearer {server.token}",
            "--checks", "not_a_server_error", "--phases", PHASES, "--max-examples", str(EXAMPLES),
            "--generation-deterministic", "--no-color", *selected,
        ],
        capture_output=True, text=True, timeout=1_400 if IS_LONG else 850, check=False, cwd=settings.parent,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout[-6_000:] + ended.stderr[-2_000:]
