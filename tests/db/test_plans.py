"""Questions that are asked all the time are answered by an index, however many rows are settled."""

from collections.abc import Callable
from typing import Any

import pytest

from koban.banking import expected_store
from koban.db import Database, Tx
from koban.db.core import Row
from koban.finding import accounts, links
from koban.finding import store as finding_store
from koban.payments import store as payment_store

ASKED = {
    "payment_steps_due": (payment_store.DUE, ("simulated", 1_000, 8)),
    "bank_expected_open": (expected_store.SUM_OPEN, (1_000,)),
}


@pytest.mark.parametrize("index", ASKED)
def test_what_still_waits_is_found_by_an_index_of_what_waits(database: Database, index: str) -> None:
    sql, parameters = ASKED[index]
    with database.write() as tx:
        if tx.dialect == "sqlite":
            plan = "\n".join(str(row[3]) for row in tx.rows(f"EXPLAIN QUERY PLAN {sql}", parameters))
        else:
            # Of an empty table a server rather reads everything: what counts is that it can do otherwise.
            tx.change("SET LOCAL enable_seqscan = off")
            plan = "\n".join(str(row[0]) for row in tx.rows(f"EXPLAIN {sql}", parameters))
    assert index in plan, plan
    assert "SCAN payment_steps" not in plan
    assert "USE TEMP B-TREE FOR GROUP BY" not in plan
    assert "USE TEMP B-TREE FOR ORDER BY" not in plan


class Recording(Tx):
    """A transaction that remembers what it was asked."""

    __slots__ = ("asked",)

    def __init__(self, tx: Tx) -> None:
        super().__init__(tx.connection, tx.dialect)
        self.asked: list[tuple[str, Row]] = []

    def rows(self, sql: str, parameters: Row = ()) -> list[Any]:  # Any: as `Tx.rows`
        self.asked.append((sql, parameters))
        return super().rows(sql, parameters)


FOUND: dict[str, Callable[[Tx], object]] = {
    "entries of a subject": lambda tx: finding_store.seqs_of(tx, "account", "a", before_seq=9, limit=5),
    "first and last": lambda tx: finding_store.span_of(tx, "account", "a"),
    "ids that begin so": lambda tx: finding_store.named_like(tx, "account", "a", limit=5),
    "entries of an event": lambda tx: finding_store.entries_of_event(tx, "e"),
    "who is linked": lambda tx: links.neighbourhood(tx, "a"),
    "accounts that begin so": lambda tx: accounts.list_accounts(
        tx, accounts.AccountsAsked(begins="a", has_case=True), cursor=None, limit=5
    ),
    "accounts under a measure": lambda tx: accounts.list_accounts(
        tx, accounts.AccountsAsked(effect=accounts.ANY), cursor=None, limit=5
    ),
}


@pytest.mark.parametrize("what", FOUND)
def test_what_is_found_is_found_by_an_index_also_in_a_file_of_its_own(database: Database, what: str) -> None:
    with database.write() as tx:
        tx.change(
            "INSERT INTO decisions (seq, log_at, type, verdict, acting, took_us, body, inputs)"
            " VALUES (1, 1, 't', 'allow', 'a', 1, '', '')"
        )
    with database.write_index() as tx:
        finding_store.add(
            tx, [("account", "a", 1)], [("a", "device", "d", 1, 1, 1, 1), ("b", "device", "d", 1, 1, 1, 1)]
        )
    with database.read() as plain:
        tx = Recording(plain)
        FOUND[what](tx)
        asked = list(tx.asked)
        assert asked
        for sql, parameters in asked:
            if tx.dialect == "sqlite":
                plan = [str(row[3]) for row in tx.rows(f"EXPLAIN QUERY PLAN {sql}", parameters)]
                scans = [each for each in plan if each.startswith(("SCAN entry_", "SCAN account_", "SCAN e"))]
            else:
                tx.change("SET LOCAL enable_seqscan = off")
                plan = [str(row[0]) for row in tx.rows(f"EXPLAIN {sql}", parameters)]
                scans = [each for each in plan if "Seq Scan on entry_" in each or "Seq Scan on account_" in each]
            assert scans == [], "\n".join(plan)
