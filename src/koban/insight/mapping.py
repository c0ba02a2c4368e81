"""Maps: how the rows of somebody's file become events, as a small YAML document with SQL expressions over columns.

DuckDB reads the file (CSV, JSON lines, Parquet; gzip too) and computes every expression, so a map can do whatever SQL can.
"""

import pathlib
from collections.abc import Mapping
from typing import Final

import msgspec
import yaml

from koban.base import Problem, Refusal

MAP_BYTES_MAX: Final = 256 * 1024

Path = str
Sql = str


class Truth(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the file knows about its rows: SQL expressions over its columns."""

    harmful: Sql  # true, false, or NULL where the file does not say
    what: str  # in words: what counts as harmful here
    kind: Sql | None = None  # a finer class, for the table by kind


class Map(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to read one file."""

    about: str
    source: str  # where the set comes from: repository, commit, licence
    event: str
    data: Mapping[Path, Sql]
    read: Sql | None = None  # a DuckDB table function with ? for the file; None: by its ending
    id: Sql = "row"
    time: Sql = "TIMESTAMP '2026-01-05 00:00:00' + to_seconds(row)"  # a TIMESTAMP in UTC
    where: Sql | None = None
    truth: Truth | None = None
    group: Sql | None = None  # rows that belong together must not be split between train and test
    split: str = "hash"  # hash: by the group's; time: the last fifth is test; none: all test


class MapInvalid(Refusal):
    """A map that cannot be used."""

    code = "map_invalid"
    status = 422
    title = "The map cannot be used."


def load_map(path: pathlib.Path) -> Map:
    """Read a map.

    Refuses: MapInvalid, with the place.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise MapInvalid(f"{path} cannot be read: {error}") from error
    if len(text) > MAP_BYTES_MAX:
        raise MapInvalid(f"{path} is larger than {MAP_BYTES_MAX:,} bytes.")
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark is not None else str(path)
        raise MapInvalid(f"{path} is no valid YAML.", problems=(Problem(path=place, detail=str(error)),)) from error
    try:
        found = msgspec.convert(document, Map)
    except msgspec.ValidationError as error:
        raise MapInvalid(f"{path}: {error}", problems=(Problem(path=str(path), detail=str(error)),)) from error
    if found.split not in {"hash", "time", "none"}:
        raise MapInvalid(f"{path}: split is {found.split!r}; it may be hash, time or none.")
    return found


def reader_of(mapping: Map, file: pathlib.Path) -> Sql:
    """Return the DuckDB table function for a file, by the map or by the file's ending.

    Refuses: MapInvalid.
    """
    if mapping.read is not None:
        return mapping.read
    name = file.name.lower().removesuffix(".gz")
    if name.endswith((".csv", ".tsv")):
        return "read_csv(?, all_varchar=true)"
    if name.endswith((".jsonl", ".ndjson", ".json")):
        return "read_json(?)"
    if name.endswith(".parquet"):
        return "read_parquet(?)"
    raise MapInvalid(f"How to read {file.name} is not clear from its ending; say it in the map under 'read'.")


def query_of(mapping: Map, reader: Sql) -> Sql:
    """Return the query whose rows are events: row, id, time in microseconds, truth, kind, group, then the data.

    Rows are numbered in the order of the file, and given in the order of their time.
    """
    truth = mapping.truth
    columns = [
        "row AS _row",
        f"CAST(({mapping.id}) AS VARCHAR) AS _id",
        f"epoch_us(CAST(({mapping.time}) AS TIMESTAMP)) AS _at",
        f"CAST(({truth.harmful if truth else 'NULL'}) AS BOOLEAN) AS _harmful",
        f"CAST(({truth.kind if truth and truth.kind else 'NULL'}) AS VARCHAR) AS _kind",
        f"CAST(({mapping.group if mapping.group is not None else 'row'}) AS VARCHAR) AS _group",
        *(f'({expression}) AS "{path}"' for path, expression in mapping.data.items()),
    ]
    where = f" WHERE ({mapping.where})" if mapping.where else ""
    return (
        f"SELECT {', '.join(columns)} FROM (SELECT row_number() OVER () AS row, * FROM {reader}){where}"
        " ORDER BY _at, _row"
    )
