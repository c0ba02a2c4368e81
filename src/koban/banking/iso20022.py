"""ISO 20022: payment orders written as pain.001.001.09; statements read from camt.053 and camt.054. Pure.

Any version of camt is read: elements are known by name, whatever the namespace's number. Source: ISO 20022 message
definitions; the schema of pain.001.001.09 holds what is written, in the tests.
"""

import datetime
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from typing import Final, Literal

import defusedxml.ElementTree
import msgspec
from defusedxml.common import DefusedXmlException

from koban.banking import directory, kana
from koban.banking.types import BankFileInvalid, Order, OrderTooLarge, Originator, ReadRow, ReadStatement, RowKind
from koban.banking.zengin import FILE_BYTES_MAX, ORDERS_MAX
from koban.base import MINOR_DIGITS, Instant, Problem, to_rfc3339

PAIN: Final = "urn:iso:std:iso:20022:tech:xsd:pain.001.001.09"
_TYPES: Final = {"ordinary": "SVGS", "current": "CACC", "savings": "LLSV", "other": "OTHR"}
# Reasons and codes with which banks say that money of ours came back.
_RETURN_FAMILIES: Final = frozenset({"RRTN", "RPCR", "RIMB", "PRCT", "CRTN"})


def write_order(
    originator: Originator, orders: Sequence[Order], value_on: datetime.date, *, message: str, made_at: Instant
) -> bytes:
    """Return a pain.001.001.09 document: one payment information, one transaction for each order.

    Refuses: PayeeInvalid, OrderTooLarge.
    """
    if not 1 <= len(orders) <= ORDERS_MAX:
        raise OrderTooLarge(f"{len(orders)} payments: 1 to {ORDERS_MAX:,} fit")
    total = sum(each.amount_minor for each in orders)
    document = ET.Element("Document", {"xmlns": PAIN})
    initiation = ET.SubElement(document, "CstmrCdtTrfInitn")
    head = ET.SubElement(initiation, "GrpHdr")
    _text(head, "MsgId", message)
    _text(head, "CreDtTm", to_rfc3339(made_at)[:19] + "Z")
    _text(head, "NbOfTxs", str(len(orders)))
    _text(head, "CtrlSum", str(total))
    party = ET.SubElement(head, "InitgPty")
    _text(party, "Nm", kana.bank_name(originator.name, field="name", most=40))
    _text(party, "Id/OrgId/Othr/Id", originator.consignor)
    payment = ET.SubElement(initiation, "PmtInf")
    _text(payment, "PmtInfId", message)
    _text(payment, "PmtMtd", "TRF")
    _text(payment, "BtchBookg", "true")
    _text(payment, "NbOfTxs", str(len(orders)))
    _text(payment, "CtrlSum", str(total))
    _text(payment, "ReqdExctnDt/Dt", value_on.isoformat())
    _text(payment, "Dbtr/Nm", kana.bank_name(originator.name, field="name", most=40))
    _account(payment, "DbtrAcct", originator.number, originator.type, currency="JPY")
    _agent(payment, "DbtrAgt", originator.bank, originator.branch)
    for order in orders:
        each = ET.SubElement(payment, "CdtTrfTxInf")
        _text(each, "PmtId/EndToEndId", order.reference)
        amount = ET.SubElement(ET.SubElement(each, "Amt"), "InstdAmt", {"Ccy": "JPY"})
        amount.text = str(order.amount_minor)
        _agent(each, "CdtrAgt", order.payee.bank, order.payee.branch)
        _text(each, "Cdtr/Nm", kana.bank_name(order.payee.name, field="name", most=30))
        _account(each, "CdtrAcct", order.payee.number, order.payee.type)
    ET.indent(document)
    written: bytes = ET.tostring(document, encoding="utf-8", xml_declaration=True)
    return written + b"\n"


def _text(under: ET.Element, path: str, text: str) -> None:
    node = under
    for name in path.split("/"):
        node = ET.SubElement(node, name)
    node.text = text


def _account(under: ET.Element, name: str, number: str, kind: str, *, currency: str | None = None) -> None:
    account = ET.SubElement(under, name)
    _text(account, "Id/Othr/Id", number)
    _text(account, "Tp/Cd" if kind != "other" else "Tp/Prtry", _TYPES[kind])
    if currency is not None:
        _text(account, "Ccy", currency)


def _agent(under: ET.Element, name: str, bank: str, branch: str) -> None:
    """Name bank and branch by their zengin codes, as ISO 20022 has it for Japan (clearing system JPZGN)."""
    directory.check_place(bank, branch)
    institution = ET.SubElement(ET.SubElement(under, name), "FinInstnId")
    member = ET.SubElement(institution, "ClrSysMmbId")
    _text(member, "ClrSysId/Cd", "JPZGN")
    _text(member, "MmbId", f"{bank}{branch}")


def read_statement(data: bytes) -> list[ReadStatement]:
    """Read camt.053 or camt.054: one statement for each account in the document; what is only pending is left out.

    Refuses: BankFileInvalid, naming entry and element.
    """
    if len(data) > FILE_BYTES_MAX:
        raise _invalid("Document", f"The file is larger than {FILE_BYTES_MAX // 1024 // 1024} MB.")
    try:
        root = defusedxml.ElementTree.fromstring(data, forbid_dtd=True)
    except (ET.ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise _invalid("Document", f"It is no XML that can be read: {error}"[:200]) from error
    _without_namespaces(root)
    found = [*_statements(root, "BkToCstmrStmt", "Stmt"), *_statements(root, "BkToCstmrDbtCdtNtfctn", "Ntfctn")]
    if not found:
        raise _invalid("Document", "It holds neither a statement (camt.053) nor a notification (camt.054).")
    return found


def _without_namespaces(root: ET.Element) -> None:
    for each in root.iter():
        if isinstance(each.tag, str):
            each.tag = each.tag.rpartition("}")[2]


def _statements(root: ET.Element, message: str, part: str) -> Iterator[ReadStatement]:
    for index, statement in enumerate(root.findall(f"./{message}/{part}"), start=1):
        where = f"{part}[{index}]"
        account = statement.find("Acct")
        number = _first(account, "Id/Othr/Id", "Id/IBAN")
        if account is None or not number:
            raise _invalid(f"{where}/Acct", "The account is missing.")
        place = _first(account, "Svcr/FinInstnId/ClrSysMmbId/MmbId")
        currency = _first(account, "Ccy")
        rows: list[ReadRow] = []
        for place_of, entry in enumerate(statement.findall("Ntry"), start=1):
            status = _first(entry, "Sts/Cd", "Sts")
            if status in {"", "BOOK"}:
                rows.extend(_rows(entry, place_of, f"{where}/Ntry[{place_of}]"))
        currency = currency or (rows[0].currency if rows else "JPY")
        wrong = next((each for each in rows if each.currency != currency), None)
        if wrong is not None:
            raise _invalid(f"{where}/Ntry[{wrong.line}]/Amt", f"It is in {wrong.currency}, the account in {currency}.")
        opening, closing = (_balance(statement, code, where, currency) for code in ("OPBD", "CLBD"))
        if opening is None:
            opening = _balance(statement, "PRCD", where, currency)
        came = sum(each.amount_minor for each in rows)
        if opening is not None and closing is not None and opening + came != closing:
            raise _invalid(
                f"{where}/Bal", f"The entries come to {came:,}, the balances differ by {closing - opening:,}."
            )
        days = sorted(each.booked_on for each in rows)
        yield ReadStatement(
            format="camt.053" if part == "Stmt" else "camt.054",
            kind="statement" if part == "Stmt" else "notice",
            bank=place[:4] if len(place) == 7 else "",
            branch=place[4:] if len(place) == 7 else "",
            account_number=number,
            currency=currency,
            from_on=_first(statement, "FrToDt/FrDtTm", "FrToDt/FrDt")[:10] or (days[0] if days else ""),
            to_on=_first(statement, "FrToDt/ToDtTm", "FrToDt/ToDt")[:10] or (days[-1] if days else ""),
            rows=tuple(rows),
            opening_minor=opening,
            closing_minor=closing,
        )


def _rows(entry: ET.Element, number: int, where: str) -> Iterator[ReadRow]:
    """Return one row for an entry, or one for each of its transactions where they are all there with their amounts."""
    amount, currency = _amount(entry.find("Amt"), f"{where}/Amt")
    sign = _sign(entry, where)
    booked = _day(entry, "BookgDt", where) or _day(entry, "ValDt", where)
    if not booked:
        raise _invalid(f"{where}/BookgDt", "The entry has no day.")
    shared = ReadRow(
        line=number,
        booked_on=booked,
        value_on=_day(entry, "ValDt", where) or booked,
        amount_minor=sign * amount,
        currency=currency,
        bank_id=_first(entry, "AcctSvcrRef"),
        narrative=_first(entry, "AddtlNtryInf"),
        kind=_kind(entry, None, sign),
    )
    details = entry.findall("NtryDtls/TxDtls")
    amounts = [each.find("Amt") if each.find("Amt") is not None else each.find("AmtDtls/TxAmt/Amt") for each in details]
    if len(details) > 1 and all(each is not None for each in amounts):
        parts = [_amount(each, f"{where}/TxDtls[{at}]/Amt") for at, each in enumerate(amounts, start=1)]
        if sum(each for each, _ in parts) == amount and {code for _, code in parts} == {currency}:
            for at, (detail, (part, _)) in enumerate(zip(details, parts, strict=True), start=1):
                row = _with_detail(shared, entry, detail, sign * part, sign)
                own = _first(detail, "Refs/AcctSvcrRef")
                # Why the number behind it: the entry's own id is shared by all of its transactions.
                yield msgspec.structs.replace(row, bank_id=own or (f"{shared.bank_id}/{at}" if shared.bank_id else ""))
            return
    if len(details) == 1:
        yield _with_detail(shared, entry, details[0], shared.amount_minor, sign)
        return
    batch = _first(entry, "NtryDtls/Btch/PmtInfId", "NtryDtls/Btch/MsgId", "NtryRef")
    yield msgspec.structs.replace(shared, reference=batch)


def _with_detail(shared: ReadRow, entry: ET.Element, detail: ET.Element, amount: int, sign: int) -> ReadRow:
    end_to_end = _first(detail, "Refs/EndToEndId")
    other = "Dbtr" if sign > 0 else "Cdtr"
    return msgspec.structs.replace(
        shared,
        amount_minor=amount,
        reference="" if end_to_end == "NOTPROVIDED" else end_to_end,
        counterparty=_first(detail, f"RltdPties/{other}/Pty/Nm", f"RltdPties/{other}/Nm"),
        narrative=" ".join(
            each for each in (_first(detail, "RmtInf/Ustrd"), _first(detail, "AddtlTxInf"), shared.narrative) if each
        ),
        bank_id=shared.bank_id or _first(detail, "Refs/AcctSvcrRef"),
        kind=_kind(entry, detail, sign),
    )


def _kind(entry: ET.Element, detail: ET.Element | None, sign: int) -> RowKind:
    """Say what an entry is by the bank's code: returns carry a reason, or a family of returns."""
    codes = {
        node.text or ""
        for under in (entry, *([detail] if detail is not None else []))
        for path in ("BkTxCd/Domn/Fmly/SubFmlyCd", "BkTxCd/Domn/Fmly/Cd", "BkTxCd/Prtry/Cd")
        for node in under.findall(path)
    }
    has_reason = detail is not None and detail.find("RtrInf") is not None
    is_reversal = _first(entry, "RvslInd") in {"true", "1"}
    if sign > 0 and (has_reason or is_reversal or codes & _RETURN_FAMILIES):
        return "return"
    if sign < 0 and codes & {"CHRG", "FEES", "COMM"}:
        return "fee"
    return "transfer" if codes & {"ICDT", "RCDT", "IRCT", "RRCT"} else "other"


def _sign(entry: ET.Element, where: str) -> int:
    side = _first(entry, "CdtDbtInd")
    if side not in {"CRDT", "DBIT"}:
        raise _invalid(f"{where}/CdtDbtInd", f"It is {side!r}; CRDT came in, DBIT went out.")
    return 1 if side == "CRDT" else -1


def _balance(statement: ET.Element, code: Literal["OPBD", "CLBD", "PRCD"], where: str, currency: str) -> int | None:
    for each in statement.findall("Bal"):
        if _first(each, "Tp/CdOrPrtry/Cd") == code:
            amount, written = _amount(each.find("Amt"), f"{where}/Bal/Amt", least=0)
            if written != currency:
                raise _invalid(f"{where}/Bal/Amt", f"It is in {written}, the account in {currency}.")
            return _sign(each, f"{where}/Bal") * amount
    return None


def _amount(node: ET.Element | None, where: str, *, least: int = 1) -> tuple[int, str]:
    """Read an amount as minor units of its currency, digit by digit: no float is near."""
    text = (node.text or "").strip() if node is not None else ""
    currency = node.get("Ccy", "") if node is not None else ""
    whole, _, fraction = text.partition(".")
    digits = MINOR_DIGITS.get(currency)
    if digits is None:
        raise _invalid(where, f"The currency {currency!r} is not known.")
    fraction = fraction.rstrip("0")
    if not (whole.isascii() and whole.isdigit() and len(whole) <= 15) or len(fraction) > digits:
        raise _invalid(where, f"{text!r} is no amount in {currency}.")
    if fraction and not (fraction.isascii() and fraction.isdigit()):
        raise _invalid(where, f"{text!r} is no amount in {currency}.")
    value = int(whole) * 10**digits + int((fraction or "0").ljust(digits, "0") if digits else "0")
    if value < least:
        raise _invalid(where, "It is nothing.")
    return value, currency


def _day(entry: ET.Element, name: str, where: str) -> str:
    text = _first(entry, f"{name}/Dt", f"{name}/DtTm")[:10]
    if not text:
        return ""
    try:
        return datetime.date.fromisoformat(text).isoformat()
    except ValueError as error:
        raise _invalid(f"{where}/{name}", f"{text!r} is no day.") from error


def _first(node: ET.Element | None, *paths: str) -> str:
    for path in paths:
        found = node.find(path) if node is not None else None
        if found is not None and found.text and found.text.strip():
            return found.text.strip()
    return ""


def _invalid(where: str, detail: str) -> BankFileInvalid:
    return BankFileInvalid(f"{where}: {detail}", problems=(Problem(path=f"/{where}", detail=detail),))
