"""Names of the staff, for pages that say who did something."""

import functools
from collections.abc import Callable
from typing import Final

from koban.access import list_staff
from koban.access import store as access_store
from koban.db import Database, Tx

STAFF_MAX: Final = 2_000  # whose names a page knows; others are told by their ids


def names_of(tx: Tx) -> dict[str, str]:
    """Return the names of the staff by their ids, also of those who left."""
    return {each.id: each.name for each in list_staff(tx, after_id="", limit=STAFF_MAX)}


def names_when_asked(database: Database) -> Callable[[str], str]:
    """Return what tells a member of staff's or a token's name by id, or nothing; a page that names nobody reads nothing."""

    @functools.cache
    def names() -> dict[str, str]:
        with database.read() as tx:
            tokens = access_store.list_tokens(tx, after_id="", limit=STAFF_MAX)
            return names_of(tx) | {each.id: each.name for each in tokens}

    return lambda actor: names().get(actor, "")
