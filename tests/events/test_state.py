"""What the log knows of itself."""

from koban.db import Database
from koban.events import store


def test_a_number_of_the_log_is_advanced_once_from_where_it_was(database: Database) -> None:
    with database.write() as tx:
        assert store.advance_state(tx, "cursor", before=0, to=5)
        assert not store.advance_state(tx, "cursor", before=0, to=7), "somebody else was quicker"
        assert store.advance_state(tx, "cursor", before=5, to=9)
        assert not store.advance_state(tx, "cursor", before=5, to=11)
        assert store.read_state(tx, "cursor") == 9
