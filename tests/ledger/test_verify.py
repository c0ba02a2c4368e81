"""Whatever is changed by hand is found, and the first row that does not hold is named."""

import pytest
from tests.ledger.ground import CHART, START, move, post, run, void

from koban.base import SECOND
from koban.db import Tx
from koban.ledger import Flag, change_limits, close_period, log_end, verify


def _history(tx: Tx) -> None:
    run(tx, move("1", "a", "b", 100, order="o1"), move("2", "b", "fee", 30))
    run(tx, move("p", "a", "b", 50, flags=Flag.PENDING, timeout_s=60), move("q", "a", "b", 70, flags=Flag.PENDING))
    run(tx, post("3", "q", 20), move("no", "a", "b", 1_000_000))
    change_limits(tx, START, "b", net_debit_max_minor=500, net_credit_max_minor=None)
    run(tx, move("4", "b", "fee", 400), at=START + 61 * SECOND)
    close_period(tx, START, CHART, "2026-10-20")
    run(tx, move("r", "a", "b", 5, flags=Flag.PENDING), move("s", "a", "b", 6, flags=Flag.PENDING))
    run(tx, void("5", "s"))


def test_an_honest_history_is_proved(tx: Tx) -> None:
    _history(tx)
    report = verify(tx, [log_end(tx)[:2]])
    assert (report.broken, report.transfers, report.books, report.pending, report.signed) == (None, 11, 9, 1, 1)


TAMPERED = [
    ("UPDATE ledger_transfers SET amount = 101 WHERE id = '1'", "altered", "1"),
    ("UPDATE ledger_transfers SET order_ref = 'o2' WHERE id = '1'", "altered", "1"),
    ("UPDATE ledger_transfers SET effective_date = '2026-01-01' WHERE id = '4'", "altered", "4"),
    ("DELETE FROM ledger_transfers WHERE id = '2'", "removed", ""),
    ("DELETE FROM ledger_changes WHERE kind = 'burned'", "removed", ""),
    (
        "UPDATE ledger_changes SET body = '{\"debit_max\":900,\"credit_max\":null}' WHERE kind = 'limits'",
        "altered",
        "b",
    ),
    ("UPDATE ledger_books SET credits_posted = credits_posted + 1 WHERE id = 'b'", "balance", "b"),
    ("UPDATE ledger_books SET debit_max = NULL WHERE id = 'a'", "balance", "a"),
    ("UPDATE ledger_books SET closed = 1 WHERE id = 'a'", "balance", "a"),
    ("UPDATE ledger_books SET code = 'capped' WHERE id = 'a'", "balance", "a"),
    ("UPDATE ledger_pendings SET state = 'open' WHERE state = 'posted'", "pending", ""),
    ("UPDATE ledger_pendings SET expires_at = 5 WHERE state = 'open'", "pending", ""),
    ("UPDATE ledger_totals SET debits_posted = '1' WHERE code = 'fee'", "total", "fee:JPY"),
    ("UPDATE ledger_head SET closed_through = ''", "head", ""),
    ("DELETE FROM ledger_transfers WHERE position = (SELECT max(position) FROM ledger_transfers)", "head", ""),
]


@pytest.mark.parametrize(("statement", "what", "about"), TAMPERED, ids=[each[0][:60] for each in TAMPERED])
def test_what_somebody_changed_by_hand_is_named(tx: Tx, statement: str, what: str, about: str) -> None:
    _history(tx)
    assert tx.change(statement) > 0
    broken = verify(tx).broken
    assert broken is not None
    assert (broken.what, broken.about) == (what, about)


def test_a_log_that_was_rewritten_whole_is_found_by_a_signed_checkpoint(tx: Tx) -> None:
    _history(tx)
    position, chain_hash, _ = log_end(tx)
    assert verify(tx, [(position, chain_hash)]).broken is None
    other = verify(tx, [(position - 1, "ab" * 32)]).broken
    assert other is not None
    assert (other.what, other.position) == ("rewritten", position - 1)
    cut = verify(tx, [(position + 1, chain_hash)]).broken
    assert cut is not None
    assert cut.what == "truncated"


def test_a_row_that_nobody_could_have_written_is_not_believed(tx: Tx) -> None:
    """A forger who also mends the hashes from there on still has to make the books add up."""
    from koban.ledger import store

    _history(tx)
    forged = store.transfers.select().where(store.transfers.c.id == "4")
    row = tuple(tx.execute(forged).one())
    end = store.read_head(tx)
    more = (end.position + 1, "forged", *row[2:5], 7, *row[6:-1])
    tx.many(f"INSERT INTO ledger_transfers VALUES ({', '.join('?' * 30)})", [(*more, store.row_hash(end.hash, more))])
    store.move_head(tx, end.last_at, end.position + 1, store.row_hash(end.hash, more))
    broken = verify(tx).broken
    assert broken is not None
    assert (broken.what, broken.about) == ("balance", "forged")
