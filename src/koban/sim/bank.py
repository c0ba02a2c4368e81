"""The bank of the simulated marketplace: it writes its statements (入出金取引明細) as any bank does.

Written apart from what reads them in `banking`, from the same published layout, so that neither follows the other's mistakes.
"""

import datetime
from collections.abc import Sequence
from typing import Final

import msgspec

_REIWA: Final = 2018
_END: Final = "\r\n"


class Movement(msgspec.Struct, frozen=True, kw_only=True):
    """One line. Units: `amount_minor` is yen, less than zero went out. Texts are half-width kana, digits and capitals."""

    on: datetime.date
    amount_minor: int
    payer: str = ""
    note: str = ""
    reference: str = ""


def statement(
    *, bank: str, branch: str, number: str, opening_minor: int, made_on: datetime.date, lines: Sequence[Movement]
) -> bytes:
    """Write the statement of an ordinary account over the days of its lines, in their order."""
    first, last = min(each.on for each in lines), max(each.on for each in lines)
    records = [
        "1030" + _day(made_on) + _day(first) + _day(last) + bank + " " * 15 + branch + " " * 15 + "   1"
        + number.zfill(10) + " " * 40 + _side(opening_minor) + "1" + f"{abs(opening_minor):014d}" + " " * 71
    ]  # fmt: skip
    for place, line in enumerate(lines, start=1):
        records.append(
            "2" + f"{place:08d}" + _day(line.on) * 2 + ("1" if line.amount_minor > 0 else "2") + "11"
            + f"{abs(line.amount_minor):012d}" + "0" * 12 + " " * 12 + " " + " " * 7 + "   " + " " * 10
            + line.payer.ljust(48) + " " * 30 + line.note.ljust(20) + line.reference.ljust(20) + " "
        )  # fmt: skip
    came = [each.amount_minor for each in lines if each.amount_minor > 0]
    went = [-each.amount_minor for each in lines if each.amount_minor < 0]
    closing = opening_minor + sum(came) - sum(went)
    records.append(
        "8" + f"{len(came):06d}{sum(came):013d}{len(went):06d}{sum(went):013d}" + _side(closing)
        + f"{abs(closing):014d}{len(lines):07d}" + " " * 139
    )  # fmt: skip
    records.append("9" + f"{len(records) + 1:010d}00001" + " " * 184)
    return "".join(record + _END for record in records).encode("cp932")


def _day(day: datetime.date) -> str:
    return f"{day.year - _REIWA:02d}{day:%m%d}"


def _side(balance_minor: int) -> str:
    return "1" if balance_minor >= 0 else "2"
