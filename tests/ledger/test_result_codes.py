"""Every edge is a result code with a test of its own, in the order of precedence; after a refusal nothing is changed."""

from collections.abc import Callable, Sequence

import msgspec
import pytest
from tests.ledger.ground import CHART, START, burned, codes, everything, move, post, run, void

from koban.base import SECOND, limits
from koban.db import Tx
from koban.ledger import (
    BookCode,
    Condition,
    Flag,
    LimitCode,
    NewBook,
    PostingCode,
    Transfer,
    TransferCode,
    change_limits,
    close_period,
    create_books,
    verify,
)
from koban.ledger.codes import MEANING, TRANSIENT

C = TransferCode
MAX = limits.AMOUNT_MINOR_MAX
Before = Callable[[Tx], object]


def _stands(*batch: Transfer) -> Before:
    def prepare(tx: Tx) -> None:
        assert codes(tx, *batch) == [C.CREATED] * len(batch)

    return prepare


KNOWN = move("x", "a", "b", 100, order="o1", booking_date="2026-10-20")
PENDING = move("p", "a", "b", 100, flags=Flag.PENDING, timeout_s=60)
CLOSING = move("close", "b", "fee", 0, flags=Flag.PENDING | Flag.CLOSING_DEBIT)

# (code, what happened before, the transfer that is refused with it)
CASES: Sequence[tuple[TransferCode, Before, Transfer]] = (
    (C.ID_INVALID, _stands(), move("", "a", "b", 1)),
    (C.ID_INVALID, _stands(), move("!expired:x", "a", "b", 1)),
    (C.ID_INVALID, _stands(), move("x" * 97, "a", "b", 1)),
    (C.EXISTS_WITH_DIFFERENT_FLAGS, _stands(KNOWN), move("x", "a", "b", 100, flags=Flag.PENDING)),
    (C.EXISTS_WITH_DIFFERENT_PENDING_ID, _stands(PENDING, post("x", "p")), post("x", "q")),
    (C.EXISTS_WITH_DIFFERENT_TIMEOUT, _stands(PENDING), move("p", "a", "b", 100, flags=Flag.PENDING, timeout_s=61)),
    (C.EXISTS_WITH_DIFFERENT_DEBIT_BOOK, _stands(KNOWN), move("x", "fee", "b", 100, order="o1")),
    (C.EXISTS_WITH_DIFFERENT_CREDIT_BOOK, _stands(KNOWN), move("x", "a", "fee", 100, order="o1")),
    (C.EXISTS_WITH_DIFFERENT_AMOUNT, _stands(KNOWN), move("x", "a", "b", 101, order="o1")),
    (C.EXISTS_WITH_DIFFERENT_AMOUNT, _stands(PENDING, post("x", "p")), post("x", "p", 100)),
    (C.EXISTS_WITH_DIFFERENT_CURRENCY, _stands(KNOWN), move("x", "a", "b", 100, order="o1", currency="USD")),
    (C.EXISTS_WITH_DIFFERENT_REASON, _stands(KNOWN), move("x", "a", "b", 100, order="o1", reason="other")),
    (C.EXISTS_WITH_DIFFERENT_REFERENCES, _stands(KNOWN), move("x", "a", "b", 100, order="o2")),
    (
        C.EXISTS_WITH_DIFFERENT_DATES,
        _stands(KNOWN),
        move("x", "a", "b", 100, order="o1", booking_date="2026-10-19"),
    ),
    (
        C.EXISTS_WITH_DIFFERENT_DATES,
        _stands(KNOWN),
        move("x", "a", "b", 100, order="o1", conditions=(Condition(book="a", at_least_minor=1),)),
    ),
    (C.EXISTS, _stands(KNOWN), KNOWN),
    (C.EXISTS, _stands(KNOWN), move("x", "a", "b", 100, order="o1")),
    (C.EXISTS, _stands(PENDING, post("x", "p")), post("x", "p")),
    (C.ID_ALREADY_FAILED, lambda tx: run(tx, move("x", "a", "b", 10_001)), move("x", "a", "b", 1)),
    (C.FLAGS_ARE_MUTUALLY_EXCLUSIVE, _stands(), move("x", "a", "b", 1, flags=Flag.PENDING | Flag.POST_PENDING)),
    (C.FLAGS_ARE_MUTUALLY_EXCLUSIVE, _stands(PENDING), post("x", "p", flags=Flag.VOID_PENDING)),
    (C.FLAGS_ARE_MUTUALLY_EXCLUSIVE, _stands(PENDING), post("x", "p", flags=Flag.CLOSING_DEBIT)),
    (C.FLAGS_ARE_MUTUALLY_EXCLUSIVE, _stands(), move("x", "a", "b", 1, flags=256)),
    (C.DEBIT_BOOK_MISSING, _stands(), move("x", "", "b", 1)),
    (C.CREDIT_BOOK_MISSING, _stands(), move("x", "a", "", 1)),
    (C.BOOKS_MUST_BE_DIFFERENT, _stands(), move("x", "a", "a", 1)),
    (C.PENDING_ID_MUST_BE_EMPTY, _stands(), move("x", "a", "b", 1, pending_id="p")),
    (C.PENDING_ID_MISSING, _stands(), post("x", "")),
    (C.PENDING_ID_MUST_BE_DIFFERENT, _stands(), post("x", "x")),
    (C.TIMEOUT_RESERVED_FOR_PENDING_TRANSFER, _stands(), move("x", "a", "b", 1, timeout_s=1)),
    (C.TIMEOUT_OUT_OF_RANGE, _stands(), move("x", "a", "b", 1, flags=Flag.PENDING, timeout_s=-1)),
    (C.TIMEOUT_OUT_OF_RANGE, _stands(), move("x", "a", "b", 1, flags=Flag.PENDING, timeout_s=3_153_600_001)),
    (C.CLOSING_TRANSFER_MUST_BE_PENDING, _stands(), move("x", "a", "b", 0, flags=Flag.CLOSING_DEBIT)),
    (C.AMOUNT_MUST_NOT_BE_NEGATIVE, _stands(), move("x", "a", "b", -1)),
    (C.AMOUNT_MUST_NOT_BE_ZERO, _stands(), move("x", "a", "b", 0)),
    (C.AMOUNT_MUST_NOT_BE_ZERO, _stands(), move("x", "a", "b", None)),
    (C.AMOUNT_MUST_NOT_BE_ZERO, _stands(PENDING), post("x", "p", 0)),
    (C.AMOUNT_OUT_OF_RANGE, _stands(), move("x", "a", "b", MAX + 1)),
    (C.CURRENCY_MISSING, _stands(), move("x", "a", "b", 1, currency="")),
    (C.REASON_INVALID, _stands(), move("x", "a", "b", 1, reason="")),
    (C.REASON_INVALID, _stands(), move("x", "a", "b", 1, reason="Because!")),
    (C.REFERENCE_INVALID, _stands(), move("x", "a", "b", 1, order="")),
    (C.REFERENCE_INVALID, _stands(), move("x", "a", "b", 1, payment="x" * 129)),
    (C.REFERENCE_INVALID, _stands(), move("x", "a", "b", 1, cause="a\x00b")),
    (C.DATE_INVALID, _stands(), move("x", "a", "b", 1, booking_date="2026-02-30")),
    (C.DATE_INVALID, _stands(), move("x", "a", "b", 1, effective_date="21.10.2026")),
    (C.DEBIT_BOOK_NOT_FOUND, _stands(), move("x", "nobody", "b", 1)),
    (C.CREDIT_BOOK_NOT_FOUND, _stands(), move("x", "a", "nobody", 1)),
    (C.CREDIT_BOOK_NOT_FOUND, _stands(), move("x", "a", "no\x00body", 1)),
    (C.BOOKS_MUST_HAVE_THE_SAME_CURRENCY, _stands(), move("x", "a", "a.usd", 1)),
    (C.TRANSFER_MUST_HAVE_THE_CURRENCY_OF_ITS_BOOKS, _stands(), move("x", "a", "b", 1, currency="USD")),
    (C.PENDING_TRANSFER_NOT_FOUND, _stands(), post("x", "nothing")),
    (C.PENDING_TRANSFER_NOT_PENDING, _stands(), post("x", "start")),
    (C.PENDING_TRANSFER_HAS_DIFFERENT_DEBIT_BOOK, _stands(PENDING), post("x", "p", debit_book="fee")),
    (C.PENDING_TRANSFER_HAS_DIFFERENT_CREDIT_BOOK, _stands(PENDING), void("x", "p", credit_book="fee")),
    (C.PENDING_TRANSFER_HAS_DIFFERENT_CURRENCY, _stands(PENDING), post("x", "p", currency="USD")),
    (C.EXCEEDS_PENDING_TRANSFER_AMOUNT, _stands(PENDING), post("x", "p", 101)),
    (C.EXCEEDS_PENDING_TRANSFER_AMOUNT, _stands(PENDING), void("x", "p", 101)),
    (C.PENDING_TRANSFER_HAS_DIFFERENT_AMOUNT, _stands(PENDING), void("x", "p", 99)),
    (C.PENDING_TRANSFER_ALREADY_POSTED, _stands(PENDING, post("q", "p", 40)), post("x", "p", 60)),
    (C.PENDING_TRANSFER_ALREADY_VOIDED, _stands(PENDING, void("q", "p")), post("x", "p")),
    (C.PENDING_TRANSFER_EXPIRED, lambda tx: (_stands(PENDING)(tx), run(tx, at=START + 61 * SECOND)), post("x", "p")),
    (
        C.BOOKING_PERIOD_CLOSED,
        lambda tx: close_period(tx, START, CHART, "2026-10-20"),
        move("x", "a", "b", 1, booking_date="2026-10-20"),
    ),
    (C.DEBIT_BOOK_ALREADY_CLOSED, _stands(CLOSING), move("x", "b", "a", 1)),
    (C.CREDIT_BOOK_ALREADY_CLOSED, _stands(CLOSING), move("x", "a", "b", 1)),
    (C.CREDIT_BOOK_ALREADY_CLOSED, _stands(PENDING, CLOSING), post("x", "p")),
    (
        C.PRECONDITION_BOOK_NOT_FOUND,
        _stands(),
        move("x", "a", "b", 1, conditions=(Condition(book="nobody", at_least_minor=0),)),
    ),
    (
        C.PRECONDITION_FAILED,
        _stands(),
        move("x", "a", "b", 1, conditions=(Condition(book="a", at_least_minor=10_001),)),
    ),
    (C.PRECONDITION_FAILED, _stands(), move("x", "a", "b", 1, conditions=(Condition(book="a", at_most_minor=9_999),))),
    (
        C.OVERFLOWS_DEBITS_PENDING,
        _stands(move("m", "free", "free2", MAX, flags=Flag.PENDING)),
        move("x", "free", "b", 1, flags=Flag.PENDING),
    ),
    (
        C.OVERFLOWS_CREDITS_PENDING,
        _stands(move("m", "free", "free2", MAX, flags=Flag.PENDING)),
        move("x", "a", "free2", 1, flags=Flag.PENDING),
    ),
    (C.OVERFLOWS_DEBITS_POSTED, _stands(move("m", "free", "free2", MAX)), move("x", "free", "b", 1)),
    (C.OVERFLOWS_CREDITS_POSTED, _stands(move("m", "free", "free2", MAX)), move("x", "a", "free2", 1)),
    (
        C.OVERFLOWS_DEBITS,
        _stands(move("m", "free", "free2", MAX)),
        move("x", "free", "b", 1, flags=Flag.PENDING),
    ),
    (
        C.OVERFLOWS_CREDITS,
        _stands(move("m", "free", "free2", MAX)),
        move("x", "a", "free2", 1, flags=Flag.PENDING),
    ),
    (C.EXCEEDS_CREDITS, _stands(), move("x", "a", "b", 10_001)),
    (C.EXCEEDS_CREDITS, _stands(move("p", "a", "b", 9_000, flags=Flag.PENDING)), move("x", "a", "fee", 1_001)),
    (C.EXCEEDS_CREDITS, _stands(move("p", "a", "b", 9_000, flags=Flag.PENDING)), move("x", "b", "fee", 1)),
    (C.EXCEEDS_DEBITS, _stands(), move("x", "bank", "c", 1_001)),
    (C.EXCEEDS_DEBITS, _stands(move("p", "bank", "c", 900, flags=Flag.PENDING)), move("x", "bank", "c", 101)),
)


@pytest.mark.parametrize(("code", "before", "refused"), CASES, ids=[f"{n}-{each[0]}" for n, each in enumerate(CASES)])
def test_a_refusal_has_its_code_and_changes_nothing_but_the_id_that_it_burns(
    tx: Tx, code: TransferCode, before: Before, refused: Transfer
) -> None:
    before(tx)
    at = START + 61 * SECOND if code is C.PENDING_TRANSFER_EXPIRED else START
    standing, ids = everything(tx), burned(tx)
    assert codes(tx, refused, at=at) == [code]
    assert everything(tx) == standing
    assert burned(tx) - ids == ({refused.id} if code in TRANSIENT else set())
    if code in TRANSIENT:
        (again,) = run(tx, refused, at=at)
        assert (again.code, again.first) == (C.ID_ALREADY_FAILED, code)
        assert everything(tx) == standing
    assert verify(tx).broken is None


def test_every_code_has_a_case_or_a_test_and_a_meaning() -> None:
    elsewhere = {C.CREATED, C.LINKED_EVENT_FAILED, C.LINKED_EVENT_CHAIN_OPEN}
    assert {each[0] for each in CASES} | elsewhere == set(TransferCode)
    assert set(MEANING) == {*TransferCode, *BookCode, *LimitCode, *PostingCode}


def test_of_several_faults_the_first_in_the_order_is_told(tx: Tx) -> None:
    order = list(TransferCode)
    assert [order.index(each[0]) for each in CASES] == sorted(order.index(each[0]) for each in CASES)
    _stands(KNOWN, PENDING, CLOSING)(tx)
    everything_wrong: dict[str, object] = {
        "debit_book": "nobody",
        "credit_book": "nobody",
        "amount_minor": -1,
        "currency": "",
        "reason": "",
        "order": "",
        "booking_date": "x",
    }
    ladder: list[tuple[TransferCode, dict[str, object]]] = [
        (C.ID_INVALID, {"id": "?"}),
        (C.EXISTS_WITH_DIFFERENT_FLAGS, {"id": "x", "flags": 256}),
        (C.FLAGS_ARE_MUTUALLY_EXCLUSIVE, {"flags": 256}),
        (C.DEBIT_BOOK_MISSING, {"debit_book": ""}),
        (C.CREDIT_BOOK_MISSING, {"credit_book": ""}),
        (C.BOOKS_MUST_BE_DIFFERENT, {"pending_id": "p"}),
        (C.PENDING_ID_MUST_BE_EMPTY, {"credit_book": "b", "pending_id": "p", "timeout_s": 1}),
        (C.TIMEOUT_RESERVED_FOR_PENDING_TRANSFER, {"credit_book": "b", "timeout_s": 1}),
        (C.CLOSING_TRANSFER_MUST_BE_PENDING, {"credit_book": "b", "flags": Flag.CLOSING_DEBIT}),
        (C.AMOUNT_MUST_NOT_BE_NEGATIVE, {"credit_book": "b"}),
        (C.AMOUNT_MUST_NOT_BE_ZERO, {"credit_book": "b", "amount_minor": 0}),
        (C.AMOUNT_OUT_OF_RANGE, {"credit_book": "b", "amount_minor": MAX + 1}),
        (C.CURRENCY_MISSING, {"credit_book": "b", "amount_minor": 1}),
        (C.REASON_INVALID, {"credit_book": "b", "amount_minor": 1, "currency": "EUR"}),
        (C.REFERENCE_INVALID, {"credit_book": "b", "amount_minor": 1, "currency": "EUR", "reason": "r"}),
    ]
    for number, (code, changed) in enumerate(ladder):
        wrong = msgspec.convert({"id": f"w{number}", **everything_wrong, **changed}, Transfer)
        assert codes(tx, wrong) == [code]
    sound: dict[str, object] = {"reason": "r", "amount_minor": 20_000, "currency": "EUR"}
    rest: list[tuple[TransferCode, dict[str, object]]] = [
        (C.DATE_INVALID, {"debit_book": "nobody", "credit_book": "nobody2", "booking_date": "x"}),
        (C.DEBIT_BOOK_NOT_FOUND, {"debit_book": "nobody", "credit_book": "nobody2"}),
        (C.CREDIT_BOOK_NOT_FOUND, {"debit_book": "b", "credit_book": "nobody2"}),
        (C.BOOKS_MUST_HAVE_THE_SAME_CURRENCY, {"debit_book": "b", "credit_book": "a.usd"}),
        (C.TRANSFER_MUST_HAVE_THE_CURRENCY_OF_ITS_BOOKS, {"debit_book": "b", "credit_book": "a"}),
        (C.DEBIT_BOOK_ALREADY_CLOSED, {"debit_book": "b", "credit_book": "c", "currency": "JPY"}),
        (C.EXCEEDS_CREDITS, {"debit_book": "a", "credit_book": "c", "currency": "JPY"}),
        (C.EXCEEDS_DEBITS, {"debit_book": "bank", "credit_book": "c", "currency": "JPY"}),
    ]
    for number, (code, changed) in enumerate(rest):
        assert codes(tx, msgspec.convert({"id": f"v{number}", **sound, **changed}, Transfer)) == [code]


def test_books_answer_with_their_own_codes(tx: Tx) -> None:
    def code(**fields: object) -> BookCode:
        standing = everything(tx)
        asked = msgspec.convert({"id": "n", "currency": "JPY", "code": "wallet", "owner": "n"} | fields, NewBook)
        (result,) = create_books(tx, START, CHART, [asked])
        assert result.code is BookCode.CREATED or everything(tx) == standing
        return result.code

    assert code(id="no spaces") is BookCode.ID_INVALID
    assert code(id="a", currency="USD", owner="a") is BookCode.EXISTS_WITH_DIFFERENT_CURRENCY
    assert code(id="a", code="capped", owner="a") is BookCode.EXISTS_WITH_DIFFERENT_CODE
    assert code(id="a", owner="somebody") is BookCode.EXISTS_WITH_DIFFERENT_OWNER
    assert code(id="a", owner="a", net_debit_max_minor=5) is BookCode.EXISTS_WITH_DIFFERENT_LIMITS
    assert code(id="a", owner="a") is BookCode.EXISTS
    assert code(currency="yen") is BookCode.CURRENCY_INVALID
    assert code(code="cellar") is BookCode.CODE_NOT_IN_CHART
    assert code(code="fee", owner=None, currency="USD") is BookCode.CURRENCY_NOT_IN_CHART
    assert code(owner=None) is BookCode.OWNER_MISSING
    assert code(code="bank") is BookCode.OWNER_NOT_ALLOWED
    assert code(net_credit_max_minor=2**62 + 1) is BookCode.LIMIT_OUT_OF_RANGE
    assert code() is BookCode.CREATED
    assert code() is BookCode.EXISTS
    assert verify(tx).broken is None


def test_a_credit_limit_can_be_raised_and_lowered(tx: Tx) -> None:
    def limit(book: str, most: int | None) -> LimitCode:
        return change_limits(tx, START, book, net_debit_max_minor=most, net_credit_max_minor=None).code

    assert limit("nobody", 1) is LimitCode.BOOK_NOT_FOUND
    assert limit("b", 2**62 + 1) is LimitCode.LIMIT_OUT_OF_RANGE
    assert codes(tx, move("1", "b", "fee", 500)) == [C.EXCEEDS_CREDITS]
    assert limit("b", 500) is LimitCode.CHANGED
    assert limit("b", 500) is LimitCode.UNCHANGED
    assert codes(tx, move("2", "b", "fee", 501), move("3", "b", "fee", 500)) == [C.EXCEEDS_CREDITS, C.CREATED]
    assert limit("b", 100) is LimitCode.CHANGED
    # What stands past the lowered limit stays; it may come back, and go no further.
    assert codes(tx, move("4", "b", "fee", 1), move("5", "a", "b", 450), move("6", "b", "fee", 50)) == [
        C.EXCEEDS_CREDITS,
        C.CREATED,
        C.CREATED,
    ]
    assert codes(tx, move("7", "b", "fee", 1)) == [C.EXCEEDS_CREDITS]
    assert verify(tx).broken is None
