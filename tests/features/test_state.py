"""Feature state in memory and in the table: undone exactly, written back in slices, never lost, forgotten on request."""

import contextlib
from typing import Any

import msgspec
import pytest

from koban.base.limits import FEATURES_TOGETHER as TOGETHER
from koban.db import Database
from koban.features import FeatureStore, backfill, compile_features, new_features, stored_watermark
from koban.features.records import pack_record, unpack_record
from koban.packs import FeatureDef, PackDef, Source, parse_files

PACK = parse_files(
    {
        "pack.yaml": "pack: small\nversion: '1'\nabout: {en: a, ja: a}\n",
        "events.yaml": """
- event: order.made
  about: {en: An order, ja: 注文}
  acting: buyer.id
  within_ms: 200
  fallback: allow
  retention: 30 days
  subjects: {buyer.id: account, seller.id: account}
  fields:
    buyer.id: text
    seller.id: text
    amount: int
""",
    }
)
VALUES = (
    *["count(*)", "sum(amount)", "avg(amount)", "min(amount)", "max(amount)", "first(amount)", "last(amount)"],
    *["count(distinct amount)"],
)


def _pack(*values: str, within_us: int | None = 600) -> PackDef:
    features = {
        f"f{number}": FeatureDef(
            name=f"f{number}",
            kind="account",
            by={"order.made": "buyer.id"},
            value=value,
            where=None,
            within_us=within_us,
            excluding_current=False,
            bound=3 if "distinct" in value else None,
            about={},
            source=Source(file="features.yaml", line=1),
        )
        for number, value in enumerate(values)
    }
    return msgspec.structs.replace(PACK, features=features)


def _program(pack: PackDef) -> Any:
    return compile_features(pack, {"order.made": set(pack.features)})


def _row(buyer: str, amount: int = 1) -> dict[str, Any]:
    return {"buyer.id": buyer, "amount": amount}


@pytest.mark.parametrize("within_us", [None, 600])
@pytest.mark.parametrize(
    ("amount", "at"), [(3, 605), (-9, 605), (99, 605), (3, 615), (-9, 615), (99, 615), (3, 650), (3, 5000)]
)
def test_an_undone_entry_leaves_the_record_as_it_was(within_us: int | None, amount: int, at: int) -> None:
    store = FeatureStore(_program(_pack(*VALUES, within_us=within_us)))
    for seq, (then, earlier) in enumerate([(5, 7), (15, 3), (590, 8), (595, 2), (604, 3)], 1):
        store.apply(None, seq, "order.made", _row("b", earlier), then)
    record = store._subjects["account"].touch("b")
    before = pack_record(record)
    mark = store.mark()
    store.apply(None, 6, "order.made", _row("b", amount), at)
    store.apply(None, 7, "order.made", _row("b", amount - 1), at + 1)
    assert pack_record(record) != before
    store.undo(mark)
    assert pack_record(record) == before
    store.undo(0)
    assert record[1:] == [0, *[None] * (len(VALUES))]
    assert store.unsaved == 0


def test_integers_beyond_64_bits_survive_packing() -> None:
    record = [1, 0, [2**70, 5, -(2**70)], {"a": 1, 3: 2, b"x": 3}, None, "テスト", 2**63, -(2**63)]
    assert unpack_record(pack_record(record)) == record


def test_the_oldest_change_is_written_first_and_the_watermark_follows(database: Database) -> None:
    program = _program(_pack("count(*)"))
    with database.write() as tx:
        store = FeatureStore.open(tx, program)
        for seq, buyer in enumerate(["a", "b", "c", "a"], 1):
            store.apply(tx, seq, "order.made", _row(buyer), seq)
        assert store.write_slice(tx, 4, 1) == 1
        assert (store.watermark, store.unsaved) == (1, 2)
    with database.write() as tx:
        assert stored_watermark(tx) == 1
        assert store.write_slice(tx, 4, 10) == 2
        assert (store.watermark, store.unsaved) == (4, 0)
        assert store.write_slice(tx, 9, 10) == 0
    with database.read() as tx:
        assert stored_watermark(tx) == 9
        assert tx.rows("SELECT subject, as_of_seq FROM feature_state ORDER BY subject") == [
            ("a", 4),
            ("b", 4),
            ("c", 4),
        ]


def test_what_changed_after_a_given_entry_is_left_to_wait(database: Database) -> None:
    program = _program(_pack("count(*)"))
    at = range(0, 7 * TOGETHER, TOGETHER)  # sequence numbers
    with database.write() as tx:
        store = FeatureStore.open(tx, program)
        for place, buyer in enumerate(["a", "b", "c", "a", "b"], 1):
            store.apply(tx, at[place], "order.made", _row(buyer), at[place])
        assert store.write_slice(tx, at[5], 100, until=0) == 0
        assert (store.watermark, store.unsaved) == (0, 3)
        assert store.write_slice(tx, at[5], 100, until=at[2]) == 2
        assert (store.watermark, store.unsaved) == (at[3] - 1, 1)
        store.apply(tx, at[6], "order.made", _row("a"), at[6])
        assert store.write_slice(tx, at[6], 100, until=at[5]) == 1
        assert (store.watermark, store.unsaved) == (at[6] - 1, 1)
        store.fold(tx, 100)
        assert tx.rows("SELECT subject, as_of_seq FROM feature_state ORDER BY subject") == [
            ("a", at[5]),
            ("b", at[5]),
            ("c", at[6]),
        ]


def test_a_few_that_may_wait_are_left_until_there_are_more(database: Database) -> None:
    program = _program(_pack("count(*)"))
    with database.write() as tx:
        store = FeatureStore.open(tx, program)
        written = []
        for seq in range(1, 3 * TOGETHER + 1):
            store.apply(tx, seq, "order.made", _row(f"b{seq}"), seq)
            written.append(store.write_slice(tx, seq, 100, until=seq - 5))
        assert [count for count in written if count] == [TOGETHER, TOGETHER]
        assert (store.watermark, store.unsaved) == (2 * TOGETHER, TOGETHER)
        assert store.write_slice(tx, seq, 100) == TOGETHER, "whoever has the time waits for nothing"
        assert store.watermark == seq
    with database.write() as tx:
        assert store.write_slice(tx, seq + TOGETHER, 100, until=seq + TOGETHER) == 0
        assert store.watermark == seq + TOGETHER, "entries without features have nothing that is to be replayed"


def test_a_record_stored_ahead_of_the_watermark_is_not_applied_to_twice(database: Database) -> None:
    program = _program(_pack("count(*)"))
    log = [(1, "a"), (2, "b"), (3, "a")]
    with database.write() as tx:
        store = FeatureStore.open(tx, program)
        for seq, buyer in log:
            store.apply(tx, seq, "order.made", _row(buyer), seq)
        store.write_slice(tx, 3, 1)
    with database.write() as tx:
        again = FeatureStore.open(tx, program)
        assert again.watermark == 1
        for seq, buyer in log[again.watermark :]:
            again.apply(tx, seq, "order.made", _row(buyer), seq)
        assert again.apply(tx, 4, "order.made", _row("a"), 4) == {"f0": 3}
        assert again.apply(tx, 5, "order.made", _row("b"), 5) == {"f0": 2}


def test_records_that_do_not_fit_into_memory_are_read_on_first_touch(database: Database) -> None:
    program = _program(_pack("count(*)"))
    with database.write() as tx:
        store = FeatureStore.open(tx, program, hot_limit=1, cold_limit=1)
        for seq in range(1, 21):
            store.apply(tx, seq, "order.made", _row(f"b{seq % 10}"), seq)
            store.write_slice(tx, seq, 100)
            store.forget()
        kind = store._subjects["account"]
        assert len(kind.names()) <= 2
        assert store.apply(tx, 21, "order.made", _row("b3"), 21) == {"f0": 3}


def test_a_failed_commit_is_made_good_by_reloading(database: Database) -> None:
    program = _program(_pack("count(*)"))
    with database.write() as tx:
        store = FeatureStore.open(tx, program)
        store.apply(tx, 1, "order.made", _row("a"), 1)
        store.write_slice(tx, 1, 10)
    with contextlib.suppress(KeyboardInterrupt), database.write() as tx:
        store.apply(tx, 2, "order.made", _row("a"), 2)
        store.write_slice(tx, 2, 10)
        raise KeyboardInterrupt
    with database.write() as tx:
        store.reload(tx, program)
        assert store.watermark == 1
        assert store.apply(tx, 2, "order.made", _row("a"), 2) == {"f0": 2}


def test_another_pack_keeps_what_is_unchanged_and_takes_over_what_was_backfilled(database: Database) -> None:
    old, new = _pack("count(*)", "sum(amount)"), _pack("max(amount)", "count(*)", "avg(amount)")
    log = [(1, _row("a", 4)), (2, _row("a", 8)), (3, _row("b", 1))]
    with database.write() as tx:
        store = FeatureStore.open(tx, _program(old))
        for seq, row in log:
            store.apply(tx, seq, "order.made", row, seq)
        store.forget()
        fresh = new_features(_program(old), _program(new))
        assert fresh == {"f0", "f2"}
        filled = backfill(new, {"f0"}, [(seq, "order.made", row, seq) for seq, row in log])
        store.switch(tx, _program(new), 4, filled=filled)
        assert store.apply(tx, 5, "order.made", _row("a", 2), 5) == {"f0": 8, "f1": 3, "f2": 2_000_000}
        store.write_slice(tx, 5, 100)
    with database.write() as tx:
        again = FeatureStore.open(tx, _program(new))
        assert again.watermark == 5
        assert again.apply(tx, 6, "order.made", _row("b", 0), 6) == {"f0": 1, "f1": 2, "f2": 0}


def test_what_was_filled_from_the_past_waits_for_nothing(database: Database) -> None:
    old, new = _pack("count(*)"), _pack("count(*)", "max(amount)")
    log = [(1, _row("a", 4)), (2, _row("b", 8))]
    with database.write() as tx:
        store = FeatureStore.open(tx, _program(old))
        for seq, row in log:
            store.apply(tx, seq, "order.made", row, seq)
        store.forget()
        assert store.write_slice(tx, 2, 100, until=0) == 0
        filled = backfill(new, {"f1"}, [(seq, "order.made", row, seq) for seq, row in log])
        store.switch(tx, _program(new), 3, filled=filled)
        store.apply(tx, 4, "order.made", _row("c", 1), 4)
        store.write_slice(tx, 4, 100, until=0)
        assert (store.watermark, store.unsaved) == (3, 1), "a recovery begins after the switch"
    with database.write() as tx:
        again = FeatureStore.open(tx, _program(new))
        assert again.apply(tx, 4, "order.made", _row("a", 1), 4) == {"f0": 2, "f1": 4}


def test_a_feature_that_was_away_for_a_while_starts_anew(database: Database) -> None:
    both, one = _program(_pack("count(*)", "sum(amount)")), _program(_pack("count(*)"))
    with database.write() as tx:
        store = FeatureStore.open(tx, both)
        store.apply(tx, 1, "order.made", _row("a", 4), 1)
        store.forget()
        store.switch(tx, one, 2)
        store.switch(tx, both, 3)
        assert store.apply(tx, 4, "order.made", _row("a", 8), 4) == {"f0": 2, "f1": 8}


def test_state_cannot_be_opened_with_a_program_that_was_not_in_force_at_the_watermark(database: Database) -> None:
    old, new = _program(_pack("count(*)")), _program(_pack("sum(amount)"))
    with database.write() as tx:
        store = FeatureStore.open(tx, old)
        store.switch(tx, new, 5)
    with database.write() as tx, pytest.raises(RuntimeError, match="in force at the watermark"):
        FeatureStore.open(tx, new)


def test_an_erased_subject_leaves_nothing_behind(database: Database) -> None:
    program = _program(_pack("count(*)"))
    with database.write() as tx:
        store = FeatureStore.open(tx, program)
        for seq in (1, 2):
            store.apply(tx, seq, "order.made", _row("a"), seq)
            store.write_slice(tx, seq, 10)
        store.apply(tx, 3, "order.made", _row("a"), 3)
        store.forget()
        store.erase(tx, "account", "a")
        assert tx.rows("SELECT * FROM feature_state") == []
        assert store.write_slice(tx, 3, 10) == 0
        assert store.apply(tx, 4, "order.made", _row("a"), 4) == {"f0": 1}
