"""The versions of packs that were activated: every one can be read again by its digest."""

import json
import zlib
from collections.abc import Mapping
from typing import ClassVar, Final

import msgspec
import sqlalchemy
from sqlalchemy import BigInteger, Column, LargeBinary, Table, Text

from koban.base import Instant, Refusal
from koban.db import Tx, metadata, upsert
from koban.packs.load import digest_of, parse_files
from koban.packs.types import PackDef

_files: Final = Table(
    "pack_files",
    metadata,
    Column("digest", Text, primary_key=True, comment="sha256 over names and texts; names this content for ever"),
    Column("files", LargeBinary, nullable=False, comment="JSON of file name to text, zlib-compressed"),
    comment="The content of every pack version that was ever activated; never changed, never deleted.",
)

_activations: Final = Table(
    "pack_activations",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False, comment="log entry that switched to it"),
    Column("digest", Text, nullable=False, comment="which content; the same one may be activated again"),
    Column("name", Text, nullable=False, comment="the pack's name"),
    Column("label", Text, nullable=False, comment="the author's own version label"),
    Column("author", Text, nullable=False, comment="actor who activated it"),
    Column("reason", Text, nullable=False, comment="why, in the actor's words"),
    Column("activated_at", BigInteger, nullable=False, comment="log time of the switch, microseconds UTC"),
    comment="Which pack version decided from which log entry on.",
)


class PackVersionMissing(Refusal):
    """A digest that names no stored version."""

    code: ClassVar[str] = "pack_version_missing"
    status: ClassVar[int] = 404
    title: ClassVar[str] = "There is no such pack version."


class Activation(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the history of pack versions."""

    seq: int
    digest: str
    name: str
    label: str
    author: str
    reason: str
    activated_at: Instant


def save_activation(tx: Tx, seq: int, at: Instant, pack: PackDef, *, author: str, reason: str) -> Activation:
    """Store a pack's files and the fact that it decides from entry `seq` on."""
    assert digest_of(pack.files) == pack.digest, "a pack is stored with the files it was read from"
    upsert(tx, _files, [{"digest": pack.digest, "files": _pack(pack.files)}], keys=["digest"], update=[])
    activation = Activation(
        seq=seq,
        digest=pack.digest,
        name=pack.name,
        label=pack.version,
        author=author,
        reason=reason,
        activated_at=at,
    )
    tx.execute(sqlalchemy.insert(_activations), msgspec.structs.asdict(activation))
    return activation


def load_version(tx: Tx, digest: str) -> PackDef:
    """Read a stored version again.

    Refuses: PackVersionMissing; PackInvalid, when a later Koban no longer reads it.
    """
    return parse_files(version_files(tx, digest))


def version_files(tx: Tx, digest: str) -> Mapping[str, str]:
    """Read the texts of a stored version's files.

    Refuses: PackVersionMissing.
    """
    row = tx.execute(sqlalchemy.select(_files.c.files).where(_files.c.digest == digest)).one_or_none()
    if row is None:
        raise PackVersionMissing(f"No pack version has the digest '{digest[:80]}'.")
    files: Mapping[str, str] = json.loads(zlib.decompress(row.files))
    return files


def find_digest(tx: Tx, beginning: str) -> str:
    """Return the digest of the one stored version that begins so.

    Refuses: PackVersionMissing.
    """
    found = tx.execute(sqlalchemy.select(_files.c.digest).where(_files.c.digest.startswith(beginning, autoescape=True)))
    digests = [row.digest for row in found]
    if not beginning or len(digests) != 1:
        told = f"{len(digests)} versions begin" if digests else "No pack version begins"
        raise PackVersionMissing(f"{told} with '{beginning[:80]}'.")
    return str(digests[0])


def activations(tx: Tx, *, limit: int = 100) -> list[Activation]:
    """List activations, newest first."""
    rows = tx.execute(sqlalchemy.select(_activations).order_by(_activations.c.seq.desc()).limit(limit))
    return [Activation(**row) for row in rows.mappings()]


def count_activations(tx: Tx) -> int:
    """Return how often a version came into force."""
    return int(tx.rows("SELECT count(*) FROM pack_activations")[0][0])


def active_at(tx: Tx, seq: int) -> Activation | None:
    """Return the activation that a decision at `seq` stands under: the last one before it."""
    newest = sqlalchemy.select(_activations).where(_activations.c.seq < seq).order_by(_activations.c.seq.desc())
    row = tx.execute(newest.limit(1)).mappings().one_or_none()
    return None if row is None else Activation(**row)


def _pack(files: Mapping[str, str]) -> bytes:
    return zlib.compress(json.dumps(dict(files), ensure_ascii=False, sort_keys=True).encode(), level=6)
