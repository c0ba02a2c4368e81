"""Personal fields on their way into the log and out of it: each person's part under that person's key."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from koban.db import Tx
from koban.events import Entry, Kind, Prepared
from koban.vault import Sealed, Vault

_EVENT: Final = Kind.EVENT
_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(dict[str, bytes])


def seal(vault: Vault, key: bytes, personal: Mapping[str, Mapping[str, object]]) -> bytes | None:
    """Seal the personal fields of one event; `vault.prepare` was called for all of its people."""
    if not personal:
        return None
    context = key.hex()
    return _ENCODER.encode({person: vault.seal(person, context, fields) for person, fields in personal.items()})


def open_entry(tx: Tx, vault: Vault, key: bytes, entry: Entry) -> dict[str, object]:
    """Return the personal fields of an entry by dotted path; those of erased people are missing."""
    return open_entries(tx, vault, [(key, entry)])[0]


def open_entries(tx: Tx, vault: Vault, entries: Sequence[tuple[bytes, Entry]]) -> list[dict[str, object]]:
    """Open several entries with one query."""
    sealed: list[Sealed] = []
    owners: list[int] = []
    for index, (key, entry) in enumerate(entries):
        if entry.sealed is not None:
            for person, blob in _DECODER.decode(entry.sealed).items():
                sealed.append(Sealed(person=person, context=key.hex(), blob=blob))
                owners.append(index)
    fields: list[dict[str, object]] = [{} for _ in entries]
    for index, opened in zip(owners, vault.open_many(tx, sealed) if sealed else [], strict=True):
        fields[index].update(opened or {})
    return fields


def people_of(entry_sealed: bytes | None) -> tuple[str, ...]:
    """Return whose fields an entry holds."""
    return tuple(_DECODER.decode(entry_sealed)) if entry_sealed is not None else ()


def entry_of(prepared: Prepared, key: bytes, sealed: bytes | None, *, cause_seq: int | None = None) -> Entry:
    """Return what will be an event's entry, but for its place and time in the log."""
    return Entry(
        seq=-1,
        log_at=prepared.received_at,
        received_at=prepared.received_at,
        kind=_EVENT,
        type=prepared.type,
        source=prepared.source,
        event_id=prepared.id,
        event_at=prepared.event_at,
        subject=prepared.subject,
        data=prepared.data,
        sealed=sealed,
        digest=prepared.digest,
        flags=prepared.flags,
        cause_seq=cause_seq,
        key=key,
    )
