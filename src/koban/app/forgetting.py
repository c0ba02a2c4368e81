"""What a restored backup still held of people who were erased after it was taken, forgotten at the first start.

Why not by the restore: features stand under ids, erasures under pseudonyms, and entries whose effects were not yet stored
when the backup was taken count at the start.
"""

from typing import Final

import koban.events.store as event_store
from koban.base import Instant
from koban.db import Tx
from koban.pipeline.memory import Memory
from koban.vault import erased_since

FORGET_SINCE: Final = "forget_since"  # of the log's own numbers: since when erasures were repeated; 0 once that is done


def forget_restored(memory: Memory, tx: Tx) -> int:
    """Forget the features of those whose erasure a restore repeated; return of how many people there were any.

    `memory` has just been loaded in `tx`.
    """
    since = event_store.read_state(tx, FORGET_SINCE)
    if since == 0:
        return 0
    erased = {pseudonym for pseudonym, _ in erased_since(tx, Instant(since))}
    memory.features.write_all(tx, memory.last_seq)
    found = memory.features.erase_all(tx, "account", lambda one: memory.vault.pseudonym("person", one) in erased)
    event_store.write_state(tx, FORGET_SINCE, 0)
    return found
