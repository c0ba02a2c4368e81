"""Guess a first map for a file that nobody has described: a start to be read and mended, never to be trusted."""

import pathlib
import re
from collections.abc import Sequence
from typing import Final

from koban.insight.mapping import Map, Sql, literal, reader_of
from koban.insight.reading import FileUnreadable, first_lines, written
from koban.packs import PackDef

SAMPLE: Final = 5_000
_LABELS: Final = re.compile(r"label|class|target|spam|fraud|toxic|harm|abuse|fake|is_|verdict|^y$", re.IGNORECASE)
_TIMES: Final = re.compile(r"time|date|created|_at$|^ts$|^t$", re.IGNORECASE)
_IDS: Final = re.compile(r"(^|_)id$|uuid", re.IGNORECASE)
_PEOPLE: Final = re.compile(r"user|sender|author|customer|account|bidder|player|source", re.IGNORECASE)
_WORDS: Final = re.compile(r"text|message|body|content|tweet|comment|utterance|description|本文", re.IGNORECASE)
_MONEY: Final = re.compile(r"amount|price|value", re.IGNORECASE)
_HARM: Final = re.compile(r"spam|fraud|toxic|hate|off|abuse|phish|fake|scam|bad|^(1|true|yes)$", re.IGNORECASE)
_LABEL_VALUES_MAX: Final = 12
_TEXT_LENGTH_MIN: Final = 15


def suggest_map(file: pathlib.Path, pack: PackDef) -> str:
    """Return a first map for a file, as YAML with the file's columns in a comment.

    Refuses: FileUnreadable, MapInvalid.
    """
    import duckdb

    if not file.is_file():
        raise FileUnreadable(f"{file} is no file.")
    reader = reader_of(Map(about="", source="", event="any", data={}), [file.resolve()])
    with duckdb.connect() as connection:
        try:
            connection.execute(f"CREATE TABLE sample AS SELECT * FROM {reader} LIMIT {SAMPLE}")
            columns = [(str(row[0]), str(row[1])) for row in connection.execute("DESCRIBE sample").fetchall()]
            facts = [_look(connection.execute(_facts(name)).fetchone(), name, kind) for name, kind in columns]
        except duckdb.Error as error:
            raise FileUnreadable(f"{file.name}: {first_lines(error)}") from error
        label = _label(facts)
        values = (
            [
                str(row[0])
                for row in connection.execute(
                    f"SELECT DISTINCT {written(label.name)} FROM sample WHERE {written(label.name)} IS NOT NULL"
                    " ORDER BY ALL LIMIT 12"
                ).fetchall()
            ]
            if label is not None
            else []
        )
    return _write(file, pack, facts, label, values)


class _Column:
    """What a sample says about a column."""

    def __init__(self, name: str, kind: str, *, filled: int, distinct: int, length: float, times: int) -> None:
        self.name = name
        self.kind = kind
        self.distinct = distinct
        self.length = length
        self.is_time = filled > 0 and times == filled and not kind.startswith(("BIGINT", "INTEGER", "DOUBLE"))
        self.is_key = filled > 0 and distinct == filled


def _facts(name: str) -> Sql:
    column = written(name)
    return (
        f"SELECT count({column}), count(DISTINCT {column}), coalesce(avg(length(CAST({column} AS VARCHAR))), 0),"
        f" count(TRY_CAST(CAST({column} AS VARCHAR) AS TIMESTAMPTZ)) FROM sample"
    )


def _look(row: tuple[object, ...] | None, name: str, kind: str) -> _Column:
    assert row is not None, "an aggregate gives a row"
    filled, distinct, length, times = (float(str(value)) for value in row)
    return _Column(name, kind, filled=int(filled), distinct=int(distinct), length=length, times=int(times))


def _label(columns: Sequence[_Column]) -> _Column | None:
    found = [each for each in columns if 1 < each.distinct <= _LABEL_VALUES_MAX and _LABELS.search(each.name)]
    return min(found, key=lambda each: each.distinct, default=None)


def _first(columns: Sequence[_Column], pattern: re.Pattern[str], used: set[str]) -> _Column | None:
    return next((each for each in columns if each.name not in used and pattern.search(each.name)), None)


def _write(
    file: pathlib.Path, pack: PackDef, columns: Sequence[_Column], label: _Column | None, values: Sequence[str]
) -> str:
    used = {label.name} if label is not None else set()
    texts = [
        each
        for each in columns
        if each.kind in {"VARCHAR", "JSON"}
        and each.distinct > _LABEL_VALUES_MAX
        and (each.length >= _TEXT_LENGTH_MIN or _WORDS.search(each.name))
        and not each.is_time
        and each.name not in used
    ]
    text = max(texts, key=lambda each: (_WORDS.search(each.name) is not None, each.length), default=None)
    times = [each for each in columns if each.is_time and _TIMES.search(each.name)]
    time = max(times, key=lambda each: each.distinct, default=None)
    used |= {each.name for each in (text, time) if each is not None}
    person = _first(columns, _PEOPLE, used)
    key = next((each for each in columns if each.is_key and _IDS.search(each.name)), None)
    money = _first(columns, _MONEY, used)
    event = "message.sent" if text is not None or money is None else "payment.attempted"
    who = "sender.id" if event == "message.sent" else "buyer.id"
    data = {who: written(person.name) if person is not None else "'s' || row"}
    if event == "message.sent":
        data |= {"recipient.id": "'r' || row", "message.id": "'m-' || row"}
        if text is not None:
            data["text"] = written(text.name)
    elif money is not None:
        data |= {"payment.id": "'p-' || row", "amount_minor": f"CAST({written(money.name)} AS DOUBLE) * 100"}
    lines = [
        "# A first guess: read it against the file, and mend it.",
        f"# Columns: {', '.join(f'{each.name} ({each.kind})' for each in columns)}",
        f"about: {file.name}",
        "source: where it comes from, under which licence",
        f"event: {event}",
        *([] if key is None else [f"id: {literal(written(key.name))}"]),
        *([] if time is None else [f"time: {literal(written(time.name))}"]),
        "data:",
        *(f"  {path}: {literal(sql)}" for path, sql in data.items() if path in pack.events[event].fields),
    ]
    if label is not None:
        harmful = [value for value in values if _HARM.search(value)] or values[-1:]
        listed = ", ".join(literal(value) for value in harmful)
        lines += [
            "truth:",
            f"  what: {label.name} is one of {' '.join(harmful)}",
            f"  harmful: {literal(f'CAST({written(label.name)} AS VARCHAR) IN ({listed})')}",
            f"  kind: {literal(f'CAST({written(label.name)} AS VARCHAR)')}",
        ]
    if text is not None:
        lines.append(f"group: {literal(written(text.name))}")
    return "\n".join(lines) + "\n"
