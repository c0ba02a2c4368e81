"""Forget a person, and keep one from being forgotten."""

from collections.abc import Callable
from typing import Final

import msgspec

from koban.audit import record
from koban.base import DAY, Instant
from koban.db import Tx
from koban.vault import store
from koban.vault.types import Erasure, Hold, HoldMissing, PersonOnLegalHold
from koban.vault.vault import Vault

BY_ITSELF: Final = "koban"  # who places a hold that no person placed


def erase(tx: Tx, at: Instant, vault: Vault, person: str, *, by: str) -> Erasure:
    """Destroy a person's salt, so that nothing sealed under it can ever be read again.

    Refuses: PersonOnLegalHold.
    The caller must, after the commit: call `vault.forget(person)` in the deciding process and `database.forget_deleted()`
    (empties SQLite's WAL, vacuums PostgreSQL, whose own WAL keeps the row until it is recycled). The archive holds
    ciphertext and needs nothing. Backups taken before still hold the salt, though never the master key: they must age
    out, or the erasure be repeated after a restore (`erased_since`).
    """
    pseudonym = vault.pseudonym("person", person)
    hold = store.read_hold(tx, pseudonym)
    if hold is not None:
        raise PersonOnLegalHold(f"the hold {hold.reference} was placed by {hold.placed_by}; lift it first")
    had_data = store.delete_salt(tx, pseudonym)
    # Also where nothing was sealed since the last time: what was counted since goes by when it was said last.
    store.insert_erasure(tx, pseudonym, erased_at=at, erased_by=by)
    record(tx, at, by, "person.erased", pseudonym, {"had_data": had_data})
    return Erasure(pseudonym=pseudonym, erased_at=at, had_data=had_data)


def repeat_erasures(tx: Tx, at: Instant, erased: list[tuple[str, Instant]], *, by: str) -> int:
    """Destroy again the salts that a restored backup brought back; return how many there were.

    `erased` comes from `erased_since` of the database that was given up, or from a copy of its erasures. Who had no salt
    stands among the erased again, too: features are kept of people of whom nothing was ever sealed.
    """
    again = 0
    for pseudonym, erased_at in erased:
        had_data = store.delete_salt(tx, pseudonym)
        if had_data or (store.last_erasure(tx, pseudonym) or 0) < erased_at:
            store.insert_erasure(tx, pseudonym, erased_at=erased_at, erased_by=by)
        if had_data:
            again += 1
            record(tx, at, by, "person.erased", pseudonym, {"had_data": True, "after_restore": True})
    return again


def place_hold(tx: Tx, at: Instant, vault: Vault, person: str, *, by: str, reference: str) -> Hold:
    """Keep a person's data from being erased; placing it again changes the reference."""
    pseudonym = vault.pseudonym("person", person)
    hold = Hold(pseudonym=pseudonym, placed_at=at, placed_by=by, reference=reference)
    store.write_hold(tx, hold)
    record(tx, at, by, "hold.placed", pseudonym)
    return hold


def preserve(tx: Tx, at: Instant, pseudonym: str, case_id: str) -> None:
    """Keep a person's data because of a case. A hold that somebody placed stays as it is: it outranks this one."""
    hold = store.read_hold(tx, pseudonym)
    if hold is not None and (hold.placed_by != BY_ITSELF or case_id in hold.reference.split()):
        return
    reference = case_id if hold is None else f"{hold.reference} {case_id}"
    store.write_hold(tx, Hold(pseudonym=pseudonym, placed_at=at, placed_by=BY_ITSELF, reference=reference))
    record(tx, at, BY_ITSELF, "hold.placed", pseudonym, {"case": case_id})


def let_go(tx: Tx, at: Instant, case_id: str) -> int:
    """Lift what `preserve` placed for a case, where no other case keeps it; return how many people are free again."""
    lifted = 0
    for hold in store.holds_naming(tx, case_id, placed_by=BY_ITSELF):
        others = [each for each in hold.reference.split() if each != case_id]
        if others:
            store.write_hold(tx, msgspec.structs.replace(hold, reference=" ".join(others)))
        else:
            store.delete_hold(tx, hold.pseudonym)
            record(tx, at, BY_ITSELF, "hold.lifted", hold.pseudonym, {"case": case_id})
            lifted += 1
    return lifted


def lift_hold(tx: Tx, at: Instant, vault: Vault, person: str, *, by: str) -> None:
    """Let a person be erased again.

    Refuses: HoldMissing.
    """
    pseudonym = vault.pseudonym("person", person)
    if store.read_hold(tx, pseudonym) is None:
        raise HoldMissing("nothing holds this person's data")
    store.delete_hold(tx, pseudonym)
    record(tx, at, by, "hold.lifted", pseudonym)


def held_people(tx: Tx, vault: Vault) -> Callable[[str], bool]:
    """Return the question whether a legal hold keeps a person's data, answered as of `tx`."""
    held = store.held_pseudonyms(tx)
    if not held:
        return lambda _person: False
    return lambda person: vault.pseudonym("person", person) in held


def forget_days(tx: Tx, at: Instant, purpose: str, *, older_than_us: int) -> int:
    """Destroy the dated keys whose whole day is older than the retention; return how many days were forgotten."""
    forgotten = store.delete_dated(tx, purpose, (at - older_than_us) // DAY)
    if forgotten:
        record(tx, at, "koban", "days.forgotten", purpose, {"days": forgotten})
    return forgotten
