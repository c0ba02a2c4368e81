"""The same feature values as steps of a query for a warehouse: each event joined with the events that feed its features.

Windows over a frame that moves with the current slot are DuckDB's alone; a join with the events of the same subject says
the same in every dialect, and is exact for distinct counts. Its cost grows with the square of a subject's events.
"""

import dataclasses
from collections.abc import Mapping
from typing import Final

from koban.base import DAY
from koban.features.expressions import check_argument, check_condition
from koban.features.generate import composed
from koban.features.plan import SLOTS, CellPlan, FeaturePlan, Plan, part_path, resolve_key
from koban.features.sql import archive_relation
from koban.features.values import TEXT_CHARS_KEPT
from koban.language import SCALE, Checked, Dialect, NotInDialect, Type, in_quotes, to_dialect
from koban.packs import EVERYONE, EventType, PackDef

_SAID: Final = frozenset(
    {"count", "count_of", "count_distinct", "sum", "avg", "min", "max", "first", "last", "age_days"}
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class WarehouseQuery:
    """A query being written: its dialect, the pack, and its steps so far."""

    dialect: Dialect
    pack: PackDef
    plan: Plan
    steps: list[str]

    def step(self, name: str, sql: str) -> str:
        """Add a step; returns its name."""
        self.steps.append(f"{name} AS (\n{sql}\n)")
        return name

    def column(self, path: str, alias: str) -> str:
        """Write the column of a field."""
        return f"{alias}.{in_quotes(self.dialect, path)}"


def feature_in_dialect(query: WarehouseQuery, event: EventType, key: str, prefix: str) -> tuple[str, str]:
    """Write the steps of a feature's value; returns the SQL that reads it beside the event `e`, and the joins.

    Refuses: NotInDialect.
    """
    plan, dialect = query.plan, query.dialect
    feature, path = resolve_key(plan, event, key)
    if feature.linked is not None:
        raise NotInDialect(f"{dialect.name} cannot say {feature.name}: it follows links between subjects.")
    values: list[str] = []
    joins = ""
    parts = plan.parts(feature.name)
    for place, part in enumerate(parts):
        name = f"{prefix}_{place}"
        values.append(_cell(query, event, part, str(part_path(feature, part, path, event)), name))
        joins += f"\n  LEFT JOIN {name} ON {name}.seq = e.seq"
    if feature.operands is None:
        return values[0], joins
    top, bottom = composed(feature, parts, [f"CAST({value} AS {dialect.wide})" for value in values])
    return _divide(dialect, f"({top})", f"({bottom})"), joins


def _cell(query: WarehouseQuery, event: EventType, part: FeaturePlan, path: str, name: str) -> str:
    """Write the step that aggregates one cell for every event that asks; returns the SQL of the value beside `e`."""
    dialect, cell = query.dialect, query.plan.cells[str(part.cell)]
    if cell.function not in _SAID:
        raise NotInDialect(f"{dialect.name} cannot say {part.name}: {cell.function} is computed by Koban alone.")
    fed = query.step(
        f"{name}_fed",
        "\n  UNION ALL\n".join(
            f"  SELECT e.seq AS seq, e.log_at AS log_at, {_subject(query, subject)} AS subject,"
            f" {_fed(query, cell, query.pack.events[source])} AS u FROM {archive_relation(source)} AS e"
            for source, subject in cell.by.items()
        ),
    )
    asked = _subject(query, path)
    before = "<" if part.excluding_current else "<="
    window = f"f.subject = {asked} AND f.u IS NOT NULL AND f.seq {before} e.seq"
    if cell.slot_us is not None:
        window += f" AND f.log_at >= e.log_at - {_into_slot(dialect, cell.slot_us)} - {(SLOTS - 1) * cell.slot_us}"
    query.step(
        name,
        f"  SELECT e.seq AS seq, {_aggregate(dialect, cell)}\n"
        f"  FROM {archive_relation(event.name)} AS e JOIN {fed} AS f ON f.subject = {asked}\n"
        f"  WHERE {window}\n  GROUP BY e.seq",
    )
    return _read(dialect, cell, name, asked)


def _into_slot(dialect: Dialect, slot_us: int) -> str:
    """Write how far an event is into its slot."""
    at = f"CAST(e.log_at AS {dialect.wide})"
    slot = f"CAST({slot_us} AS {dialect.wide})"
    rest = dialect.remainder(f"({dialect.remainder(at, slot)} + {slot})", slot)
    return f"CAST({rest} AS {dialect.types[Type.INT]})"


def _subject(query: WarehouseQuery, path: str) -> str:
    if path == EVERYONE:
        return "'*'"
    parts = [query.column(part, "e") for part in path.split("+")]
    if len(parts) == 1:
        return parts[0]
    length = f"CAST({query.dialect.length}({parts[0]}) AS {query.dialect.text})"
    return f"({length} || ':' || {parts[0]} || {parts[1]})"


def _fed(query: WarehouseQuery, cell: CellPlan, event: EventType) -> str:
    """Write what an event feeds into a cell; NULL where it does not count."""
    columns = {path: query.column(path, "e") for path in event.fields} | {"time": "e.log_at"}
    if cell.function == "count":
        fed = f"CAST(1 AS {query.dialect.types[Type.INT]})"
    elif cell.function == "age_days":
        fed = "e.log_at"
    else:
        fed = _said(query, check_argument(str(cell.argument), event), event, columns)
    if cell.argument_type == "text" and cell.function in {"first", "last"}:
        fed = f"substring({fed}, 1, {TEXT_CHARS_KEPT})"
    if cell.where is None:
        return fed
    return f"CASE WHEN {_said(query, check_condition(cell.where, event), event, columns)} THEN {fed} END"


def _said(query: WarehouseQuery, checked: Checked, event: EventType, columns: Mapping[str, str]) -> str:
    refuse_sealed(event, checked, query.dialect)
    return to_dialect(checked, columns, query.dialect)


def _aggregate(dialect: Dialect, cell: CellPlan) -> str:
    wide = f"CAST(f.u AS {dialect.wide})"
    match cell.function:
        case "count" | "count_of":
            return "count(f.u) AS v"
        case "count_distinct":
            return "count(DISTINCT f.u) AS v"
        case "sum":
            return f"sum({wide}) AS v"
        case "avg":
            return f"sum({wide}) AS v, count(f.u) AS n"
        case "min" | "max":
            return f"{cell.function}(f.u) AS v"
        case "first":
            return f"{dialect.first_of('f.u', 'f.seq')} AS v"
        case "last":
            return f"{dialect.last_of('f.u', 'f.seq')} AS v"
        case _:
            return "min(f.u) AS v"


def _read(dialect: Dialect, cell: CellPlan, name: str, subject: str) -> str:
    """Write how an aggregate is read: a count of nothing is 0, where the event names a subject at all."""
    value, whole = f"{name}.v", dialect.types[Type.INT]
    match cell.function:
        case "count" | "count_of":
            return f"CASE WHEN {subject} IS NOT NULL THEN coalesce(CAST({value} AS {whole}), 0) END"
        case "count_distinct":
            found = f"CASE WHEN {value} > {cell.bound} THEN {cell.bound} ELSE {value} END"
            return f"CASE WHEN {subject} IS NOT NULL THEN coalesce(CAST({found} AS {whole}), 0) END"
        case "sum":
            return dialect.fit_decimal(value) if cell.argument_type == "decimal" else dialect.fit_int(value)
        case "avg":
            scale = SCALE if cell.argument_type == "decimal" else 1
            return _divide(dialect, value, f"(CAST({name}.n AS {dialect.wide}) * {scale})")
        case "age_days":
            age = f"CAST(e.log_at - {value} AS {dialect.wide})"
            return f"CAST({dialect.divide(age, f'CAST({DAY} AS {dialect.wide})')} AS {whole})"
        case _:
            return value


def _divide(dialect: Dialect, top: str, bottom: str) -> str:
    return dialect.fit_decimal(dialect.divide(f"({top} * {SCALE})", bottom))


def refuse_sealed(event: EventType, checked: Checked, dialect: Dialect) -> None:
    """Refuse what reads a sealed field.

    Refuses: NotInDialect.
    """
    sealed = [
        path
        for path in sorted(checked.reads)
        if event.fields[path].personal is not None and not event.fields[path].joined
    ]
    if sealed:
        raise NotInDialect(f"{dialect.name} cannot say {sealed[0]}: it is personal, and sealed in the archive.")
