"""A Koban with one account at a bank, two people who work with it, and statements made as a bank makes them."""

import asyncio
import pathlib
import random
import shutil
from collections.abc import Iterator, Sequence
from typing import Any, Final

import httpx
import msgspec
import pytest
from tests.conftest import hire, migrated_address

from koban.access import SYSTEM, issue_token
from koban.access.permissions import CATALOGUE
from koban.app import Koban, asgi, open_koban
from koban.audit import SeededSecrets
from koban.base import Instant, ManualClock, from_rfc3339
from koban.base.settings import read_settings

STARTER: Final = pathlib.Path(__file__).parents[2] / "packs" / "starter"
US: Final = {
    "id": "main", "title": "みずほ", "bank": "0001", "branch": "001", "number": "1234567", "name": "コバン（カ",
    "consignor": "123456789",
}  # fmt: skip
HANAKO: Final = {"bank": "0005", "branch": "001", "type": "ordinary", "number": "42", "name": "ヤマダ　ハナコ"}
TARO: Final = {"bank": "0009", "branch": "015", "type": "current", "number": "7654321", "name": "すずき たろう"}


def moment(text: str) -> Instant:
    at = from_rfc3339(text)
    assert at is not None
    return at


class House:
    """A Koban, and what Anna and Ben ask of it."""

    def __init__(self, koban: Koban, clock: ManualClock) -> None:
        self.koban, self.clock = koban, clock
        self.tokens = {}
        for number, name in enumerate(("anna", "ben", "clerk")):
            scopes = tuple(CATALOGUE) if name != "clerk" else ("bank.read", "ledger.read")
            by = msgspec.structs.replace(SYSTEM, id=f"staff_{name}")
            hire(koban.database, by.id)
            with koban.database.write() as tx:
                _, self.tokens[name] = issue_token(
                    tx, clock.now(), random.Random(number), SeededSecrets(number + 1), by=by, name=name, scopes=scopes,
                    days=300,
                )  # fmt: skip
        self.app = asgi(koban)

    def raw(
        self, method: str, path: str, body: object = None, *, by: str = "anna", data: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:  # fmt: skip
        async def run() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.app)
            with_token = {"authorization": f"Bearer {self.tokens[by]}", **(headers or {})}
            async with httpx.AsyncClient(
                transport=transport, base_url="http://koban.test", headers=with_token
            ) as client:
                if data is not None:
                    return await client.request(method, path, content=data)
                return await client.request(method, path, json=body)

        return asyncio.run(run())

    def ask(self, method: str, path: str, body: object = None, *, by: str = "anna", data: bytes | None = None) -> Any:
        answer = self.raw(method, path, body, by=by, data=data)
        assert answer.is_success, answer.text
        return answer.json()

    def refused(
        self, method: str, path: str, body: object = None, *, by: str = "anna", data: bytes | None = None
    ) -> Any:
        answer = self.raw(method, path, body, by=by, data=data)
        assert answer.is_client_error, answer.text
        return answer.json()

    def post(self, posting: str, template: str, **parameters: object) -> Any:
        body = {"id": posting, "template": template, "parameters": parameters, "level": "identity"}
        answer = self.ask("POST", "/v1/ledger/postings", body)
        assert answer["code"] == "posted", answer
        return answer

    def fund(self, account: str, amount: int) -> None:
        self.post(
            f"in.{account}.{amount}", "cash_in", account=account, bank_line=f"l.{account}.{amount}", amount=amount
        )

    def cash_out(self, cash_out: str, account: str, amount: int, fee: int = 0, payee: object = None) -> Any:
        body = {
            "id": cash_out, "account": account, "amount_minor": amount, "fee_minor": fee, "level": "identity",
            "payee": payee or HANAKO,
        }  # fmt: skip
        return self.ask("POST", "/v1/bank/cash-outs", body)

    def open_account(self, account: dict[str, Any]) -> Any:
        proposed = self.ask("POST", "/v1/bank/accounts", account)["proposal"]
        return self.ask("POST", f"/v1/bank/proposals/{proposed['id']}/approve", by="ben")

    def batch(self) -> Any:
        proposed = self.ask("POST", "/v1/bank/batches", {"account": "main"})
        return self.ask("POST", f"/v1/bank/batches/{proposed['id']}/approve", by="ben")

    def take_in(self, rows: Sequence[tuple[int, str, str, str]], opening: int = 0) -> Any:
        return self.ask("POST", "/v1/bank/statements?name=day.txt", data=statement(rows, opening=opening))

    def lines(self) -> list[tuple[int, str, str | None, str | None]]:
        found = self.ask("GET", "/v1/bank/lines?limit=200")["items"]
        return [(each["amount_minor"], each["state"], each["exception"], each["matched"]) for each in found]

    def audit(self) -> list[tuple[str, str, str]]:
        with self.koban.database.read() as tx:
            return [
                (str(row[0]), str(row[1]), str(row[2]))
                for row in tx.rows("SELECT object_id, action, actor FROM audit_entries ORDER BY id")
            ]

    def state(self, cash_out: str) -> str:
        return str(self.ask("GET", f"/v1/bank/cash-outs/{cash_out}")["state"])

    def balance(self, book: str) -> tuple[int, int]:
        """Return what a book holds, and what is reserved to leave it."""
        answer = self.raw("GET", f"/v1/ledger/books/{book}")
        if answer.status_code == 404:
            return 0, 0
        found = answer.json()
        return found["balance_minor"], found["debits_pending_minor"]

    def people_hold(self) -> int:
        """Return all that is owed to people, in wallets and on its way."""
        totals = self.ask("GET", "/v1/ledger/totals")
        return sum(
            each["credits_posted_minor"] - each["debits_posted_minor"]
            for each in totals
            if each["code"] in {"wallet", "cash_out_transit"}
        )

    def sanction(self, account: str, kind: str) -> Any:
        body = {"subject_kind": "account", "subject_id": account, "kind": kind, "policy": "fraud/item_switch",
                "because": "A second look at who asks.", "for_s": 86_400}  # fmt: skip
        return self.ask("POST", "/v1/sanctions", body)


def statement(rows: Sequence[tuple[int, str, str, str]], *, opening: int = 0, day: str = "081021") -> bytes:
    """Write 入出金取引明細 as a bank does: rows of amount, name, note and EDI."""
    records = [
        "1" "030" + day * 3 + "0001" + " " * 15 + "001" + " " * 15 + "   " "1" "0001234567" + " " * 40
        + ("1" if opening >= 0 else "2") + "1" + f"{abs(opening):014d}" + " " * 71
    ]  # fmt: skip
    for number, (amount, name, note, edi) in enumerate(rows, start=1):
        records.append(
            "2" + f"{number:08d}" + day * 2 + ("1" if amount > 0 else "2") + "11" + f"{abs(amount):012d}" + "0" * 12
            + " " * 12 + " " + " " * 7 + "   " + " " * 10 + name.ljust(48) + " " * 30 + note.ljust(20) + edi.ljust(20)
            + " "
        )  # fmt: skip
    came, went = [row[0] for row in rows if row[0] > 0], [-row[0] for row in rows if row[0] < 0]
    closing = opening + sum(came) - sum(went)
    records.append(
        "8" + f"{len(came):06d}{sum(came):013d}{len(went):06d}{sum(went):013d}" + ("1" if closing >= 0 else "2")
        + f"{abs(closing):014d}{len(rows):07d}" + " " * 139
    )  # fmt: skip
    records.append("9" + f"{len(records) + 1:010d}00001" + " " * 184)
    return "".join(record + "\r\n" for record in records).encode("cp932")


def without_rules(folder: pathlib.Path) -> pathlib.Path:
    """Copy the starter pack without what judges events: money needs none of it, and it takes seconds to compile."""
    pack = folder / "pack"
    pack.mkdir()
    for name in ("pack", "events", "policies", "queues", "calendars", "ledger", "postings"):
        shutil.copy(STARTER / f"{name}.yaml", pack)
    shutil.copytree(STARTER / "postings", pack / "postings")
    return pack


def open_house(
    request: pytest.FixtureRequest, kind: str, folder: pathlib.Path, clock: ManualClock, *, rules: bool = False
) -> Iterator[House]:
    """Open a Koban on one kind of database, with one account at a bank."""
    (folder / "data").mkdir(exist_ok=True)
    pack = STARTER if rules else without_rules(folder)
    with migrated_address(request, kind, folder / "data") as address:
        settings = read_settings(
            {"KOBAN_DATA": str(folder / "data"), "KOBAN_PACK": str(pack), "KOBAN_DATABASE_URL": address}
        )
        with open_koban(settings, clock, random.Random(3), SeededSecrets(3), durable=False) as opened:
            house = House(opened, clock)
            house.open_account(US)
            yield house
