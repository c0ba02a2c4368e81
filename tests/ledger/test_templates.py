"""What cannot be proved for all amounts is a fault with its place; what can be is posted whole or not at all."""

import concurrent.futures
import pathlib
import threading

import msgspec
import pytest
from tests.conftest import START, fresh_database
from tests.ledger.ground import everything

from koban.base import DAY, Instant
from koban.db import Database
from koban.ledger import (
    Flag,
    LedgerDef,
    Linear,
    NewBook,
    Posting,
    PostingCode,
    Transfer,
    balances,
    create_books,
    create_transfers,
    post,
    read_linear,
    run_ledger_cases,
    verify,
)
from koban.ledger.templates import Cap, Parameter, is_at_least
from koban.packs import PackInvalid, load_pack, parse_files

ROOT = pathlib.Path(__file__).parents[2]
STARTER = ROOT / "packs" / "starter"
SMALL = ROOT / "tests" / "small_pack"

CHART = """\
- ledger: shop
  time_zone: Asia/Tokyo
  levels: [none, known]
- {book: bank, title: {en: Bank, ja: 銀行}, grows: debit, backing: outside, currencies: [JPY]}
- {book: wallet, title: {en: Wallet, ja: 残高}, grows: credit, backing: people, owner: account, currencies: [JPY, USD]}
- {book: escrow, title: {en: Escrow, ja: 預り金}, grows: credit, backing: people, owner: order, currencies: [JPY]}
- {book: fee, title: {en: Fee, ja: 手数料}, grows: credit, backing: own, currencies: [JPY]}
- {book: loan, title: {en: Lent, ja: 貸付}, grows: debit, backing: people, owner: account, currencies: [JPY]}
- {book: credit, title: {en: Credit, ja: あと払い}, grows: debit, backing: people, owner: account, currencies: [JPY], most_minor: 100}
- {book: payable, title: {en: Payable, ja: 未払金}, grows: credit, backing: outside, currencies: [JPY], may_overdraw: true}
- {book: cost, title: {en: Cost, ja: 費用}, grows: debit, backing: own, currencies: [JPY]}
- {book: company, title: {en: Company, ja: 自己資金}, grows: credit, backing: own, currencies: [JPY], may_overdraw: true}
"""
GOOD = """\
- posting: cash_in
  about: {en: In, ja: 入金}
  currencies: [JPY]
  parameters: {account: {owner: account}, line: reference, amount: amount}
  evidence: line
  entries:
    - debit: {book: bank, amount: amount}
      credit: {book: wallet, of: account, amount: amount}
  undone_by: cash_back
- posting: cash_back
  about: {en: Back, ja: 返金}
  currencies: [JPY]
  parameters: {account: {owner: account}, amount: amount}
  entries:
    - debit: {book: wallet, of: account, amount: amount}
      credit: {book: bank, amount: amount}
  final: {en: Done., ja: 完了。}
- posting: sold
  about: {en: Sold, ja: 売却}
  currencies: [JPY]
  parameters: {buyer: {owner: account}, seller: {owner: account}, order: reference, price: amount, fee: {zero: true, at_most: price}}
  order: order
  entries:
    - debit: {book: wallet, of: buyer, amount: price}
      credit: [{book: wallet, of: seller, amount: price - fee}, {book: fee, amount: fee}]
  followed_by: [cash_back]
- posting: reserved
  about: {en: Reserved, ja: 確保}
  currencies: [JPY]
  parameters: {account: {owner: account}, order: {owner: order}, amount: amount}
  entries:
    - hold: true
      for: 1 hour
      debit: {book: wallet, of: account, amount: amount}
      credit: {book: escrow, of: order, amount: amount}
  undone_by: released
  followed_by: [taken]
- posting: taken
  about: {en: Taken, ja: 確定}
  currencies: [JPY]
  parameters: {reserve: {posting: reserved}, amount: amount}
  entries:
    - {settle: reserve, leg: 1, amount: amount}
  followed_by: [cash_back]
- posting: released
  about: {en: Released, ja: 解放}
  currencies: [JPY]
  parameters: {reserve: {posting: reserved}}
  entries:
    - {release: reserve, leg: 1}
  final: {en: Done., ja: 完了。}
"""


def _files(postings: str = GOOD, chart: str = CHART) -> dict[str, str]:
    kept = {
        path.relative_to(SMALL).as_posix(): path.read_text(encoding="utf-8")
        for path in sorted(SMALL.rglob("*"))
        if path.suffix in {".yaml", ".txt"}
    }
    return {**kept, "ledger.yaml": chart, "postings.yaml": postings}


def _faults(postings: str = GOOD, chart: str = CHART) -> list[str]:
    try:
        parse_files(_files(postings, chart))
    except PackInvalid as invalid:
        return [fault.detail for fault in invalid.faults]
    return []


def test_a_sound_pack_has_no_fault() -> None:
    assert _faults() == []


BROKEN = [
    ("{book: bank, amount: amount}\n      credit: {book: wallet, of: account, amount: amount}",
     "{book: bank, amount: amount + 1}\n      credit: {book: wallet, of: account, amount: amount}",
     "posting cash_in: debits and credits differ by 1"),
    ("amount: price - fee}, {book: fee, amount: fee}", "amount: price - fee}, {book: fee, amount: 2 * fee}",
     "posting sold: debits and credits differ by - fee"),
    ("amount: price - fee}, {book: fee, amount: fee}]", "amount: price - fee}]",
     "posting sold: debits and credits differ by fee"),
    ("fee: {zero: true, at_most: price}", "fee: {zero: true}", "posting sold: price - fee could be below zero"),
    ("fee: {zero: true, at_most: price}", "fee: {zero: true, at_most: tip}",
     "posting sold: 'at_most' of 'fee' reads what is no amount of this template"),
    ("{book: fee, amount: fee}", "{book: fees, amount: fee}", "posting sold: the chart has no book 'fees'"),
    ("{book: wallet, of: buyer, amount: price}", "{book: escrow, of: buyer, amount: price}",
     "posting sold: books of 'escrow' belong to a order, and 'of' names no parameter that is one"),
    ("{book: wallet, of: buyer, amount: price}", "{book: fee, of: buyer, amount: price}",
     "posting sold: 'fee' is one book and belongs to nobody"),
    ("amount: price}\n", "amount: worth}\n", "posting sold: 'worth' is no amount of this template"),
    ("  evidence: line\n", "", "posting cash_in: it debits 'bank', so money would come in that nobody outside sent"),
    ("  evidence: line\n", "  evidence: amount\n", "posting cash_in: 'evidence' names no parameter that is a reference: 'amount'"),
    ("{book: wallet, of: buyer, amount: price}", "{book: company, amount: price}",
     "posting sold: it debits 'company', which nothing bounds, so money would be given away for no reason"),
    ("{book: wallet, of: buyer, amount: price}", "{book: cost, amount: price}",
     "posting sold: it debits 'cost', which nothing bounds, so money would be given away for no reason"),
    ("{book: wallet, of: buyer, amount: price}", "{book: loan, of: buyer, amount: price}",
     "posting sold: it debits 'loan', a claim on somebody that nothing bounds, so money would be made by owing it"),
    ("{book: wallet, of: buyer, amount: price}", "{book: payable, amount: price}",
     "posting sold: it debits 'payable', so money would come in that nobody outside sent"),
    ("  order: order\n", "  order: order\n  needs: [{book: loans, of: buyer, at_most: 0}]\n",
     "posting sold: the chart has no book 'loans'"),
    ("  order: order\n", "  order: order\n  needs: [{book: loan, at_most: 0}]\n",
     "posting sold: books of 'loan' belong to a account, and 'of' names no parameter that is one"),
    ("  order: order\n", "  order: order\n  needs: [{book: loan, of: buyer, at_most: 2 * worth}]\n",
     "posting sold: 'worth' is no amount of this template"),
    ("  order: order\n", "  order: order\n  needs: [{book: loan, of: buyer, at_most: much}]\n",
     "posting sold: 'much' is no amount of this template"),
    ("  order: order\n", "  order: order\n  once: [proof]\n", "posting sold: 'once' names no parameter that is a reference: 'proof'"),
    ("  order: order\n", "  order: order\n  once: [price]\n", "posting sold: 'once' names no parameter that is a reference: 'price'"),
    ("  undone_by: cash_back\n", "", "posting cash_in: nothing says what may follow"),
    ("  undone_by: cash_back\n", "  undone_by: sold\n", "posting cash_in: 'sold' does not take it back: it leaves"),
    ("  undone_by: cash_back\n", "  undone_by: nowhere\n", "posting cash_in: there is no posting 'nowhere'"),
    ("followed_by: [taken]", "followed_by: [nowhere]", "posting reserved: there is no posting 'nowhere'"),
    ("{release: reserve, leg: 1}", "{release: reserve, leg: 2}",
     "posting released: leg 2 of 'reserved' reserves nothing that could be settled or released"),
    ("{settle: reserve, leg: 1, amount: amount}", "{settle: amount, leg: 1}",
     "posting taken: 'amount' is no parameter of type posting"),
    ("{account: {owner: account}, order: {owner: order}, amount: amount}",
     "{account: {owner: account}, order: {owner: order}, amount: {zero: true}}",
     "posting reserved: amount could be nothing, and nothing cannot be reserved"),
    ("currencies: [JPY]\n  parameters: {buyer", "currencies: [JPY, USD]\n  parameters: {buyer",
     "posting sold: the chart does not keep 'fee' in USD"),
    ("debit: {book: wallet, of: buyer, amount: price}",
     "debit: [{book: wallet, of: buyer, amount: price - 1}, {book: fee, amount: 1}]",
     "posting sold: several debits against several credits"),
    ("debit: {book: bank, amount: amount}", "debit: {book: bank, amount: amount * 2}", "'amount * 2' is no sum of amounts"),
]  # fmt: skip


@pytest.mark.parametrize(("good", "bad", "fault"), BROKEN, ids=[each[2][:70] for each in BROKEN])
def test_what_cannot_be_proved_is_a_fault(good: str, bad: str, fault: str) -> None:
    assert good in GOOD
    found = _faults(GOOD.replace(good, bad, 1))
    assert any(each.startswith(fault) for each in found), found


def test_a_claim_that_the_chart_bounds_or_that_has_a_cause_is_sound() -> None:
    debit = "{book: wallet, of: buyer, amount: price}"
    assert _faults(GOOD.replace(debit, "{book: credit, of: buyer, amount: price}", 1)) == []
    with_cause = GOOD.replace(debit, "{book: loan, of: buyer, amount: price}", 1).replace(
        "  order: order\n", "  order: order\n  cause: order\n", 1
    )
    assert _faults(with_cause) == []


LIMIT = """\
- limit: spent
  about: {en: Spent, ja: 支払}
  on: [cash_back, sold]
  of: account
  amount: amount
  currency: JPY
  within: 1 day
  levels: {none: {count: 1}, known: {}}
"""


@pytest.mark.parametrize(
    ("line", "instead", "fault"),
    [
        ("  on: [cash_back, sold]\n", "  on: [cash_back]\n", None),
        ("  of: account\n", "  of: buyer\n", "limit spent: 'buyer' is nobody in the posting 'cash_back'"),
        (
            "  amount: amount\n",
            "  amount: amount\n  amounts: {sold: price}\n",
            "limit spent: 'account' is nobody in the posting 'sold'",
        ),
        (
            "  on: [cash_back, sold]\n",
            "  on: [cash_back]\n  amounts: {sold: price}\n",
            "limit spent: 'amounts' names 'sold', which it does not count",
        ),
        (
            "  on: [cash_back, sold]\n",
            "  on: [cash_back]\n  amounts: {cash_back: price}\n",
            "limit spent: 'price' is no amount of the posting 'cash_back'",
        ),
        (
            "  on: [cash_back, sold]\n",
            "  on: [cash_back]\n  amounts: [cash_back]\n",
            "'amounts' maps a posting to the parameter that says how much",
        ),
    ],
)
def test_a_limit_knows_whom_and_how_much_each_posting_counts(line: str, instead: str, fault: str | None) -> None:
    assert line in LIMIT
    found = _faults(chart=CHART + LIMIT.replace(line, instead, 1))
    assert found == [] if fault is None else fault in found, found


def test_what_is_owed_to_people_may_never_be_overdrawn() -> None:
    chart = CHART.replace(
        "owner: account, currencies: [JPY, USD]", "owner: account, currencies: [JPY, USD], may_overdraw: true"
    )
    assert any("their claim could go below zero" in each or "may be overdrawn" in each for each in _faults(chart=chart))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("price", Linear(terms=(("price", 1),))),
        ("price - fee", Linear(terms=(("fee", -1), ("price", 1)))),
        ("2 * unit + 100", Linear(constant=100, terms=(("unit", 2),))),
        ("- a + a + 3", Linear(constant=3)),
        ("price fee", None),
        ("price * fee", None),
        ("", None),
        ("1.5", None),
    ],
)
def test_amounts_are_sums_of_parameters(text: str, found: Linear | None) -> None:
    assert read_linear(text) == found


def test_bounds_are_followed_through_one_another() -> None:
    parameters = {
        "price": Parameter(name="price", type="amount"),
        "fee": Parameter(name="fee", type="amount", zero=True, at_most=read_linear("price")),
        "ship": Parameter(name="ship", type="amount", zero=True, at_most=read_linear("price - fee")),
    }
    for text, least, proved in (
        ("price - fee - ship", 0, True),
        ("price - fee - ship", 1, False),
        ("price - 2 * fee", 0, False),
        ("price", 1, True),
        ("fee", 1, False),
    ):
        expression = read_linear(text)
        assert expression is not None
        assert is_at_least(expression, least, parameters) is proved, text


def test_every_template_of_the_starter_pack_is_in_a_worked_example_and_all_pass() -> None:
    ledger = load_pack(STARTER).ledger
    used = {step.posting for case in ledger.cases for step in case.steps if step.expect == "posted"}
    assert set(ledger.templates) - used == set()
    assert {each.name: each.wrong for each in run_ledger_cases(ledger) if each.wrong} == {}


def test_a_wrong_worked_example_is_told() -> None:
    example = (
        "- example: wrong\n  steps:\n    - {posting: cash_in, with: {account: a, line: l, amount: 5}}\n"
        "    - {posting: cash_back, with: {account: a, amount: 9}}\n  balances: {'wallet.JPY:a': 6}\n"
    )
    pack = parse_files({**_files(), "cases/ledger.yaml": example})
    (result,) = run_ledger_cases(pack.ledger)
    assert result.wrong == (
        "step 2, cash_back: transfer_refused (exceeds_credits) instead of posted",
        "wallet.JPY:a holds 5 instead of 6",
        "bank.JPY holds -5 (credits less debits), and no line says so",
    )


@pytest.fixture(scope="module")
def ledger() -> LedgerDef:
    return load_pack(STARTER).ledger


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> object:
    with fresh_database(request, str(request.param), tmp_path) as opened:
        yield opened


def _cash_in(posting_id: str, amount: int, level: str | None = "phone", **more: str | int) -> Posting:
    parameters = {"account": "a1", "bank_line": f"line-of-{posting_id}", "amount": amount, **more}
    return Posting(id=posting_id, template="cash_in", currency="JPY", parameters=parameters, level=level)


def test_postings_answer_with_result_codes_and_change_nothing_when_refused(
    database: Database, ledger: LedgerDef
) -> None:
    def code(posting: Posting, at: int = START) -> tuple[PostingCode, str]:
        with database.write() as tx:
            result = post(tx, Instant(at), ledger, posting)
        return result.code, result.about

    def held() -> int:
        with database.read() as tx:
            found = balances(tx, ["wallet.JPY:a1"])[0]
            assert verify(tx).broken is None
        return 0 if found is None else found.net_credit_minor

    assert code(_cash_in("no spaces", 1)) == (PostingCode.ID_INVALID, "")
    assert code(_cash_in("p", 30_000)) == (PostingCode.POSTED, "")
    assert code(_cash_in("p", 30_000)) == (PostingCode.EXISTS, "")
    assert code(_cash_in("p", 30_001)) == (PostingCode.EXISTS_WITH_DIFFERENT_PARAMETERS, "")
    other = Posting(id="p", template="cash_in_returned", currency="JPY", parameters={})
    assert code(other) == (PostingCode.EXISTS_WITH_DIFFERENT_TEMPLATE, "")
    assert code(Posting(id="q", template="gift", currency="JPY", parameters={})) == (
        PostingCode.TEMPLATE_UNKNOWN,
        "gift",
    )
    assert code(Posting(id="q", template="cash_in", currency="USD", parameters={})) == (
        PostingCode.CURRENCY_NOT_IN_TEMPLATE,
        "USD",
    )
    assert code(Posting(id="q", template="cash_in", currency="JPY", parameters={})) == (
        PostingCode.PARAMETER_MISSING,
        "account",
    )
    assert code(_cash_in("q", 1, extra=1)) == (PostingCode.PARAMETER_UNKNOWN, "extra")
    assert code(_cash_in("q", 0)) == (PostingCode.PARAMETER_INVALID, "amount")
    assert code(_cash_in("q", 2**62)) == (PostingCode.PARAMETER_INVALID, "amount")
    assert code(_cash_in("q", 1, account="")) == (PostingCode.PARAMETER_INVALID, "account")
    assert code(_cash_in("q", 1, bank_line="a\x00")) == (PostingCode.PARAMETER_INVALID, "bank_line")
    assert code(_cash_in("q", 1, level=None)) == (PostingCode.LEVEL_MISSING, "")
    assert code(_cash_in("q", 1, level="gold")) == (PostingCode.LEVEL_UNKNOWN, "gold")
    fee_too_large: dict[str, str | int] = {"order": "o", "seller": "s", "amount": 10, "fee": 11}
    done = Posting(id="q", template="order_completed", currency="JPY", parameters=fee_too_large)
    assert code(done) == (PostingCode.PARAMETER_INVALID, "fee")
    assert held() == 30_000
    # Refusals of the moment burn the id; the form ones above did not.
    assert code(_cash_in("q", 20_001)) == (PostingCode.LIMIT_AMOUNT_EXCEEDED, "cash_in_day")
    assert code(_cash_in("q", 20_001), START + 2 * DAY) == (PostingCode.ID_ALREADY_FAILED, "cash_in_day")
    assert code(_cash_in("r", 20_001), START + 2 * DAY) == (PostingCode.POSTED, "")
    for number in range(4):
        assert code(_cash_in(f"s{number}", 1), START + 2 * DAY) == (PostingCode.POSTED, "")
    assert code(_cash_in("s4", 1), START + 2 * DAY) == (PostingCode.LIMIT_COUNT_EXCEEDED, "cash_in_day")
    back: dict[str, str | int] = {"account": "a1", "bank_line": "l", "amount": 99_999}
    returned = Posting(id="t", template="cash_in_returned", currency="JPY", parameters=back)
    assert code(returned, START + 2 * DAY) == (PostingCode.TRANSFER_REFUSED, "exceeds_credits")
    assert code(returned, START + 2 * DAY) == (PostingCode.ID_ALREADY_FAILED, "exceeds_credits")
    assert held() == 50_005


def test_nothing_to_move_and_a_book_that_is_somebody_elses_change_nothing(
    database: Database, ledger: LedgerDef
) -> None:
    none: dict[str, str | int] = {"card": 0, "wallet": 0, "points": 0}
    nothing = Posting(
        id="n", template="order_paid_mixed", currency="JPY",
        parameters={"order": "o", "payment": "p", "provider": "gmo", "buyer": "a1", **none},
    )  # fmt: skip
    other = NewBook(id="wallet.JPY:a1", currency="JPY", code="wallet", owner="somebody")
    with database.write() as tx:
        assert [each.code for each in create_books(tx, START, ledger.chart, [other])] == ["created"]
        for posting, told in (
            (nothing, (PostingCode.NOTHING_TO_MOVE, "")),
            (_cash_in("b", 100), (PostingCode.BOOK_REFUSED, "exists_with_different_owner")),
        ):
            before = everything(tx)
            for _ in range(2):  # neither burns the id: the same answer again
                result = post(tx, START, ledger, posting)
                assert (result.code, result.about) == told
                assert everything(tx) == before
        assert verify(tx).broken is None


def test_what_proves_one_posting_proves_no_other_of_any_template(database: Database, ledger: LedgerDef) -> None:
    def code(posting: Posting) -> tuple[PostingCode, str]:
        with database.write() as tx:
            result = post(tx, START, ledger, posting)
        return result.code, result.about

    capital = Posting(id="own", template="company_paid_in", currency="JPY", parameters={"bank_line": "l1", "amount": 9})
    assert code(_cash_in("first", 70_000, bank_line="l1")) == (PostingCode.LIMIT_AMOUNT_EXCEEDED, "cash_in_day")
    assert code(_cash_in("a", 5, bank_line="l1")) == (PostingCode.POSTED, "")  # what was refused used nothing
    with database.read() as tx:
        before = everything(tx)
    assert code(_cash_in("b", 5, bank_line="l1")) == (PostingCode.EVIDENCE_USED, "a")
    assert code(_cash_in("c", 90_000, bank_line="l1")) == (PostingCode.EVIDENCE_USED, "a")  # before any limit
    assert code(capital) == (PostingCode.EVIDENCE_USED, "a")
    assert code(_cash_in("b", 5, bank_line="l1")) == (PostingCode.ID_ALREADY_FAILED, "a")
    assert code(_cash_in("a", 5, bank_line="l1")) == (PostingCode.EXISTS, "")
    with database.read() as tx:
        assert everything(tx) == before
        assert verify(tx).broken is None


def test_of_two_at_once_with_one_proof_one_is_posted(database: Database, ledger: LedgerDef) -> None:
    gate = threading.Barrier(2)

    def one(posting_id: str) -> PostingCode:
        gate.wait()
        with database.write() as tx:
            return post(tx, START, ledger, _cash_in(posting_id, 5, bank_line="l1")).code

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        codes = sorted(pool.map(one, ("a", "b")))
    assert codes == [PostingCode.EVIDENCE_USED, PostingCode.POSTED]
    with database.read() as tx:
        assert tx.rows("SELECT count(*) FROM ledger_evidence") == [(1,)]


def test_what_is_released_in_full_frees_what_proved_it(database: Database, ledger: LedgerDef) -> None:
    strict = msgspec.structs.replace(ledger.templates["order_authorised"], once=("payment",))
    ledger = msgspec.structs.replace(ledger, templates={**ledger.templates, strict.name: strict})

    def code(posting_id: str, template: str, **parameters: str | int) -> PostingCode:
        with database.write() as tx:
            asked = Posting(id=posting_id, template=template, currency="JPY", parameters=parameters, level="identity")
            return post(tx, START, ledger, asked).code

    card: dict[str, str | int] = {"order": "o", "payment": "p", "provider": "gmo", "amount": 5}
    assert code("h1", "order_authorised", **card) is PostingCode.POSTED
    assert code("h2", "order_authorised", **card) is PostingCode.EVIDENCE_USED
    assert code("v1", "order_authorisation_voided", authorisation="h1", order="o") is PostingCode.POSTED
    assert code("h3", "order_authorised", **card) is PostingCode.POSTED


def test_a_need_that_is_not_met_burns_the_id_and_pending_counts(database: Database, ledger: LedgerDef) -> None:
    def code(posting_id: str, template: str, **parameters: str | int) -> tuple[PostingCode, str]:
        asked = Posting(id=posting_id, template=template, currency="JPY", parameters=parameters, level="identity")
        result = post(tx, START, ledger, asked)
        return result.code, result.about

    with database.write() as tx:
        pending = Transfer(
            id="h", debit_book="credit_billed.JPY:a1", credit_book="late_fee_income.JPY", amount_minor=50_001,
            currency="JPY", reason="test", flags=Flag.PENDING,
        )  # fmt: skip
        books = [
            NewBook(id="credit_billed.JPY:a1", currency="JPY", code="credit_billed", owner="a1"),
            NewBook(id="late_fee_income.JPY", currency="JPY", code="late_fee_income"),
        ]
        assert {each.code for each in create_books(tx, START, ledger.chart, books)} == {"created"}
        assert code("c1", "credit_drawn", order="o", buyer="a1", amount=1) == (PostingCode.POSTED, "")
        assert [each.code for each in create_transfers(tx, START, ledger.chart, [pending])] == ["created"]
        before = everything(tx)
        assert code("c2", "credit_drawn", order="o", buyer="a1", amount=1) == (PostingCode.NEED_UNMET, "credit_billed")
        assert everything(tx) == before
        freed = Transfer(id="v", pending_id="h", flags=Flag.VOID_PENDING)
        assert [each.code for each in create_transfers(tx, START, ledger.chart, [freed])] == ["created"]
        assert code("c2", "credit_drawn", order="o", buyer="a1", amount=1) == (
            PostingCode.ID_ALREADY_FAILED,
            "credit_billed",
        )
        assert code("c3", "credit_drawn", order="o", buyer="a1", amount=1) == (PostingCode.POSTED, "")
        assert verify(tx).broken is None


def test_a_count_that_is_passed_is_told_before_an_amount_whatever_the_order_of_limits(
    database: Database, ledger: LedgerDef
) -> None:
    day, month = ledger.limits["cash_in_day"], ledger.limits["cash_in_month"]
    counted = msgspec.structs.replace(month, levels={**month.levels, "phone": Cap(count=1)})
    for number, names in enumerate((("cash_in_day", "cash_in_month"), ("cash_in_month", "cash_in_day"))):
        both = {"cash_in_day": day, "cash_in_month": counted}
        limited = msgspec.structs.replace(ledger, limits={name: both[name] for name in names})
        account = f"a{number}"
        with database.write() as tx:
            first = post(tx, START, limited, _cash_in(f"p{number}", 30_000, account=account))
            second = post(tx, START, limited, _cash_in(f"q{number}", 30_000, account=account))
        assert first.code is PostingCode.POSTED
        assert (second.code, second.about) == (PostingCode.LIMIT_COUNT_EXCEEDED, "cash_in_month")


def test_a_repeated_posting_names_its_transfers_again(database: Database, ledger: LedgerDef) -> None:
    with database.write() as tx:
        first = post(tx, START, ledger, _cash_in("p", 100))
        again = post(tx, Instant(START + DAY), ledger, _cash_in("p", 100))
    assert [each.id for each in first.transfers] == ["p.1"]
    assert [(each.id, each.position, each.amount_minor) for each in again.transfers] == [
        ("p.1", first.transfers[0].position, 100)
    ]


def test_an_owner_may_have_any_characters(database: Database, ledger: LedgerDef) -> None:
    with database.write() as tx:
        for number, account in enumerate(("山田 太郎", "a/b?c", "x" * 128)):
            result = post(tx, START, ledger, _cash_in(f"p{number}", 100, account=account))
            assert result.code is PostingCode.POSTED
        from koban.ledger import store

        owners = {each.owner for each in store.list_books(tx, code="wallet", owner=None, after_num=0, limit=9)}
    assert owners == {"山田 太郎", "a/b?c", "x" * 128}
