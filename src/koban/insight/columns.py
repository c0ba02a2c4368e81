"""Look at a file that nobody has described: its encoding, its columns with samples, and what each most likely means.

What a reader chooses for the columns becomes a map (`map_of`): the same kind of document that `koban import` takes.
"""

import gzip
import pathlib
import re
import tempfile
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from koban.base import Problem
from koban.insight.mapping import ROW_TIME, Map, MapInvalid, Sql, Truth, literal, reader_of
from koban.insight.reading import FileUnreadable, decoded, first_lines, written
from koban.packs import EventType, PackDef

if TYPE_CHECKING:
    import duckdb

SAMPLE: Final = 5_000
SAMPLES_SHOWN: Final = 5
SAMPLE_CHARS: Final = 120
VALUES_MAX: Final = 12
COLUMNS_MAX: Final = 200
ROWS_JUDGED_MAX: Final = 50_000
IGNORE, ID, TIME, TRUTH = "", "id", "time", "truth"
OWN_MEANINGS: Final = (ID, TIME, TRUTH)

_LABELS: Final = re.compile(
    r"label|class|target|spam|fraud|toxic|harm|abuse|fake|is_|verdict|^y$|ラベル|正解|判定|違反", re.IGNORECASE
)
_TIMES: Final = re.compile(r"time|date|created|_at$|^ts$|^t$|日時|日付|時刻|作成日|投稿日|送信日", re.IGNORECASE)
_IDS: Final = re.compile(r"(^|_)id$|uuid|^no$|番号$|^ID$", re.IGNORECASE)
_PEOPLE: Final = re.compile(
    r"user|sender|author|customer|account|bidder|player|source|from|送信者|投稿者|会員|ユーザー|出品者|購入者",
    re.IGNORECASE,
)
_WORDS: Final = re.compile(
    r"text|message|body|content|tweet|comment|utterance|description|本文|メッセージ|内容|コメント|文章", re.IGNORECASE
)
_MONEY: Final = re.compile(r"amount|price|value|金額|価格|値段", re.IGNORECASE)
_HARM: Final = re.compile(
    r"spam|fraud|toxic|hate|off|abuse|phish|fake|scam|bad|^(1|true|yes)$|違反|詐欺|スパム|有害|黒|悪|^NG$",
    re.IGNORECASE,
)
_HARMLESS: Final = re.compile(
    r"^(not|non|no)[_ -]?|なし$|正常|非|良|善|^(ham|ok|clean|benign|honest|legit|normal|good|0|false|no)$",
    re.IGNORECASE,
)
_TEXT_LENGTH_MIN: Final = 15
_JAPANESE_TIMES: Final = (
    "%Y年%m月%d日 %H時%M分",
    "%Y年%m月%d日 %H:%M",
    "%Y年%m月%d日",
    "%d/%m/%Y %H:%M",
    "%d.%m.%Y %H:%M",
    "%m/%d/%Y %H:%M",
)
_GUESS_BYTES: Final = 1 << 20


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """A column as a sample of the file shows it."""

    name: str
    kind: str
    filled: int
    distinct: int
    length: float
    samples: tuple[str, ...]
    values: tuple[str, ...]  # all of them, where there are few
    is_time: bool
    meaning: str = IGNORE  # the guess: a field of the event type, id, time, truth, or nothing


class Looked(msgspec.Struct, frozen=True, kw_only=True):
    """A file that was looked at, with a first guess."""

    encoding: str
    damaged: bool  # no known encoding fits all of it
    rows: int  # of the sample
    columns: tuple[Column, ...]
    event: str
    harmful: tuple[str, ...]  # the values of the truth column that look like harm


class Chosen(msgspec.Struct, frozen=True, kw_only=True):
    """What a reader says about a file: what its rows are and what each column means."""

    event: str
    encoding: str
    columns: Mapping[str, str]  # column -> field of the event type, id, time or truth
    harmful: tuple[str, ...] = ()  # values of the truth column


def encoding_of(file: pathlib.Path) -> tuple[str, bool]:
    """Guess a text file's encoding from its first mebibyte: its name, and whether nothing fits it whole."""
    with gzip.open(file) if file.name.endswith(".gz") else file.open("rb") as stream:
        head = stream.read(_GUESS_BYTES)
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16", False
    for name in ("utf-8", "cp932", "euc_jp"):
        if _fits(head, name, whole=len(head) < _GUESS_BYTES):
            return name, False
    return "utf-8", True


def _fits(head: bytes, name: str, *, whole: bool) -> bool:
    try:
        head.decode(name)
    except UnicodeDecodeError as error:
        return not whole and error.start > len(head) - 8  # a character that the end of the sample cuts
    return True


def look(file: pathlib.Path, pack: PackDef, spool: pathlib.Path, *, event: str = "", encoding: str = "") -> Looked:
    """Look at a file: columns, samples, and a first guess of what they mean for an event type.

    Refuses: FileUnreadable, MapInvalid when its ending says nothing.
    """
    import duckdb

    if not file.is_file():
        raise FileUnreadable(f"{file.name} is no file.")
    binary = file.name.lower().endswith(".parquet")
    found, damaged = ("utf-8", False) if binary else (encoding, False) if encoding else encoding_of(file)
    with tempfile.TemporaryDirectory(prefix="look-", dir=spool) as folder, duckdb.connect() as connection:
        read = file.resolve() if binary else decoded(file, found, pathlib.Path(folder))
        try:
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute("SET memory_limit = '512MB'")
            reader = reader_of(Map(about="", source="", event="any", data={}), [read])
            connection.execute(f"CREATE TABLE sample AS SELECT * FROM {reader} LIMIT {SAMPLE}")
            described = connection.execute("DESCRIBE sample").fetchall()
            if len(described) > COLUMNS_MAX:
                raise FileUnreadable(f"{file.name} has {len(described)} columns; {COLUMNS_MAX} are the most.")
            columns = [column_of(connection, str(row[0]), str(row[1])) for row in described]
            total = connection.execute("SELECT count(*) FROM sample").fetchone()
        except duckdb.Error as error:
            raise FileUnreadable(f"{file.name}: {first_lines(error)}") from error
    kind = event or guess_event(columns)
    kind = kind if kind in pack.events else next(iter(pack.events))
    guessed = guess(columns, pack.events[kind])
    truth = next((each for each in columns if guessed.get(each.name) == TRUTH), None)
    return Looked(
        encoding=found,
        damaged=damaged,
        rows=int(total[0]) if total else 0,
        columns=tuple(msgspec.structs.replace(each, meaning=guessed.get(each.name, IGNORE)) for each in columns),
        event=kind,
        harmful=harmful_values(truth.values) if truth is not None else (),
    )


def column_of(connection: "duckdb.DuckDBPyConnection", name: str, kind: str) -> Column:
    """Look at one column of the table `sample`."""
    column = written(name)
    row = connection.execute(
        f"SELECT count({column}), count(DISTINCT {column}), coalesce(avg(length(CAST({column} AS VARCHAR))), 0),"
        f" count(TRY_CAST(CAST({column} AS VARCHAR) AS TIMESTAMPTZ)) FROM sample"
    ).fetchone()
    assert row is not None, "an aggregate gives a row"
    filled, distinct, length, times = (float(str(value)) for value in row)
    text = f"CAST({column} AS VARCHAR)"
    samples = connection.execute(
        f"SELECT {text} FROM sample WHERE {column} IS NOT NULL AND {text} <> '' GROUP BY {text}"
        f" ORDER BY min(rowid) LIMIT {SAMPLES_SHOWN}"
    ).fetchall()
    values = (
        connection.execute(f"SELECT DISTINCT {text} FROM sample WHERE {column} IS NOT NULL ORDER BY ALL").fetchall()
        if 0 < distinct <= VALUES_MAX
        else []
    )
    return Column(
        name=name,
        kind=kind,
        filled=int(filled),
        distinct=int(distinct),
        length=length,
        samples=tuple(shortened(str(each[0])) for each in samples),
        values=tuple(str(each[0]) for each in values),
        is_time=filled > 0 and times == filled and not kind.startswith(("BIGINT", "INTEGER", "DOUBLE")),
    )


def shortened(text: str) -> str:
    """Cut a sample to what a table shows."""
    return text if len(text) <= SAMPLE_CHARS else text[: SAMPLE_CHARS - 1] + "…"


def label_of(columns: Sequence[Column]) -> Column | None:
    """Return the column that most likely says what is harmful."""
    found = [each for each in columns if 1 < each.distinct <= VALUES_MAX and _LABELS.search(each.name)]
    return min(found, key=lambda each: each.distinct, default=None)


def text_of(columns: Sequence[Column], used: set[str]) -> Column | None:
    """Return the column that most likely holds what people wrote."""
    texts = [
        each
        for each in columns
        if each.kind in {"VARCHAR", "JSON"}
        and (each.distinct > VALUES_MAX or _WORDS.search(each.name))
        and (each.length >= _TEXT_LENGTH_MIN or _WORDS.search(each.name))
        and not each.is_time
        and each.name not in used
    ]
    return max(texts, key=lambda each: (_WORDS.search(each.name) is not None, each.length), default=None)


def time_of(columns: Sequence[Column]) -> Column | None:
    """Return the column that most likely holds the moment."""
    named = [each for each in columns if _TIMES.search(each.name)]
    times = [each for each in named if each.is_time] or [
        each for each in named if any("年" in one for one in each.samples)
    ]
    return max(times, key=lambda each: each.distinct, default=None)


def guess_event(columns: Sequence[Column]) -> str:
    """Guess what rows are: messages where somebody wrote something, payments where there is only money."""
    label = label_of(columns)
    used = {label.name} if label is not None else set()
    text = text_of(columns, used)
    money = first_named(columns, _MONEY, used | ({text.name} if text is not None else set()))
    return "message.sent" if text is not None or money is None else "payment.attempted"


def guess(columns: Sequence[Column], event_type: EventType) -> dict[str, str]:
    """Guess what columns mean for an event type; a field is guessed once."""
    found: dict[str, str] = {}
    label = label_of(columns)
    if label is not None:
        found[label.name] = TRUTH
    text = text_of(columns, set(found))
    if text is not None and (field := _text_field(event_type)) is not None:
        found[text.name] = field
    time = time_of([each for each in columns if each.name not in found])
    if time is not None:
        found[time.name] = TIME
    key = next(
        (
            each
            for each in columns
            if each.name not in found and 0 < each.filled == each.distinct and _IDS.search(each.name)
        ),
        None,
    )
    if key is not None:
        found[key.name] = ID
    person = first_named(columns, _PEOPLE, set(found))
    if person is not None and event_type.acting is not None:
        found[person.name] = event_type.acting
    money = first_named(columns, _MONEY, set(found))
    amount = next((path for path in event_type.fields if path.endswith("_minor")), None)
    if money is not None and amount is not None:
        found[money.name] = amount
    for each in columns:  # a column that is called as a field is that field
        if each.name not in found and each.name in event_type.fields and each.name not in found.values():
            found[each.name] = each.name
    return found


def _text_field(event_type: EventType) -> str | None:
    texts = [path for path in ("text", "description", "title") if path in event_type.fields]
    return texts[0] if texts else None


def first_named(columns: Sequence[Column], pattern: re.Pattern[str], used: set[str]) -> Column | None:
    """Return the first column that is not used and is called so."""
    return next((each for each in columns if each.name not in used and pattern.search(each.name)), None)


def harmful_values(values: Sequence[str]) -> tuple[str, ...]:
    """Return the values of a label that look like harm; else those that do not look harmless; else the last one."""
    other = tuple(value for value in values if not _HARMLESS.search(value))
    found = tuple(value for value in other if _HARM.search(value))
    return found or (other if len(other) < len(values) else ()) or tuple(values[-1:])


def map_of(chosen: Chosen, pack: PackDef, *, about: str, source: str) -> Map:
    """Make the map that a reader's choice stands for; subjects that no column names get one of their own per row.

    Refuses: MapInvalid, with every choice that cannot be.
    """
    event_type = pack.events.get(chosen.event)
    if event_type is None:
        problem = Problem(path="event", detail=f"The pack declares no event type {chosen.event[:80]!r}.")
        raise MapInvalid("The rows are no events that the pack knows.", problems=(problem,))
    problems = list(_faults(chosen, event_type))
    if problems:
        raise MapInvalid("Something about the columns has to be said differently.", problems=tuple(problems))
    by_meaning = {meaning: name for name, meaning in chosen.columns.items() if meaning != IGNORE}
    data: dict[str, Sql] = {}
    for path, field in event_type.fields.items():
        if path in by_meaning:
            data[path] = _typed(by_meaning[path], field.type)
        elif path in event_type.subjects and path in {event_type.acting, event_type.content}:
            data[path] = f"{literal(path.partition('.')[0])} || '-' || row"
    truth = by_meaning.get(TRUTH)
    text = next((by_meaning[path] for path in ("text", "description", "title") if path in by_meaning), None)
    return Map(
        about=about,
        source=source,
        event=chosen.event,
        data=data,
        encoding=chosen.encoding,
        id=f"{literal('row-')} || {written(by_meaning[ID])}" if ID in by_meaning else None,
        time=_moment(by_meaning[TIME]) if TIME in by_meaning else ROW_TIME,
        where=f"row <= {ROWS_JUDGED_MAX}",
        truth=None if truth is None else _truth(truth, chosen.harmful),
        group=None if text is None else f"CAST({written(text)} AS VARCHAR)",
    )


def _faults(chosen: Chosen, event_type: EventType) -> list[Problem]:
    problems = []
    seen: dict[str, str] = {}
    for name, meaning in chosen.columns.items():
        if meaning == IGNORE:
            continue
        if meaning not in OWN_MEANINGS and meaning not in event_type.fields:
            problems.append(Problem(path=name, detail="no_such_field", hint=meaning[:80]))
        elif meaning in seen:
            problems.append(Problem(path=name, detail="twice", hint=seen[meaning]))
        seen.setdefault(meaning, name)
    if not any(meaning in event_type.fields for meaning in seen):
        problems.append(Problem(path="", detail="no_field"))
    if TRUTH in seen and not chosen.harmful:
        problems.append(Problem(path=seen[TRUTH], detail="no_harmful_value"))
    return problems


def _truth(column: str, harmful: Sequence[str]) -> Truth:
    text = f"CAST({written(column)} AS VARCHAR)"
    listed = ", ".join(literal(value) for value in harmful)
    return Truth(harmful=f"{text} IN ({listed})", what=f"{column}: {', '.join(harmful)}", kind=text)


def _typed(column: str, kind: str) -> Sql:
    """Return the expression that reads a column as a field's type; numbers may be written as people write them."""
    name = written(column)
    digits = f"regexp_replace(translate(CAST({name} AS VARCHAR), '０１２３４５６７８９，．－', '0123456789,.-'), '[^0-9.-]', '', 'g')"
    match kind:
        case "int":
            return f"CAST(nullif({digits}, '') AS DOUBLE)"
        case "decimal":
            return f"nullif({digits}, '')"
        case "bool":
            text = f"lower(trim(CAST({name} AS VARCHAR)))"
            return (
                f"CASE WHEN {text} IN ('1', 'true', 't', 'yes', 'y', 'はい', '有', '○') THEN true"
                f" WHEN {text} IN ('0', 'false', 'f', 'no', 'n', 'いいえ', '無', '×') THEN false END"
            )
        case "timestamp":
            return _moment(column)
        case "text[]":
            return f"[CAST({name} AS VARCHAR)]"
        case _:
            return f"CAST({name} AS VARCHAR)"


def _moment(column: str) -> Sql:
    """Read a moment as files write it: ISO, with slashes, Japanese, or seconds and milliseconds since 1970."""
    text = f"trim(CAST({written(column)} AS VARCHAR))"
    formats = ", ".join(literal(each) for each in _JAPANESE_TIMES)
    number = f"TRY_CAST({text} AS DOUBLE)"
    return (
        f"coalesce(TRY_CAST({text} AS TIMESTAMPTZ), TRY_CAST(replace({text}, '/', '-') AS TIMESTAMPTZ),"
        f" CAST(try_strptime({text}, [{formats}]) AS TIMESTAMPTZ),"
        f" CASE WHEN {number} BETWEEN 1e8 AND 1e11 THEN to_timestamp({number})"
        f" WHEN {number} BETWEEN 1e11 AND 1e14 THEN to_timestamp({number} / 1000) END)"
    )
