"""Write checked expressions as plain SQL for a warehouse: exactly the values of the other compilers, or a refusal.

Columns have their run-time form, as in `duckdb`. Nothing calls back: what needs Koban's normaliser, its clocks or its JSON
reader has no plain SQL and is refused by name. Each part is written so that no engine may raise where Koban gives NULL.
"""

import datetime
import functools
import zoneinfo
from collections.abc import Mapping
from typing import Final

from koban.base import DAY, HOUR, MINUTE, SECOND, Refusal
from koban.language.dialects import DIALECTS, Dialect
from koban.language.emit import key_of
from koban.language.helpers import TEXT_MAX
from koban.language.nodes import walk
from koban.language.types import SCALE, Checked, Node, Type
from koban.language.values import YEAR_1, YEAR_9000, zone_of

_FAR: Final = 1_000_000  # beyond the longest text
SQL_CHARS_MAX: Final = 500_000  # what a dialect must write twice grows: beyond this nobody could run it
_INFIX: Final = {"eq": "=", "ne": "<>", "lt": "<", "le": "<=", "gt": ">", "ge": ">=", "and": "AND", "or": "OR"}
_ORDERED: Final = frozenset({"lt", "le", "gt", "ge"})
_SPANS: Final = {"days_between": DAY, "hours_between": HOUR, "minutes_between": MINUTE}
_LENGTHS: Final = {"seconds_of": SECOND, "minutes_of": MINUTE}
_CLOCKS: Final = frozenset({"hour_of_day", "minute_of_day", "day_of_week", "within_hours"})
_FIRST_YEAR, _LAST_YEAR = 1850, 2100  # between these the changes of a time zone are looked for
_WHY: Final = {
    **dict.fromkeys(
        ("mentions", "mention_count", "contacts", "has_contact", "urls", "matches", "contains", "regexp_extract",
         "regexp_count", "normalised", "words", "word_count", "digits", "hosts", "url_host", "url_domain", "url_signs",
         "email_domain", "lookalike", "lookalike_brand", "upper_share", "longest_run", "hidden_characters",
         "mixes_scripts"),
        "it reads the text as Koban normalises it",
    ),
    **dict.fromkeys(("lower", "upper", "trim", "ilike"), "the engines have other tables of letters"),
    **dict.fromkeys(
        ("json_text", "json_int", "json_decimal", "json_bool", "json_texts", "json_length"),
        "the engines read damaged documents and large numbers differently",
    ),
    **dict.fromkeys(("edit_distance", "likeness"), "not every engine counts by character, and none with Koban's bound"),
    "distance_m": "the engines' sines differ in the last digits",
    "list_count": "it asks a list once for each value of an array",
    "score": "scores are entries of the log, which a warehouse does not hold",
}  # fmt: skip


class NotInDialect(Refusal):
    """A rule holds something that a dialect cannot say exactly."""

    code = "not_in_dialect"
    status = 422
    title = "This dialect cannot say the rule exactly."


def to_dialect(checked: Checked, columns: Mapping[str, str], dialect: Dialect) -> str:
    """Return the expression as SQL of a dialect. `columns` as in `to_sql`; look-ups in lists stand there by their keys.

    Refuses: NotInDialect.
    """
    refused = [
        f"the field {node.value}: an array is never NULL there, and NULL is not the empty array"
        for node in walk(checked.core)
        if node.type is Type.TEXTS and node.op == "name" and not dialect.arrays
    ]
    sql = "" if refused else _Writer(dialect, columns, refused).write(checked.core)
    if len(sql) > SQL_CHARS_MAX:
        refused.append(f"arithmetic as deep as this: the text of the query would have {len(sql):,} characters")
    if refused:
        raise NotInDialect(f"{dialect.name} cannot say {'; '.join(dict.fromkeys(refused))}.")
    return sql


def dialect_named(name: str) -> Dialect:
    """Return a dialect.

    Refuses: NotInDialect.
    """
    if name not in DIALECTS:
        raise NotInDialect(f"{name[:40]!r} is none of {', '.join(sorted(DIALECTS))}.")
    return DIALECTS[name]


def in_quotes(dialect: Dialect, name: str) -> str:
    """Write the name of a column."""
    mark = dialect.quote
    return f"{mark}{name.replace('.', dialect.dots).replace(mark, mark * 2)}{mark}"


class _Writer:
    """One expression being written; what cannot be said is gathered, so that all of it is told at once."""

    def __init__(self, dialect: Dialect, columns: Mapping[str, str], refused: list[str]) -> None:
        self.dialect = dialect
        self.columns = columns
        self.refused = refused
        self.chars = 0

    def write(self, node: Node) -> str:
        if node.key in self.columns:
            return self.columns[node.key]
        match node.op:
            case "const":
                return literal(self.dialect, node.value, node.type)
            case "name" | "feature":
                return self.columns[key_of(node)]
        args = [self.write(arg) for arg in node.args]
        if sum(map(len, args)) > SQL_CHARS_MAX:
            self.refused.append(f"{node.op} as deep as this: the text of the query would be too long")
            return "NULL"
        if node.op in _INFIX:
            return self._infix(node, args)
        written = self._truth(node, args) or self._text(node, args) or self._number(node, args)
        if not written:
            self.refused.append(
                f"{node.op}: {_WHY.get(node.op, 'there is no SQL that gives the same on every engine')}"
            )
            return "NULL"
        return written

    def _infix(self, node: Node, args: list[str]) -> str:
        if node.op in _ORDERED and node.args[0].type is Type.TEXT:
            args = [self._by_code_point(arg) for arg in args]
        return "(" + f" {_INFIX[node.op]} ".join(args) + ")"

    def _truth(self, node: Node, args: list[str]) -> str:
        """Write what deals with truth, NULL and choice."""
        match node.op:
            case "not":
                return f"(NOT {args[0]})"
            case "is_null":
                return f"({args[0]} IS NULL)"
            case "is_not_null":
                return f"({args[0]} IS NOT NULL)"
            case "is_true":
                return f"coalesce({args[0]}, FALSE)"
            case "is_false":
                return f"coalesce(NOT {args[0]}, FALSE)"
            case "distinct" | "not_distinct":
                one, two = args
                same = f"coalesce({one} = {two}, {one} IS NULL AND {two} IS NULL)"
                return same if node.op == "not_distinct" else f"(NOT {same})"
            case "in":
                chosen = node.value if isinstance(node.value, tuple) else ()
                kind = node.args[0].type
                return f"({args[0]} IN ({', '.join(literal(self.dialect, each, kind) for each in chosen)}))"
            case "between":
                if node.args[0].type is Type.TEXT:
                    args = [self._by_code_point(arg) for arg in args]
                return f"({args[0]} BETWEEN {args[1]} AND {args[2]})"
            case "case":
                *pairs, last = args
                whens = " ".join(f"WHEN {pairs[each]} THEN {pairs[each + 1]}" for each in range(0, len(pairs), 2))
                return f"(CASE {whens} ELSE {last} END)"
            case "coalesce" | "nullif":
                return f"{node.op}({', '.join(args)})"
            case "least" | "greatest":
                return self._extreme(node, args)
            case _:
                return ""

    def _extreme(self, node: Node, args: list[str]) -> str:
        name = self.dialect.least if node.op == "least" else self.dialect.greatest
        if node.args[0].type is Type.TEXT:
            args = [self._by_code_point(arg) for arg in args]
        if self.dialect.skips_null:
            return f"{name}({', '.join(args)})"
        found = args[0]
        for arg in args[1:]:
            found = f"coalesce({name}({found}, {arg}), {found}, {arg})"
        return found

    def _by_code_point(self, text: str) -> str:
        return f"({text}{self.dialect.collate})" if self.dialect.collate else text

    def _text(self, node: Node, args: list[str]) -> str:
        """Write what deals with texts and arrays of them."""
        dialect, given = self.dialect, node.value if isinstance(node.value, tuple) else ()
        constants = [literal(dialect, each, Type.TEXT if isinstance(each, str) else Type.INT) for each in given]
        match node.op:
            case "concat":
                return "(" + " || ".join(args) + ")"
            case "like":
                pattern = str(node.value)
                pattern = pattern.replace("\\", "\\\\") if dialect.like_escapes else pattern
                return f"({args[0]} LIKE {literal(dialect, pattern, Type.TEXT)})"
            case "starts_with":
                return dialect.starts(*args, *constants)
            case "ends_with":
                return dialect.ends(*args, *constants)
            case "length":
                return f"CAST({dialect.length}({args[0]}) AS {dialect.types[Type.INT]})"
            case "position":
                return f"CAST({dialect.position(*args, *constants)} AS {dialect.types[Type.INT]})"
            case "substring" | "left" | "right":
                return self._cut(node.op, *args, *constants)
            case "replace":
                made = f"{dialect.replace}({', '.join((*args, *constants))})"
                if len(str(given[1])) <= len(str(given[0])):
                    return made
                return f"(CASE WHEN {dialect.length}({made}) <= {TEXT_MAX} THEN {made} END)"
            case "array_contains":
                both = f"{args[0]} IS NOT NULL AND {args[1]} IS NOT NULL"
                return f"(CASE WHEN {both} THEN {dialect.array_contains(*args)} END)"
            case "array_length":
                return f"CAST(CASE WHEN {args[0]} IS NOT NULL THEN {dialect.array_length(args[0])} END AS {dialect.types[Type.INT]})"
            case _:
                return ""

    def _cut(self, name: str, text: str, *places: str) -> str:
        """Write a part of a text; places far beyond any text are brought near, where every engine can count."""
        whole = self.dialect.types[Type.INT]
        near = [f"(CASE WHEN {place} > {_FAR} THEN {_FAR} ELSE {place} END)" for place in places]
        length = f"CAST({self.dialect.length}({text}) AS {whole})"
        match name:
            case "substring":
                start, count, test = near[0], near[1], f"{places[0]} >= 1 AND {places[1]} >= 0"
            case "left":
                start, count, test = "1", near[0], f"{places[0]} >= 0"
            case _:
                first = f"{length} - {near[0]} + 1"
                start, count, test = f"(CASE WHEN {first} < 1 THEN 1 ELSE {first} END)", near[0], f"{places[0]} >= 0"
        cut = f"{self.dialect.cut}({text}, {self._small(start)}, {self._small(count)})"
        return f"(CASE WHEN {test} THEN {cut} END)"

    def _small(self, number: str) -> str:
        """Write a number as what places in a text are counted with."""
        return f"CAST({number} AS INTEGER)" if self.dialect.name in {"postgres", "spark"} else number

    def _number(self, node: Node, args: list[str]) -> str:
        """Write arithmetic: computed wide, and narrowed where it fits."""
        if node.op == "cast":
            return self._cast(node.args[0].type, node.type, args[0])
        if node.op in _CLOCKS and isinstance(node.value, tuple):
            return self._clock(node.op, args[0], node.value)
        if node.op in _SPANS:
            span = f"({self.wide(args[1])} - {self.wide(args[0])})"
            return self._whole(self.dialect.divide(span, self._number_of(_SPANS[node.op])))
        if node.op in _LENGTHS:
            return self._whole(self.dialect.divide(self.wide(args[0]), self._number_of(_LENGTHS[node.op])))
        if node.op == "sign":
            return f"(CASE WHEN {args[0]} > 0 THEN 1 WHEN {args[0]} < 0 THEN -1 WHEN {args[0]} = 0 THEN 0 END)"
        if node.op in {"round", "floor", "ceil"}:
            return self._rounded(node, args[0])
        found = self._arithmetic(node, [self.wide(arg) for arg in args])
        return found and self.fit(found, node.type)

    def _arithmetic(self, node: Node, args: list[str]) -> str:
        scale = self._number_of(SCALE)
        match node.op:
            case "add":
                return f"({args[0]} + {args[1]})"
            case "sub":
                return f"({args[0]} - {args[1]})"
            case "mul":
                product = f"({args[0]} * {args[1]})"
                return self.dialect.divide(product, scale) if node.type is Type.DECIMAL else product
            case "div":
                return self.dialect.divide(f"({args[0]} * {scale})", args[1])
            case "int_div":
                return self.dialect.divide(args[0], args[1])
            case "mod":
                return self.dialect.remainder(args[0], args[1])
            case "neg":
                return f"(-{args[0]})"
            case "abs":
                return f"abs({args[0]})"
            case _:
                return ""

    def _rounded(self, node: Node, arg: str) -> str:
        dialect, whole = self.dialect, self.wide(arg)
        if node.op == "round":
            digits = int(str(node.value[0])) if isinstance(node.value, tuple) and node.value else 0
            step = 10 ** (6 - digits)
            moved = f"({whole} + CASE WHEN {arg} < 0 THEN {-(step // 2)} ELSE {step // 2} END)"
            return self.fit(f"({dialect.divide(moved, self._number_of(step))} * {step})", Type.DECIMAL)
        low = f"CASE WHEN {dialect.remainder(whole, self._number_of(SCALE))}"
        change = f"- {low} < 0 THEN 1 ELSE 0 END" if node.op == "floor" else f"+ {low} > 0 THEN 1 ELSE 0 END"
        return self._whole(f"({dialect.divide(whole, self._number_of(SCALE))} {change})")

    def _cast(self, source: Type, target: Type, arg: str) -> str:
        dialect = self.dialect
        match source, target:
            case Type.INT, Type.DECIMAL:
                return self.fit(f"({self.wide(arg)} * {SCALE})", Type.DECIMAL)
            case Type.DECIMAL, Type.INT:
                return self._whole(dialect.divide(self.wide(arg), self._number_of(SCALE)))
            case Type.TEXT, Type.INT:
                number = f"CASE WHEN {dialect.matches(arg, '[+-]?[0-9]{1,19}')} THEN {dialect.to_wide(arg)} END"
                return self.fit(number, Type.INT)
            case Type.TEXT, Type.DECIMAL:
                test = dialect.matches(arg, "[+-]?[0-9]{1,12}([.][0-9]{1,6})?")
                return self._whole(f"CASE WHEN {test} THEN {dialect.to_decimal(arg)} END")
            case Type.TEXT, Type.BOOL:
                return f"(CASE WHEN {arg} = 'true' THEN TRUE WHEN {arg} = 'false' THEN FALSE END)"
            case Type.BOOL, Type.INT:
                return f"(CASE WHEN {arg} THEN 1 WHEN NOT {arg} THEN 0 END)"
            case Type.BOOL, Type.TEXT:
                return f"(CASE WHEN {arg} THEN 'true' WHEN NOT {arg} THEN 'false' END)"
            case Type.DECIMAL, Type.TEXT:
                whole = dialect.divide(f"abs({self.wide(arg)})", self._number_of(SCALE))
                rest = dialect.remainder(f"abs({self.wide(arg)})", self._number_of(SCALE))
                sign = f"CASE WHEN {arg} < 0 THEN '-' ELSE '' END"
                digits = f"lpad({self._as_text(rest)}, 6, '0')"
                return f"({sign} || {self._as_text(whole)} || '.' || {digits})"
            case _:
                return f"CAST({arg} AS {dialect.text if target is Type.TEXT else dialect.types[target]})"

    def _as_text(self, number: str) -> str:
        return f"CAST({self._whole(number)} AS {self.dialect.text})"

    def _clock(self, name: str, at: str, given: tuple[object, ...]) -> str:
        """Write what a clock of a time zone shows, from its changes as Koban knows them."""
        changes = changes_of(str(given[0]))
        if changes is None:
            self.refused.append(
                f"{name}(…, '{given[0]}'): its clocks change every year, and the engines have other tables"
            )
            return "NULL"
        *early, (_, last) = changes
        whens = " ".join(f"WHEN {at} < {until} THEN {offset}" for until, offset in early)
        offset = f"CASE {whens} ELSE {last} END" if early else str(last)
        local = f"({self.wide(at)} + ({offset}))"
        day = self._number_of(DAY)
        rest = self._place_in(local, day)
        inside = f"{at} > {YEAR_1} AND {at} < {YEAR_9000}"
        if name == "day_of_week":
            days = self.dialect.divide(f"({local} - {rest})", day)
            found = f"({self._place_in(f'({days} + 3)', self._number_of(7))} + 1)"
        else:
            found = self.dialect.divide(rest, self._number_of(MINUTE if name == "minute_of_day" else HOUR))
        shown = self._whole(f"CASE WHEN {inside} THEN {found} END")
        if name != "within_hours":
            return shown
        first, until = int(str(given[1])), int(str(given[2]))
        return f"({shown} >= {first} {'AND' if first <= until else 'OR'} {shown} < {until})"

    def _place_in(self, sql: str, length: str) -> str:
        """Write the remainder of a floor division, which is never negative."""
        rest = self.dialect.remainder(sql, length)
        return self.dialect.remainder(f"({rest} + {length})", length)

    def wide(self, sql: str) -> str:
        return f"CAST({sql} AS {self.dialect.wide})"

    def fit(self, sql: str, kind: Type) -> str:
        return self.dialect.fit_decimal(sql) if kind is Type.DECIMAL else self.dialect.fit_int(sql)

    def _whole(self, sql: str) -> str:
        """Narrow a wide number that is known to fit."""
        return f"CAST({sql} AS {self.dialect.types[Type.INT]})"

    def _number_of(self, value: int) -> str:
        return self.wide(str(value))


def literal(dialect: Dialect, value: object, kind: Type) -> str:
    """Write a constant."""
    if value is None:
        return f"CAST(NULL AS {dialect.types[kind]})"
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int):
        return f"CAST({value} AS {dialect.types[Type.INT]})"
    text = str(value).replace("\\", "\\\\") if dialect.backslash else str(value)
    quote = "\\'" if dialect.name == "bigquery" else "''"
    if dialect.name == "bigquery":
        text = text.replace("\n", "\\n").replace("\r", "\\r")
    return "'" + text.replace("'", quote) + "'"


@functools.cache
def changes_of(zone: str) -> tuple[tuple[int, int], ...] | None:
    """Return until when a zone's clocks had which offset, in microseconds; None where they change for ever."""
    info = zone_of(zone)
    at = int(datetime.datetime(_FIRST_YEAR, 1, 1, tzinfo=datetime.UTC).timestamp())
    end = int(datetime.datetime(_LAST_YEAR, 1, 1, tzinfo=datetime.UTC).timestamp())
    found: list[tuple[int, int]] = []
    offset = _offset(info, at)
    half = 43_200
    while at < end:
        later = _offset(info, at + half)
        if later != offset:
            low, high = at, at + half  # the change is after `low` and not after `high`
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if _offset(info, middle) == offset else (low, middle)
            found.append((high * SECOND, offset * SECOND))
            offset = later
        at += half
    if any(until > int(datetime.datetime(2037, 1, 1, tzinfo=datetime.UTC).timestamp()) * SECOND for until, _ in found):
        return None
    return (*found, (0, offset * SECOND))


def _offset(info: zoneinfo.ZoneInfo, at: int) -> int:
    found = datetime.datetime.fromtimestamp(at, info).utcoffset()
    assert found is not None, "a zone always has an offset"
    return int(found.total_seconds())
