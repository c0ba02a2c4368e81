"""Which events the log holds already: found by id and source, however many are asked for, and without reading it all."""

from tests.events.entries import bare_entry

from koban.db import Database
from koban.events.store import event_key, find_event, find_known, insert_entries


def _named(*pairs: tuple[str, str]) -> dict[bytes, tuple[str, str]]:
    return {event_key(source, event_id): (source, event_id) for source, event_id in pairs}


def test_each_is_found_under_its_own_source(database: Database) -> None:
    with database.write() as tx:
        shops = [(f"shop{number % 3}", f"注文-{number // 3}") for number in range(2_100)]
        insert_entries(tx, [bare_entry(seq, event_id, source=shop) for seq, (shop, event_id) in enumerate(shops, 1)])
    asked = [("shop1", f"注文-{number}") for number in range(690, 710)] + [("注文-1", "shop1"), ("shop9", "注文-1")]
    with database.read() as tx:
        found = find_known(tx, _named(*asked))
        assert found == {
            event_key("shop1", f"注文-{number}"): (3 * number + 2, b"d%d" % (3 * number + 2))
            for number in range(690, 700)
        }
        everything = find_known(tx, _named(*shops, ("new", "new")))
        assert sorted(seq for seq, _ in everything.values()) == list(range(1, 2_101))
        assert find_known(tx, {}) == {}
        newest = find_event(tx, None, "注文-5")
        assert newest is not None
        assert newest.source == "shop2"


def test_one_that_is_new_is_looked_for_in_the_index_alone(database: Database) -> None:
    if database.dialect != "sqlite":
        return  # PostgreSQL chooses by what it has counted, and an empty table is read whole
    with database.read() as tx:
        plan = tx.rows(
            "EXPLAIN QUERY PLAN SELECT e.seq FROM (VALUES (?,?),(?,?)) asked CROSS JOIN log_entries e"
            " WHERE e.event_id = asked.column1 AND e.source = asked.column2", ("a", "b", "c", "d"),
        )  # fmt: skip
        assert any("SEARCH e USING" in row[3] and "log_entries_once" in row[3] for row in plan), plan
        by_id = tx.rows("EXPLAIN QUERY PLAN SELECT * FROM log_entries WHERE event_id = ? AND kind = 'event'"
                        " ORDER BY seq DESC LIMIT 1", ("a",))  # fmt: skip
        assert any("log_entries_once" in row[3] for row in by_id), by_id
