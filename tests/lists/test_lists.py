"""Lists: membership over time, from the tables and from entries alike."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from koban.base import HOUR, Instant
from koban.db import Database
from koban.language import NEVER, Environment
from koban.lists import (
    EntriesAdded,
    EntryRemoved,
    ListChange,
    ListEntryInvalid,
    ListEntryMissing,
    ListMissing,
    LiveLists,
    add_entries,
    all_entries,
    entries_of,
    remove_entry,
)

AT = Instant(1_768_446_000_000_000)
PACK = {"trusted": ("acct_1", "acct_2"), "lures": ("直取引",)}


def added(*values: str, name: str = "trusted", expires_at: int | None = None) -> EntriesAdded:
    expiry = None if expires_at is None else Instant(expires_at)
    return EntriesAdded(list=name, values=values, note="known well", by="staff_1", expires_at=expiry)


def removed(value: str, name: str = "trusted") -> EntryRemoved:
    return EntryRemoved(list=name, value=value, note="was wrong", by="staff_1")


def live_with_pack() -> LiveLists:
    live = LiveLists()
    live.set_pack(PACK)
    return live


def test_a_list_holds_what_the_pack_brings_and_what_was_added() -> None:
    live = live_with_pack()
    live.apply(added("acct_9"))
    assert list(live.members("trusted", AT)) == ["acct_1", "acct_2", "acct_9"]


def test_a_value_of_the_pack_that_was_taken_off_stays_off_in_the_next_version() -> None:
    live = live_with_pack()
    live.apply(removed("acct_1"))
    live.set_pack({"trusted": ("acct_1", "acct_3")})
    assert list(live.members("trusted", AT)) == ["acct_3"]


def test_an_addition_counts_until_just_before_its_expiry() -> None:
    live = live_with_pack()
    live.apply(added("acct_9", expires_at=AT + HOUR))
    assert live.has("trusted", "acct_9", AT + HOUR - 1)
    assert not live.has("trusted", "acct_9", AT + HOUR)


def test_a_value_of_the_pack_outlives_an_addition_that_expires() -> None:
    live = live_with_pack()
    live.apply(added("acct_1", expires_at=AT + HOUR))
    assert live.has("trusted", "acct_1", AT + 2 * HOUR)


def test_a_list_that_left_the_pack_holds_nothing_and_comes_back_with_its_additions() -> None:
    live = live_with_pack()
    live.apply(added("acct_9"))
    live.set_pack({})
    assert not live.has("trusted", "acct_9", AT)
    live.set_pack(PACK)
    assert live.has("trusted", "acct_9", AT)


def test_the_environment_reads_changes_in_place_with_their_expiry() -> None:
    live = live_with_pack()
    environment = Environment(values=live.values)
    live.apply(added("acct_9", expires_at=AT + HOUR))
    live.apply(added("acct_1", expires_at=AT + HOUR))
    undo = live.apply(removed("acct_2"))
    assert environment.values == {
        "trusted": {"acct_1": NEVER, "acct_9": AT + HOUR},
        "lures": {"直取引": NEVER},
    }
    undo()
    live.set_pack({"blocked": ("acct_7",)})
    assert environment.values == {"blocked": {"acct_7": NEVER}}


def test_every_change_and_its_undo_renew_the_version_of_their_list_alone() -> None:
    live = live_with_pack()
    before = live.version_of("lures")
    seen = [live.version_of("trusted")]
    undo = live.apply(added("acct_9"))
    seen.append(live.version_of("trusted"))
    undo()
    seen.append(live.version_of("trusted"))
    assert len(set(seen)) == 3
    assert live.version_of("lures") == before
    assert live.version == seen[-1]


def test_the_next_expiry_is_that_of_the_value_which_leaves_first() -> None:
    live = live_with_pack()
    live.apply(added("acct_8", expires_at=AT + 2 * HOUR))
    live.apply(added("acct_9", expires_at=AT + HOUR))
    assert [live.next_expiry("trusted", AT + hours * HOUR) for hours in range(3)] == [AT + HOUR, AT + 2 * HOUR, NEVER]
    assert [live.last_expiry("trusted", AT + hours * HOUR) for hours in range(3)] == [0, AT + HOUR, AT + 2 * HOUR]


_values = st.sampled_from(["acct_1", "acct_2", "acct_3", "acct_4"])
_changes = st.one_of(
    st.builds(
        lambda values, expiry: added(*values, expires_at=expiry),
        st.lists(_values, min_size=1, max_size=3, unique=True),
        st.none() | st.integers(AT, AT + 10),
    ),
    st.builds(removed, _values),
)


@given(st.lists(_changes, max_size=12), st.integers(0, 12), st.integers(AT, AT + 10))
def test_undoing_in_reverse_order_gives_the_state_before(changes: list[ListChange], kept: int, at: int) -> None:
    whole, part = live_with_pack(), live_with_pack()
    undos = [whole.apply(change) for change in changes]
    for undo in reversed(undos[kept:]):
        undo()
    for change in changes[:kept]:
        part.apply(change)
    assert list(whole.members("trusted", at)) == list(part.members("trusted", at))
    assert whole.values == part.values
    assert list(whole.members("trusted", at)) == sorted(
        v for v, expiry in whole.values["trusted"].items() if expiry > at
    )


def test_the_tables_give_the_same_view_as_the_entries(database: Database) -> None:
    live = live_with_pack()
    changes: list[ListChange] = [
        added("acct_3", "acct_4"),
        removed("acct_1"),
        added("acct_4", expires_at=AT + HOUR),
        removed("acct_3"),
        added("acct_1"),
        removed("acct_1"),
        added("line交換", name="lures"),
    ]
    with database.write() as tx:
        for seq, change in enumerate(changes, start=1):
            at = Instant(AT + seq)
            if isinstance(change, EntriesAdded):
                add_entries(tx, seq, at, change, live=live)
            else:
                remove_entry(tx, seq, at, change, live=live)
            live.apply(change)
    loaded = live_with_pack()
    with database.read() as tx:
        loaded.load(tx)
        history = [(row.value, row.added_seq, row.removed_seq, row.added_by) for row in all_entries(tx)]
    assert loaded.values == live.values
    for name in ("trusted", "lures"):
        for moment in (AT, AT + 2 * HOUR):
            assert list(loaded.members(name, moment)) == list(live.members(name, moment))
    assert list(loaded.members("trusted", AT)) == ["acct_2", "acct_4"]
    assert sorted(history) == [
        ("acct_1", 2, 2, "pack"),
        ("acct_1", 5, 6, "staff_1"),
        ("acct_3", 1, 4, "staff_1"),
        ("acct_4", 1, 3, "staff_1"),
        ("acct_4", 3, None, "staff_1"),
        ("line交換", 7, None, "staff_1"),
    ]


def test_pages_of_a_list_meet_without_gap_or_overlap(database: Database) -> None:
    live = live_with_pack()
    with database.write() as tx:
        add_entries(tx, 1, AT, added("a", "b", "c", "d", "e"), live=live)
    with database.read() as tx:
        first = entries_of(tx, "trusted", limit=2)
        rest = entries_of(tx, "trusted", limit=10, after=(first[-1].value, first[-1].added_seq))
    assert [row.value for row in first] == ["a", "b"]
    assert [row.value for row in rest] == ["c", "d", "e"]


@pytest.mark.parametrize(
    ("change", "paths"),
    [
        (added(""), ["/values/0"]),
        (added(" a"), ["/values/0"]),
        (added("ok", "a\nb"), ["/values/1"]),
        (added("x" * 501), ["/values/0"]),
        (added(), ["/values"]),
        (added("a", "a"), ["/values"]),
        (added("a", expires_at=AT), ["/expires_at"]),
    ],
)
def test_an_addition_that_cannot_be_used_is_refused_and_changes_nothing(
    database: Database, change: EntriesAdded, paths: list[str]
) -> None:
    with database.write() as tx, pytest.raises(ListEntryInvalid) as caught:
        add_entries(tx, 1, AT, change, live=live_with_pack())
    assert [problem.path for problem in caught.value.problems] == paths
    with database.read() as tx:
        assert list(all_entries(tx)) == []


def test_lists_and_values_that_are_not_there_are_refused(database: Database) -> None:
    live = live_with_pack()
    with database.write() as tx:
        with pytest.raises(ListMissing):
            add_entries(tx, 1, AT, added("a", name="nowhere"), live=live)
        with pytest.raises(ListMissing):
            remove_entry(tx, 1, AT, removed("a", name="nowhere"), live=live)
        with pytest.raises(ListEntryMissing):
            remove_entry(tx, 1, AT, removed("acct_7"), live=live)
    with database.read() as tx:
        assert list(all_entries(tx)) == []
