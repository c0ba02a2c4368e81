"""What the tests of Koban SQL share: a scope, an environment, and the ways to evaluate an expression."""

import duckdb

from koban.language import (
    NEVER,
    Checked,
    Environment,
    FeatureInfo,
    ListInfo,
    Scope,
    ScoreInfo,
    Type,
    Value,
    check,
    compile_program,
    compile_traces,
    compile_value,
    register_functions,
    to_sql,
)
from koban.language.duckdb import SQL_TYPES
from koban.language.helpers import PLAIN
from koban.text import PhraseList, PhraseMatcher

NOON = 1_768_964_400_000_000  # 2026-01-21 12:00 in Tokyo

NAMES = {
    "a": Type.INT,
    "b": Type.INT,
    "c": Type.INT,
    "x": Type.DECIMAL,
    "y": Type.DECIMAL,
    "s": Type.TEXT,
    "t": Type.TEXT,
    "p": Type.BOOL,
    "q": Type.BOOL,
    "r": Type.BOOL,
    "at1": Type.TIMESTAMP,
    "at2": Type.TIMESTAMP,
    "tags": Type.TEXTS,
    "sender.id": Type.TEXT,
    "recipient.id": Type.TEXT,
    "weight_g": Type.INT,
    "price_minor": Type.INT,
}
FEATURES = {
    "sent_1h": FeatureInfo(type=Type.INT, kind="account"),
    "receivers_1h": FeatureInfo(type=Type.INT, kind="account", bound=50),
    "accounts_of_device": FeatureInfo(type=Type.INT, kind="device", bare=False),
}
SCOPE = Scope(
    names=NAMES,
    features=FEATURES,
    subjects={"sender.id": "account", "recipient.id": "account"},
    lists={
        "lures": ListInfo(kind="phrases"),
        "trusted": ListInfo(kind="values"),
        "bad_domains": ListInfo(kind="values"),
        "brands": ListInfo(kind="values"),
    },
    labels=frozenset({"scammer", "vip"}),
    units={"weight_g": "grams", "price_minor": "minor"},
    scores={"risk": ScoreInfo(kind="account", path="sender.id"), "device_risk": ScoreInfo(kind="device")},
    definitions={
        "writes_much": "sent_1h > limit",
        "limit": "5",
        "from_us": "length(s) = 1 AND writes_much",
        "broken": "sent_1h >",
        "unknown_inside": "nothing_here > 5",
        "broken_below": "NOT unknown_inside",
        "ring": "a > 5 AND other_ring",
        "other_ring": "ring OR p",
        "never": "a > 5 AND a < 3",
        "big_1": "a = 1 OR a = 2 OR a = 3 OR a = 4 OR a = 5 OR a = 6 OR a = 7 OR a = 8 OR a = 9",
        "big_2": "big_1 OR big_1 OR big_1 OR big_1 OR big_1 OR big_1 OR big_1 OR big_1",
        "big_3": "big_2 OR big_2 OR big_2 OR big_2 OR big_2 OR big_2 OR big_2 OR big_2 OR big_2",
    },
)
SCORE_KEYS = ("score:risk@sender.id", "score:risk@recipient.id")
ENV = Environment(
    values={
        "trusted": {"s1": NEVER, "old": NOON - 1},
        "bad_domains": {"evil.example": NEVER, "bar.shop": NEVER},
        "brands": {"mercari.com": NEVER, "amazon": NEVER, "oldbrand": NOON},
    },
    phrases=PhraseMatcher([PhraseList(name="lures", phrases=("直取引", "振込", "direct deal"))]),
    labels={("s1", "vip"): NEVER, ("s2", "scammer"): NOON},
)
CALLS_BACK = frozenset(
    (
        *("mentions", "mention_count", "contacts", "has_contact", "urls", "matches", "contains", "lower", "ilike"),
        *("in_list", "has_label", "hour_of_day", "day_of_week", "list_count", "lookalike", "lookalike_brand"),
        *PLAIN,
    )
)


def checked(text: str) -> Checked:
    """Check an expression in the tests' scope."""
    return check(text, SCOPE)


def all_python(expression: Checked, row: dict[str, Value], at: int = NOON) -> Value:
    """Return the value, after holding that the single function, the program and the trace agree on it."""
    fields = {name: value for name, value in row.items() if name in NAMES}
    value = compile_value(expression)(row, at, ENV)
    raw = compile_traces([expression]).run(fields, row, at, ENV, None)[0]
    assert raw[0] == value
    assert type(raw[0]) is type(value)
    if expression.type == Type.BOOL:
        fired = compile_program([expression]).run(fields, row, at, ENV, None)
        assert fired == ((0,) if value is True else ())
        denied = checked(f"NOT ({expression.text})") if "NOT (" not in expression.text[:5] else None
        if denied is not None:
            assert compile_program([denied]).run(fields, row, at, ENV, None) == ((0,) if value is False else ())
    return value


def connect() -> duckdb.DuckDBPyConnection:
    """Return an empty database with the callbacks."""
    connection = duckdb.connect()
    register_functions(connection, ENV)
    return connection


def in_duckdb(
    connection: duckdb.DuckDBPyConnection, expressions: list[Checked], rows: list[dict[str, Value]], at: int = NOON
) -> list[list[Value]]:
    """Return the value of each expression for each row, computed by DuckDB."""
    names = [*NAMES, *FEATURES, "sent_1h@recipient.id", *SCORE_KEYS]
    kinds = {**NAMES, **{name: info.type for name, info in FEATURES.items()}, "sent_1h@recipient.id": Type.INT}
    kinds |= dict.fromkeys(SCORE_KEYS, Type.DECIMAL)
    columns = {name: f'"{name}"' for name in names} | {"time": '"time"'}
    connection.execute("DROP TABLE IF EXISTS given")
    fields = ", ".join(f'"{name}" {SQL_TYPES[kinds[name]]}' for name in names)
    connection.execute(f'CREATE TABLE given (place INTEGER, "time" BIGINT, {fields})')
    for place, row in enumerate(rows):
        given = [list(value) if isinstance(value := row.get(name), tuple) else value for name in names]
        marks = ", ".join("?" for _ in names)
        connection.execute(f"INSERT INTO given VALUES (?, ?, {marks})", [place, at, *given])
    shown = ", ".join(to_sql(each, columns) for each in expressions)
    found = connection.execute(f"SELECT {shown} FROM given ORDER BY place").fetchall()
    return [[tuple(each) if isinstance(each, list) else each for each in row] for row in found]
