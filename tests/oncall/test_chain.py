"""A broken audit chain calls a person."""

import pathlib
import random

from koban.audit import SeededSecrets, SigningKey, record, seal
from koban.base import ManualClock
from koban.db import Database
from koban.subscriptions import watch_chain
from koban.webhooks import open_alerts


def test_a_chain_that_somebody_changed_raises_an_alert_and_a_whole_one_does_not(
    database: Database, clock: ManualClock, tmp_path: pathlib.Path
) -> None:
    key = SigningKey.open(tmp_path / "audit.key", SeededSecrets(1))
    with database.write() as tx:
        for number in range(3):
            record(tx, clock.now(), "staff_1", "case.claim", f"case_{number}")
        seal(tx, clock.now())
    watch_chain(database, clock, random.Random(1), key, tmp_path / "checkpoints.jsonl")
    with database.read() as tx:
        assert open_alerts(tx) == []
    with database.write() as tx:
        tx.many("UPDATE audit_entries SET actor = ? WHERE object_id = ?", [("nobody", "case_1")])
    watch_chain(database, clock, random.Random(1), key, tmp_path / "checkpoints.jsonl")
    with database.read() as tx:
        assert [each.kind for each in open_alerts(tx)] == ["audit.broken"]
