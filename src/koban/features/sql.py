"""The same feature values in DuckDB, as of each event, over the archive.

The archive has one relation per event type, `event_<type with dots as underscores>`, with the columns `seq` and
`log_at` (BIGINT, the latter in microseconds) and one column per declared field, named by its dotted path: text
VARCHAR, int BIGINT, decimal BIGINT scaled by 10^6, timestamp BIGINT in microseconds, bool BOOLEAN, text[] VARCHAR[].

Features of linked accounts read one more, `event_koban_sanctioned`: which sanction stood on which subject from when
until when, in log time.

Expressions that read texts, deviations, most frequent values and links call Python functions: give the connection
`koban.language.register_functions` first.

Log time rises with every entry, so a window is a RANGE frame over `log_at` that starts where its oldest slot starts.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Final

from koban.base import DAY
from koban.features.expressions import check_argument, check_condition, duckdb, quoted
from koban.features.generate import composed
from koban.features.plan import SLOTS, CellPlan, FeaturePlan, Plan, part_path, plan_features, resolve_key
from koban.features.subjects import sql_subject
from koban.features.values import DECIMAL_MAX, INT_MAX, INT_MIN, SCALE, TEXT_CHARS_KEPT
from koban.language import SQL_TYPES, SQUARES_CUT, Type
from koban.packs import EventType, PackDef

Relation = Callable[[str], str]
Parts = Mapping[str, Mapping[str, str]]  # event type -> key of a part of an expression -> the SQL that reads it
_NO_PARTS: Final[Parts] = MappingProxyType({})
SANCTIONED: Final = "koban.sanctioned"  # relation of sanctions: kind, subject, from_at, until_at (exclusive), log times


@dataclasses.dataclass(frozen=True)
class _Window:
    """One use of a cell in a query: the subject's path, and whether the current event counts."""

    fingerprint: str
    path: str
    excluding_current: bool
    cell: CellPlan = dataclasses.field(compare=False)


def archive_relation(event_type: str) -> str:
    """Name the archive's relation of an event type."""
    return "event_" + event_type.replace(".", "_")


def feature_sql(
    pack: PackDef,
    event_type: str,
    keys: Iterable[str],
    *,
    relation: Relation = archive_relation,
    parts: Parts = _NO_PARTS,
    plan: Plan | None = None,
    subject: Callable[[str], str] = sql_subject,
) -> str:
    """Write the query that answers `seq` and one column per key, for every event of one type.

    Keys are as in `compile_features`; columns are named by them. `parts` are columns of the relation that hold parts of
    expressions, computed elsewhere; `plan` spares planning the pack again; `subject` writes whose past an event at a path
    belongs to, which is not that of everybody with the same id where somebody was erased. Units: decimals are scaled by 10^6.
    """
    plan = plan_features(pack) if plan is None else plan
    event = pack.events[event_type]
    wanted = [(key, *resolve_key(plan, event, key)) for key in sorted(set(keys))]
    groups: dict[tuple[object, ...], list[_Window]] = {}
    for _, feature, path in wanted:
        for part in plan.parts(feature.name):
            window = _window(plan, part, str(part_path(feature, part, path, event)))
            group = groups.setdefault((window.path, part.kind, *sorted(window.cell.by.items())), [])
            if window not in group:
                group.append(window)
    tables = [
        f"g{number} AS (\n{_group_sql(pack, event, windows, relation, parts, subject_of=subject)}\n)"
        for number, windows in enumerate(groups.values())
    ]
    tables += [
        f"first_{name} AS (\n{_first_seen(pack, plan.cells[str(plan.features[name].cell)], relation, parts)}\n)"
        for name in sorted({str(feature.through) for _, feature, _ in wanted if feature.through})
    ]
    columns = {
        window: f"g{number}.a{place}"
        for number, windows in enumerate(groups.values())
        for place, window in enumerate(windows)
    }
    values = [
        f"{_value(plan, event, feature, path, columns=columns, relation=relation)} AS {quoted(key)}"
        for key, feature, path in wanted
    ]
    joins = "".join(f"\nLEFT JOIN g{number} ON g{number}.seq = e.seq" for number in range(len(groups)))
    head = "WITH " + ",\n".join(tables) + "\n" if tables else ""
    return f"{head}SELECT {', '.join(['e.seq', *values])}\nFROM {relation(event_type)} AS e{joins}"


def _window(plan: Plan, part: FeaturePlan, path: str) -> _Window:
    return _Window(str(part.cell), path, part.excluding_current, plan.cells[str(part.cell)])


def _group_sql(
    pack: PackDef,
    event: EventType,
    windows: list[_Window],
    relation: Relation,
    parts: Parts,
    *,
    subject_of: Callable[[str], str],
) -> str:
    """Write the windows over the events that feed one group of cells, asked at one subject of each event."""
    by, path = windows[0].cell.by, windows[0].path
    sources = []
    for name, subject in by.items():
        known = parts.get(name, {})
        inputs = [
            each
            for place, window in enumerate(windows)
            for each in _inputs(window.cell, pack.events[name], place, known)
        ]
        asked = str(name == event.name and subject == path).upper()
        sources.append(_source(inputs, subject_of(subject), asked, relation(name)))
    if by.get(event.name) != path:
        inputs = [
            f"NULL AS {column}" for place, window in enumerate(windows) for column in _input_columns(window.cell, place)
        ]
        sources.append(_source(inputs, subject_of(path), "TRUE", relation(event.name)))
    answers = ", ".join(f"{_aggregate(window, place)} AS a{place}" for place, window in enumerate(windows))
    rows = "(" + "\n    UNION ALL ".join(sources) + ")"
    for place, window in enumerate(windows):
        if window.cell.function == "sequence":
            rows = _followed(window.cell, place, rows)
    return f"  SELECT * FROM (\n    SELECT seq, asked, {answers}\n    FROM {rows}\n  ) WHERE asked"


def _inputs(cell: CellPlan, event: EventType, place: int, parts: Mapping[str, str]) -> list[str]:
    """Write what an event feeds into a cell: one column, or one for each step of a sequence."""
    if cell.function != "sequence":
        return [f"{_input(cell, event, parts)} AS u{place}"]
    fed = [_where(cell, event, "log_at", parts) if step.event == event.name else "NULL" for step in cell.steps]
    return [f"{each}::BIGINT AS {column}" for each, column in zip(fed, _input_columns(cell, place), strict=True)]


def _input_columns(cell: CellPlan, place: int) -> list[str]:
    if cell.function != "sequence":
        return [f"u{place}"]
    return [f"u{place}_{number}" for number in range(len(cell.steps))]


def _followed(cell: CellPlan, place: int, rows: str) -> str:
    """Follow a sequence step by step: each step counts when the newest step before it is near enough."""
    columns = _input_columns(cell, place)
    before = columns[0]
    for step, column in zip(cell.steps[1:], columns[1:], strict=True):
        newest = (
            f"max({before}) OVER (PARTITION BY subject ORDER BY log_at"
            " RANGE BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)"
        )
        rows = f"(SELECT *, {newest} AS before_{column} FROM {rows})"
        rows = f"(SELECT *, CASE WHEN {column} - before_{column} <= {step.within_us} THEN {column} END AS on_{column} FROM {rows})"
        before = f"on_{column}"
    return f"(SELECT *, {before} AS u{place} FROM {rows})"


def _first_seen(pack: PackDef, cell: CellPlan, relation: Relation, parts: Parts) -> str:
    """Write when each subject of an age was first counted."""
    sources = "\n    UNION ALL ".join(
        f"SELECT {sql_subject(path)} AS subject, {_input(cell, pack.events[name], parts.get(name, {}))} AS since FROM {relation(name)}"
        for name, path in cell.by.items()
    )
    return f"  SELECT subject, min(since) AS first_at FROM ({sources}) WHERE since IS NOT NULL GROUP BY subject"


def _source(inputs: list[str], subject: str, asked: str, relation: str) -> str:
    return (
        f"SELECT seq, log_at, {subject} AS subject, {asked} AS asked, {', '.join(inputs)}"
        f" FROM {relation} WHERE {subject} IS NOT NULL"
    )


def _input(cell: CellPlan, event: EventType, parts: Mapping[str, str]) -> str:
    """Write what an event feeds into a cell; NULL where it does not count."""
    match cell.function:
        case "count":
            fed = "1"
        case "age_days":
            fed = "log_at"
        case _:
            fed = duckdb(check_argument(str(cell.argument), event), parts)
    if cell.argument_type == "text" and cell.function in {"first", "last", "most_frequent"}:
        fed = f"substring({fed}, 1, {TEXT_CHARS_KEPT})"
    return _where(cell, event, fed, parts)


def _where(cell: CellPlan, event: EventType, fed: str, parts: Mapping[str, str]) -> str:
    if cell.where is None:
        return f"({fed})"
    return f"CASE WHEN {duckdb(check_condition(cell.where, event), parts)} THEN {fed} END"


def _aggregate(window: _Window, place: int) -> str:
    cell, column = window.cell, f"u{place}"
    over = f"OVER (PARTITION BY subject ORDER BY log_at RANGE BETWEEN {_frame(window)})"
    match cell.function:
        case "count" | "count_of":
            return f"count({column}) {over}"
        case "count_distinct":
            return f"least(count(DISTINCT {column}) {over}, {cell.bound})"
        case "sum":
            return f"sum({column}) {over}"
        case "avg":
            return f"{{'total': sum({column}) {over}, 'count': count({column}) {over}}}"
        case "min" | "max":
            return f"{cell.function}({column}) {over}"
        case "first" | "last":
            return f"{cell.function}_value({column} IGNORE NULLS) {over}"
        case "age_days":
            return f"min({column}) {over}"
        case "stddev":
            square = f"({column}::HUGEINT * {column}::HUGEINT)"
            high, low = f"sum({square} // {SQUARES_CUT}) {over}", f"sum({square} % {SQUARES_CUT}) {over}"
            return f"{{'total': sum({column}) {over}, 'high': {high}, 'low': {low}, 'count': count({column}) {over}}}"
        case "most_frequent":
            return f"list_slice({_listed(column, over)}, -{cell.bound}, -1)"
        case "linked":
            return f"coalesce(koban_last_distinct({_listed(column, over)}, {cell.bound}), [])"
        case "sequence":
            return f"count({column}) {over}"
        case "ratio" | "rate" | "peers":
            raise AssertionError(f"{cell.function} has no cell")


def _listed(column: str, over: str) -> str:
    return f"(list(CAST({column} AS VARCHAR)) FILTER (WHERE {column} IS NOT NULL) {over})"


def _frame(window: _Window) -> str:
    end = "1 PRECEDING" if window.excluding_current else "CURRENT ROW"
    width = window.cell.slot_us
    if width is None:
        return f"UNBOUNDED PRECEDING AND {end}"
    into_slot = f"((log_at % {width}) + {width}) % {width}"  # the remainder of a floor division, before 1970 too
    return f"({(SLOTS - 1) * width} + {into_slot}) PRECEDING AND {end}"


def _value(
    plan: Plan, event: EventType, feature: FeaturePlan, path: str, *, columns: dict[_Window, str], relation: Relation
) -> str:
    parts = plan.parts(feature.name)
    windows = [_window(plan, part, str(part_path(feature, part, path, event))) for part in parts]
    if feature.linked is not None:
        return _read_linked(feature, columns[windows[0]], relation)
    values = [_read(window, columns[window]) for window in windows]
    if feature.operands is None:
        return values[0]
    top, bottom = composed(feature, parts, [f"{value}::HUGEINT" for value in values])
    return _divide(f"({top})", f"({bottom})")


def _read_linked(feature: FeaturePlan, column: str, relation: Relation) -> str:
    """Ask something of the linked subjects that a column lists."""
    if feature.linked == "sanctioned":
        asked = (
            f"{relation(SANCTIONED)} AS s WHERE s.kind = '{feature.linked_kind}' AND list_contains({column}, s.subject)"
        )
        asked += " AND s.from_at <= e.log_at AND e.log_at < s.until_at"
        return f"(CASE WHEN {column} IS NOT NULL THEN (SELECT count(DISTINCT s.subject) FROM {asked}) END)"
    pick = "max" if feature.linked == "youngest" else "min"
    known = f"first_{feature.through} AS f WHERE list_contains({column}, f.subject) AND f.first_at <= e.log_at"
    return f"(SELECT (e.log_at - {pick}(f.first_at)) // {DAY} FROM {known})"


def _read(window: _Window, column: str) -> str:
    cell = window.cell
    match cell.function:
        case "sum":
            least, most = (-DECIMAL_MAX, DECIMAL_MAX) if cell.argument_type == "decimal" else (INT_MIN, INT_MAX)
            return f"CASE WHEN {column} BETWEEN {least} AND {most} THEN {column}::BIGINT END"
        case "avg":
            scale = SCALE if cell.argument_type == "decimal" else 1
            return _divide(f"{column}.total", f"({column}.count::HUGEINT * {scale})")
        case "age_days":
            return f"((e.log_at - {column}) // {DAY})"
        case "stddev":
            totals = ", ".join(f"{column}.{part}" for part in ("total", "high", "low", "count"))
            return f"koban_deviation({totals}, {cell.argument_type == 'decimal'})"
        case "most_frequent":
            return f"CAST(koban_most_frequent({column}) AS {SQL_TYPES[Type(str(cell.argument_type))]})"
        case _:
            return column


def _divide(top: str, bottom: str) -> str:
    """Write `values.divide` in DuckDB."""
    quotient = f"(({top} * {SCALE}) // {bottom})"  # DuckDB cuts towards zero
    return (
        f"(CASE WHEN {bottom} = 0 THEN NULL"
        f" WHEN {quotient} BETWEEN {-DECIMAL_MAX} AND {DECIMAL_MAX} THEN {quotient}::BIGINT END)"
    )
