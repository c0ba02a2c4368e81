"""The bank pages: what waits, batches by two people, lines that a person explains; in both languages, without names for who may not see."""

import asyncio
import html
import re

import httpx
import pytest
from tests.banking.ground import TARO, House, statement

from koban.base import DAY, Instant, to_rfc3339


def read(
    house: House, path: str, *, by: str = "anna", language: str = "en", form: dict[str, str] | None = None,
    upload: bytes | None = None,
) -> tuple[int, str, str]:  # fmt: skip
    """Return status, text and where a browser is sent on to."""

    async def run() -> httpx.Response:
        headers = {
            "authorization": f"Bearer {house.tokens[by]}", "accept": "text/html", "accept-language": language,
        }  # fmt: skip
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app=house.app), base_url="http://koban.test", headers=headers
        ) as client:
            if upload is not None:
                return await client.post(path, files={"file": ("day.txt", upload)})
            return await client.post(path, data=form) if form is not None else await client.get(path)

    answer = asyncio.run(run())
    text = html.unescape(re.sub(r"<[^>]+>", " ", answer.text))
    return answer.status_code, " ".join(text.split()), answer.headers.get("location", "")


@pytest.fixture
def asked(small: House) -> House:
    small.fund("a", 10_000)
    small.fund("b", 5_000)
    small.cash_out("out.a", "a", 8_000, fee=200)
    small.cash_out("out.b", "b", 5_000, payee=TARO)
    return small


def test_a_batch_goes_from_draft_to_file_on_the_pages(asked: House) -> None:
    status, home, _ = read(asked, "/bank")
    assert status == 200
    assert "waiting ¥12,800 Cash-outs: 2" in home
    assert "Value day 2026-10-22" in home
    status, _, there = read(asked, "/bank/batches", form={"account": "main"})
    assert (status, there) == (303, "/bank/batches/T000001?done=bank_proposed")
    _, batch, _ = read(asked, there)
    assert "You drafted it, so somebody else approves it" in batch
    assert "ﾔﾏﾀﾞ" not in batch
    assert "ﾔﾏﾀﾞ ﾊﾅｺ" in read(asked, "/bank/batches/T000001/names", form={})[1]
    assert "ﾔﾏﾀﾞ ﾊﾅｺ" in read(asked, "/bank/cash-outs/out.a/names", form={})[1]
    assert read(asked, "/bank/batches/T000001/names", by="clerk", form={})[0] == 403
    assert read(asked, "/bank/nothing/T000001/names", form={})[0] == 404
    opened = [about for about, action, _ in asked.audit() if action == "bank.names_opened"]
    assert opened == ["T000001", "out.a"]
    wordy = {"do": "decline", "reason": "too " * 126}
    status, page, _ = read(asked, "/bank/batches/T000001", form=wordy, by="ben")
    assert (status, "503 / 500" in page) == (409, True)
    _, seen, _ = read(asked, "/bank/batches/T000001", by="clerk")
    assert "ﾔﾏﾀﾞ" not in seen
    assert "····042" in seen
    status, refused, _ = read(asked, "/bank/batches/T000001", form={"do": "approve"})
    assert (status, "somebody else has to approve it" in refused) == (409, True)
    status, refused, _ = read(asked, "/bank/batches/T000001", form={"do": "file"})
    assert (status, "There is no file to take out" in refused) == (409, True)
    assert read(asked, "/bank/batches/T000001", by="ben", form={"do": "approve"})[2].endswith("done=bank_approved")
    _, batch, _ = read(asked, "/bank/batches/T000001", by="ben", language="ja")
    assert "承認済み" in batch
    assert "振込データを取り出す" in batch
    assert read(asked, "/bank/batches/T000001", by="ben", form={"do": "file"})[0] == 200
    assert "in transit ¥12,800" in read(asked, "/bank")[1]
    assert read(asked, "/bank/batches/T999999")[0] == 404


def test_a_declined_batch_says_why(asked: House) -> None:
    read(asked, "/bank/batches", form={"account": "main"})
    assert read(asked, "/bank/batches/T000001", by="ben", form={"do": "decline", "reason": ""})[0] == 409
    status, _, there = read(asked, "/bank/batches/T000001", by="ben", form={"do": "decline", "reason": "wrong day"})
    assert (status, there) == (303, "/bank/batches/T000001?done=bank_declined")
    assert "wrong day" in read(asked, "/bank/batches/T000001")[1]


def test_a_statement_is_brought_in_and_a_line_explained_by_two(asked: House) -> None:
    asked.batch()
    data = statement([(-12_800, "", "", ""), (5_000, "ﾅｿﾞ", "ｸﾐﾓﾄﾞｼ", "")], opening=15_000)
    status, _, there = read(asked, "/bank/statements", upload=data)
    assert (status, there) == (303, "/bank/lines?file=S000001&done=bank_taken_in")
    _, lines, _ = read(asked, there)
    assert "balance after: ¥7,200" in lines
    assert "explained T000001" in lines
    assert "waits for a person unexpected money in" in lines
    assert "ﾅｿﾞ" not in read(asked, "/bank/lines", by="clerk")[1]
    assert "Lines that wait for a person 1" in read(asked, "/bank")[1]
    _, line, _ = read(asked, "/bank/lines/S000001.00002")
    assert "out.b paid" in line
    form = {"target": "out.b", "reason": "by telephone"}
    assert read(asked, "/bank/lines/S000001.00002", form=form)[0] == 303
    _, home, _ = read(asked, "/bank", by="ben")
    assert "S000001.00002" in home
    assert read(asked, "/bank/proposals/P000002", form={"do": "approve"})[0] == 422
    assert read(asked, "/bank/proposals/P000002", by="ben", form={"do": "approve"})[2] == "/bank?done=bank_done"
    assert "came back" in read(asked, "/bank/cash-outs/out.b")[1]
    assert "every line is explained" in read(asked, "/bank")[1]
    assert read(asked, "/bank/lines/none")[0] == 404
    assert read(asked, "/bank/lines/S000001.00002", form=form)[0] == 404
    status, refused, _ = read(asked, "/bank/statements", upload=data[:-203])
    assert (status, "/records/4/データ区分" in refused) == (422, True)


def test_a_cash_out_tells_its_story_and_can_be_said_to_have_failed(asked: House) -> None:
    asked.batch()
    _, one, _ = read(asked, "/bank/cash-outs/out.a")
    assert "The bank did not carry it out" in one
    form = {"reason": "no such account", "fee_back": "1"}
    assert read(asked, "/bank/cash-outs/out.a", form=form)[2] == "/bank/cash-outs/out.a?done=bank_said"
    _, one, _ = read(asked, "/bank/cash-outs/out.a", by="ben")
    assert "no such account" in one
    assert read(asked, "/bank/proposals/P000002", by="ben", form={"do": "decline"})[2] == "/bank?done=bank_undone"
    assert read(asked, "/bank/cash-outs/none")[0] == 404
    _, listed, _ = read(asked, "/bank/cash-outs?state=sent&owner=b")
    assert "out.b" in listed
    assert "out.a" not in listed
    asked.clock.advance(20 * DAY)
    assert read(asked, "/bank", language="ja")[0] == 200


def test_an_account_is_added_on_the_page(small: House) -> None:
    form = {
        "id": "second", "title": "りそな", "bank": "0009", "branch": "015", "number": "7", "name": "コバン",
        "consignor": "1", "format": "pain.001",
    }  # fmt: skip
    status, refused, _ = read(small, "/bank/accounts", form={**form, "branch": "9x9"})
    assert (status, "no details of an account" in refused) == (422, True)
    status, refused, _ = read(small, "/bank/accounts", form={**form, "name": "小判"})
    assert (status, "小" in refused) == (422, True)
    assert read(small, "/bank/accounts", form=form)[2] == "/bank?done=bank_account_proposed"
    assert "りそな 0009-015" in read(small, "/bank")[1]
    status, refused, _ = read(small, "/bank/proposals/P000002", form={"do": "approve"})
    assert (status, "second person" in refused) == (422, True)
    assert read(small, "/bank/proposals/P000002", by="ben", form={"do": "approve"})[2] == "/bank?done=bank_done"
    change = {
        **form,
        "do": "change",
        "title": "埼玉りそな",
        "reason": "a better name",
        "lead_days": "2",
        "fee_minor": "0",
    }
    assert read(small, "/bank/accounts", form={**change, "reason": ""})[0] == 422
    assert read(small, "/bank/accounts", form=change)[2] == "/bank?done=bank_account_proposed"
    read(small, "/bank/proposals/P000003", by="ben", form={"do": "approve"})
    assert "埼玉りそな" in read(small, "/bank")[1]
    status, refused, _ = read(small, "/bank/batches", form={"account": "second"})
    assert (status, "No cash-out waits that could be sent" in refused) == (422, True)
    assert read(small, "/bank/accounts", by="clerk", form=form)[0] == 403


@pytest.mark.parametrize("language", ["en", "ja"])
def test_every_bank_page_is_there_in_both_languages_without_inline_style(asked: House, language: str) -> None:
    asked.batch()
    asked.take_in([(-12_800, "", "", ""), (3, "", "", "")], opening=15_000)
    paths = (
        "/bank", "/bank/batches/T000001", "/bank/lines", "/bank/lines/S000001.00002", "/bank/cash-outs",
        "/bank/cash-outs/out.a",
    )  # fmt: skip
    for path in paths:
        answer = asked.raw("GET", path, headers={"accept": "text/html", "accept-language": language})
        assert answer.status_code == 200, path
        assert f'<html lang="{language}">' in answer.text
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:|<script(?![^>]*src=)", answer.text), path


def test_what_is_expected_is_listed_with_the_line_that_brought_it(small: House) -> None:
    assert "nothing is expected" in read(small, "/bank/expected")[1]
    soon = to_rfc3339(Instant(small.clock.now() + DAY))
    for body in (
        {"id": "e1", "reference": "ord-2041", "kind": "order", "owner": "o1", "amount_minor": 3_000},
        {"id": "e2", "reference": "9930001", "kind": "wallet", "owner": "a", "level": "identity", "reusable": True},
        {"id": "e3", "reference": "CCCC3", "kind": "wallet", "owner": "b", "amount_minor": 700, "until": soon},
        {"id": "e4", "reference": "DDDD4", "kind": "wallet", "owner": "b"},
    ):
        small.ask("POST", "/v1/bank/expected", body)
    assert "Expected to come in ¥3,700 Payments: 3 · of unknown amount: 1" in read(small, "/bank")[1]
    small.take_in([(3_000, "ORD-2041 ﾔﾏﾀﾞ ﾊﾅｺ", "", "")])
    _, waiting, _ = read(small, "/bank/expected", by="clerk")
    assert "Still to come, JPY ¥700 Payments: 2 · of unknown amount: 1" in waiting
    assert "o1" not in waiting
    assert "9930001" in waiting
    _, met, _ = read(small, "/bank/expected?state=met")
    assert "ORD-2041" in met
    assert "¥3,000 came S000001.00001" in met
    assert "入金済み" in read(small, "/bank/expected?state=all&owner=o1", language="ja")[1]
    small.clock.advance(2 * DAY)
    _, later, _ = read(small, "/bank/expected?state=all&owner=b")
    assert "¥700 time ran out" in later
    assert "ORD-2041" not in later
    for odd in ("?state=none", "?cursor=x.y", "?cursor=9999999999999999999.e"):
        assert read(small, f"/bank/expected{odd}")[0] == 200
    assert "No" in read(small, "/bank/expected?owner=nobody")[1]
