"""Verbs over quarantine; events themselves are decided by the pipeline."""

from koban.audit import record
from koban.base import Instant
from koban.db import Tx
from koban.events import store
from koban.events.types import QuarantineMissing


def settle_quarantined(tx: Tx, at: Instant, quarantine_id: str, *, by: str, replayed: bool) -> None:
    """Note that a quarantined event was decided after all, or was dropped for good; what was sent goes with its day.

    Refuses: QuarantineMissing.
    """
    row = store.read_one_quarantined(tx, quarantine_id)
    if row is None or row["status"] != "waiting":
        raise QuarantineMissing(f"Nothing waits in quarantine as {quarantine_id[:80]!r}.")
    if replayed:
        store.set_quarantine_status(tx, quarantine_id, "replayed")
        record(tx, at, by, "quarantine.replayed", quarantine_id)
    else:
        store.set_quarantine_status(tx, quarantine_id, "dropped")
        record(tx, at, by, "quarantine.dropped", quarantine_id)
