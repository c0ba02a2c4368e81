"""Write, seal, sign and check the audit trail."""

import os
import pathlib
import threading
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from koban.audit import logic, store
from koban.audit.secrets import Secrets
from koban.audit.types import AuditEntry, Broken, Checkpoint, Detail, Report, Sealed
from koban.base import MINUTE, Instant, Refusal, Unavailable
from koban.db import Tx, upsert

SEAL_MAX_ENTRIES: Final = 1_000
SALT_BYTES: Final = 16
CHECKPOINT_EVERY_US: Final = 1 * MINUTE
CHECKPOINT_MAX_BYTES: Final = 1_000  # of one line; they have about 350


def record(  # noqa: PLR0917 — who, what, to whom, how: the one sentence that every caller writes in this order
    tx: Tx,
    at: Instant,
    actor: str,
    action: str,
    object_id: str,
    details: Mapping[str, Detail] | None = None,
    *,
    commitments: Mapping[str, str] | None = None,
    secrets: Secrets | None = None,
) -> int:
    """Write who did what into the caller's transaction, and return the entry's id.

    `details` are ids, names and numbers, never what a person wrote or is called; such values go into `commitments`
    (with `secrets` for the salts): the entry proves them later without telling them.
    """
    every: dict[str, Detail] = dict(details or {})
    fields: dict[str, bytes] = {}
    if commitments:
        if secrets is None:
            raise ValueError("commitments need secrets for their salts")
        fields = {name: secrets.draw(SALT_BYTES) for name in sorted(commitments)}
        every |= {name: logic.commitment(commitments[name], salt) for name, salt in fields.items()}
    object_id = logic.written_id(object_id)
    logic.check_words(actor=actor, action=action, object_id=object_id, details=every)
    entry_id = store.insert_entry(tx, recorded_at=at, actor=actor, action=action, object_id=object_id, details=every)
    if fields:
        store.insert_salts(tx, entry_id, fields)
    return entry_id


def proves(tx: Tx, entry: AuditEntry, field: str, value: str) -> bool | None:
    """Tell whether the commitment `field` of an entry is to `value`; None when its salt was destroyed."""
    salt = store.salt_of(tx, entry.id, field)
    return None if salt is None else entry.details.get(field) == logic.commitment(value, salt)


def seal(tx: Tx, at: Instant) -> Sealed:  # noqa: ARG001 — an action has one shape, and sealing needs no time
    """Give waiting entries their place in the chain, 1,000 at most; call it once a second, from any process.

    Why the lock on the head: two sealers would give one position twice. The second waits and seals what is left.
    """
    position, previous = _locked_head(tx)
    seals: list[tuple[int, str, str, int]] = []
    for entry, details_json in store.unsealed(tx, SEAL_MAX_ENTRIES):
        position += 1
        sealed = logic.entry_hash(entry, details_json, position, previous)
        seals.append((position, previous, sealed, entry.id))
        previous = sealed
    if seals:
        store.write_seals(tx, seals)
        store.move_head(tx, position, previous)
    return Sealed(position=position, hash=previous, added=len(seals))


def verify(tx: Tx, checkpoints: Sequence[Checkpoint] = (), key: Ed25519PublicKey | None = None) -> Report:
    """Walk the whole chain and name the first entry that was altered, removed, moved, cut off or rewritten.

    Without checkpoints from outside the database, somebody who rewrites the whole chain is not found.
    """
    broken = logic.check_checkpoints(key, tuple(checkpoints)) if key is not None else None
    by_position: dict[int, list[str]] = {}
    for one in checkpoints:
        by_position.setdefault(one.position, []).append(one.hash)
    last_signed = max(by_position, default=0)
    sealed, previous = 0, logic.FIRST_HASH
    if broken is None:
        for row in store.walk(tx):
            broken = logic.check_place(
                row.entry,
                details_json=row.details_json,
                stored_previous=row.previous_hash,
                stored_hash=row.hash,
                expected=sealed + 1,
                previous=previous,
            ) or _check_signed(row, by_position)
            if broken is not None:
                break
            sealed, previous = sealed + 1, row.hash
        else:
            broken = _check_end(tx, sealed, previous, last_signed)
    unsealed, oldest = store.waiting(tx)
    return Report(
        sealed=sealed, unsealed=unsealed, oldest_unsealed_at=oldest, checkpoints=len(checkpoints), broken=broken
    )


class AuditKeyMissing(Refusal):
    """Checkpoints cannot be checked: the key that signed them is not here, and another would call them false."""

    code = "audit_key_missing"
    status = 409
    title = "The key that signs checkpoints of the audit trail is not in the data folder."


class SigningKey:
    """The key that signs checkpoints: a file of its own, readable by its owner alone."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        """Use `SigningKey.open` instead."""
        self.private = key
        self.public = key.public_key()

    @staticmethod
    def open(path: pathlib.Path, secrets: Secrets) -> "SigningKey":
        """Read the key file, or make it (0600) where there is none. Raises Unavailable when it cannot be read."""
        if not path.exists():
            # Written aside and then named, so that a crash in between leaves no key that cannot be read.
            aside = path.with_name(f"{path.name}.part")
            descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                made = Ed25519PrivateKey.from_private_bytes(secrets.draw(32))
                file.write(made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
                file.flush()
                os.fsync(file.fileno())
            aside.rename(path)
            sync_folder(path.parent)
        return SigningKey.read(path)

    @staticmethod
    def read(path: pathlib.Path) -> "SigningKey":
        """Read the key file and make none. Raises AuditKeyMissing; Unavailable when it cannot be read."""
        if not path.exists():
            raise AuditKeyMissing(f"{path} is not there. Put the installation's own there; backups never hold it.")
        try:
            key = load_pem_private_key(path.read_bytes(), password=None)
        except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise Unavailable("audit key", 60, f"cannot read the audit key {path}: {error}") from error
        if not isinstance(key, Ed25519PrivateKey):
            raise Unavailable("audit key", 60, f"{path} holds no Ed25519 key")
        return SigningKey(key)


def sync_folder(folder: pathlib.Path) -> None:
    """Make sure that the names of new files in a folder survive a power cut, as their contents do."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def checkpoint(
    tx: Tx, at: Instant, key: SigningKey, path: pathlib.Path, *, not_within_us: int = CHECKPOINT_EVERY_US
) -> Checkpoint | None:
    """Append a signed checkpoint of the audit chain to the file at `path`; otherwise as `append_checkpoint`."""
    return append_checkpoint(store.read_head(tx), at, key, path, not_within_us=not_within_us)


_APPENDS: Final = threading.Lock()  # two threads that read the same last line would both follow it


def append_checkpoint(
    end: tuple[int, str] | None,
    at: Instant,
    key: SigningKey,
    path: pathlib.Path,
    *,
    not_within_us: int = CHECKPOINT_EVERY_US,
) -> Checkpoint | None:
    """Append a signed checkpoint of a chain that ends at (position, hash) to the file at `path`.

    None when nothing was added since the last one, or the last one is younger than `not_within_us`.
    `end` must be committed: a checkpoint of what is rolled back would be a false alarm.
    The file is to be copied off the machine: a line that has left cannot be taken back. One process at a time
    writes it (the server that holds the folder).
    """
    with _APPENDS:
        last = _last_checkpoint(path)
        if last is not None and 0 <= at - last.at < not_within_us:
            return None
        if end is None or end[0] == (last.position if last is not None else 0):
            return None
        made = logic.sign(
            key.private,
            position=end[0],
            chain_hash=end[1],
            at=at,
            previous=logic.checkpoint_digest(last) if last is not None else logic.FIRST_HASH,
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.write(msgspec.json.encode(made) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        return made


def check_checkpoints(key: Ed25519PublicKey, checkpoints: Sequence[Checkpoint]) -> Broken | None:
    """Check that each checkpoint is signed by the installation's key, follows the one before, and never steps back."""
    return logic.check_checkpoints(key, tuple(checkpoints))


def read_checkpoints(path: pathlib.Path) -> tuple[Checkpoint, ...]:
    """Read a checkpoint file. A last line without its end is being written, or was torn by a crash: it is left out.

    Raises Unavailable for any other line that is no checkpoint.
    """
    if not path.exists():
        return ()
    return tuple(_checkpoint_of(line, path) for line in path.read_bytes().split(b"\n")[:-1])


def last_checkpoint(path: pathlib.Path) -> Checkpoint | None:
    """Return the last whole checkpoint of a file, without touching it: for whoever only looks."""
    if not path.exists():
        return None
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 2 * CHECKPOINT_MAX_BYTES))
        lines = file.read().split(b"\n")[:-1]
    return _checkpoint_of(lines[-1], path) if lines else None


def chain_end(tx: Tx) -> tuple[int, int]:
    """Return up to which position the trail is sealed, and how many entries wait for it."""
    end = store.read_head(tx)
    return (end[0] if end is not None else 0), store.waiting(tx)[0]


def _last_checkpoint(path: pathlib.Path) -> Checkpoint | None:
    """Return the last whole line for the one writer, who also cuts off what a crash left behind it."""
    if not path.exists():
        return None
    with path.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        start = max(0, size - 2 * CHECKPOINT_MAX_BYTES)
        file.seek(start)
        tail = file.read()
        torn = len(tail) - (tail.rfind(b"\n") + 1)
        if torn:
            file.truncate(size - torn)
    lines = tail[: len(tail) - torn].split(b"\n")[:-1]
    return _checkpoint_of(lines[-1], path) if lines else None


def _checkpoint_of(line: bytes, path: pathlib.Path) -> Checkpoint:
    try:
        return msgspec.json.decode(line, type=Checkpoint)
    except msgspec.DecodeError as error:
        raise Unavailable("audit checkpoints", 60, f"{path} holds a line that is no checkpoint: {error}") from error


def _locked_head(tx: Tx) -> tuple[int, str]:
    end = store.lock_head(tx)
    if end is None:
        upsert(
            tx,
            store.head,
            [{"name": "head", "position": 0, "hash": logic.FIRST_HASH}],
            keys=["name"],
            update=[],
        )
        end = store.lock_head(tx)
    assert end is not None  # it was put in above, by us or by the sealer that we waited for
    return end


def _check_signed(row: store.SealedRow, by_position: Mapping[int, list[str]]) -> Broken | None:
    position = row.entry.position
    if position is None or all(signed == row.hash for signed in by_position.get(position, ())):
        return None
    return Broken(
        position=position,
        entry_id=row.entry.id,
        what="rewritten",
        detail="the chain is whole in itself, but a signed checkpoint says another hash for this position",
    )


def _check_end(tx: Tx, sealed: int, previous: str, last_signed: int) -> Broken | None:
    if sealed < last_signed:
        return Broken(
            position=sealed + 1,
            entry_id=None,
            what="truncated",
            detail=f"a signed checkpoint reaches position {last_signed}, the chain only {sealed}",
        )
    end = store.read_head(tx) or (0, logic.FIRST_HASH)
    if end != (sealed, previous):
        return Broken(
            position=min(sealed, end[0]) + 1,
            entry_id=None,
            what="truncated" if end[0] > sealed else "head",
            detail=f"the head says position {end[0]}, the chain reaches {sealed}",
        )
    return None
