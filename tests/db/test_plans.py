"""Questions that are asked all the time are answered by an index, however many rows are settled."""

import pytest

from koban.banking import expected_store
from koban.db import Database
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
