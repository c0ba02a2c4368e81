"""Forget a person everywhere: the key through the decider, then everything derived, then the traces on the disk."""

from koban.app.running import Koban
from koban.db import Tx
from koban.pipeline.memory import Memory
from koban.vault import Erasure, erase


def erase_person(koban: Koban, person: str, *, by: str) -> Erasure:
    """Destroy a person's key, so that nothing sealed under it can be read again, here or in the archive.

    Refuses: PersonOnLegalHold.
    Why through the decider: it alone holds keys in memory, and features of the person go in the same moment.
    """

    def run(memory: Memory, tx: Tx) -> Erasure:
        done = erase(tx, memory.log_time.peek(), memory.vault, person, by=by)
        memory.features.erase(tx, "account", person)
        memory.vault.forget(person)  # what comes next gets a key of its own; a failed commit drops every key anyway
        memory.enter("person.erased", b"{}", about=done.pseudonym, cause_seq=None)
        return done

    done = koban.desk.command(run, alone=True)
    koban.database.forget_deleted()
    return done
