"""Compile checked expressions to SQL for DuckDB, with exactly the values that the Python side gives.

Every column comes in its run-time form: decimals as BIGINT scaled by 10**6, timestamps and intervals as BIGINT microseconds,
text[] as VARCHAR[]. Sums and products are computed in HUGEINT, where they cannot overflow, and narrowed with TRY_CAST. What
reads texts, lists or clocks calls back into the same Python code.
"""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from koban.language import aggregates, values
from koban.language.catalogue import FUNCTIONS
from koban.language.emit import any_in_list, count_in_list, key_of
from koban.language.helpers import PLAIN
from koban.language.types import INT_MIN, SCALE, Checked, Environment, Node, Type
from koban.text import Normalised, PatternSet, PhraseMatcher, contacts, normalise, urls

if TYPE_CHECKING:
    import duckdb

SQL_TYPES: Mapping[Type, str] = {
    Type.BOOL: "BOOLEAN",
    Type.INT: "BIGINT",
    Type.DECIMAL: "BIGINT",
    Type.TEXT: "VARCHAR",
    Type.TIMESTAMP: "BIGINT",
    Type.INTERVAL: "BIGINT",
    Type.TEXTS: "VARCHAR[]",
}
_INFIX = {"eq": "=", "ne": "<>", "lt": "<", "le": "<=", "gt": ">", "ge": ">=", "concat": "||"}
_INFIX |= {"distinct": "IS DISTINCT FROM", "not_distinct": "IS NOT DISTINCT FROM", "and": "AND", "or": "OR"}
_SUFFIX = {"is_null": "IS NULL", "is_not_null": "IS NOT NULL", "is_true": "IS TRUE", "is_false": "IS FALSE"}
_SPANS = {"days_between": 86_400_000_000, "hours_between": 3_600_000_000, "minutes_between": 60_000_000}
_SAME_NAME = frozenset({"coalesce", "nullif", "least", "greatest", "length", "starts_with", "ends_with"})
_CALLBACKS = frozenset({"mentions", "mention_count", "contacts", "has_contact", "urls", "matches", "contains", "lower"})
_CALLBACKS |= {"hour_of_day", "day_of_week"}
_REMEMBERED = 8_192  # texts kept between the functions of one batch of rows, which DuckDB computes one after the other


def to_sql(checked: Checked, columns: Mapping[str, str]) -> str:
    """Return the expression as SQL. `columns` gives, for each name (and `of_key`, and `time`), the SQL that reads it.

    Under the key of a node it may give the SQL of that whole part, computed elsewhere.
    """
    return _sql(checked.core, columns)


def decimal_column(sql: str) -> str:
    """Return SQL that brings a DECIMAL(18,6) column into its run-time form."""
    return f"CAST(CAST({sql} AS DECIMAL(38, 6)) * 1000000 AS BIGINT)"


def register_functions(connection: "duckdb.DuckDBPyConnection", env: Environment) -> None:
    """Give a connection the functions that `to_sql` calls. They read `env` anew at each call.

    DuckDB needs NumPy for functions written in Python.
    """
    for name, (function, parameters, result) in _functions(env).items():
        # The stub cannot see that each function returns what its SQL type says.
        connection.create_function(name, function, list(parameters), result, null_handling="special")  # type: ignore[call-overload]


def _sql(node: Node, columns: Mapping[str, str]) -> str:
    if node.key in columns:
        return columns[node.key]
    match node.op:
        case "const":
            return _literal(node.value, node.type)
        case "name" | "feature":
            return columns[key_of(node)]
    args = [_sql(arg, columns) for arg in node.args]
    if node.op in _INFIX:
        return "(" + f" {_INFIX[node.op]} ".join(args) + ")"
    if node.op in _SUFFIX:
        return f"({args[0]} {_SUFFIX[node.op]})"
    if node.op in _SAME_NAME:
        return f"{node.op}({', '.join(args + _constants(node))})"
    if node.op in PLAIN:
        return f"koban_{node.op}({', '.join(args + _constants(node))})"
    if node.op in _CALLBACKS:
        return _callback(node, args)
    if node.op in _SPANS:
        return f"CAST((CAST({args[1]} AS HUGEINT) - {args[0]}) // {_SPANS[node.op]} AS BIGINT)"
    return _shaped(node, args, columns)


def _shaped(node: Node, args: list[str], columns: Mapping[str, str]) -> str:
    """Write the operators that have a shape of their own."""
    match node.op:
        case "not":
            return f"(NOT {args[0]})"
        case "in":
            chosen = node.value if isinstance(node.value, tuple) else ()
            return f"({args[0]} IN ({', '.join(_literal(each, node.args[0].type) for each in chosen)}))"
        case "between":
            return f"({args[0]} BETWEEN {args[1]} AND {args[2]})"
        case "like":
            return f"({args[0]} LIKE {_literal(node.value, Type.TEXT)})"
        case "ilike":
            return f"(koban_lower({args[0]}) LIKE {_literal(str(node.value).lower(), Type.TEXT)})"
        case "case":
            *pairs, last = args
            whens = " ".join(f"WHEN {pairs[each]} THEN {pairs[each + 1]}" for each in range(0, len(pairs), 2))
            return f"(CASE {whens} ELSE {last} END)"
        case "cast":
            return _cast(node, args[0])
        case "in_list":
            name = "koban_any_in_list" if node.args[0].type == Type.TEXTS else "koban_in_list"
            return f"{name}({args[0]}, {', '.join(_constants(node))}, {columns['time']})"
        case "list_count" | "lookalike" | "lookalike_brand":
            return f"koban_{node.op}({args[0]}, {', '.join(_constants(node))}, {columns['time']})"
        case "has_label":
            return f"koban_has_label({args[0]}, {', '.join(_constants(node))}, {columns['time']})"
        case "array_contains":
            return f"list_contains({args[0]}, {args[1]})"
        case "array_length":
            return f"len({args[0]})"
        case "round":
            digits = int(str(node.value[0])) if isinstance(node.value, tuple) else 0
            rounded = f"round(CAST({args[0]} AS DECIMAL(38, 0)), {digits - 6})" if digits < 6 else args[0]
            return _fit(rounded, Type.DECIMAL)
        case "floor":
            return f"({args[0]} // {SCALE} - CASE WHEN {args[0]} % {SCALE} < 0 THEN 1 ELSE 0 END)"
        case "ceil":
            return f"({args[0]} // {SCALE} + CASE WHEN {args[0]} % {SCALE} > 0 THEN 1 ELSE 0 END)"
        case _:
            return _fit(_arithmetic(node, [f"CAST({arg} AS HUGEINT)" for arg in args]), node.type)


def _arithmetic(node: Node, args: list[str]) -> str:
    match node.op:
        case "add":
            return f"({args[0]} + {args[1]})"
        case "sub":
            return f"({args[0]} - {args[1]})"
        case "mul":
            product = f"({args[0]} * {args[1]})"
            return f"({product} // {SCALE})" if node.type == Type.DECIMAL else product
        case "div":
            return f"(({args[0]} * {SCALE}) // nullif({args[1]}, 0))"
        case "int_div":
            return f"({args[0]} // nullif({args[1]}, 0))"
        case "mod":
            return f"({args[0]} % nullif({args[1]}, 0))"
        case "neg":
            return f"(-{args[0]})"
        case "abs":
            return f"abs({args[0]})"
        case _:
            raise AssertionError(f"no SQL for {node.op}")


def _fit(sql: str, kind: Type) -> str:
    """Narrow a HUGEINT to its type: NULL when it does not fit."""
    if kind == Type.DECIMAL:
        return f"CAST(TRY_CAST({sql} AS DECIMAL(18, 0)) AS BIGINT)"
    return f"TRY_CAST({sql} AS BIGINT)"


def _cast(node: Node, arg: str) -> str:
    match node.args[0].type, node.type:
        case Type.INT, Type.DECIMAL:
            return _fit(f"(CAST({arg} AS HUGEINT) * {SCALE})", Type.DECIMAL)
        case Type.DECIMAL, Type.INT:
            return f"({arg} // {SCALE})"
        case Type.TEXT, Type.INT:
            return f"TRY_CAST(regexp_extract({arg}, '^[+-]?[0-9]{{1,19}}$') AS BIGINT)"
        case Type.TEXT, Type.DECIMAL:
            number = f"regexp_extract({arg}, '^[+-]?[0-9]{{1,12}}([.][0-9]{{1,6}})?$')"
            return decimal_column(f"TRY_CAST({number} AS DECIMAL(18, 6))")
        case Type.TEXT, Type.BOOL:
            return f"(CASE {arg} WHEN 'true' THEN TRUE WHEN 'false' THEN FALSE END)"
        case Type.DECIMAL, Type.TEXT:
            sign = f"CASE WHEN {arg} < 0 THEN '-' ELSE '' END"
            digits = f"lpad(CAST(abs({arg}) % {SCALE} AS VARCHAR), 6, '0')"
            return f"({sign} || CAST(abs({arg}) // {SCALE} AS VARCHAR) || '.' || {digits})"
        case _:
            return f"CAST({arg} AS {SQL_TYPES[node.type]})"


def _callback(node: Node, args: list[str]) -> str:
    name, given = node.op, _constants(node)
    if name == "mentions":
        count = f"koban_mention_count({args[0]}, {given[0]})"
        return f"({count} >= {given[1] if len(given) > 1 else 1})"
    if name == "has_contact":
        return (
            f"(len(koban_contacts({args[0]})) > 0)"
            if not given
            else f"list_contains(koban_contacts({args[0]}), {given[0]})"
        )
    return f"koban_{name}({', '.join(args + given)})"


def _constants(node: Node) -> list[str]:
    if not isinstance(node.value, tuple):
        return []
    return [_literal(each, Type.TEXT if isinstance(each, str) else Type.INT) for each in node.value]


def _literal(value: object, kind: Type) -> str:
    if value is None:
        return f"CAST(NULL AS {SQL_TYPES[kind]})"
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int):
        return f"CAST({value} AS BIGINT)"
    return "'" + str(value).replace("'", "''") + "'"


def _functions(env: Environment) -> dict[str, tuple[Callable[..., object], tuple[str, ...], str]]:
    @functools.lru_cache(maxsize=_REMEMBERED)
    def normalised(text: str) -> Normalised:
        return normalise(text)

    @functools.lru_cache(maxsize=_REMEMBERED)
    def hits(matcher: PhraseMatcher, text: str) -> dict[str, tuple[str, ...]]:
        return matcher.find(normalised(text))

    @functools.cache
    def pattern_set(pattern: str) -> PatternSet:
        return PatternSet([pattern])

    def in_list(value: str | None, name: str, at: int) -> bool | None:
        return None if value is None else env.values.get(name, {}).get(value, INT_MIN) > at

    def any_in(items: list[str] | None, name: str, at: int) -> bool | None:
        return None if items is None else any_in_list(items, env.values.get(name, {}), at)

    def has_label(subject: str | None, label: str, at: int) -> bool | None:
        return None if subject is None else env.labels.get((subject, label), INT_MIN) > at

    def mention_count(text: str | None, name: str) -> int | None:
        return None if text is None else len(hits(env.phrases, text).get(name, ()))

    def kinds(text: str | None) -> list[str] | None:
        return None if text is None else list(contacts(normalised(text)))

    def domains(text: str | None) -> list[str] | None:
        return None if text is None else list(urls(normalised(text)))

    def matches(text: str | None, pattern: str) -> bool | None:
        return None if text is None else bool(pattern_set(pattern).search(normalised(text).plain))

    def contains(text: str | None, part: str) -> bool | None:
        return None if text is None else normalised(part).plain in normalised(text).plain

    def lower(text: str | None) -> str | None:
        return None if text is None else text.lower()

    def list_count(items: list[str] | None, name: str, at: int) -> int | None:
        return None if items is None else count_in_list(items, env.values.get(name, {}), at)

    def lookalike(text: str | None, name: str, at: int) -> int | None:
        return None if text is None else env.likeness(normalised(text), text, name, at).score

    def lookalike_brand(text: str | None, name: str, at: int) -> str | None:
        return None if text is None else env.likeness(normalised(text), text, name, at).brand or None

    return {
        "koban_deviation": (_deviation, ("HUGEINT", "HUGEINT", "HUGEINT", "BIGINT", "BOOLEAN"), "BIGINT"),
        "koban_most_frequent": (_most_frequent, ("VARCHAR[]",), "VARCHAR"),
        "koban_last_distinct": (_last_distinct, ("VARCHAR[]", "BIGINT"), "VARCHAR[]"),
        **{f"koban_{name}": _plain(name, normalised) for name in PLAIN},
        "koban_list_count": (list_count, ("VARCHAR[]", "VARCHAR", "BIGINT"), "BIGINT"),
        "koban_lookalike": (lookalike, ("VARCHAR", "VARCHAR", "BIGINT"), "BIGINT"),
        "koban_lookalike_brand": (lookalike_brand, ("VARCHAR", "VARCHAR", "BIGINT"), "VARCHAR"),
        "koban_in_list": (in_list, ("VARCHAR", "VARCHAR", "BIGINT"), "BOOLEAN"),
        "koban_any_in_list": (any_in, ("VARCHAR[]", "VARCHAR", "BIGINT"), "BOOLEAN"),
        "koban_has_label": (has_label, ("VARCHAR", "VARCHAR", "BIGINT"), "BOOLEAN"),
        "koban_mention_count": (mention_count, ("VARCHAR", "VARCHAR"), "BIGINT"),
        "koban_contacts": (kinds, ("VARCHAR",), "VARCHAR[]"),
        "koban_urls": (domains, ("VARCHAR",), "VARCHAR[]"),
        "koban_matches": (matches, ("VARCHAR", "VARCHAR"), "BOOLEAN"),
        "koban_contains": (contains, ("VARCHAR", "VARCHAR"), "BOOLEAN"),
        "koban_lower": (lower, ("VARCHAR",), "VARCHAR"),
        "koban_hour_of_day": (values.hour_of_day, ("BIGINT", "VARCHAR"), "BIGINT"),
        "koban_day_of_week": (values.day_of_week, ("BIGINT", "VARCHAR"), "BIGINT"),
    }


def _deviation(
    total: int | None,
    high: int | None,
    low: int | None,
    count: int | None,
    scaled: bool,  # noqa: FBT001  # DuckDB calls by position
) -> int | None:
    if total is None or high is None or low is None or count is None:
        return None
    return aggregates.deviation(total, high * aggregates.SQUARES_CUT + low, count, scaled=scaled)


def _most_frequent(items: list[str] | None) -> str | None:
    return None if items is None else aggregates.most_frequent(items)


def _last_distinct(items: list[str] | None, bound: int) -> list[str]:
    return [] if items is None else aggregates.last_distinct(items, bound)


def _plain(name: str, normalised: Callable[[str], Normalised]) -> tuple[Callable[..., object], tuple[str, ...], str]:
    """Wrap a function of `helpers` for DuckDB: NULL for NULL, lists as tuples, the first text normalised if it wants so."""
    row, plain = FUNCTIONS[name], PLAIN[name]
    assert row.result is not None, "every library function has one type of result"
    arguments = [param for param in row.params if not param.role or param.role == "currency"]
    constants = [param for param in row.params if param.role and param.role != "currency"]
    types = tuple(SQL_TYPES[param.types[0]] for param in (*arguments, *constants))

    def call(*given: object) -> object:
        if None in given:
            return None
        ready = [tuple(each) if isinstance(each, list) else each for each in given]
        if plain.normal:
            ready[0] = normalised(str(ready[0]))
        answer = plain.function(*ready)
        return list(answer) if isinstance(answer, tuple) else answer

    # DuckDB counts the parameters of what it is given.
    places = [inspect.Parameter(f"p{place}", inspect.Parameter.POSITIONAL_ONLY) for place in range(len(types))]
    call.__signature__ = inspect.Signature(places)  # type: ignore[attr-defined]  # any function may have one
    return call, types, SQL_TYPES[row.result]
