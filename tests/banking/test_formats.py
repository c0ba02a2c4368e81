"""Files for banks and from banks, byte for byte from the published record layouts, and every way in which they are broken."""

import contextlib
import datetime
import pathlib
import random
import re
from typing import Final

import pytest
import sepaxml
import xmlschema
from hypothesis import given
from hypothesis import strategies as st

from koban.banking import iso20022, kana, zengin
from koban.banking.directory import check_place, find_bank, find_branch
from koban.banking.types import BankFileInvalid, Order, OrderTooLarge, Originator, Payee, PayeeInvalid
from koban.base import from_rfc3339

TODAY: Final = datetime.date(2026, 11, 30)
US: Final = Originator(
    bank="0001", branch="001", type="ordinary", number="1234567", name="コバン（カ", consignor="0123456789"
)
ORDERS: Final = (
    Order(
        reference="KB0000000001",
        payee=Payee(bank="0005", branch="001", type="ordinary", number="0000042", name="ヤマダ　ハナコ"),
        amount_minor=9_800,
    ),
    Order(
        reference="KB0000000002",
        payee=Payee(bank="0009", branch="015", type="current", number="7654321", name="がくしゃ ジョージ"),
        amount_minor=1_200_000,
    ),
)


def text(written: str, length: int) -> str:
    return written + " " * (length - len(written))


TRANSFER: Final = "".join(
    line + "\r\n"
    for line in (
        # データ区分 種別 コード区分 依頼人コード 依頼人名 取組日 銀行 銀行名 支店 支店名 種目 口座番号 ダミー
        "1" "21" "0" "0123456789" + text("ｺﾊﾞﾝ(ｶ", 40) + "1202" "0001" + text("ﾐｽﾞﾎ", 15)
        + "001" + text("ﾄｳｷﾖｳ", 15) + "1" "1234567" + " " * 17,
        # データ区分 銀行 銀行名 支店 支店名 手形交換所 種目 口座番号 受取人名 金額 新規 EDI 振込区分 識別 ダミー
        "2" "0005" + text("ﾐﾂﾋﾞｼﾕ-ｴﾌｼﾞｴｲ", 15) + "001" + text("ﾎﾝﾃﾝ", 15) + "0000" "1" "0000042"
        + text("ﾔﾏﾀﾞ ﾊﾅｺ", 30) + "0000009800" "0" + text("KB0000000001", 20) + "7" "Y" + " " * 7,
        "2" "0009" + text("ﾐﾂｲｽﾐﾄﾓ", 15) + "015" + text("ﾄｳｷﾖｳﾁﾕｳｵｳ", 15) + "0000" "2" "7654321"
        + text("ｶﾞｸｼﾔ ｼﾞﾖ-ｼﾞ", 30) + "0001200000" "0" + text("KB0000000002", 20) + "7" "Y" + " " * 7,
        "8" "000002" "000001209800" + " " * 101,
        "9" + " " * 119,
    )
).encode("cp932")  # fmt: skip

STATEMENT_ROWS: Final = (
    "2" "00000001" "081201" "081202" "2" "11" "000001209800" "000000000000" + " " * 12 + " " + " " * 7 + "   "
    + " " * 10 + text("", 48) + text("", 15) + text("", 15) + text("ｿｳｺﾞｳﾌﾘｺﾐ", 20) + text("", 20) + " ",
    "2" "00000002" "081202" "081202" "1" "11" "000000009800" "000000000000" + " " * 12 + " " + " " * 7 + "   "
    + "0123456789" + text("ﾔﾏﾀﾞ ﾊﾅｺ", 48) + text("ﾐﾂﾋﾞｼ", 15) + text("ﾎﾝﾃﾝ", 15) + text("ﾌﾘｺﾐｸﾐﾓﾄﾞｼ", 20)
    + text("KB0000000001", 20) + " ",
    "2" "00000003" "081202" "000000" "2" "18" "000000000880" "000000000000" + " " * 12 + " " + " " * 7 + "   "
    + " " * 10 + text("", 48) + text("", 15) + text("", 15) + text("ﾌﾘｺﾐﾃｽｳﾘﾖｳ", 20) + text("", 20) + " ",
)  # fmt: skip
STATEMENT: Final = "".join(
    line + "\r\n"
    for line in (
        # 作成日 勘定日自 至 銀行 銀行名 支店 支店名 ダミー 種目 口座番号 口座名 貸越 通帳 取引前残高 ダミー
        "1" "03" "0" "081202" "081201" "081202" "0001" + text("ﾐｽﾞﾎ", 15) + "001" + text("ﾄｳｷﾖｳ", 15) + "   "
        "1" "0001234567" + text("ｺﾊﾞﾝ(ｶ", 40) + "1" "1" "00000005000000" + " " * 71,
        *STATEMENT_ROWS,
        "8" "000001" "0000000009800" "000002" "0000001210680" "1" "00000003799120" "0000003" + " " * 139,
        "9" "0000000006" "00001" + " " * 184,
    )
).encode("cp932")  # fmt: skip

NOTICE: Final = "".join(
    line
    for line in (
        "1" "01" "0" "081202" "081202" "081202" "0001" + text("ﾐｽﾞﾎ", 15) + "001" + text("ﾄｳｷﾖｳ", 15)
        + "1" "1234567" + text("ｺﾊﾞﾝ(ｶ", 40) + " " * 93,
        "2" "000001" "081202" "081202" "0000003000" "0000000000" "0000000000" + text("ｽｽﾞｷ ｲﾁﾛｳ", 48)
        + text("ﾘｿﾅ", 15) + text("ﾎﾝﾃﾝ", 15) + " " + text("", 20) + " " * 52,
        "2" "000002" "081202" "081202" "0000003000" "0000000000" "0000000000" + text("ｽｽﾞｷ ｲﾁﾛｳ", 48)
        + text("ﾘｿﾅ", 15) + text("ﾎﾝﾃﾝ", 15) + "1" + text("", 20) + " " * 52,
        "8" "000001" "000000003000" "000001" "000000003000" + " " * 163,
        "9" + " " * 199,
    )
).encode("cp932")  # fmt: skip

CAMT: Final = """<?xml version="1.0" encoding="UTF-8"?>
<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"><BkToCstmrStmt><GrpHdr><MsgId>m1</MsgId></GrpHdr><Stmt>
<Acct><Id><Othr><Id>1234567</Id></Othr></Id><Ccy>JPY</Ccy>
<Svcr><FinInstnId><ClrSysMmbId><MmbId>0001001</MmbId></ClrSysMmbId></FinInstnId></Svcr></Acct>
<Bal><Tp><CdOrPrtry><Cd>OPBD</Cd></CdOrPrtry></Tp><Amt Ccy="JPY">5000000</Amt><CdtDbtInd>CRDT</CdtDbtInd></Bal>
<Bal><Tp><CdOrPrtry><Cd>CLBD</Cd></CdOrPrtry></Tp><Amt Ccy="JPY">3800000</Amt><CdtDbtInd>CRDT</CdtDbtInd></Bal>
<Ntry><Amt Ccy="JPY">1209800</Amt><CdtDbtInd>DBIT</CdtDbtInd><Sts><Cd>BOOK</Cd></Sts><BookgDt><Dt>2026-12-02</Dt></BookgDt>
<ValDt><Dt>2026-12-02</Dt></ValDt><AcctSvcrRef>B1</AcctSvcrRef>
<BkTxCd><Domn><Cd>PMNT</Cd><Fmly><Cd>ICDT</Cd><SubFmlyCd>DMCT</SubFmlyCd></Fmly></Domn></BkTxCd>
<NtryDtls><TxDtls><Refs><EndToEndId>KB0000000001</EndToEndId></Refs><Amt Ccy="JPY">9800</Amt>
<RltdPties><Cdtr><Pty><Nm>ﾔﾏﾀﾞ ﾊﾅｺ</Nm></Pty></Cdtr></RltdPties></TxDtls>
<TxDtls><Refs><EndToEndId>KB0000000002</EndToEndId></Refs><Amt Ccy="JPY">1200000.00</Amt></TxDtls></NtryDtls></Ntry>
<Ntry><Amt Ccy="JPY">9800</Amt><CdtDbtInd>CRDT</CdtDbtInd><RvslInd>true</RvslInd><Sts>BOOK</Sts>
<BookgDt><DtTm>2026-12-02T10:00:00+09:00</DtTm></BookgDt><AcctSvcrRef>B2</AcctSvcrRef>
<NtryDtls><TxDtls><Refs><EndToEndId>KB0000000001</EndToEndId></Refs><RtrInf><Rsn><Cd>AC01</Cd></Rsn></RtrInf></TxDtls></NtryDtls>
</Ntry><Ntry><Amt Ccy="JPY">5</Amt><CdtDbtInd>DBIT</CdtDbtInd><Sts><Cd>PDNG</Cd></Sts></Ntry></Stmt></BkToCstmrStmt></Document>"""


def problem(refusal: BankFileInvalid | PayeeInvalid) -> tuple[str, str]:
    return refusal.problems[0].path, refusal.problems[0].detail


def test_a_file_of_transfers_is_what_the_layout_says_byte_for_byte() -> None:
    written = zengin.write_transfer(US, ORDERS, datetime.date(2026, 12, 2))
    assert written == TRANSFER
    assert {len(line) for line in written.split(b"\r\n")[:-1]} == {120}


def test_a_payment_order_holds_to_its_schema() -> None:
    at = from_rfc3339("2026-11-30T01:00:00Z")
    assert at is not None
    odd = (*ORDERS, Order(reference="KB3", payee=Payee(bank="0009", branch="015", type="other", number="1", name="ア"),
                          amount_minor=1))  # fmt: skip
    written = iso20022.write_order(US, odd, datetime.date(2026, 12, 2), message="KBT000001", made_at=at)
    schema = xmlschema.XMLSchema(pathlib.Path(sepaxml.__file__).parent / "schemas" / "pain.001.001.09.xsd")
    schema.validate(written.decode())
    assert b"<CtrlSum>1209801</CtrlSum>" in written
    assert b"<MmbId>0005001</MmbId>" in written
    broken = written.replace(b"<PmtMtd>TRF</PmtMtd>", b"<PmtMtd>CASH</PmtMtd>")
    assert not schema.is_valid(broken.decode())


def test_a_statement_is_read_with_its_sums_and_signs() -> None:
    (read,) = zengin.read_statement(STATEMENT, TODAY)
    assert (read.format, read.kind, read.bank, read.branch, read.account_number) == (
        "zengin_03", "statement", "0001", "001", "1234567",
    )  # fmt: skip
    assert (read.from_on, read.to_on, read.opening_minor, read.closing_minor) == (
        "2026-12-01", "2026-12-02", 5_000_000, 3_799_120,
    )  # fmt: skip
    assert [(row.booked_on, row.value_on, row.amount_minor, row.kind, row.reference) for row in read.rows] == [
        ("2026-12-01", "2026-12-02", -1_209_800, "transfer", ""),
        ("2026-12-02", "2026-12-02", 9_800, "return", "KB0000000001"),
        ("2026-12-02", "2026-12-02", -880, "fee", ""),
    ]
    assert zengin.read_statement(STATEMENT.replace(b"\r\n", b""), TODAY) == [read]
    assert zengin.read_statement(STATEMENT.replace(b"\r\n", b"\n") + b"\x1a", TODAY) == [read]


def test_a_notice_of_money_that_came_in_is_read() -> None:
    (read,) = zengin.read_statement(NOTICE, TODAY)
    assert (read.kind, [(row.amount_minor, row.counterparty) for row in read.rows]) == (
        "notice",
        [(3_000, "ｽｽﾞｷ ｲﾁﾛｳ"), (-3_000, "ｽｽﾞｷ ｲﾁﾛｳ")],
    )


def test_camt_gives_the_same_rows_for_any_version_and_leaves_out_what_is_pending() -> None:
    (read,) = iso20022.read_statement(CAMT.encode())
    assert (read.bank, read.branch, read.account_number, read.format) == ("0001", "001", "1234567", "camt.053")
    assert [(row.amount_minor, row.reference, row.bank_id, row.kind, row.counterparty) for row in read.rows] == [
        (-9_800, "KB0000000001", "B1/1", "transfer", "ﾔﾏﾀﾞ ﾊﾅｺ"),
        (-1_200_000, "KB0000000002", "B1/2", "transfer", ""),
        (9_800, "KB0000000001", "B2", "return", ""),
    ]
    notice = re.sub(r"<Bal>.*?</Bal>", "", CAMT, flags=re.DOTALL)
    for old, new in (("BkToCstmrStmt", "BkToCstmrDbtCdtNtfctn"), ("Stmt>", "Ntfctn>"), ("053.001.08", "054.001.02")):
        notice = notice.replace(old, new)
    (told,) = iso20022.read_statement(notice.encode())
    assert (told.kind, told.format, len(told.rows)) == ("notice", "camt.054", 3)


BROKEN: Final = (
    (lambda data: data[:-202], "/records/5/データ区分", "cut off"),
    (lambda data: data.replace(b"2000000010812", b"200000001081 ", 1), "/records/2/勘定日", "where digits belong"),
    (lambda data: data.replace(b"081201081202", b"081301081202", 1), "/records/1/勘定日(自)", "no day"),
    (lambda data: data.replace(b"00000001081201", b"00000001261201", 1), "/records/2/勘定日", "2044"),
    (lambda data: data.replace(b"000001209800", b"000001209801", 1), "/records/5/出金額合計", "1,210,681"),
    (lambda data: data.replace(b"00000003799120", b"00000003799121", 1), "/records/5/取引後残高", "3,799,120"),
    (lambda data: data.replace(b"200000002", b"20000002", 1), "/records/3/レコード長", "199 bytes"),
    (lambda data: data.replace(b"1030", b"1910", 1), "/records/1/種別コード", "'91'"),
    (lambda data: data[202:], "/records/1/データ区分", "1 is expected"),
    (lambda data: data + b"x" * 200, "/records/7/データ区分", "nothing is expected"),
    (lambda data: data.replace("ﾔﾏﾀﾞ".encode("cp932"), b"\xff\xfe\xfd\xfc", 1), "/records/3/振込依頼人名", "no Shift_JIS"),
    (lambda _data: b"\r\n", "/records/1/データ区分", "empty"),
    (lambda _data: b"hello", "/records/1/", ""),
)  # fmt: skip


@pytest.mark.parametrize("number", range(len(BROKEN)))
def test_a_broken_statement_says_which_record_and_field(number: int) -> None:
    breaking, path, detail = BROKEN[number]
    broken = breaking(STATEMENT)
    assert broken != STATEMENT
    with pytest.raises(BankFileInvalid) as refused:
        zengin.read_statement(broken, TODAY)
    found = problem(refused.value)
    assert path in found[0]
    assert detail in found[1]


@pytest.mark.parametrize(
    ("old", "new", "path", "detail"),
    [
        ("</Document>", "", "/Document", "no XML"),
        ("BkToCstmrStmt", "Other", "/Document", "neither a statement"),
        ("1209800</Amt>", "1209801</Amt>", "/Stmt[1]/Bal", "-1,200,001"),
        ('<Amt Ccy="JPY">9800</Amt><CdtDbtInd>CRDT', '<Amt Ccy="JPY">98.5</Amt><CdtDbtInd>CRDT', "/Stmt[1]/Ntry[2]/Amt", "98.5"),
        ('<Amt Ccy="JPY">9800</Amt><CdtDbtInd>CRDT', '<Amt Ccy="QQQ">9800</Amt><CdtDbtInd>CRDT', "/Stmt[1]/Ntry[2]/Amt", "QQQ"),
        ("<CdtDbtInd>DBIT", "<CdtDbtInd>BOTH", "/Stmt[1]/Ntry[1]/CdtDbtInd", "BOTH"),
        ("<Dt>2026-12-02</Dt></BookgDt>", "<Dt>2026-13-02</Dt></BookgDt>", "/Stmt[1]/Ntry[1]/BookgDt", "2026-13-02"),
        ("<Othr><Id>1234567</Id></Othr>", "", "/Stmt[1]/Acct", "missing"),
        ('<?xml version="1.0" encoding="UTF-8"?>', '<!DOCTYPE a [<!ENTITY b "c">]>', "/Document", "no XML"),
    ],
)  # fmt: skip
def test_a_broken_camt_says_which_element(old: str, new: str, path: str, detail: str) -> None:
    assert old in CAMT
    with pytest.raises(BankFileInvalid) as refused:
        iso20022.read_statement(CAMT.replace(old, new).encode())
    found = problem(refused.value)
    assert found[0] == path
    assert detail in found[1]


@pytest.mark.parametrize(
    ("given_name", "written"),
    [
        ("ヤマダ　タロウ", "ﾔﾏﾀﾞ ﾀﾛｳ"),
        ("やまだ たろう", "ﾔﾏﾀﾞ ﾀﾛｳ"),
        ("ﾔﾏﾀﾞ ﾀﾛｳ", "ﾔﾏﾀﾞ ﾀﾛｳ"),
        ("ジョン・スミス", "ｼﾞﾖﾝ.ｽﾐｽ"),
        ("smith john", "SMITH JOHN"),
        ("カ）メルカ―ト", "ｶ)ﾒﾙｶ-ﾄ"),
        ("ヴィクトリア ヱツ", "ｳﾞｲｸﾄﾘｱ ｴﾂ"),
        ("パーﾊﾟｰ", "ﾊﾟ-ﾊﾟ-"),
        ("Ａ１２", "A12"),
    ],
)
def test_names_are_written_as_banks_take_them(given_name: str, written: str) -> None:
    assert kana.bank_name(given_name, field="name", most=30) == written
    assert kana.bank_name(written, field="name", most=30) == written


@pytest.mark.parametrize(("name", "letter"), [("山田 タロウ", "山"), ("ヤマダ&", "&"), ("ア😀", "😀"), ("ア\n", "")])
def test_a_name_with_other_characters_is_refused_by_that_character(name: str, letter: str) -> None:
    if not letter:
        assert kana.bank_name(name, field="name", most=30) == "ｱ"
        return
    with pytest.raises(PayeeInvalid) as refused:
        kana.bank_name(name, field="name", most=30)
    assert repr(letter) in problem(refused.value)[1]
    assert f"Character {name.index(letter) + 1} " in problem(refused.value)[1]


def test_a_name_that_is_too_long_or_nothing_is_refused() -> None:
    for name in ("ガ" * 16, "", "   "):
        with pytest.raises(PayeeInvalid):
            kana.bank_name(name, field="name", most=30)


def test_banks_and_branches_are_known_by_their_codes() -> None:
    bank = find_bank("0001")
    branch = find_branch("0005", "002")
    assert bank is not None
    assert branch is not None
    assert (bank.name, branch.name) == ("みずほ", "丸の内")
    for place, path in ((("0002", "001"), "/bank"), (("0001", "999"), "/branch"), (("../x", "001"), "/bank")):
        with pytest.raises(PayeeInvalid) as refused:
            check_place(*place)
        assert problem(refused.value)[0] == path
    assert find_branch("../../x", "001") is None


def test_what_does_not_fit_is_refused_before_anything_is_written() -> None:
    day = datetime.date(2026, 12, 2)
    for orders in ((), ORDERS * 1_001):
        with pytest.raises(OrderTooLarge):
            zengin.write_transfer(US, orders, day)
        with pytest.raises(OrderTooLarge):
            iso20022.write_order(US, orders, day, message="m", made_at=from_rfc3339("2026-11-30T00:00:00Z"))  # type: ignore[arg-type]  # a moment that is one
    large = Order(reference="A", payee=ORDERS[0].payee, amount_minor=10_000_000_000)
    with pytest.raises(OrderTooLarge):
        zengin.write_transfer(US, (large,), day)


ALPHABET: Final = "アイウエオカキクケコガギグゲゴパピプペポッャュョー・ABCxyz0123456789 ()./-ァヴ"
NAMES: Final = st.text(alphabet=ALPHABET, min_size=1, max_size=12).filter(lambda name: bool(name.strip()))


@given(
    st.lists(
        st.tuples(NAMES, st.integers(1, 9_999_999_999), st.integers(0, 9_999_999), st.sampled_from("124")),
        min_size=1,
        max_size=60,
    )
)
def test_what_is_written_is_read_back_and_the_trailer_holds_the_sum(rows: list[tuple[str, int, int, str]]) -> None:
    kinds = {"1": "ordinary", "2": "current", "4": "savings"}
    orders = [
        Order(
            reference=f"KB{number:010d}",
            payee=Payee(bank="0005", branch="001", type=kinds[kind], number=f"{account:07d}", name=name),  # type: ignore[arg-type]  # one of the three
            amount_minor=amount,
        )
        for number, (name, amount, account, kind) in enumerate(rows, start=1)
    ]
    written = zengin.write_transfer(US, orders, datetime.date(2026, 12, 2))
    head, read = zengin.read_transfer(written)
    assert (head["day"], head["account"]) == ("1202", "1234567")
    assert [(each["edi"], int(each["amount"]), each["account"], each["account_type"]) for each in read] == [
        (f"KB{number:010d}", amount, f"{account:07d}", kind)
        for number, (_, amount, account, kind) in enumerate(rows, start=1)
    ]
    assert [each["name"] for each in read] == [kana.bank_name(name, field="name", most=30) for name, *_ in rows]
    assert int(written.split(b"\r\n")[-3][7:19]) == sum(amount for _, amount, _, _ in rows)


@given(st.binary(max_size=900), st.randoms(use_true_random=False))
def test_no_bytes_at_all_do_more_than_be_refused(noise: bytes, randomness: random.Random) -> None:
    at = randomness.randrange(len(STATEMENT))
    for data in (noise, STATEMENT[:at] + noise + STATEMENT[at:], STATEMENT[:at] + noise + STATEMENT[at + len(noise) :]):
        for read in (lambda each: zengin.read_statement(each, TODAY), zengin.read_transfer, iso20022.read_statement):
            with contextlib.suppress(BankFileInvalid):
                read(data)
