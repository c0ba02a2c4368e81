"""The lab, wired: which log, which packs, and how much memory a run may have."""

import contextlib
import pathlib
import re
import resource
from collections.abc import Iterator, Sequence

import duckdb
import msgspec

from koban.app.archiving import archive_of
from koban.app.running import open_to_read
from koban.audit import Secrets
from koban.base import DAY, HOUR, Instant, Refusal, from_rfc3339
from koban.base.settings import Settings
from koban.db import Tx
from koban.events import store as event_store
from koban.events.archive import Archive, Places, fill
from koban.lab import Log, spans_of
from koban.lists import ListMissing
from koban.packs import PackDef, active_at, find_digest, load_pack, load_version
from koban.pipeline.commands import JOINED_LISTS
from koban.pipeline.logs import open_log
from koban.vault import Vault

MEMORY_BYTES_MAX = 4 * 1024**3
_SPAN = re.compile(r"([0-9]{1,5})([dhw])")
_UNITS = {"h": HOUR, "d": DAY, "w": 7 * DAY}


class SinceInvalid(Refusal):
    """A time that cannot be read."""

    code = "since_invalid"
    status = 422
    title = "The time cannot be read."


def cap_memory(limit: int = MEMORY_BYTES_MAX) -> None:
    """Let this process have so much memory and no more: a backtest must not take a server down with it."""
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))


@contextlib.contextmanager
def open_for_lab(settings: Settings, secrets: Secrets, name: str | None) -> Iterator[Log]:
    """Open the live log or a named one, to be read as of now.

    Refuses: what `open_to_read` refuses; LogMissing, LogNameInvalid.
    """
    if name is not None:
        with (
            open_log(settings.data, settings.database_url, name, secrets, make=False) as opened,
            opened.database.read() as tx,
        ):
            archive = Archive(places=Places(folder=opened.folder / "archive"))
            yield Log(tx=tx, archive=archive, vault=opened.vault, name=name)
        return
    database, vault = open_to_read(settings, secrets)
    with contextlib.closing(database), database.read() as tx:
        yield Log(tx=tx, archive=archive_of(settings), vault=vault)


def pack_in_force(tx: Tx) -> PackDef | None:
    """Return the version that decides now; None in a log that no pack was activated in."""
    activation = active_at(tx, event_store.last_seq(tx) + 1)
    return None if activation is None else load_version(tx, activation.digest)


def pack_named(tx: Tx, text: str) -> PackDef:
    """Return the pack of a folder, or the stored version whose digest begins with a text.

    Refuses: PackInvalid, PackVersionMissing.
    """
    folder = pathlib.Path(text)
    return load_pack(folder) if folder.is_dir() else load_version(tx, find_digest(tx, text))


def with_values(pack: PackDef, additions: Sequence[str], vault: Vault, *, without: Sequence[str] = ()) -> PackDef:
    """Return the pack with further values on its lists, written LIST=VALUE; personal kinds become pseudonyms.

    `without`: values, written alike, that count at no moment of a trial, whoever put them on.
    Refuses: ListMissing.
    """
    lists = dict(pack.lists)

    def read(written: str) -> tuple[str, str]:
        name, _, value = written.partition("=")
        if name not in lists:
            raise ListMissing(f"The pack declares no list {name[:80]!r}.")
        kind = lists[name].of
        is_open = kind in JOINED_LISTS and not value.startswith(f"{kind}~")
        return name, vault.pseudonym(str(kind), value) if is_open else value

    for each in additions:
        name, value = read(each)
        lists[name] = msgspec.structs.replace(lists[name], entries=(*lists[name].entries, value))
    for each in without:
        name, value = read(each)
        lists[name] = msgspec.structs.replace(lists[name], left_out=lists[name].left_out | {value})
    return msgspec.structs.replace(pack, lists=lists)


def write_spans(opened: Log, pack: PackDef, folder: pathlib.Path) -> tuple[pathlib.Path, ...]:
    """Write as Parquet since when and until when values were on lists and labels counted; returns the files.

    Shapes: `name`, `value`, `after_at`, `until_at` (log times in microseconds, both exclusive).
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    with contextlib.closing(duckdb.connect()) as connection:
        for name, rows in spans_of(opened, pack, upto_seq=event_store.last_seq(opened.tx)).items():
            columns = {"name": "text", "value": "text", "after_at": "int", "until_at": "int"}
            fill(
                connection, f"CREATE TABLE {name} AS SELECT * FROM {{rows}}", columns, [each._asdict() for each in rows]
            )
            path = folder / f"{name}.parquet"
            connection.table(name).write_parquet(str(path))
            written.append(path)
    return tuple(written)


def end_of(log: Log, now: Instant) -> Instant:
    """Return when a log ends: the live one now, a named one with its last event, for `90d` counts back from there."""
    last = event_store.last_entry(log.tx) if log.name else None
    return now if last is None else Instant(last[1])


def parse_since(text: str, now: Instant) -> Instant:
    """Read `90d`, `12h`, `2w`, or a moment.

    Refuses: SinceInvalid.
    """
    span = _SPAN.fullmatch(text)
    if span is not None:
        return Instant(now - int(span[1]) * _UNITS[span[2]])
    at = from_rfc3339(text) or from_rfc3339(f"{text}T00:00:00Z")
    if at is None:
        raise SinceInvalid(f"{text[:40]!r} is neither 90d, 12h or 2w, nor a moment such as 2026-10-01T00:00:00Z.")
    return at


def parse_until(text: str, now: Instant) -> Instant:
    """Read `90d`, `12h`, `2w` ahead, or a moment.

    Refuses: SinceInvalid.
    """
    span = _SPAN.fullmatch(text)
    return parse_since(text, now) if span is None else Instant(now + int(span[1]) * _UNITS[span[2]])
