"""What must hold of the data that a killed server left, read straight from its database."""

import itertools
import pathlib
import random
from collections.abc import Mapping

import msgspec

import koban.decisions.store as decision_store
import koban.events.store as event_store
from koban.audit import SystemSecrets
from koban.base import SystemClock
from koban.db import Database, Tx, index_metadata
from koban.decisions import Inputs
from koban.events import Entry, Kind
from koban.features import FeatureStore
from koban.finding import fit_index, follow
from koban.packs import PackDef, active_at, load_pack, load_version
from koban.pipeline import Memory
from koban.pipeline.memory import event_rows
from koban.vault import Vault

PAGE = 200


class Remains:
    """The data of a server that does not run."""

    def __init__(self, url: str, folder: pathlib.Path, pack: pathlib.Path) -> None:
        self.database = Database.open(url, index=True)
        self._given = load_pack(pack)
        with self.database.write() as tx:
            self._vault = Vault.open_file(tx, folder / "vault.key", SystemSecrets())

    def close(self) -> None:
        self.database.close()

    def memory(self, tx: Tx) -> Memory:
        """Make the decider's memory, as a start does."""
        memory = Memory(self._vault, SystemClock(), random.Random(1), consequences=True)
        memory.load(tx, self._pack_at)
        return memory

    def _pack_at(self, tx: Tx, seq: int) -> PackDef:
        activation = active_at(tx, seq + 1)
        return self._given if activation is None else load_version(tx, activation.digest)

    def check_log(self) -> list[Entry]:
        """Check that the log has one order without a gap, and every event in it one decision; return it."""
        with self.database.read() as tx:
            log = list(event_store.walk_entries(tx))
            decided = {int(row[0]) for row in tx.rows("SELECT seq FROM decisions")}
            several = tx.rows("SELECT source, event_id FROM log_entries GROUP BY source, event_id HAVING count(*) > 1")
        assert [entry.seq for entry in log] == list(range(1, len(log) + 1))
        assert all(one.log_at < two.log_at for one, two in itertools.pairwise(log))
        assert {entry.seq for entry in log if entry.kind is Kind.EVENT} == decided
        assert several == []
        causes = {entry.seq: entry.cause_seq for entry in log if entry.cause_seq is not None}
        assert all(0 < cause < seq for seq, cause in causes.items())
        return log

    def check_index(self) -> None:
        """Check that the index of finding is of this log, and once it is at its end the same as one made anew."""
        assert fit_index(self.database), "an index ahead of its log"
        kept = self._followed()
        self.database.empty_index()
        assert kept == self._followed()

    def _followed(self) -> dict[str, list[tuple[object, ...]]]:
        while follow(self.database, self._given.events):
            pass
        with self.database.read() as tx:
            return {
                table.name: sorted(tuple(row) for row in tx.rows(f"SELECT * FROM {table.name}"))
                for table in index_metadata.sorted_tables
            }

    def check_answers(self, log: list[Entry], answers: Mapping[str, bytes], accepted: set[str]) -> None:
        """Check that every answered event is there once with its answer, byte for byte, and every accepted one at all."""
        at = {entry.event_id: entry.seq for entry in log if entry.kind is Kind.EVENT}
        with self.database.read() as tx:
            waiting = {str(row[0]) for row in tx.rows("SELECT event_id FROM inbox")}
            seqs = list(at.values())
            bodies: dict[int, str] = {}
            for start in range(0, len(seqs), PAGE):
                bodies |= decision_store.read_raw_bodies(tx, seqs[start : start + PAGE])
        assert {one for one in answers if one not in at} == set(), "an answered event is lost"
        assert {one for one in accepted if one not in at and one not in waiting} == set(), "an accepted event is lost"
        assert waiting & set(at) == set(), "an event waits that was decided"
        assert {one: bodies[at[one]].encode() for one in answers} == dict(answers)

    def check_features_of_versions(self, log: list[Entry]) -> dict[str, int]:
        """Check that each event was decided on the values that its version gives over the whole log before it.

        A version that came later counts what came before it, too. Return how many events each version decided.
        """
        events = [entry for entry in log if entry.kind is Kind.EVENT]
        decided: dict[str, int] = {}
        with self.database.read() as tx:
            inputs = {
                int(seq): msgspec.json.decode(raw, type=Inputs)
                for seq, raw in tx.rows("SELECT seq, inputs FROM decisions")
            }
            for digest in sorted({each.pack for each in inputs.values()}):
                memory = Memory(self._vault, SystemClock(), random.Random(1), consequences=True)
                compiled = memory.compile(load_version(tx, digest))
                clean = FeatureStore(compiled.features)
                for start in range(0, len(events), PAGE):
                    page = events[start : start + PAGE]
                    for seq, event_type, row, at in event_rows(tx, self._vault, compiled, page, {}):
                        values = clean.apply(None, seq, event_type, row, at)
                        if inputs[seq].pack == digest:
                            assert values == inputs[seq].features, f"entry {seq} under {digest[:12]}"
                            decided[digest[:12]] = decided.get(digest[:12], 0) + 1
        return decided

    def check_features(self, log: list[Entry]) -> None:
        """Check that live values across all crashes, and the state that a start recovers, are those of a clean replay."""
        with self.database.read() as tx:
            memory = self.memory(tx)
            stored = {
                int(seq): msgspec.json.decode(inputs, type=Inputs).features
                for seq, inputs in tx.rows("SELECT seq, inputs FROM decisions")
            }
            clean = FeatureStore(memory.compiled.features)
            events = [entry for entry in log if entry.kind is Kind.EVENT]
            for start in range(0, len(events), PAGE):
                page = events[start : start + PAGE]
                for place, kind, sent, logged_at in event_rows(tx, self._vault, memory.compiled, page, {}):
                    values = clean.apply(None, place, kind, sent, logged_at)
                    assert values == stored[place], f"entry {place} was decided on other values than a replay's"
            at, seq = memory.log_time.next(), memory.next_seq()
            for event_type, row in _probes(events):
                recovered = memory.features.apply(tx, seq, event_type, row, at)
                assert recovered == clean.apply(None, seq, event_type, row, at), f"recovered otherwise: {row}"
                seq, at = memory.next_seq(), memory.log_time.next()


def _probes(events: list[Entry]) -> list[tuple[str, dict[str, str]]]:
    """Make one event per account and kind, to see what is held of everybody."""
    accounts = set()
    for entry in events:
        data = msgspec.json.decode(entry.data)
        accounts.add(data.get("sender", data.get("account"))["id"])
    return [
        (event_type, {path: account})
        for account in sorted(accounts)
        for event_type, path in (("message.sent", "sender.id"), ("payout.requested", "account.id"))
    ]
