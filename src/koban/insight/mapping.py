"""Maps: how the rows of somebody's file become events, as a small YAML document with SQL expressions over columns.

DuckDB reads the file (CSV, JSON lines, Parquet; gzip too) and computes every expression, so a map can do whatever SQL can.
"""

import gzip
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
import yaml

from koban.base import Problem, Refusal

MAP_BYTES_MAX: Final = 256 * 1024
ROW_TIME: Final = "TIMESTAMP '2026-01-05 00:00:00' + to_seconds(row)"  # where the file has no times
_LINE_MAX: Final = 1 << 24
SPLITS: Final = ("hash", "time", "own", "none")

Path = str
Sql = str

_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")
_OWN_NAMES: Final = frozenset({"file", "rows"})
_READERS: Final = {
    ".csv": "read_csv(?, all_varchar=true, header=true, quote='\"', escape='\"')",
    ".tsv": "read_csv(?, all_varchar=true, header=true, quote='\"', escape='\"', delim='\t')",
    ".jsonl": "read_json(?, format='newline_delimited', sample_size=-1)",
    ".ndjson": "read_json(?, format='newline_delimited', sample_size=-1)",
    ".json": "read_json(?, sample_size=-1)",
    ".txt": "read_csv(?, delim='\\0', header=false, quote='', escape='', columns={'line': 'VARCHAR'})",
    ".parquet": "read_parquet(?)",
}
_PLACES: Final = re.compile(r"'(?:[^']|'')*'|\?")  # a ? inside quotes is no place for the files
_READ_CSV: Final = re.compile(r"\bread_csv(?:_auto)?\(\s*\?", re.IGNORECASE)
_READ_LINES: Final = re.compile(r"\b(?:read_json\(\s*\?(?=.*newline_delimited)|read_ndjson\(\s*\?)", re.IGNORECASE)


class Truth(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the file knows about its rows: SQL expressions over its columns."""

    harmful: Sql  # true, false, or NULL where the file does not say
    what: str  # in words: what counts as harmful here
    kind: Sql | None = None  # a finer class, for the table by kind


class Map(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to read one file, or several files of one form."""

    about: str
    source: str  # where the set comes from: repository, commit, licence, citation
    event: str | tuple[str, ...]
    data: Mapping[Path, Sql]
    event_of: Sql | None = None  # with several event types: the type of a row
    read: Sql | None = None  # a DuckDB table function or query with ? for the files; None: by their ending
    beside: Mapping[str, Sql] = {}  # tables that expressions may read, from other files: $FOLDER is the file's
    encoding: str = "utf-8"
    id: Sql | None = None  # None: the file's name and the row's number
    time: Sql = ROW_TIME  # a time in UTC
    where: Sql | None = None
    truth: Truth | None = None
    group: Sql | None = None  # rows that belong together must not be split between train and test
    split: str = "hash"  # hash: by the group's; time: the last fifth is test; own: as `test` says; none: all test
    test: Sql | None = None  # with split: own: whether the row is in the set's own test part

    @property
    def events(self) -> tuple[str, ...]:
        """Return the event types that rows become."""
        return (self.event,) if isinstance(self.event, str) else self.event


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
    problems = tuple(_check(found))
    if problems:
        raise MapInvalid(f"{path}: {len(problems)} to mend", problems=problems)
    return found


def _check(mapping: Map) -> list[Problem]:
    """Find what is wrong with a map before any file is opened."""
    problems = []
    if mapping.split not in SPLITS:
        detail = f"{mapping.split!r} is no way to split; there are: {', '.join(SPLITS)}."
        problems.append(Problem(path="split", detail=detail))
    if (mapping.split == "own") != (mapping.test is not None):
        problems.append(Problem(path="test", detail="'split: own' and 'test' belong together."))
    if not mapping.events:
        problems.append(Problem(path="event", detail="The map names no event type."))
    if (len(mapping.events) > 1) != (mapping.event_of is not None):
        problems.append(Problem(path="event_of", detail="Several event types and 'event_of' belong together."))
    if not mapping.data:
        problems.append(Problem(path="data", detail="The map fills no field."))
    for name in mapping.beside:
        if not _NAME.fullmatch(name) or name in _OWN_NAMES:
            detail = "A table's name has lower-case letters, digits and _, and is not file or rows."
            problems.append(Problem(path=f"beside.{name}", detail=detail))
    return problems


def reader_of(mapping: Map, files: Sequence[pathlib.Path]) -> Sql:
    """Return the DuckDB table function that reads the files, by the map or by their ending.

    A row that cannot be read must stop nothing: where the format has rows, the reader is asked to go on.
    Refuses: MapInvalid.
    """
    reader = mapping.read
    if reader is None:
        endings = {pathlib.PurePath(file.name.lower().removesuffix(".gz")).suffix for file in files}
        if endings == {".json"} and all(_begins_with_a_line(file) for file in files):
            endings = {".jsonl"}
        reader = _READERS.get(endings.pop()) if len(endings) == 1 else None
    if reader is None:
        names = ", ".join(file.name for file in files)
        raise MapInvalid(f"How to read {names} is not clear from the ending; say it in the map under 'read'.")
    if not any(found == "?" for found in _PLACES.findall(reader)):
        raise MapInvalid("'read' needs a ? where the file comes.")
    if "store_rejects" not in reader and "ignore_errors" not in reader:
        reader = _READ_CSV.sub(lambda found: f"{found.group()}, store_rejects=true", reader)
        reader = _READ_LINES.sub(lambda found: f"{found.group()}, ignore_errors=true", reader)
    listed = f"[{', '.join(literal(str(file)) for file in files)}]"
    return _PLACES.sub(lambda found: listed if found.group() == "?" else found.group(), reader)


def _begins_with_a_line(file: pathlib.Path) -> bool:
    """Tell whether a file called .json holds an object on its first line, and so most likely one on each."""
    try:
        with gzip.open(file) if file.name.endswith(".gz") else file.open("rb") as opened:
            first = opened.readline(_LINE_MAX)
        return isinstance(msgspec.json.decode(first), dict)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return False


def literal(text: str) -> Sql:
    """Write a text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"
