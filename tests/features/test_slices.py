"""Records in slices: the newest counts, the oldest slice is folded first, whatever was erased is in none of them."""

import contextlib
from collections.abc import Callable, Iterator

import pytest
from tests.features.test_state import _pack, _program, _row
from tests.features.test_whole import NOON, ORDER, feature, pack

from koban.base import limits
from koban.db import Database, Tx
from koban.features import FeatureStore, compile_features
from koban.packs import PackDef

SLICES = "SELECT number, as_of_seq FROM feature_slices ORDER BY number"
RECORDS = "SELECT subject, as_of_seq FROM feature_state ORDER BY subject"


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "FEATURES_TOGETHER", 0)
    monkeypatch.setattr(limits, "FEATURE_SLICE_MAX", 3)


@pytest.fixture
def tx(database: Database) -> Iterator[Tx]:
    with database.write() as tx:
        yield tx


def _open(tx: Tx, **sizes: int) -> FeatureStore:
    return FeatureStore.open(tx, _program(_pack("count(*)")), **sizes)


def _apply(store: FeatureStore, tx: Tx, seq: int, buyer: str) -> object:
    return store.apply(tx, seq, "order.made", _row(buyer), seq)["f0"]


def _write(store: FeatureStore, tx: Tx, seq: int, *buyers: str) -> int:
    """Apply one entry for each buyer, and write what changed as a slice; return the last entry."""
    last = seq + len(buyers) - 1
    for each, buyer in enumerate(buyers, seq):
        _apply(store, tx, each, buyer)
    store.write_slice(tx, last, 100, until=last)
    store.forget()
    return last


def test_a_slice_is_one_row_and_no_record_of_its_own(tx: Tx) -> None:
    store = _open(tx)
    _write(store, tx, 1, "a", "b", "a")
    assert (tx.rows(SLICES), tx.rows(RECORDS)) == ([(1, 3)], [])
    assert (store.unfolded, store.unsaved, store.watermark) == (2, 0, 3)


def test_what_is_much_is_several_rows(tx: Tx) -> None:
    store = _open(tx)
    _write(store, tx, 1, *"abcdefg")
    assert tx.rows(SLICES) == [(1, 7), (2, 7), (3, 7)]
    assert store.fold(tx, 4) == 6, "whole slices"
    assert (tx.rows(SLICES), store.unfolded) == ([(3, 7)], 1)


def test_the_oldest_is_folded_first_and_only_what_no_newer_one_holds(tx: Tx) -> None:
    store = _open(tx)
    _write(store, tx, 1, "a", "b")
    _write(store, tx, 3, "b", "c")
    assert store.fold(tx, 0) == store.fold(tx, -7) == 0
    assert store.fold(tx, 1) == 2
    assert (tx.rows(SLICES), tx.rows(RECORDS)) == ([(2, 4)], [("a", 2)])
    assert store.fold(tx, 1_000) == 2
    assert (tx.rows(SLICES), tx.rows(RECORDS)) == ([], [("a", 2), ("b", 4), ("c", 4)])
    assert (store.fold(tx, 1), store.unfolded) == (0, 0)


def test_a_record_that_is_in_a_slice_is_never_put_into_the_table_ahead_of_it(tx: Tx) -> None:
    store = _open(tx)
    _write(store, tx, 1, "a")
    _apply(store, tx, 2, "a")
    assert store.write_slice(tx, 2, 100) == 1, "nobody waits"
    assert (tx.rows(SLICES), tx.rows(RECORDS)) == ([(1, 1), (2, 2)], []), "the older would be folded over the newer"
    store.fold(tx, 100)
    _apply(store, tx, 3, "a")
    assert store.write_slice(tx, 3, 100) == 1
    assert (tx.rows(SLICES), tx.rows(RECORDS)) == ([], [("a", 3)])


@pytest.mark.parametrize("sizes", [{}, {"hot_limit": 1, "cold_limit": 1}], ids=["all in memory", "read when touched"])
@pytest.mark.parametrize("folded", [0, 1, 100])
def test_a_start_takes_the_newest_from_table_and_slices(tx: Tx, sizes: dict[str, int], folded: int) -> None:
    store = _open(tx, **sizes)
    _write(store, tx, 1, "a", "b", "c")
    store.fold(tx, 100)
    _write(store, tx, 4, "b", "c")
    _write(store, tx, 6, "c", "d")
    store.fold(tx, folded)
    again = _open(tx, **sizes)
    assert (again.watermark, again.unfolded) == (7, {0: 4, 1: 2, 100: 0}[folded])
    assert [_apply(again, tx, seq, buyer) for seq, buyer in enumerate("abcde", 8)] == [2, 3, 4, 2, 1]
    assert _write(again, tx, 13, "a") == 13
    assert [number for number, _ in tx.rows(SLICES)][-1] == 4 - (folded == 100) * 3 + 1, "numbers go on"


def test_records_that_do_not_fit_into_memory_are_read_from_slices(tx: Tx) -> None:
    store = _open(tx, hot_limit=1, cold_limit=1)
    for seq in range(1, 21):
        _write(store, tx, seq, f"b{seq % 10}")
    assert len(store._subjects["account"].names()) <= 2
    assert _apply(store, tx, 21, "b3") == 3
    store.fold(tx, 12)
    assert [_apply(store, tx, seq, buyer) for seq, buyer in enumerate(("b1", "b9", "b4", "new"), 22)] == [3, 3, 3, 1]


def test_a_replay_does_not_apply_to_a_record_in_a_slice_twice(tx: Tx) -> None:
    store = _open(tx)
    for seq, buyer in enumerate("aba", 1):
        _apply(store, tx, seq, buyer)
    store.write_slice(tx, 3, 1, until=3)
    again = _open(tx)
    assert again.watermark == 1
    for seq, buyer in ((2, "b"), (3, "a")):
        _apply(again, tx, seq, buyer)
    assert [_apply(again, tx, seq, buyer) for seq, buyer in ((4, "a"), (5, "b"))] == [3, 2]


def test_a_commit_that_failed_leaves_the_slices_as_they_were(database: Database) -> None:
    program = _program(_pack("count(*)"))
    with database.write() as tx:
        store = FeatureStore.open(tx, program)
        _write(store, tx, 1, "a")
        _write(store, tx, 2, "a", "b")
    with contextlib.suppress(KeyboardInterrupt), database.write() as tx:
        _write(store, tx, 4, "a")
        assert store.fold(tx, 1) == 1
        raise KeyboardInterrupt
    with database.write() as tx:
        store.reload(tx, program)
        assert (store.watermark, store.unfolded, tx.rows(SLICES)) == (3, 3, [(1, 1), (2, 3)])
        assert _apply(store, tx, 4, "a") == 3
        assert store.fold(tx, 100) == 3
        assert tx.rows(RECORDS) == [("a", 3), ("b", 3)]


def test_another_pack_reads_what_slices_hold(tx: Tx) -> None:
    old, new = _pack("count(*)", "sum(amount)"), _pack("max(amount)", "count(*)")

    def open_with(pack: PackDef) -> FeatureStore:
        return FeatureStore.open(tx, _program(pack))

    store = open_with(old)
    _write(store, tx, 1, "a", "b")
    store.switch(tx, _program(new), 3)
    _write(store, tx, 4, "b")
    again = open_with(new)
    assert again.apply(tx, 5, "order.made", _row("a", 7), 5) == {"f0": 7, "f1": 2}
    assert again.apply(tx, 6, "order.made", _row("b", 7), 6) == {"f0": 7, "f1": 3}


def test_what_is_erased_is_in_no_slice_not_even_an_old_one(tx: Tx) -> None:
    store = _open(tx)
    _write(store, tx, 1, "person", "b")
    _write(store, tx, 3, "person")
    _write(store, tx, 4, "c")
    store.erase(tx, "account", "person")
    held = b"".join(packed for (packed,) in tx.rows("SELECT records FROM feature_slices"))
    assert b"person" not in held
    assert b"b" in held
    assert tx.rows(SLICES) == [(1, 2), (2, 3), (3, 4)]
    again = _open(tx)
    for one in (store, again):
        assert [_apply(one, tx, seq, buyer) for seq, buyer in enumerate(("person", "b", "c"), 5)] == [1, 2, 2]
    assert store.fold(tx, 1_000) == 4, "as many as were written"
    assert tx.rows(RECORDS) == [("b", 2), ("c", 4)]
    assert store.unfolded == 0


@pytest.mark.parametrize(
    "erase",
    [
        lambda store, tx: store.erase(tx, "account", "a1"),
        lambda store, tx: store.erase_all(tx, "account", lambda one: one in {"a1", "nobody"}),
    ],
    ids=["one", "all of whom it is said"],
)
@pytest.mark.parametrize("folded", [0, 2, 100], ids=["in slices alone", "in both", "in the table alone"])
def test_erasing_a_person_forgets_pairs_that_are_not_in_memory(
    tx: Tx, folded: int, erase: Callable[[FeatureStore, Tx], object]
) -> None:
    program = compile_features(pack(feature("f", "count(*)", by="[buyer.id, seller.id]")), {ORDER: {"f"}})
    store = FeatureStore.open(tx, program, hot_limit=1, cold_limit=1)
    pairs = [("a1", "b1"), ("b1", "a1"), ("xa1", "b1"), ("b1", "c1"), ("c1", "a1"), ("c1", "b1")]
    for seq, (buyer, seller) in enumerate(pairs, 1):
        store.apply(tx, seq, ORDER, {"buyer.id": buyer, "seller.id": seller}, NOON + seq)
        store.write_slice(tx, seq, 100, until=seq)
        store.forget()
    store.fold(tx, folded)
    assert erase(store, tx) in {None, 1}
    found = [
        store.apply(tx, seq, ORDER, {"buyer.id": buyer, "seller.id": seller}, NOON + seq)["f"]
        for seq, (buyer, seller) in enumerate(pairs, 7)
    ]
    assert found == [1, 1, 2, 2, 1, 2]
