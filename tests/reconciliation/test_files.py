"""Files: what is read, and what an error says of line, column and what to do."""

import datetime
from collections.abc import Sequence
from typing import get_args

import pytest

from koban.app.reconciliation import report_rows, rows_of_lines, rows_of_report
from koban.banking.types import BankLine
from koban.base import Instant, ManualClock, Unavailable
from koban.payments.logic import posting_of
from koban.payments.types import REPORT_RAISES, Answer, Instruction, ProviderReportRow, ReportKind
from koban.reconciliation import Row, RowsUnreadable
from koban.reconciliation.files import PROVIDER_KINDS, RAISES, FileKind, read_file

GOOD = (
    "provider_ref,kind,amount,fee,currency,booked_on,payment,payout\n"
    "r1,capture,3000,90,JPY,2026-10-01,p1,po1\n"
    '\nr2,refund,"1,000",,JPY,2026/10/02,,\n'
)


def problems(kind: FileKind, text: str | bytes) -> list[tuple[str, str, str]]:
    with pytest.raises(RowsUnreadable) as refused:
        read_file(kind, "gmo", text.encode() if isinstance(text, str) else text)
    return [(each.path, each.detail, each.hint) for each in refused.value.problems]


def test_a_report_is_read_for_the_ledger_and_for_payouts() -> None:
    first, settling, refund, refunding = read_file("provider", "gmo", GOOD.encode())
    assert (first.leg, first.amount_minor, first.keys, first.named) == ("provider", 3_000, ("r1", "p1"), True)
    assert (settling.leg, settling.amount_minor, settling.fee_minor, settling.group) == ("settlement", 3_000, 90, "po1")
    assert settling.id == first.id
    assert (refund.amount_minor, refund.booked_on, refund.named) == (-1_000, "2026-10-02", False)
    assert refunding.fee_minor == 0


def test_lines_of_a_bank_are_signed_in_any_currency_and_in_shift_jis() -> None:
    text = "id,booked_on,amount,currency,reference\nl1,2026-10-01,-12.5,USD,請求1\nl2,2026-10-01,+700,JPY,\n"
    first, second = read_file("bank", "main", text.encode("cp932"))
    assert (first.amount_minor, first.keys, first.named) == (-1_250, ("l1", "請求1"), True)
    assert (second.amount_minor, second.named) == (700, False)


def test_the_same_file_again_is_the_same_rows_and_a_line_twice_is_two() -> None:
    def names(rows: list[Row]) -> list[str]:
        return [row.id for row in rows if row.leg == "bank"]

    once = "id,booked_on,amount,currency\nl1,2026-10-01,5,JPY\nl2,2026-10-01,6,JPY\n"
    turned = "id,booked_on,amount,currency\nl2,2026-10-01,6,JPY\nl1,2026-10-01,5,JPY\n"
    twice = once + "l1,2026-10-01,5,JPY\n"
    assert sorted(names(read_file("bank", "m", once.encode()))) == sorted(
        names(read_file("bank", "m", turned.encode()))
    )
    assert len(set(names(read_file("bank", "m", twice.encode())))) == 3


def test_errors_name_line_and_column_and_say_what_to_do() -> None:
    header = "id,booked_on,amount,currency\n"
    cases = (
        (
            "l1,2026-13-01,5,JPY",
            "line 2, column booked_on",
            "'2026-13-01' is no date",
            "as in 2026-10-31 or 2026/10/31",
        ),
        (
            "l1,2026-10-01,5.5,JPY",
            "line 2, column amount",
            "'5.5' is no amount in JPY",
            "as in 1234 or -1234 for what went out",
        ),
        (
            "l1,2026-10-01,x,USD",
            "line 2, column amount",
            "'x' is no amount in USD",
            "as in 1234.50 or -1234 for what went out",
        ),
        ("l1,2026-10-01,5,Yen", "line 2, column currency", "'Yen' is no currency", "three capital letters, as in JPY"),
        (",2026-10-01,5,JPY", "line 2, column id", "is empty", "it is needed in every line"),
        ("l1,2026-10-01,5", "line 2", "there are 3 cells, the header has 4", 'put a cell with a comma into "…"'),
    )
    for line, *wanted in cases:
        assert problems("bank", header + line) == [tuple(wanted)]
    assert problems("provider", GOOD.replace("3000", "-3000"))[0][:2] == (
        "line 2, column amount",
        "'-3000' is no amount in JPY",
    )
    assert problems("provider", GOOD.replace("capture", "sale"))[0][2].startswith("one of capture, refund")
    assert len(problems("bank", header + "l,x,y,z\n" * 50)) == 20
    assert [each[:2] for each in problems("bank", "id,amount,currency,booked_on,name,id\n")] == [
        ("line 1, column id", "is given twice"),
        ("line 1, column name", "is not known here"),
    ]
    assert [each[1] for each in problems("bank", "id\n")] == [
        "the column 'booked_on' is missing",
        "the column 'amount' is missing",
        "the column 'currency' is missing",
    ]
    with pytest.raises(RowsUnreadable):
        read_file("bank", "m", b"\xff\xfe\x81")


def test_reports_over_an_interface_and_statements_become_the_same_rows() -> None:
    assert set(get_args(ReportKind)) == set(PROVIDER_KINDS)
    assert RAISES == REPORT_RAISES
    row = ProviderReportRow(
        provider="gmo", provider_ref="r1", kind="refund", amount_minor=500, fee_minor=15, currency="JPY",
        booked_on=datetime.date(2026, 10, 21), at=Instant(0), key="k1", payment="p1",
    )  # fmt: skip
    report, settling = rows_of_report([row])
    assert (report.amount_minor, report.keys, report.named) == (-500, (posting_of(row), "r1", "p1"), True)
    assert (settling.leg, settling.fee_minor) == ("settlement", 15)
    line = BankLine(
        id="f1.3", file="f1", account="main", line=3, booked_on="2026-10-21", value_on="2026-10-21", amount_minor=-700,
        currency="JPY", reference="b9", bank_id="x", kind="transfer", state="matched", exception=None, detail="",
        matched=None, posting=None, attempt=0,
    )  # fmt: skip
    (bank,) = rows_of_lines([line])
    assert (bank.keys, bank.amount_minor, bank.named) == (("f1.3", "x", "b9"), -700, True)


class _Reporting:
    """A provider that reports one capture a day, or does not answer."""

    def __init__(self, name: str, *, answers: bool) -> None:
        self.name, self._answers = name, answers

    def perform(self, instruction: Instruction) -> Answer:
        raise Unavailable(self.name, 1, instruction.key)

    def report(self, day: datetime.date) -> Sequence[ProviderReportRow]:
        if not self._answers:
            raise Unavailable(self.name, 1, "nobody answers")
        row = ProviderReportRow(
            provider=self.name, provider_ref=f"r{day}", kind="capture", amount_minor=100, fee_minor=3, currency="JPY",
            booked_on=day, at=Instant(0), key=f"k{day}", payment=None,
        )  # fmt: skip
        return [row]


def test_providers_are_asked_for_the_last_days_and_one_that_is_out_holds_nobody_up(clock: ManualClock) -> None:
    providers = [_Reporting("out", answers=False), _Reporting("gmo", answers=True)]
    rows = report_rows(providers, clock, "Asia/Tokyo")
    assert [row.booked_on for row in rows if row.leg == "provider"] == [f"2026-10-{day}" for day in range(14, 22)]
    assert {row.source for row in rows} == {"gmo"}
    assert {row.id for row in report_rows(providers[1:], clock, "Asia/Tokyo")} == {row.id for row in rows}
