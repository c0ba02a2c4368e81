"""Hashes, signatures and the walk along the chain: no I/O."""

import hashlib
import re
import urllib.parse
from collections.abc import Mapping
from typing import Final

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from koban.audit.types import AuditEntry, Broken, Checkpoint, Detail
from koban.base import Instant

FIRST_HASH: Final = "0" * 64
DETAILS_MAX: Final = 40
DETAIL_MAX_CHARS: Final = 200
OBJECT_MAX_CHARS: Final = 1_000

_NAME: Final = re.compile(r"[a-z][a-z0-9_.]{0,80}")
_ID: Final = re.compile(r"[\w.:,/~%+=-]*")


def written_id(object_id: str) -> str:
    """Return an id as the trail writes it: a marketplace may use any characters in its own."""
    return urllib.parse.quote(object_id, safe=":/~+=,%", errors="replace")[:OBJECT_MAX_CHARS]


def check_words(*, actor: str, action: str, object_id: str, details: Mapping[str, Detail]) -> None:
    """Hold that an entry has ids, names and numbers alone: what is written here can never be erased.

    Raises ValueError, because only our own code writes entries.
    """
    if not _NAME.fullmatch(action):
        raise ValueError(f"an action is a short dotted name: {action!r}")
    if len(details) > DETAILS_MAX:
        raise ValueError(f"an audit entry has {DETAILS_MAX} details at most")
    if len(object_id) > OBJECT_MAX_CHARS or not _ID.fullmatch(object_id):
        raise ValueError(f"the object of {action} must be an id")
    texts = {"actor": actor} | {name: value for name, value in details.items() if isinstance(value, str)}
    for name, value in texts.items():
        if len(value) > DETAIL_MAX_CHARS or not _ID.fullmatch(value):
            raise ValueError(f"{name} of {action} must be an id or a name; commit to personal or free text instead")


def entry_hash(entry: AuditEntry, details_json: str, position: int, previous: str) -> str:
    """Return the hash of an entry at its place. Every column goes in, so none can change alone."""
    content = msgspec.json.encode(
        [
            "koban audit v1",
            previous,
            position,
            entry.id,
            entry.recorded_at,
            entry.actor,
            entry.action,
            entry.object_id,
            details_json,
        ]
    )
    return hashlib.sha256(content).hexdigest()


def check_place(
    entry: AuditEntry, *, details_json: str, stored_previous: str, stored_hash: str, expected: int, previous: str
) -> Broken | None:
    """Check one sealed entry against its place in the chain."""
    position = entry.position if entry.position is not None else -1
    if position != expected:
        return Broken(
            position=expected, entry_id=None, what="removed", detail=f"there is no entry at position {expected}"
        )
    if stored_previous != previous:
        return Broken(
            position=position,
            entry_id=entry.id,
            what="moved",
            detail="the entry does not follow the one before it: entries were exchanged, put in or taken out",
        )
    if entry_hash(entry, details_json, position, previous) != stored_hash:
        return Broken(
            position=position, entry_id=entry.id, what="altered", detail="the entry is not what was once sealed"
        )
    return None


def commitment(value: str, salt: bytes) -> str:
    """Return what an entry says instead of a personal value; with the salt gone it says nothing any more."""
    return "commitment:" + hashlib.blake2b(value.encode(), key=salt, digest_size=16).hexdigest()


def sign(key: Ed25519PrivateKey, *, position: int, chain_hash: str, at: Instant, previous: str) -> Checkpoint:
    """Make a signed checkpoint."""
    signature = key.sign(_signed_bytes(position=position, chain_hash=chain_hash, at=at, previous=previous))
    return Checkpoint(position=position, hash=chain_hash, at=at, previous=previous, signature=signature.hex())


def check_checkpoints(key: Ed25519PublicKey, checkpoints: tuple[Checkpoint, ...]) -> Broken | None:
    """Check that each checkpoint is signed, follows the one before, and never steps back."""
    previous, position = FIRST_HASH, 0
    for number, one in enumerate(checkpoints, start=1):
        fault = None
        if one.previous != previous:
            fault = "does not follow the one before it"
        elif one.position < position:
            fault = "steps back"
        elif not _is_signed(key, one):
            fault = "is not signed by this installation's key"
        if fault is not None:
            return Broken(
                position=one.position, entry_id=None, what="checkpoint", detail=f"checkpoint {number} {fault}"
            )
        previous, position = checkpoint_digest(one), one.position
    return None


def checkpoint_digest(one: Checkpoint) -> str:
    """Return the hash that the next checkpoint names."""
    return hashlib.sha256(msgspec.json.encode(one)).hexdigest()


def _is_signed(key: Ed25519PublicKey, one: Checkpoint) -> bool:
    try:
        signature = bytes.fromhex(one.signature)
        signed = _signed_bytes(position=one.position, chain_hash=one.hash, at=one.at, previous=one.previous)
        key.verify(signature, signed)
    except (InvalidSignature, ValueError):
        return False
    return True


def _signed_bytes(*, position: int, chain_hash: str, at: Instant, previous: str) -> bytes:
    return msgspec.json.encode(["koban audit checkpoint v1", position, chain_hash, at, previous])
