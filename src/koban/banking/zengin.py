"""Files of the zengin format (全銀協規定形式): transfers to banks (総合振込, 120 bytes), statements and notices from them (200).

Pure. Digits stand at the right, filled with zeros; text stands at the left, filled with spaces; each character is one
byte of Shift_JIS. Source: the record layouts that the Japanese Bankers Association published and banks print.
"""

import datetime
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Literal

from koban.banking import directory, kana
from koban.banking.types import (
    AccountType,
    BankFileInvalid,
    Order,
    OrderTooLarge,
    Originator,
    ReadRow,
    ReadStatement,
    RowKind,
)
from koban.base import Problem

Layout = tuple[tuple[str, str, int], ...]  # field, N for digits or C for text, bytes

ORDERS_MAX: Final = 2_000  # of one file
AMOUNT_MAX: Final = 9_999_999_999
TOTAL_MAX: Final = 999_999_999_999
FILE_BYTES_MAX: Final = 4 * 1024 * 1024

TRANSFER: Final[Mapping[str, Layout]] = {
    "1": (
        ("data", "N", 1), ("kind", "N", 2), ("code", "N", 1), ("consignor", "N", 10), ("consignor_name", "C", 40),
        ("day", "N", 4), ("bank", "N", 4), ("bank_name", "C", 15), ("branch", "N", 3), ("branch_name", "C", 15),
        ("account_type", "N", 1), ("account", "N", 7), ("dummy", "C", 17),
    ),
    "2": (
        ("data", "N", 1), ("bank", "N", 4), ("bank_name", "C", 15), ("branch", "N", 3), ("branch_name", "C", 15),
        ("clearing", "N", 4), ("account_type", "N", 1), ("account", "N", 7), ("name", "C", 30), ("amount", "N", 10),
        ("new", "N", 1), ("edi", "C", 20), ("way", "N", 1), ("edi_mark", "C", 1), ("dummy", "C", 7),
    ),
    "8": (("data", "N", 1), ("count", "N", 6), ("total", "N", 12), ("dummy", "C", 101)),
    "9": (("data", "N", 1), ("dummy", "C", 119)),
}  # fmt: skip
STATEMENT: Final[Mapping[str, Layout]] = {
    "1": (
        ("data", "N", 1), ("kind", "N", 2), ("code", "N", 1), ("made", "N", 6), ("from", "N", 6), ("to", "N", 6),
        ("bank", "N", 4), ("bank_name", "C", 15), ("branch", "N", 3), ("branch_name", "C", 15), ("dummy", "C", 3),
        ("account_type", "N", 1), ("account", "N", 10), ("name", "C", 40), ("sign", "N", 1), ("book", "N", 1),
        ("balance", "N", 14), ("dummy2", "C", 71),
    ),
    "2": (
        ("data", "N", 1), ("number", "C", 8), ("booked", "N", 6), ("value", "N", 6), ("direction", "N", 1),
        ("category", "N", 2), ("amount", "N", 12), ("of_other_banks", "N", 12), ("shown", "C", 6), ("bounced", "C", 6),
        ("bill_kind", "C", 1), ("bill", "C", 7), ("office", "C", 3), ("consignor", "C", 10), ("payer", "C", 48),
        ("from_bank", "C", 15), ("from_branch", "C", 15), ("narrative", "C", 20), ("edi", "C", 20), ("dummy", "C", 1),
    ),
    "8": (
        ("data", "N", 1), ("in_count", "N", 6), ("in_total", "N", 13), ("out_count", "N", 6), ("out_total", "N", 13),
        ("sign", "N", 1), ("balance", "N", 14), ("records", "N", 7), ("dummy", "C", 139),
    ),
    "9": (("data", "N", 1), ("records", "N", 10), ("accounts", "N", 5), ("dummy", "C", 184)),
}  # fmt: skip
NOTICE: Final[Mapping[str, Layout]] = {
    "1": (
        ("data", "N", 1), ("kind", "N", 2), ("code", "N", 1), ("made", "N", 6), ("from", "N", 6), ("to", "N", 6),
        ("bank", "N", 4), ("bank_name", "C", 15), ("branch", "N", 3), ("branch_name", "C", 15),
        ("account_type", "N", 1), ("account", "N", 7), ("name", "C", 40), ("dummy", "C", 93),
    ),
    "2": (
        ("data", "N", 1), ("number", "C", 6), ("booked", "N", 6), ("value", "N", 6), ("amount", "N", 10),
        ("of_other_banks", "N", 10), ("consignor", "C", 10), ("payer", "C", 48), ("from_bank", "C", 15),
        ("from_branch", "C", 15), ("cancelled", "C", 1), ("edi", "C", 20), ("dummy", "C", 52),
    ),
    "8": (
        ("data", "N", 1), ("count", "N", 6), ("total", "N", 12), ("cancelled_count", "N", 6),
        ("cancelled_total", "N", 12), ("dummy", "C", 163),
    ),
    "9": (("data", "N", 1), ("dummy", "C", 199)),
}  # fmt: skip
_FORMATS: Final[Mapping[str, tuple[Literal["zengin_03", "zengin_01"], Mapping[str, Layout]]]] = {
    "03": ("zengin_03", STATEMENT),
    "01": ("zengin_01", NOTICE),
}
_TYPES: Final[Mapping[AccountType, str]] = {"ordinary": "1", "current": "2", "savings": "4", "other": "9"}
_RETURNED: Final = ("ｸﾐﾓﾄﾞｼ", "ﾌﾘｺﾐﾌﾉｳ", "ﾌﾘｺﾐﾌﾉ", "ｼｷﾝﾍﾝｷﾔｸ", "ﾌﾘｺﾐﾍﾝｷﾔｸ", "ﾌﾘｺﾐｼｷﾝﾍﾝｷﾔｸ", "ﾌﾘｺﾐｺｳｻﾞﾅｼ")
_FEES: Final = ("ﾃｽｳﾘﾖｳ", "ﾌﾘｺﾐﾃｽｳ", "ﾃｽｳﾘﾖ")
_NAMES: Final[Mapping[str, str]] = {  # as the layouts of banks call the fields
    "kind": "種別コード", "code": "コード区分", "consignor": "振込依頼人コード", "day": "取組日", "made": "作成日",
    "from": "勘定日(自)", "to": "勘定日(至)", "bank": "銀行コード", "bank_name": "銀行名", "branch": "支店コード",
    "branch_name": "支店名", "account_type": "預金種目", "account": "口座番号", "name": "口座名", "sign": "貸越区分",
    "balance": "残高", "number": "照会番号", "booked": "勘定日", "value": "起算日", "direction": "入払区分",
    "category": "取引区分", "amount": "金額", "payer": "振込依頼人名", "from_bank": "仕向銀行名",
    "from_branch": "仕向店名", "narrative": "摘要内容", "edi": "EDI情報", "count": "合計件数", "total": "合計金額",
    "in_count": "入金件数", "in_total": "入金額合計", "out_count": "出金件数", "out_total": "出金額合計",
    "cancelled": "取消区分", "records": "レコード件数", "accounts": "口座数", "data": "データ区分",
}  # fmt: skip
_REIWA: Final = 2018  # 令和1年 is 2019


def write_transfer(originator: Originator, orders: Sequence[Order], value_on: datetime.date) -> bytes:
    """Return a 総合振込 file; every order carries its reference as EDI information.

    Refuses: PayeeInvalid, OrderTooLarge.
    """
    total = sum(each.amount_minor for each in orders)
    if not 1 <= len(orders) <= ORDERS_MAX or total > TOTAL_MAX:
        raise OrderTooLarge(f"{len(orders)} payments of {total:,} yen: 1 to {ORDERS_MAX:,} and {TOTAL_MAX:,} yen fit")
    bank, branch = directory.check_place(originator.bank, originator.branch)
    header = {
        "data": "1", "kind": "21", "code": "0", "consignor": originator.consignor,
        "consignor_name": kana.bank_name(originator.name, field="name", most=40), "day": value_on.strftime("%m%d"),
        "bank": bank.code, "bank_name": kana.fit(bank.kana, 15), "branch": branch.code,
        "branch_name": kana.fit(branch.kana, 15), "account_type": _TYPES[originator.type],
        "account": originator.number,
    }  # fmt: skip
    records = [_record(TRANSFER["1"], header)]
    records.extend(_record(TRANSFER["2"], _order_fields(each)) for each in orders)
    records.append(_record(TRANSFER["8"], {"data": "8", "count": str(len(orders)), "total": str(total)}))
    records.append(_record(TRANSFER["9"], {"data": "9"}))
    return b"".join(record + b"\r\n" for record in records)


def _order_fields(order: Order) -> dict[str, str]:
    if not 1 <= order.amount_minor <= AMOUNT_MAX:
        raise OrderTooLarge(f"{order.amount_minor:,} yen: 1 to {AMOUNT_MAX:,} fit")
    bank, branch = directory.check_place(order.payee.bank, order.payee.branch)
    return {
        "data": "2", "bank": bank.code, "bank_name": kana.fit(bank.kana, 15), "branch": branch.code,
        "branch_name": kana.fit(branch.kana, 15), "clearing": "0", "account_type": _TYPES[order.payee.type],
        "account": order.payee.number, "name": kana.bank_name(order.payee.name, field="name", most=30),
        "amount": str(order.amount_minor), "new": "0", "edi": order.reference, "way": "7", "edi_mark": "Y",
    }  # fmt: skip


def _record(layout: Layout, values: Mapping[str, str]) -> bytes:
    parts = []
    for name, kind, length in layout:
        value = values.get(name, "")
        part = (value.rjust(length, "0") if kind == "N" else value.ljust(length)).encode("cp932")
        if len(part) != length:
            raise OrderTooLarge(f"{name} is {value!r}: {length} characters fit")
        parts.append(part)
    return b"".join(parts)


def read_transfer(data: bytes) -> tuple[dict[str, str], list[dict[str, str]]]:
    """Read a 総合振込 file back: the fields of its header and of its orders, held to its own sums.

    Refuses: BankFileInvalid.
    """
    records = list(_records(data, 120))
    _check_shape(records)
    orders: list[dict[str, str]] = []
    head: dict[str, str] = {}
    for line, record in records:
        fields = _fields(TRANSFER, record, line)
        if fields["data"] == "1":
            head = fields
        elif fields["data"] == "2":
            orders.append({**fields, "line": str(line)})
        elif fields["data"] == "8":
            total = sum(int(each["amount"]) for each in orders)
            _check_sum(line, "count", int(fields["count"]), len(orders))
            _check_sum(line, "total", int(fields["total"]), total)
    return head, orders


def read_statement(data: bytes, today: datetime.date) -> list[ReadStatement]:
    """Read 入出金取引明細 (種別 03) or 振込入金通知 (種別 01): one statement for each account in the file.

    Refuses: BankFileInvalid, naming record and field.
    """
    records = list(_records(data, 200))
    _check_shape(records)
    found: list[ReadStatement] = []
    head: dict[str, str] = {}
    rows: list[tuple[int, dict[str, str]]] = []
    kind = records[0][1][1:3].decode("ascii", "replace")
    if kind not in _FORMATS:
        raise _invalid(1, "種別コード", f"The kind of this file is {kind!r}.", "03 is a statement, 01 a notice")
    layouts = _FORMATS[kind][1]
    for line, record in records:
        fields = _fields(layouts, record, line)
        match fields["data"]:
            case "1":
                if fields["kind"] != kind:
                    raise _invalid(line, "種別コード", f"It is {fields['kind']!r}, the first record says {kind!r}.")
                head, rows = {**fields, "line": str(line)}, []
            case "2":
                rows.append((line, fields))
            case "8":
                read = _statement_of if kind == "03" else _notice_of
                found.append(read(head, rows, fields, line, today))
            case _:
                pass
    return found


def _statement_of(
    head: Mapping[str, str],
    rows: Sequence[tuple[int, dict[str, str]]],
    trailer: Mapping[str, str],
    line: int,
    today: datetime.date,
) -> ReadStatement:
    read = [_statement_row(number, fields, today) for number, fields in rows]
    came, went = [each for each in read if each.amount_minor > 0], [each for each in read if each.amount_minor < 0]
    _check_sum(line, "入金件数", int(trailer["in_count"]), len(came))
    _check_sum(line, "入金額合計", int(trailer["in_total"]), sum(each.amount_minor for each in came))
    _check_sum(line, "出金件数", int(trailer["out_count"]), len(went))
    _check_sum(line, "出金額合計", int(trailer["out_total"]), -sum(each.amount_minor for each in went))
    opening, closing = _balance(head), _balance(trailer)
    _check_sum(line, "取引後残高", closing, opening + sum(each.amount_minor for each in read))
    return _read(head, "zengin_03", read, today, opening=opening, closing=closing)


def _statement_row(line: int, fields: Mapping[str, str], today: datetime.date) -> ReadRow:
    direction = fields["direction"]
    if direction not in {"1", "2"}:
        raise _invalid(line, "入払区分", f"It is {direction!r}.", "1 came in, 2 went out")
    amount = int(fields["amount"])
    if amount == 0:
        raise _invalid(line, "取引金額", "It is nothing.")
    # 訂正 (19) takes back an earlier line: the bank books it on the other side, as any line.
    booked = _day(fields["booked"], line, "勘定日", today)
    return ReadRow(
        line=line,
        booked_on=booked,
        value_on=_day(fields["value"], line, "起算日", today) if fields["value"].strip("0") else booked,
        amount_minor=amount if direction == "1" else -amount,
        currency="JPY",
        reference=fields["edi"],
        counterparty=fields["payer"],
        narrative=fields["narrative"],
        bank_id=fields["number"].strip(),
        kind=_kind(fields["narrative"], fields["payer"], direction == "1", fields["category"]),
    )


def _notice_of(
    head: Mapping[str, str],
    rows: Sequence[tuple[int, dict[str, str]]],
    trailer: Mapping[str, str],
    line: int,
    today: datetime.date,
) -> ReadStatement:
    read = []
    for number, fields in rows:
        is_cancelled = fields["cancelled"] == "1"
        amount = int(fields["amount"])
        if amount == 0:
            raise _invalid(number, "金額", "It is nothing.")
        booked = _day(fields["booked"], number, "勘定日", today)
        row = ReadRow(
            line=number,
            booked_on=booked,
            value_on=_day(fields["value"], number, "起算日", today) if fields["value"].strip("0") else booked,
            amount_minor=-amount if is_cancelled else amount,
            currency="JPY",
            reference=fields["edi"],
            counterparty=fields["payer"],
            narrative="取消" if is_cancelled else "",
            bank_id=fields["number"].strip(),
            kind=_kind("", fields["payer"], not is_cancelled, "11"),
        )
        read.append(row)
    came, back = [each for each in read if each.amount_minor > 0], [each for each in read if each.amount_minor < 0]
    _check_sum(line, "振込合計件数", int(trailer["count"]), len(came))
    _check_sum(line, "振込合計金額", int(trailer["total"]), sum(each.amount_minor for each in came))
    _check_sum(line, "取消合計件数", int(trailer["cancelled_count"]), len(back))
    _check_sum(line, "取消合計金額", int(trailer["cancelled_total"]), -sum(each.amount_minor for each in back))
    return _read(head, "zengin_01", read, today)


def _read(
    head: Mapping[str, str],
    written: Literal["zengin_03", "zengin_01"],
    rows: Sequence[ReadRow],
    today: datetime.date,
    *,
    opening: int | None = None,
    closing: int | None = None,
) -> ReadStatement:
    line = int(head["line"])
    return ReadStatement(
        format=written,
        kind="statement" if written == "zengin_03" else "notice",
        bank=head["bank"],
        branch=head["branch"],
        account_number=head["account"].lstrip("0").rjust(7, "0"),
        currency="JPY",
        from_on=_day(head["from"], line, "勘定日(自)", today),
        to_on=_day(head["to"], line, "勘定日(至)", today),
        rows=tuple(rows),
        opening_minor=opening,
        closing_minor=closing,
    )


def _kind(narrative: str, payer: str, came_in: bool, category: str) -> RowKind:  # noqa: FBT001 - a side
    written = kana.likeness(narrative) + " " + kana.likeness(payer)
    if came_in and any(each in written for each in _RETURNED):
        return "return"
    if not came_in and any(each in written for each in _FEES):
        return "fee"
    return "transfer" if category in {"11", "14"} else "other"


def _balance(fields: Mapping[str, str]) -> int:
    return -int(fields["balance"]) if fields["sign"] == "2" else int(fields["balance"])


def _records(data: bytes, length: int) -> Iterator[tuple[int, bytes]]:
    """Cut a file into records: by lines where it has any, else by length."""
    body = data.rstrip(b"\x1a\r\n")
    if not body:
        raise _invalid(1, "データ区分", "The file is empty.")
    if len(data) > FILE_BYTES_MAX:
        raise _invalid(1, "データ区分", f"The file is larger than {FILE_BYTES_MAX // 1024 // 1024} MB.")
    if b"\n" in body or b"\r" in body:
        lines = body.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    else:
        lines = [body[start : start + length] for start in range(0, len(body), length)]
    for number, line in enumerate(lines, start=1):
        if number == len(lines):
            line = line.ljust(length)  # the spaces at the end of the last record are lost easily, and say nothing
        if len(line) != length:
            raise _invalid(number, "レコード長", f"It has {len(line)} bytes, and {length} are a record.")
        yield number, line


def _check_shape(records: Sequence[tuple[int, bytes]]) -> None:
    """Hold that headers, data, trailers and the end record come in their order."""
    after = {"": "1", "1": "28", "2": "28", "8": "19", "9": ""}
    before = ""
    for line, record in records:
        data = chr(record[0])
        if data not in after[before]:
            wanted = " or ".join(after[before]) or "nothing"
            raise _invalid(line, "データ区分", f"It is {data!r} where {wanted} is expected.")
        before = data
    if before != "9":
        raise _invalid(records[-1][0], "データ区分", "The file ends without its end record (9): it is cut off.")


def _fields(layouts: Mapping[str, Layout], record: bytes, line: int) -> dict[str, str]:
    fields = {}
    at = 0
    for name, kind, length in layouts[chr(record[0])]:
        raw = record[at : at + length]
        try:
            value = raw.decode("cp932")
        except UnicodeDecodeError as error:
            raise _invalid(line, name, f"Bytes {at + 1} to {at + length} are no Shift_JIS.") from error
        if kind == "N":
            value = value.strip() or "0"
            if not (value.isascii() and value.isdigit()):
                raise _invalid(line, name, f"Bytes {at + 1} to {at + length} are {value!r}, where digits belong.")
        fields[name] = value.rstrip() if kind == "C" else raw.decode("cp932").strip().rjust(length, "0")
        at += length
    return fields


def _day(written: str, line: int, field: str, today: datetime.date) -> str:
    """Read YYMMDD of the era 令和."""
    try:
        day = datetime.date(_REIWA + int(written[:2]), int(written[2:4]), int(written[4:]))
    except ValueError as error:
        raise _invalid(line, field, f"{written!r} is no day.", "YYMMDD, years of the era (令和)") from error
    if day > today + datetime.timedelta(days=366):
        raise _invalid(line, field, f"{written!r} would be {day}.", "banks write years of the era: 08 is 2026")
    return day.isoformat()


def _check_sum(line: int, field: str, said: int, found: int) -> None:
    if said != found:
        raise _invalid(line, field, f"It says {said:,}, and the records before come to {found:,}.", "a record is lost")


def _invalid(line: int, field: str, detail: str, hint: str = "") -> BankFileInvalid:
    field = _NAMES.get(field, field)
    return BankFileInvalid(
        f"Record {line}, {field}: {detail}",
        problems=(Problem(path=f"/records/{line}/{field}", detail=detail, hint=hint),),
    )
