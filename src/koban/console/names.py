"""Names of the staff, for pages that say who did something."""

from typing import Final

from koban.access import list_staff
from koban.db import Tx

STAFF_MAX: Final = 2_000  # whose names a page knows; others are told by their ids


def names_of(tx: Tx) -> dict[str, str]:
    """Return the names of the staff by their ids, also of those who left."""
    return {each.id: each.name for each in list_staff(tx, after_id="", limit=STAFF_MAX)}
