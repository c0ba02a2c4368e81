"""Money that will come in: said before, so that a line of a bank finds its wallet or order by itself."""

import re
from typing import Final

import msgspec

from koban.audit import record
from koban.banking import expected_store
from koban.banking.types import Expected, ExpectedMissing, ExpectedUnfit
from koban.db import Tx
from koban.pipeline.memory import Memory

REFERENCE: Final = re.compile(r"[0-9A-Z-]{4,35}").fullmatch


def expect_money(memory: Memory, tx: Tx, wanted: Expected, *, by: str) -> Expected:
    """Keep what is expected; the same again is the same.

    Refuses: ExpectedUnfit.
    """
    at = memory.log_time.peek()
    kept = msgspec.structs.replace(wanted, reference=wanted.reference.upper(), made_by=by, made_at=at)
    earlier = expected_store.find(tx, kept.id)
    if earlier is not None:
        same = {"made_by": "", "made_at": 0, "state": "waiting", "line": None}
        if msgspec.structs.replace(earlier, **same) != msgspec.structs.replace(kept, **same):
            raise ExpectedUnfit(f"{kept.id} was expected before with other content")
        return earlier
    if not REFERENCE(kept.reference):
        raise ExpectedUnfit("A reference has 4 to 35 letters, digits and hyphens, as banks carry it.")
    taken = expected_store.of_references(tx, [kept.reference])
    if taken:
        raise ExpectedUnfit(f"{kept.reference} is the reference of {taken[0].id}")
    if kept.kind == "order" and (kept.amount_minor is None or kept.reusable):
        raise ExpectedUnfit("An order's money comes once, and its amount is known.")
    if kept.level is not None and kept.level not in memory.compiled.pack.ledger.levels:
        raise ExpectedUnfit(f"There is no level {kept.level[:40]!r}.")
    expected_store.insert(tx, kept)
    record(tx, at, by, "bank.expected", kept.id, {"kind": kept.kind})
    return kept


def stop_expecting(memory: Memory, tx: Tx, expected_id: str, *, by: str) -> Expected:
    """Expect money no more: what comes nevertheless is an exception for a person.

    Refuses: ExpectedMissing, ExpectedUnfit.
    """
    found = expected_store.find(tx, expected_id)
    if found is None:
        raise ExpectedMissing(f"nothing is expected under {expected_id[:80]!r}")
    if found.state == "met" and not found.reusable:
        raise ExpectedUnfit(f"{found.id} came already, by {found.line}")
    if found.state != "cancelled":
        expected_store.change(tx, found.id, state="cancelled", line=None)
        record(tx, memory.log_time.peek(), by, "bank.expected_cancelled", found.id, {"kind": found.kind})
    return msgspec.structs.replace(found, state="cancelled")
