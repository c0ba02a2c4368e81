"""Closing, reopening, the trial balance and the journal: exact numbers, and a file that the ledger's own sums check."""

import contextlib
import csv
import io
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.ledger.ground import CHART, START, codes, move, post
from tests.ledger.test_border import Shop, shop
from tests.ledger.test_pages import read

from koban.base import DAY, Instant
from koban.db import Tx
from koban.ledger import Flag, PeriodStep, TransferCode, close_period, period_store, reopen_period, verify
from koban.ledger.journal import (
    GENERIC_COLUMNS,
    Entry,
    Journal,
    JournalCurrency,
    JournalSpan,
    JournalUnbalanced,
    check_journal,
    check_layout,
    generic_csv,
    in_units,
    survey_journal,
    walk_entries,
    yayoi_csv,
)
from koban.ledger.types import Account, PeriodChange, TrialLine

assert shop is not None  # the fixture of the border's tests
LATE = Instant(START + 30 * DAY)


def test_a_closed_period_takes_no_booking_and_a_reopened_one_does(tx: Tx) -> None:
    close_period(tx, LATE, CHART, "2026-10-31", by="staff_a", note="month end")
    assert codes(tx, move("in", "a", "b", 1, booking_date="2026-10-31"), at=LATE) == [
        TransferCode.BOOKING_PERIOD_CLOSED
    ]
    with pytest.raises(PeriodStep):
        reopen_period(tx, LATE, "2026-10-31", by="staff_b", note="no step back")
    with pytest.raises(PeriodStep):
        reopen_period(tx, LATE, "some day", by="staff_b", note="no date")
    reopen_period(tx, LATE, "2026-09-30", by="staff_b", note="a fee was forgotten")
    assert codes(tx, move("again", "a", "b", 1, booking_date="2026-10-31"), at=LATE) == [TransferCode.CREATED]
    assert codes(tx, move("older", "a", "b", 1, booking_date="2026-09-30"), at=LATE) == [
        TransferCode.BOOKING_PERIOD_CLOSED
    ]
    reopen_period(tx, LATE, "", by="staff_b", note="all of it")
    assert period_store.closed_through(tx) == ""
    with pytest.raises(PeriodStep):
        reopen_period(tx, LATE, "", by="staff_b", note="nothing is closed")
    found = period_store.list_period_changes(tx, limit=10)
    assert [(each.kind, each.through, each.by, each.note) for each in found] == [
        ("reopened", "", "staff_b", "all of it"),
        ("reopened", "2026-09-30", "staff_b", "a fee was forgotten"),
        ("closed", "2026-10-31", "staff_a", "month end"),
    ]
    assert isinstance(found[0], PeriodChange)
    assert verify(tx).broken is None


def test_the_proof_finds_a_row_that_was_booked_into_a_closed_period(tx: Tx) -> None:
    close_period(tx, LATE, CHART, "2026-10-31")
    tx.change("UPDATE ledger_head SET closed_through = ''")  # somebody lifts the bar past the verbs
    assert codes(tx, move("in", "a", "b", 1, booking_date="2026-10-31"), at=LATE) == [TransferCode.CREATED]
    tx.change("UPDATE ledger_head SET closed_through = '2026-10-31'")
    broken = verify(tx).broken
    assert broken is not None
    assert (broken.what, broken.about) == ("unproved", "in")


def test_a_trial_balance_counts_by_booking_dates_what_was_really_posted(tx: Tx) -> None:
    assert set(
        codes(
            tx,
            move("before", "a", "fee", 30, booking_date="2026-09-30"),
            move("within", "a", "fee", 500, booking_date="2026-10-05"),
            move("after", "a", "fee", 7, booking_date="2026-11-01"),
            move("held", "a", "b", 100, flags=Flag.PENDING),
            move("gone", "a", "b", 100, flags=Flag.PENDING),
            post("part", "held", 60, booking_date="2026-10-31"),
            at=LATE,
        )
    ) == {TransferCode.CREATED}
    lines = {each.code: each for each in period_store.trial_lines(tx, "2026-10-01", "2026-10-31")}
    assert lines["fee"] == TrialLine(code="fee", currency="JPY", opening_minor=30, debits_minor=0, credits_minor=500)
    assert (lines["wallet"].opening_minor, lines["wallet"].debits_minor, lines["wallet"].credits_minor) == (
        -30,
        560,
        10_060,
    )
    assert lines["wallet"].closing_minor == 9_470
    assert lines["bank"].closing_minor == -10_000


def test_sums_past_64_bits_are_exact(tx: Tx) -> None:
    big = 2**62
    assert (
        codes(tx, move("x", "free", "bank", big), move("y", "free2", "b", big), move("z", "free", "b", 5))
        == [TransferCode.CREATED] * 3
    )
    lines = {each.code: each for each in period_store.trial_lines(tx, "2026-10-21", "2026-10-21")}
    assert lines["wallet"].debits_minor == 2 * big + 5


class Taken(NamedTuple):
    """A journal with its entries and its file in both layouts, read in one transaction of a test."""

    journal: Journal
    entries: list[Entry]

    def generic(self) -> bytes:
        return b"".join(generic_csv(self.entries))

    def yayoi(self) -> bytes:
        check_layout(self.journal, "yayoi")
        return b"".join(yayoi_csv(self.entries))


def _take(tx: Tx, kinds: Any, texts: Any, first: str, last: str, by: Any) -> Taken:  # Any: as a test gives it
    def read() -> contextlib.AbstractContextManager[Tx]:
        return contextlib.nullcontext(tx)

    found = survey_journal(read, kinds, first, last, by=by)
    return Taken(found, list(walk_entries(read, kinds, texts, found)))


def _journal(tx: Tx, by: str = "posting") -> Taken:
    kinds = {
        **CHART.kinds,
        "bank": msgspec.structs.replace(CHART.kinds["bank"], account=Account(code="112", name="普通預金")),
        "wallet": msgspec.structs.replace(
            CHART.kinds["wallet"], account=Account(code="336", name="預り金", by_owner=True)
        ),
        "fee": msgspec.structs.replace(
            CHART.kinds["fee"], account=Account(code="511", name="手数料収入", tax="課税売上込10%")
        ),
    }
    return _take(tx, kinds, {"test": "試験〜"}, "2026-10-01", "2026-10-31", by)


def test_a_journal_has_every_posting_once_with_debits_equal_to_credits(tx: Tx) -> None:
    codes(tx, move("p.1", "a", "b", 900, flags=Flag.LINKED, order="=1+1"), move("p.2", "a", "fee", 100), at=START)
    rows = list(csv.DictReader(io.StringIO(_journal(tx).generic().decode("utf-8-sig"))))
    assert tuple(rows[0]) == GENERIC_COLUMNS
    assert sum(int(each["debit"] or 0) for each in rows) == sum(int(each["credit"] or 0) for each in rows) == 11_000
    assert [(each["voucher"], each["line"], each["account_code"], each["sub_account"]) for each in rows] == [
        ("1", "1", "112", ""),
        ("1", "2", "336", "a"),
        ("2", "1", "336", "a"),
        ("2", "2", "336", "b"),
        ("2", "3", "336", "a"),
        ("2", "4", "511", ""),
    ]
    assert rows[2]["order"] == "'=1+1"  # no cell runs as a formula


def test_a_journal_by_day_sums_up_what_is_alike(tx: Tx) -> None:
    codes(tx, *(move(f"n{number}.1", "a", "fee", number) for number in range(1, 6)), at=START)
    found = _journal(tx, "day")
    assert [(each.text, each.amount_minor, each.count) for each in found.entries] == [
        ("試験〜 ×1", 10_000, 1),
        ("試験〜 ×5", 15, 5),
    ]
    assert found.journal.unmapped == ()
    assert not found.journal.closed


def test_the_layout_of_yayoi_has_25_columns_and_compound_vouchers(tx: Tx) -> None:
    codes(tx, move("p.1", "a", "b", 900, flags=Flag.LINKED), move("p.2", "a", "fee", 100), at=START)
    rows = list(csv.reader(io.StringIO(_journal(tx).yayoi().decode("cp932"))))
    assert [len(each) for each in rows] == [25, 25, 25]
    assert [(each[0], each[1], each[3], each[8], each[14]) for each in rows] == [
        ("2000", "1", "2026/10/21", "10000", "10000"),
        ("2110", "2", "2026/10/21", "900", "900"),
        ("2101", "2", "2026/10/21", "100", "100"),
    ]
    assert rows[2][4:8] == ["預り金", "a", "", "対象外"]
    assert rows[2][10:14] == ["手数料収入", "", "", "課税売上込10%"]
    assert rows[0][16] == "試験\uff5e"  # the wave dash that Shift_JIS has
    codes(tx, move("d", "bank.usd", "a.usd", 5, currency="USD"), at=START)
    with pytest.raises(JournalCurrency):
        _journal(tx).yayoi()
    assert "0.05" in _journal(tx).generic().decode()


def test_a_long_text_is_cut_at_a_whole_character(tx: Tx) -> None:
    found = _take(tx, CHART.kinds, {"test": "あ" * 40}, "2026-10-21", "2026-10-21", "posting")
    (row,) = csv.reader(io.StringIO(found.yayoi().decode("cp932")))
    assert row[16] == "あ" * 32
    assert found.journal.unmapped == ("bank", "wallet")


def test_spans_that_are_none_are_refused(tx: Tx) -> None:
    for first, last in (("2026-10-02", "2026-10-01"), ("x", "2026-10-01"), ("2026-10-01", "2026-02-30")):
        with pytest.raises(JournalSpan):
            _take(tx, {}, {}, first, last, "day")


def test_a_journal_is_read_in_pages_and_is_what_stood_at_the_first_look(tx: Tx) -> None:
    codes(
        tx,
        *(move(f"n{number}.1", "a", "fee", 1, booking_date=f"2026-10-{number:02d}") for number in range(1, 8)),
        at=START,
    )
    whole = _journal(tx)

    def read() -> contextlib.AbstractContextManager[Tx]:
        return contextlib.nullcontext(tx)

    codes(tx, move("later.1", "a", "fee", 1, booking_date="2026-10-03"), at=START)
    for page in (1, 2, 100):
        again = walk_entries(read, CHART.kinds, {}, whole.journal, page=page)
        assert [(each.voucher, each.posting) for each in again] == [
            (each.voucher, each.posting) for each in whole.entries
        ]
    assert len(_journal(tx).entries) == len(whole.entries) + 1


def test_a_journal_that_differs_from_the_ledger_is_not_handed_out(tx: Tx) -> None:
    found = _journal(tx)
    trial = period_store.trial_lines(tx, "2026-10-01", "2026-10-31")
    check_journal(found.entries, trial)
    wrong: list[list[Entry]] = [
        [],
        [*found.entries, found.entries[0]],
        [msgspec.structs.replace(found.entries[0], amount_minor=9_999)],
    ]
    for entries in wrong:
        with pytest.raises(JournalUnbalanced):
            check_journal(entries, trial)
    half = [each for each in trial if each.code != "bank"]
    with pytest.raises(JournalUnbalanced):
        check_journal(found.entries, half)


class _TakenBack(Exception):
    pass


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.sampled_from(["a", "b", "fee", "free"]), st.sampled_from(["bank", "free2"]), st.integers(1, 50)),
        max_size=8,
    )
)
def test_every_journal_of_random_days_balances_and_agrees_with_the_trial_balance(
    tx: Tx, moves: list[tuple[str, str, int]]
) -> None:
    with contextlib.suppress(_TakenBack), tx.savepoint():
        codes(
            tx,
            *(
                move(f"m{number}.{amount}", debit, credit, amount, booking_date=f"2026-10-{number + 1:02d}")
                for number, (credit, debit, amount) in enumerate(moves)
            ),
        )
        for by in ("day", "posting"):
            entries = _journal(tx, by).entries
            trial = period_store.trial_lines(tx, "2026-10-01", "2026-10-31")
            assert sum(each.amount_minor for each in entries) == sum(each.debits_minor for each in trial)
        raise _TakenBack


def test_amounts_are_written_in_the_currencys_own_unit() -> None:
    assert [in_units(*each) for each in ((1_234, "JPY"), (1_234, "USD"), (-5, "USD"), (1_234, "KWD"), (7, "ZZZ"))] == [
        "1234",
        "12.34",
        "-0.05",
        "1.234",
        "7",
    ]


def test_a_month_is_closed_reopened_and_exported_over_http(shop: Shop) -> None:
    shop.post("in", "cash_in", account="b1", bank_line="l1", amount=5_000)
    assert shop.ask("GET", "/v1/ledger/periods")[1] == {"closed_through": None, "changes": []}
    assert shop.ask("POST", "/v1/ledger/periods/close", {"through": "2026-10-21"})[0] == 409  # today is not over
    shop.clock.advance(20 * DAY)
    status, closed = shop.ask("POST", "/v1/ledger/periods/close", {"through": "2026-10-31", "note": "October"})
    assert (status, closed["closed_through"], closed["changes"][0]["kind"]) == (200, "2026-10-31", "closed")
    late = {"id": "late", "template": "cash_in", "level": "identity", "booking_date": "2026-10-31"}
    late["parameters"] = {"account": "b1", "bank_line": "l2", "amount": 1}  # type: ignore[assignment]  # JSON
    _, refused = shop.ask("POST", "/v1/ledger/postings", late)
    assert (refused["code"], refused["about"]) == ("transfer_refused", "booking_period_closed")
    _, trial = shop.ask("GET", "/v1/ledger/trial-balance?first=2026-10-01&last=2026-10-31")
    assert [(each["code"], each["debits_minor"], each["credits_minor"], each["closing_minor"]) for each in trial] == [
        ("bank", 5_000, 0, -5_000),
        ("wallet", 0, 5_000, 5_000),
    ]
    assert shop.ask("GET", "/v1/ledger/trial-balance?first=2026-10-31&last=2026-10-01")[0] == 422
    assert shop.ask("POST", "/v1/ledger/periods/reopen", {"reason": "no"})[0] == 422
    status, opened = shop.ask("POST", "/v1/ledger/periods/reopen", {"reason": "a fee was forgotten"})
    assert (status, opened["closed_through"]) == (200, None)
    actions = shop.rows("SELECT action, object_id FROM audit_entries WHERE action LIKE 'ledger.period%' ORDER BY id")
    assert actions == [("ledger.period_closed", "2026-10-31"), ("ledger.period_reopened", "all")]


def test_the_close_is_a_page_and_the_journal_a_file(shop: Shop) -> None:
    shop.post("in", "cash_in", account="b1", bank_line="l1", amount=5_000)
    shop.clock.advance(20 * DAY)
    status, text = read(shop, "/money/close")
    assert status == 200
    assert "Trial balance, 2026-10-01 to 2026-10-31" in text
    assert "debits equal credits" in text
    assert "112 普通預金" in text
    assert "まだ一度も締めていません" in read(shop, "/money/close", language="ja")[1]
    assert "Nothing was booked in this period" in read(shop, "/money/close?first=2026-09-01&last=2026-09-30")[1]
    status, file = read(shop, "/v1/ledger/journal?first=2026-10-01&last=2026-10-31&by=posting")
    assert (status, "112,普通預金,,対象外,5000,,JPY" in file) == (200, True)
    assert read(shop, "/v1/ledger/journal?first=x&last=2026-10-31")[0] == 422
    assert shop.rows("SELECT object_id FROM audit_entries WHERE action = 'ledger.journal'") == [
        ("2026-10-01/2026-10-31",)
    ]


def test_a_note_or_reason_that_is_too_long_is_refused_with_the_count_and_kept_as_typed(shop: Shop) -> None:
    shop.clock.advance(20 * DAY)
    long, longest = "月" * 501, "月" * 499 + "\r\n"  # a browser's own limit counts a line's end once
    status, text = read(shop, "/money/close", "POST", form={"through": "2026-10-31", "note": long})
    assert (status, "Too long: 501 characters, and 500 is the most" in text, long in text) == (422, True, True)
    assert shop.rows("SELECT object_id FROM audit_entries WHERE action = 'ledger.period_closed'") == []
    assert read(shop, "/money/close", "POST", form={"through": "2026-10-31", "note": longest + "末"})[0] == 422
    assert read(shop, "/money/close", "POST", form={"through": "2026-10-31", "note": longest[1:] + "末"})[0] == 303
    status, text = read(shop, "/money/reopen", "POST", language="ja", form={"reason": long})
    assert (status, "501文字あり、上限は500文字です" in text, long in text) == (422, True, True)
    assert shop.rows("SELECT object_id FROM audit_entries WHERE action = 'ledger.period_reopened'") == []
