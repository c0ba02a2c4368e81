"""Take a backup while the server runs, and make an empty data folder from one.

A backup is a folder: every table as compressed JSON lines out of one snapshot, the archive's files, the signed
checkpoints of the audit trail, and a manifest with the hash of each, written last. It is the same on SQLite and
PostgreSQL and restores into either. It never holds a key: without the master key, which is kept apart, no personal
field in it can be read.
"""

import base64
import contextlib
import gzip
import hashlib
import os
import pathlib
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import msgspec
import sqlalchemy

import koban
import koban.events.store as event_store
import koban.webhooks.store as webhook_store
from koban.app.archiving import archive_of
from koban.app.forgetting import FORGET_SINCE
from koban.app.running import AUDIT_KEY, CHECKPOINTS, VAULT_KEY, require_this_release
from koban.audit import Secrets, record
from koban.base import MINUTE, Clock, Instant, Refusal, from_rfc3339, to_rfc3339
from koban.base.settings import Settings
from koban.db import Database, Tx, metadata, revision, upgrade
from koban.events.archive import ArchiveFile, list_files
from koban.pipeline.logs import log_names, open_log
from koban.vault import Vault, erased_since, repeat_erasures

MANIFEST: Final = "manifest.json"
FORMAT: Final = 1
ATTEMPTS: Final = 3  # a file of the archive may expire between the snapshot and its copying
ROWS_AT_ONCE: Final = 1_000
NOT_COPIED: Final = frozenset({"leases"})  # who holds the log here says nothing about who holds it there
FIRST_EPOCH_AT: Final = Instant(1_767_225_600_000_000)  # 2026-01-01T00:00:00Z
KEY_FILES: Final = frozenset({VAULT_KEY, AUDIT_KEY})

Progress = Callable[[int], None]


class BackupFolderUsed(Refusal):
    """The folder for a backup holds something."""

    code = "backup_folder_used"
    status = 409
    title = "The folder for the backup is not empty."


class BackupUnreadable(Refusal):
    """The folder holds no backup, or one that this release cannot read."""

    code = "backup_unreadable"
    status = 422
    title = "This is no backup that can be restored."


class BackupDamaged(Refusal):
    """A file of the backup is missing or is not what it was."""

    code = "backup_damaged"
    status = 422
    title = "The backup is damaged."


class DataFolderUsed(Refusal):
    """A backup is restored into an empty data folder and an empty database alone."""

    code = "data_folder_used"
    status = 409
    title = "The data folder is not empty."


class BackupFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a backup."""

    path: str
    bytes: int
    sha256: str
    rows: int | None = None


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup holds."""

    format: int
    koban: str
    revision: str
    taken_at: str
    dialect: str
    epoch: int
    last_seq: int
    logs: tuple[str, ...]
    files: tuple[BackupFile, ...]


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    """What a restore did."""

    epoch: int
    last_seq: int
    rows: int
    archive_files: int
    logs: tuple[str, ...]
    erased_again: int
    sent_again: int


def take_backup(
    settings: Settings,
    database: Database,
    secrets: Secrets,
    clock: Clock,
    folder: pathlib.Path,
    *,
    progress: Progress = lambda _rows: None,
) -> Manifest:
    """Write a backup into an empty folder; a folder without its manifest is none.

    Refuses: BackupFolderUsed. Raises Unavailable.
    Why the checkpoints first: one that is newer than the snapshot would look as if the audit trail had been cut off.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BackupFolderUsed(f"{folder} must be a new or empty folder.")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    taken_at = clock.now()  # before the snapshot: an erasure after it may be missing and must be repeated
    files: list[BackupFile] = []
    checkpoints = settings.data / CHECKPOINTS
    if checkpoints.is_file():
        files.append(_copy(checkpoints, folder, CHECKPOINTS))
    found, epoch, last_seq = _dump_with_archive(settings, database, folder, progress)
    files.extend(found)
    logs = log_names(settings.data)
    for name in logs:
        with (
            open_log(settings.data, settings.database_url, name, secrets, make=False) as log,
            log.database.read() as tx,
        ):
            files.extend(_dump(tx, folder, f"logs/{name}", progress))
    manifest = Manifest(
        format=FORMAT,
        koban=koban.__version__,
        revision=revision(database) or "",
        taken_at=to_rfc3339(taken_at),
        dialect=database.dialect,
        epoch=epoch,
        last_seq=last_seq,
        logs=tuple(logs),
        files=tuple(files),
    )
    _write(folder / MANIFEST, msgspec.json.format(msgspec.json.encode(manifest), indent=2))
    return manifest


def restore(
    settings: Settings,
    secrets: Secrets,
    clock: Clock,
    folder: pathlib.Path,
    *,
    key: pathlib.Path | None = None,
    erasures: Sequence[tuple[str, Instant]] = (),
    progress: Progress = lambda _rows: None,
) -> Restored:
    """Make an empty data folder from a backup, in a new epoch: no sequence number or webhook-id is ever used twice.

    The master key must lie in the data folder already, or be given as `key`. `erasures` are repeated: those that were
    made after the backup. What the marketplace had not taken is sent again under its id.
    Refuses: BackupUnreadable, BackupDamaged, DataOfOtherRelease, DataFolderUsed, MasterKeyMissing, MasterKeyWrong.
    Nothing stays in the data folder or the database when it refuses or fails.
    """
    manifest = read_manifest(folder)
    require_this_release(manifest.revision)
    check_files(folder, manifest)
    _require_empty(settings)
    settings.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    again = _since(manifest, erasures)
    _check_key(folder, key if key is not None else settings.data / VAULT_KEY, secrets)
    with _all_or_nothing(settings):
        if key is not None and not (settings.data / VAULT_KEY).exists():
            _write(settings.data / VAULT_KEY, key.read_bytes())
        copied = _copy_back(folder, manifest, settings)
        rows = 0
        for name in manifest.logs:
            with open_log(settings.data, settings.database_url, name, secrets, make=True) as log:
                with log.database.write() as tx:
                    rows += _load(tx, folder, manifest, f"logs/{name}", progress)
                    repeat_erasures(tx, clock.now(), again, by="koban")
                log.database.forget_deleted()
        done = _restore_main(settings, secrets, clock, folder, manifest, again, progress)
    return msgspec.structs.replace(done, rows=done.rows + rows, archive_files=copied)


def read_manifest(folder: pathlib.Path) -> Manifest:
    """Read what a backup says of itself.

    Refuses: BackupUnreadable.
    """
    path = folder / MANIFEST
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except OSError as error:
        raise BackupUnreadable(f"{path}: {error.strerror}. A backup that was interrupted has no manifest.") from error
    except msgspec.DecodeError as error:
        raise BackupUnreadable(f"{path} is no manifest: {error}") from error
    if manifest.format != FORMAT:
        raise BackupUnreadable(f"The backup has format {manifest.format}, this release reads {FORMAT}.")
    return manifest


def check_files(folder: pathlib.Path, manifest: Manifest) -> None:
    """Compare every file with its hash.

    Refuses: BackupDamaged, naming the first file that is not what it was.
    """
    for file in manifest.files:
        path = folder / file.path
        if pathlib.PurePosixPath(file.path).is_absolute() or ".." in pathlib.PurePosixPath(file.path).parts:
            raise BackupDamaged(f"{file.path}: a file of a backup lies inside its folder.")
        if not path.is_file():
            raise BackupDamaged(f"{file.path} is missing.")
        if path.stat().st_size != file.bytes or _hash(path) != file.sha256:
            raise BackupDamaged(f"{file.path} is not what was written: its hash differs.")


def read_erasures(path: pathlib.Path) -> list[tuple[str, Instant]]:
    """Read erasures that must be repeated: from a data folder that was given up, a later backup, or a file.

    Shapes: a file holds JSON lines, or one page of `GET /v1/people/erasures`; `erased_at` in RFC 3339 or microseconds.
    Refuses: BackupUnreadable.
    """
    if (path / MANIFEST).is_file():
        return [
            (str(row["pseudonym"]), Instant(int(str(row["erased_at"]))))
            for row in _rows(path / "tables" / "vault_erasures.ndjson.gz")
        ]
    if (path / "koban.db").is_file():
        database = Database.open(f"sqlite:///{path}/koban.db", read_only=True)
        with contextlib.closing(database), database.read() as tx:
            return erased_since(tx, Instant(0))
    try:
        text = path.read_bytes()
    except OSError as error:
        raise BackupUnreadable(f"{path} holds no erasures: {error.strerror}.") from error
    found = []
    try:
        for line in text.splitlines() if not text.lstrip().startswith(b'{"items"') else [text]:
            said = msgspec.json.decode(line, type=dict[str, object])
            items = said.get("items")
            for one in items if isinstance(items, list) else [said]:
                at = one["erased_at"]
                when = Instant(at) if isinstance(at, int) else from_rfc3339(str(at))
                if when is None:
                    raise BackupUnreadable(f"{path}: {at!r} is no time.")
                found.append((str(one["pseudonym"]), when))
    except (msgspec.DecodeError, KeyError, TypeError) as error:
        raise BackupUnreadable(f"{path} holds no erasures: {error}") from error
    return found


def next_epoch(old: int, at: Instant) -> int:
    """Return the epoch after a restore: greater than that of any log that lived on after the backup.

    Why the clock: two restores of one backup must not share an epoch, and neither knows of the other.
    """
    return max(old + 1, (at - FIRST_EPOCH_AT) // MINUTE)


def _dump_with_archive(
    settings: Settings, database: Database, folder: pathlib.Path, progress: Progress
) -> tuple[list[BackupFile], int, int]:
    """Copy the tables and the files that they name, all as of one moment."""
    places = archive_of(settings).places
    for attempt in range(ATTEMPTS):
        with database.read() as tx:
            files = _dump(tx, folder, "tables", progress)
            epoch = event_store.read_state(tx, "epoch")
            last_seq = event_store.last_seq(tx)
            archived = list_files(tx)
        try:
            for file in archived:
                for path in _pair(places.entries(file), places.sealed(file), file):
                    relative = "archive/" + path.relative_to(places.folder).as_posix()
                    files.append(_copy(path, folder, relative))
        except FileNotFoundError:
            if attempt == ATTEMPTS - 1:
                raise
            continue
        return files, epoch, last_seq
    raise AssertionError("the loop returns or raises")


def _pair(entries: pathlib.Path, sealed: pathlib.Path, file: ArchiveFile) -> tuple[pathlib.Path, ...]:
    return (entries, sealed) if file.sealed_bytes else (entries,)


def _dump(tx: Tx, folder: pathlib.Path, below: str, progress: Progress) -> list[BackupFile]:
    """Write every table as one compressed file of JSON lines."""
    (folder / below).mkdir(parents=True, exist_ok=True, mode=0o700)
    files = []
    written = 0
    for table in metadata.sorted_tables:
        if table.name in NOT_COPIED:
            continue
        relative = f"{below}/{table.name}.ndjson.gz"
        names = [column.name for column in table.columns]
        rows = 0
        with (folder / relative).open("wb") as raw:
            os.fchmod(raw.fileno(), 0o600)
            with gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=3, mtime=0) as packed:
                for row in tx.stream(sqlalchemy.select(table)):
                    packed.write(msgspec.json.encode(dict(zip(names, row, strict=True))) + b"\n")
                    rows += 1
                    if rows % ROWS_AT_ONCE == 0:
                        progress(written + rows)
            raw.flush()
            os.fsync(raw.fileno())
        written += rows
        progress(written)
        path = folder / relative
        files.append(BackupFile(path=relative, bytes=path.stat().st_size, sha256=_hash(path), rows=rows))
    return files


def _load(tx: Tx, folder: pathlib.Path, manifest: Manifest, below: str, progress: Progress) -> int:
    """Fill empty tables; a table that the backup does not have stays empty."""
    counted = {file.path: file.rows for file in manifest.files}
    written = 0
    for table in metadata.sorted_tables:
        relative = f"{below}/{table.name}.ndjson.gz"
        if relative not in counted:
            continue
        binary = {column.name for column in table.columns if isinstance(column.type, sqlalchemy.LargeBinary)}
        page: list[Mapping[str, object]] = []
        rows = 0
        for row in _rows(folder / relative):
            for name in binary:
                if row[name] is not None:
                    row[name] = base64.b64decode(str(row[name]))
            page.append(row)
            rows += 1
            if len(page) == ROWS_AT_ONCE:
                tx.execute(sqlalchemy.insert(table), page)
                page = []
                progress(written + rows)
        if page:
            tx.execute(sqlalchemy.insert(table), page)
        if rows != counted[relative]:
            raise BackupDamaged(f"{relative} holds {rows} rows, the manifest says {counted[relative]}.")
        written += rows
        if tx.dialect == "postgresql":
            _move_sequences(tx, table)
    return written


def _move_sequences(tx: Tx, table: sqlalchemy.Table) -> None:
    """Let numbers that PostgreSQL gives go on after the ones that came with the backup."""
    column = table.autoincrement_column
    if column is None:
        return
    most = sqlalchemy.select(sqlalchemy.func.max(column)).scalar_subquery()
    sequence = sqlalchemy.func.pg_get_serial_sequence(sqlalchemy.literal(table.name), sqlalchemy.literal(column.name))
    tx.execute(sqlalchemy.select(sqlalchemy.func.setval(sequence, sqlalchemy.func.coalesce(most, 1))))


def _restore_main(  # noqa: PLR0917 - what restore was given, passed on
    settings: Settings,
    secrets: Secrets,
    clock: Clock,
    folder: pathlib.Path,
    manifest: Manifest,
    erasures: list[tuple[str, Instant]],
    progress: Progress,
) -> Restored:
    url = settings.database_url
    part = url + ".part" if url.startswith("sqlite:///") else url
    database = Database.open(part)
    with contextlib.closing(database):
        upgrade(database)
        with database.write() as tx:
            rows = _load(tx, folder, manifest, "tables", progress)
            Vault.open_file(tx, settings.data / VAULT_KEY, secrets)
            at = clock.now()
            epoch = next_epoch(event_store.read_state(tx, "epoch"), at)
            event_store.write_state(tx, "epoch", epoch)
            erased = repeat_erasures(tx, at, erasures, by="koban")
            if erasures:  # the first start forgets their features, which stand under ids
                event_store.write_state(tx, FORGET_SINCE, min(erased_at for _, erased_at in erasures))
            again = webhook_store.hurry(tx, at)
            record(
                tx, at, "koban", "backup.restored", str(epoch), {"last_seq": manifest.last_seq, "erased_again": erased}
            )
        database.forget_deleted()
    if part != url:
        path = pathlib.Path(url.removeprefix("sqlite:///"))
        pathlib.Path(part.removeprefix("sqlite:///")).rename(path)
    return Restored(
        epoch=epoch,
        last_seq=manifest.last_seq,
        rows=rows,
        archive_files=0,
        logs=manifest.logs,
        erased_again=erased,
        sent_again=again,
    )


def _since(manifest: Manifest, erasures: Sequence[tuple[str, Instant]]) -> list[tuple[str, Instant]]:
    """Return the erasures that the backup cannot have; who was erased before it and came back since stays."""
    taken_at = from_rfc3339(manifest.taken_at)
    if taken_at is None:
        raise BackupUnreadable(f"The manifest's {manifest.taken_at!r} is no time.")
    return [(pseudonym, erased_at) for pseudonym, erased_at in erasures if erased_at >= taken_at]


def _require_empty(settings: Settings) -> None:
    if settings.data.is_dir():
        there = sorted(each.name for each in settings.data.iterdir() if each.name not in KEY_FILES)
        if there:
            raise DataFolderUsed(f"{settings.data} holds {', '.join(there[:5])}; only key files may be there.")
    if not settings.database_url.startswith("sqlite:///"):
        database = Database.open(settings.database_url, read_only=True)
        with contextlib.closing(database), database.read() as tx:
            if tx.table_names():
                raise DataFolderUsed("The PostgreSQL database holds tables; give an empty one.")
    elif pathlib.Path(settings.database_url.removeprefix("sqlite:///")).exists():
        raise DataFolderUsed(f"{settings.database_url} exists.")


def _check_key(folder: pathlib.Path, key: pathlib.Path, secrets: Secrets) -> None:
    """Open the vault over the backup's word about its key, before anything is written.

    Refuses: MasterKeyMissing, MasterKeyWrong.
    """
    checks = metadata.tables["vault_checks"]
    with tempfile.TemporaryDirectory() as scratch:
        database = Database.open(f"sqlite:///{scratch}/scratch.db", durable=False)
        with contextlib.closing(database), database.write() as tx:
            tx.execute(sqlalchemy.schema.CreateTable(checks))
            for row in _rows(folder / "tables" / "vault_checks.ndjson.gz"):
                digest = base64.b64decode(str(row["digest"]))
                tx.execute(sqlalchemy.insert(checks), {**row, "digest": digest})
            Vault.open_to_read(tx, key, secrets)


@contextlib.contextmanager
def _all_or_nothing(settings: Settings) -> Iterator[None]:
    """Take away what was put into the data folder and the database when the block raises; keys that lay there stay."""
    before = {each.name for each in settings.data.iterdir()}
    try:
        yield
    except BaseException:
        for each in settings.data.iterdir():
            if each.name not in before:
                shutil.rmtree(each) if each.is_dir() else each.unlink()
        if not settings.database_url.startswith("sqlite:///"):
            database = Database.open(settings.database_url)
            with contextlib.closing(database), database.write() as tx:
                tx.drop_tables()
        raise


def _copy_back(folder: pathlib.Path, manifest: Manifest, settings: Settings) -> int:
    archived = 0
    for file in manifest.files:
        if file.path.startswith("archive/") or file.path == CHECKPOINTS:
            _copy(folder / file.path, settings.data, file.path)
            archived += file.path.startswith("archive/entries/")
    return archived


def _copy(source: pathlib.Path, folder: pathlib.Path, relative: str) -> BackupFile:
    target = folder / relative
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    digest = hashlib.sha256()
    with source.open("rb") as reading, target.open("wb") as writing:
        os.fchmod(writing.fileno(), 0o600)
        while piece := reading.read(1 << 20):
            digest.update(piece)
            writing.write(piece)
        writing.flush()
        os.fsync(writing.fileno())
    return BackupFile(path=relative, bytes=target.stat().st_size, sha256=digest.hexdigest())


def _write(path: pathlib.Path, content: bytes) -> None:
    with path.open("wb") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _rows(path: pathlib.Path) -> Iterator[dict[str, object]]:
    with gzip.open(path, "rb") as lines:
        for line in lines:
            yield msgspec.json.decode(line, type=dict[str, object])


def _hash(path: pathlib.Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
