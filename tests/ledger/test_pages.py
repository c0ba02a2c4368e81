"""The money pages: where every yen sits, a statement at a past moment, an order's story, the proof."""

import asyncio
import html
import re

import httpx
import pytest
from tests.ledger.test_border import Shop, shop

from koban.base import HOUR

assert shop is not None  # the fixture of the border's tests


@pytest.fixture
def story(shop: Shop) -> Shop:
    shop.post("in", "cash_in", account="b1", bank_line="l1", amount=5_000)
    shop.post("pay", "order_paid_wallet", order="o1", buyer="b1", amount=3_000)
    shop.clock.advance(2 * HOUR)
    shop.post("done", "order_completed", order="o1", seller="s1", amount=3_000, fee=300)
    shop.post("out", "cash_out_requested_free", account="s1", amount=2_000)
    return shop


def read(
    shop: Shop, path: str, method: str = "GET", language: str = "en", form: dict[str, str] | None = None
) -> tuple[int, str]:
    async def run() -> httpx.Response:
        headers = {"authorization": f"Bearer {shop.token}", "accept": "text/html", "accept-language": language}
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app=shop.app), base_url="http://koban.test", headers=headers
        ) as client:
            return await client.request(method, path, data=form)

    answer = asyncio.run(run())
    text = html.unescape(re.sub(r"<[^>]+>", " ", answer.text))
    return answer.status_code, " ".join(text.split())


def test_the_pages_tell_where_the_money_is_and_how_it_came_there(story: Shop) -> None:
    status, glance = read(story, "/money")
    assert status == 200
    assert "Held outside ¥5,000" in glance
    assert "Owed to people ¥4,700" in glance
    assert "Our own ¥300" in glance
    assert "JPY: debits equal credits" in glance
    assert "社外にあるお金 5,000円" in read(story, "/money", language="ja")[1]
    assert "wallet.JPY:s1" in read(story, "/money/books?code=wallet")[1]
    assert "wallet.JPY:s1" not in read(story, "/money/books?owner=b1")[1]
    _, now = read(story, "/money/books/wallet.JPY:b1")
    assert "Balance ¥2,000" in now
    _, then = read(story, "/money/books/wallet.JPY:b1?at=2026-10-21T21:00")
    assert "Balance ¥2,000" in then
    assert "as it stood at" in then
    _, before = read(story, "/money/books/wallet.JPY:s1")
    assert "Balance ¥2,700" in before
    assert "Debits reserved: ¥2,000" in before
    assert "This is no moment" in read(story, "/money/books/wallet.JPY:b1?at=soon")[1]
    assert read(story, "/money/books/nobody")[0] == 404
    _, order = read(story, "/money/orders?order=o1")
    assert order.index("¥3,000 held after this") < order.index("¥0 held after this")
    assert "No money has moved for this order" in read(story, "/money/orders?order=o2")[1]


def test_the_proof_is_a_page(story: Shop) -> None:
    status, proof = read(story, "/money/proof", "POST")
    assert (status, "Every balance is proved" in proof) == (200, True)
    with story.koban.database.write() as tx:
        tx.change("UPDATE ledger_transfers SET amount = amount + 1 WHERE id = 'pay.1'")
    assert "The first row that does not hold" in read(story, "/money/proof", "POST")[1]
