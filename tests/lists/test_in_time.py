"""Lists in time: membership after any entry equals the live view of then, and a way back leads there."""

import random

from koban.base import Instant
from koban.db import Database, Tx
from koban.lists import EntriesAdded, EntryRemoved, ListChange, LiveLists, add_entries, entries_of, remove_entry
from koban.lists.logic import changes_to, difference, members_at, versions_of

AT = 1_768_446_000_000_000
NAMES = ("a", "b", "c", "d", "e")
OF_PACK = ("a", "b")


def one_of(rng: random.Random, live: LiveLists, at: int) -> ListChange | None:
    if rng.random() < 0.6:
        ends = rng.choice((None, at + rng.randrange(1, 12), AT + 1_000))
        expires_at = None if ends is None else Instant(ends)
        values = tuple(rng.sample(NAMES, rng.randrange(1, 4)))
        return EntriesAdded(list="trusted", values=values, note=f"n{at}", by="staff_1", expires_at=expires_at)
    on = list(live.members("trusted", at))
    return EntryRemoved(list="trusted", value=rng.choice(on), note=f"n{at}", by="staff_2") if on else None


def enter(tx: Tx, live: LiveLists, seq: int, change: ListChange) -> None:
    at = Instant(AT + seq)
    if isinstance(change, EntriesAdded):
        add_entries(tx, seq, at, change, live=live)
    else:
        remove_entry(tx, seq, at, change, live=live)
    live.apply(change)


def fresh() -> LiveLists:
    live = LiveLists()
    live.set_pack({"trusted": OF_PACK})
    return live


def test_membership_after_any_entry_is_what_decisions_then_read_and_a_way_back_restores_it(database: Database) -> None:
    for seed in range(25):
        rng, live = random.Random(seed), fresh()
        seen: dict[int, list[str]] = {0: list(live.members("trusted", AT))}
        with database.write() as tx:
            for seq in range(1, 15):
                change = one_of(rng, live, AT + seq)
                if change is not None:
                    enter(tx, live, seq, change)
                seen[seq] = list(live.members("trusted", AT + seq))
            rows = list(entries_of(tx, "trusted", limit=1_000))
            for seq, then in seen.items():
                assert list(members_at(OF_PACK, rows, upto_seq=seq, at=AT + seq)) == then, (seed, seq)
            assert list(members_at(OF_PACK, rows, upto_seq=None, at=AT + 15)) == list(live.members("trusted", AT + 15))

            target, now = rng.randrange(15), AT + 30
            wanted = members_at(OF_PACK, rows, upto_seq=target, at=now)
            held = members_at(OF_PACK, rows, upto_seq=None, at=now)
            seq = 30
            for change in changes_to("trusted", difference(held, wanted), note="back", by="staff_3"):
                enter(tx, live, seq, change)
                seq += 1
            assert list(live.members("trusted", AT + 60)) == [
                value for value, one in wanted.items() if one.expires_at is None or one.expires_at > AT + 60
            ], seed
            again = members_at(OF_PACK, list(entries_of(tx, "trusted", limit=1_000)), upto_seq=None, at=now)
            assert difference(again, wanted).removed == ()
            assert difference(again, wanted).added == ()
            tx.rows("DELETE FROM list_entries WHERE list = ? RETURNING value", ("trusted",))


def test_versions_say_what_went_on_and_came_off_by_whom_and_why(database: Database) -> None:
    live = fresh()
    with database.write() as tx:
        enter(tx, live, 1, EntriesAdded(list="trusted", values=("c", "d"), note="known", by="staff_1"))
        enter(tx, live, 2, EntriesAdded(list="trusted", values=("d",), note="longer", by="staff_1"))
        enter(tx, live, 3, EntryRemoved(list="trusted", value="a", note="sold", by="staff_2"))
        rows = list(entries_of(tx, "trusted", limit=1_000))
    packs = [
        (0, Instant(AT), "koban", frozenset(OF_PACK)),
        (4, Instant(AT + 4), "staff_9", frozenset({"a", "z"})),
        (5, Instant(AT + 5), "staff_9", frozenset({"a", "z"})),
    ]
    found = versions_of(rows, packs, {3: "sold"})
    assert [
        (each.seq, each.kind, each.by, each.note, each.added, each.removed, each.sample) for each in found
    ] == [
        (4, "pack", "staff_9", "", 1, 1, ("z", "b")),
        (3, "people", "staff_2", "sold", 0, 1, ("a",)),
        (2, "people", "staff_1", "longer", 1, 0, ("d",)),
        (1, "people", "staff_1", "known", 2, 0, ("c", "d")),
        (0, "pack", "koban", "", 2, 0, ("a", "b")),
    ]  # fmt: skip


def test_versions_of_a_pack_count_only_what_people_had_not_settled_otherwise(database: Database) -> None:
    rng = random.Random(7)
    told = 0
    for seed in range(40):
        live = LiveLists()
        packs: list[tuple[int, Instant, str, frozenset[str]]] = []
        steps: dict[int, tuple[set[str], set[str]]] = {}
        with database.write() as tx:
            for seq in range(1, 16):
                at = AT + seq
                before = set(live.members("trusted", at))
                if seq == 1 or rng.random() < 0.4:
                    values = tuple(rng.sample(NAMES, rng.randrange(4)))
                    live.set_pack({"trusted": values})
                    packs.append((seq, Instant(at), "staff_9", frozenset(values)))
                    after = set(live.members("trusted", at))
                    steps[seq] = (after - before, before - after)
                elif (change := one_of(rng, live, at)) is not None:
                    enter(tx, live, seq, change)
            rows = list(entries_of(tx, "trusted", limit=1_000))
            found = {each.seq: each for each in versions_of(rows, packs, {}) if each.kind == "pack"}
            for seq, (added, removed) in steps.items():
                one = found.get(seq)
                counted = (0, 0) if one is None else (one.added, one.removed)
                assert counted == (len(added), len(removed)), (seed, seq, added, removed)
                assert one is None or set(one.sample) == added | removed, (seed, seq)
            told += len(found)
            tx.rows("DELETE FROM list_entries WHERE list = ? RETURNING value", ("trusted",))
    assert told > 50
