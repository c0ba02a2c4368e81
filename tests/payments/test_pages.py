"""The pages of payments, and the command line beside them."""

import asyncio
import html
import pathlib
import random
import re
import time
from collections.abc import Iterator

import httpx
import pytest
from tests.ledger.test_border import START, STARTER, Shop

from koban.app import open_koban
from koban.audit import SeededSecrets
from koban.base import ManualClock
from koban.base.settings import read_settings


@pytest.fixture
def shop(tmp_path: pathlib.Path) -> Iterator[Shop]:
    """A Koban with the starter pack and a simulated provider."""
    clock = ManualClock(START)
    settings = read_settings({"KOBAN_DATA": str(tmp_path / "data"), "KOBAN_PACK": str(STARTER)})
    with open_koban(
        settings, clock, random.Random(3), SeededSecrets(3), durable=False, simulated=True
    ) as opened:  # fmt: skip
        yield Shop(opened, clock)


def read(shop: Shop, path: str, language: str = "en") -> tuple[int, str]:
    async def run() -> httpx.Response:
        headers = {"authorization": f"Bearer {shop.token}", "accept": "text/html", "accept-language": language}
        transport = httpx.ASGITransport(app=shop.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://koban.test", headers=headers) as client:
            return await client.get(path)

    answer = asyncio.run(run())
    return answer.status_code, " ".join(html.unescape(re.sub(r"<[^>]+>", " ", answer.text)).split())


def until(shop: Shop, payment_id: str, status: str) -> None:
    for _ in range(300):
        shop.clock.advance(200_000)
        found = shop.ask("GET", f"/v1/payments/{payment_id}")[1]
        if found["payment"]["status"] == status:
            return
        time.sleep(0.05)
    raise AssertionError(found)


def test_a_payment_is_told_step_by_step_in_both_languages(shop: Shop) -> None:
    shop.post("in", "cash_in", account="b1", bank_line="l1", amount=5_000)
    body = {
        "id": "p1", "order": "o1", "account": "b1", "level": "identity",
        "parts": [{"method": "card", "amount_minor": 3_000, "token": "t"}, {"method": "wallet", "amount_minor": 1_000}],
    }  # fmt: skip
    assert shop.ask("POST", "/v1/payments", body)[0] == 200
    until(shop, "p1", "captured")
    bad = {**body, "id": "p2", "order": "o2", "parts": [{"method": "card", "amount_minor": 900, "token": "declined"}]}
    assert shop.ask("POST", "/v1/payments", bad)[0] == 200
    until(shop, "p2", "failed")
    refund = {"id": "r1", "amount_minor": 500}
    assert shop.ask("POST", "/v1/payments/p1/refunds", refund)[0] == 200
    until(shop, "p1", "partly_refunded")
    status, listed = read(shop, "/money/payments")
    assert status == 200
    assert "p1 partly refunded ¥4,000" in listed
    assert "p2 failed declined by the card's bank ¥900" in listed
    assert "p2" not in read(shop, "/money/payments?order=o1")[1]
    _, one = read(shop, "/money/payments/p1")
    assert "Authorise · Card ¥3,000 done approved" in one
    assert "Refund · Card ¥500 done" in one
    assert "3-D Secure frictionless/Y/05" in one
    assert "Refund r1" in one
    _, japanese = read(shop, "/money/payments/p1", "ja")
    assert "一部返金" in japanese
    assert "与信 · カード 3,000円 完了 承認" in japanese
    _, order = read(shop, "/money/orders?order=o1")
    assert "Payments of this order ¥4,000 p1 partly refunded" in order
    assert read(shop, "/money/payments/nobody")[0] == 404
    assert read(shop, "/money/payments?cursor=x.y&status=captured")[0] == 200
