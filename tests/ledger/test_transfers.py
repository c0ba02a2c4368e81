"""What transfers do: reserving, posting in part, chains, balancing, closing, conditions, dates, statements."""

import contextlib
import threading

import pytest
from tests.ledger.ground import CHART, START, codes, everything, move, post, run, void

from koban.base import SECOND, Instant
from koban.db import Database, Tx
from koban.ledger import (
    Balance,
    BatchTooLarge,
    BookMissing,
    Condition,
    Flag,
    Line,
    PeriodStep,
    TransferCode,
    TransferMissing,
    balances,
    close_period,
    create_transfers,
    expire_due,
    list_transfers,
    read_totals,
    statement,
    transfer,
    verify,
    why_refused,
)

C = TransferCode


class _Crash(Exception):
    pass


def _numbers(tx: Tx, book: str) -> tuple[int, int, int, int]:
    (found,) = balances(tx, [book])
    assert isinstance(found, Balance)
    return (
        found.debits_pending_minor,
        found.debits_posted_minor,
        found.credits_pending_minor,
        found.credits_posted_minor,
    )


def test_a_pending_transfer_reserves_and_a_partial_post_gives_the_rest_back(tx: Tx) -> None:
    assert codes(tx, move("p", "a", "b", 6_000, flags=Flag.PENDING)) == [C.CREATED]
    assert _numbers(tx, "a") == (6_000, 0, 0, 10_000)
    assert _numbers(tx, "b") == (0, 0, 6_000, 0)
    assert balances(tx, ["a"])[0].available_minor == 4_000  # type: ignore[union-attr]  # it is there
    (result,) = run(tx, post("q", "p", 2_500))
    assert (result.code, result.amount_minor) == (C.CREATED, 2_500)
    assert _numbers(tx, "a") == (0, 2_500, 0, 10_000)
    assert _numbers(tx, "b") == (0, 0, 0, 2_500)
    assert (transfer(tx, "p").state, transfer(tx, "q").reason, transfer(tx, "q").pending_id) == ("posted", "test", "p")
    assert verify(tx).broken is None


def test_a_void_gives_everything_back(tx: Tx) -> None:
    assert codes(tx, move("p", "a", "b", 6_000, flags=Flag.PENDING), void("q", "p")) == [C.CREATED, C.CREATED]
    assert (_numbers(tx, "a"), _numbers(tx, "b")) == ((0, 0, 0, 10_000), (0, 0, 0, 0))
    assert verify(tx).broken is None


def test_time_frees_what_was_reserved_once_and_the_row_tells_it(tx: Tx) -> None:
    assert codes(tx, move("p", "a", "b", 6_000, flags=Flag.PENDING, timeout_s=60)) == [C.CREATED]
    assert expire_due(tx, Instant(START + 60 * SECOND - 1), CHART) == []
    (freed,) = expire_due(tx, Instant(START + 60 * SECOND), CHART)
    assert (freed.pending_id, freed.amount_minor) == ("p", 6_000)
    assert expire_due(tx, Instant(START + 600 * SECOND), CHART) == []
    assert (_numbers(tx, "a"), _numbers(tx, "b")) == ((0, 0, 0, 10_000), (0, 0, 0, 0))
    assert transfer(tx, "p").state == "expired"
    assert [(each.transfer, each.flags) for each in statement(tx, "b").lines] == [("!expired:p", 256), ("p", 2)]
    assert verify(tx).broken is None


def test_a_batch_first_frees_what_is_due_so_that_the_money_can_be_used_again(tx: Tx) -> None:
    run(tx, move("p", "a", "b", 10_000, flags=Flag.PENDING, timeout_s=60))
    assert codes(tx, move("q", "a", "fee", 1), at=START + 59 * SECOND) == [C.EXCEEDS_CREDITS]
    assert codes(tx, post("r", "p"), move("s", "a", "fee", 10_000), at=START + 60 * SECOND) == [
        C.PENDING_TRANSFER_EXPIRED,
        C.CREATED,
    ]
    assert verify(tx).broken is None


def test_a_chain_stands_or_falls_as_a_whole(tx: Tx) -> None:
    linked = Flag.LINKED
    standing = everything(tx)
    broken = (
        move("1", "a", "b", 100, flags=linked),
        move("2", "a", "b", 100_000, flags=linked),
        move("3", "a", "b", 1),
        move("4", "a", "fee", 5),
    )
    assert codes(tx, *broken[:3]) == [C.LINKED_EVENT_FAILED, C.EXCEEDS_CREDITS, C.LINKED_EVENT_FAILED]
    assert everything(tx) == standing
    # A retry learns the same: the one that failed failed for ever, and the whole with it.
    assert codes(tx, *broken) == [C.LINKED_EVENT_FAILED, C.ID_ALREADY_FAILED, C.LINKED_EVENT_FAILED, C.CREATED]
    assert why_refused(tx, "2") is C.EXCEEDS_CREDITS
    whole = (move("5", "a", "b", 100, flags=linked), move("6", "b", "fee", 100))
    assert codes(tx, *whole) == [C.CREATED, C.CREATED]
    assert codes(tx, *whole) == [C.EXISTS, C.EXISTS]
    assert codes(tx, move("7", "a", "b", 1, flags=linked)) == [C.LINKED_EVENT_CHAIN_OPEN]
    assert codes(tx, move("7", "a", "b", 1, flags=linked), move("8", "a", "b", 1, flags=linked)) == [
        C.LINKED_EVENT_FAILED,
        C.LINKED_EVENT_CHAIN_OPEN,
    ]
    assert codes(tx, move("5", "a", "b", 100, flags=linked), move("9", "a", "b", 1)) == [
        C.EXISTS,
        C.LINKED_EVENT_FAILED,
    ]
    assert verify(tx).broken is None


def test_a_fallen_chain_leaves_no_trace_of_what_it_reserved_posted_or_closed(tx: Tx) -> None:
    linked = Flag.LINKED
    run(
        tx,
        move("p", "a", "b", 100, flags=Flag.PENDING),
        move("shut", "fee", "b", 0, flags=Flag.PENDING | Flag.CLOSING_DEBIT),
    )
    standing = everything(tx)
    assert codes(
        tx,
        move("1", "a", "b", 50, flags=linked | Flag.PENDING),
        post("2", "1", flags=linked),
        post("3", "p", flags=linked),
        void("4", "shut", flags=linked),
        move("5", "b", "a", 10, flags=linked | Flag.PENDING | Flag.CLOSING_DEBIT),
        move("6", "nobody", "a", 1),
    ) == [*[C.LINKED_EVENT_FAILED] * 5, C.DEBIT_BOOK_NOT_FOUND]
    assert everything(tx) == standing
    assert codes(tx, post("7", "p"), void("8", "shut"), move("9", "a", "fee", 1)) == [C.CREATED] * 3
    assert verify(tx).broken is None


def test_balancing_moves_as_much_as_the_limit_allows(tx: Tx) -> None:
    debit, credit = Flag.BALANCING_DEBIT, Flag.BALANCING_CREDIT
    results = run(
        tx,
        move("1", "a", "b", 3_000, flags=debit),
        move("2", "a", "c", 5_000, flags=credit),
        move("3", "a", "b", None, flags=debit),
        move("4", "a", "b", None, flags=debit),
    )
    assert [(each.code, each.amount_minor) for each in results] == [
        (C.CREATED, 3_000),
        (C.CREATED, 1_000),
        (C.CREATED, 6_000),
        (C.CREATED, 0),
    ]
    assert codes(tx, move("2", "a", "c", 5_000, flags=credit)) == [C.EXISTS]
    assert verify(tx).broken is None


def test_a_book_is_closed_by_a_pending_transfer_and_reopened_by_its_void(tx: Tx) -> None:
    closing = move("close", "b", "fee", 0, flags=Flag.PENDING | Flag.CLOSING_DEBIT)
    assert codes(tx, closing, move("1", "a", "b", 1)) == [C.CREATED, C.CREDIT_BOOK_ALREADY_CLOSED]
    assert balances(tx, ["b"])[0].closed  # type: ignore[union-attr]  # it is there
    assert statement(tx, "b").balance.closed
    assert codes(tx, post("2", "close")) == [C.DEBIT_BOOK_ALREADY_CLOSED]
    assert codes(tx, void("3", "close"), move("4", "a", "b", 1)) == [C.CREATED, C.CREATED]
    assert not statement(tx, "b").balance.closed
    assert verify(tx).broken is None


def test_a_condition_on_a_balance_is_judged_in_the_same_moment(tx: Tx) -> None:
    empty = Condition(book="b", of="posted", at_least_minor=0, at_most_minor=0)
    assert codes(
        tx,
        move("1", "a", "b", 10, conditions=(empty,)),
        move("2", "a", "b", 10, conditions=(empty,)),
        move("3", "a", "fee", 9_000, flags=Flag.PENDING),
        move("4", "bank", "b", 1, conditions=(Condition(book="a", at_least_minor=1_000),)),
        move("5", "bank", "b", 1, conditions=(Condition(book="a", of="posted", at_least_minor=9_990),)),
    ) == [C.CREATED, C.PRECONDITION_FAILED, C.CREATED, C.PRECONDITION_FAILED, C.CREATED]


def test_dates_say_when_it_is_booked_and_from_when_it_counts(tx: Tx) -> None:
    late = Instant(START + 3 * 3_600 * SECOND)  # midnight in Tokyo
    run(tx, move("1", "a", "b", 1))
    run(tx, move("2", "a", "b", 1, effective_date="2026-09-30"), at=late)
    assert [(each.booking_date, each.effective_date) for each in (transfer(tx, "1"), transfer(tx, "2"))] == [
        ("2026-10-21", "2026-10-21"),
        ("2026-10-22", "2026-09-30"),
    ]
    close_period(tx, late, CHART, "2026-10-21")
    assert codes(tx, move("3", "a", "b", 1, booking_date="2026-10-21"), at=late) == [C.BOOKING_PERIOD_CLOSED]
    assert codes(tx, move("4", "a", "b", 1, effective_date="2026-10-01", cause="1"), at=late) == [C.CREATED]
    for date in ("2026-10-21", "2026-10-22", "not a date"):
        with pytest.raises(PeriodStep):
            close_period(tx, late, CHART, date)
    assert verify(tx).broken is None


def test_a_clock_that_goes_back_is_not_followed(tx: Tx) -> None:
    run(tx, move("1", "a", "b", 1), at=START + 100 * SECOND)
    run(tx, move("2", "a", "b", 1), at=START)
    assert transfer(tx, "2").at == START + 100 * SECOND


def test_a_statement_tells_any_past_moment(tx: Tx) -> None:
    every = 200
    for number in range(1, every + 1):
        run(tx, move(f"s{number}", "a", "b", number % 7 + 1), at=START + number * SECOND)
    running = 0
    for number in range(1, every + 1):
        running += number % 7 + 1
        if number % 23 == 0 or number in {1, 63, 64, 65, every}:
            told = statement(tx, "b", at=Instant(START + number * SECOND + 5), limit=3)
            assert told.balance.credits_posted_minor == running
            assert told.balance.transfers == number
            assert [each.transfer for each in told.lines] == [f"s{n}" for n in range(number, max(0, number - 3), -1)]
    assert statement(tx, "b", at=START).balance.credits_posted_minor == 0
    lines: list[Line] = []
    before = None
    while True:
        page = statement(tx, "b", before=before, limit=37)
        lines.extend(page.lines)
        if page.next_position is None:
            break
        before = page.next_position
    assert [each.transfer for each in lines] == [f"s{n}" for n in range(every, 0, -1)]
    assert statement(tx, "a").lines[0].other_book == "b"
    with pytest.raises(BookMissing):
        statement(tx, "b", at=Instant(START - 1))
    with pytest.raises(BookMissing):
        statement(tx, "nobody")
    with pytest.raises(TransferMissing):
        transfer(tx, "nothing")


def test_transfers_of_an_order_are_found_by_it(tx: Tx) -> None:
    run(
        tx,
        move("1", "a", "b", 1, order="o1"),
        move("2", "a", "b", 2, order="o2", payment="pay1"),
        move("3", "a", "b", 3, order="o1"),
    )
    assert [each.id for each in list_transfers(tx, order="o1", payment=None, before=None, limit=10)] == ["3", "1"]
    assert [each.id for each in list_transfers(tx, order=None, payment="pay1", before=None, limit=10)] == ["2"]
    assert list_transfers(tx, order=None, payment=None, before=None, limit=1)[0].id == "3"


def test_totals_of_a_code_are_the_sums_of_its_books_even_past_64_bits(tx: Tx) -> None:
    top = 2**63 - 1
    assert codes(tx, move("1", "free", "free2", top), move("2", "free2", "free", top)) == [C.CREATED, C.CREATED]
    wallet = next(each for each in read_totals(tx) if (each.code, each.currency) == ("wallet", "JPY"))
    assert (wallet.debits_posted_minor, wallet.credits_posted_minor) == (2 * top, 2 * top + 10_000)
    assert verify(tx).broken is None


def test_a_batch_has_a_size(tx: Tx) -> None:
    with pytest.raises(BatchTooLarge):
        create_transfers(tx, START, CHART, [move(f"{n}", "a", "b", 1) for n in range(5_001)])
    with pytest.raises(BatchTooLarge):
        run(tx, move("1", "a", "b", 1, conditions=(Condition(book="a"),) * 9))


def test_of_two_at_once_only_as_many_pass_as_the_limit_allows(ground: Database) -> None:
    answers: list[TransferCode] = []
    barrier = threading.Barrier(4)

    def spend(number: int) -> None:
        barrier.wait()
        for turn in range(3):
            with ground.write() as tx:
                answers.extend(codes(tx, move(f"race{number}.{turn}", "a", "fee", 3_000)))

    threads = [threading.Thread(target=spend, args=(number,)) for number in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(answers) == [C.CREATED] * 3 + [C.EXCEEDS_CREDITS] * 9
    with ground.read() as tx:
        assert _numbers(tx, "a") == (0, 9_000, 0, 10_000)
        assert verify(tx).broken is None


def test_what_the_callers_transaction_takes_back_never_was(ground: Database) -> None:
    with ground.read() as tx:
        before = everything(tx), verify(tx)
    with contextlib.suppress(_Crash), ground.write() as tx:
        run(tx, move("gone", "a", "b", 1), move("burned", "nobody", "b", 1))
        raise _Crash
    with ground.read() as tx:
        assert (everything(tx), verify(tx)) == before
    with ground.write() as tx:
        assert codes(tx, move("burned", "a", "b", 1)) == [C.CREATED]
