"""Write a rule as one query for a warehouse that holds the archive: which events it would have hit.

The query reads the archive's relations (`event_<type>`) and two more that `koban sql --spans` writes: `koban_on_list` and
`koban_labelled`, which say in which span of log time a value was on a list or a label counted. Features are joined with the
events that feed them: slots, exclusions and bounds are those of the live engine.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from koban.base import DAY
from koban.features import Plan, archive_relation, check_argument, check_condition, plan_features, resolve_key
from koban.features.generate import composed
from koban.features.plan import SLOTS, CellPlan, FeaturePlan, part_path
from koban.features.values import TEXT_CHARS_KEPT
from koban.lab.asof import Interval, Past
from koban.lab.split import is_lookup
from koban.lab.types import Log
from koban.language import SCALE, Checked, Dialect, Node, NotInDialect, Type, dialect_named, in_quotes, literal, to_dialect, walk
from koban.packs import EVERYONE, EventType, PackDef, PackInvalid
from koban.rules import CheckedRule, RuleMissing, typed_rules

ON_LIST: Final = "koban_on_list"
LABELLED: Final = "koban_labelled"
_SPAN_COLUMNS: Final = (("name", Type.TEXT), ("value", Type.TEXT), ("after_at", Type.INT), ("until_at", Type.INT))
_SAID: Final = frozenset({"count", "count_of", "count_distinct", "sum", "avg", "min", "max", "first", "last", "age_days"})


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Query:
    """What is being written: a dialect, a pack, and the steps of the query so far."""

    dialect: Dialect
    pack: PackDef
    plan: Plan
    steps: list[str]

    def step(self, name: str, sql: str) -> str:
        self.steps.append(f"{name} AS (\n{sql}\n)")
        return name

    def column(self, path: str, alias: str = "") -> str:
        return (f"{alias}." if alias else "") + in_quotes(self.dialect, path)


def rule_sql(pack: PackDef, name: str, dialect: str) -> str:
    """Write the query that answers (event_type, seq, log_at) for every event that a rule hits.

    Refuses: RuleMissing, PackInvalid, NotInDialect.
    """
    chosen = dialect_named(dialect)
    typed = _typed(pack, name)
    keys = {key.partition("@")[0] for rule in typed.values() for key in rule.feature_keys}
    query = _Query(dialect=chosen, pack=pack, plan=plan_features(pack, keys), steps=[])
    parts = [_judge(query, event, rule, f"e{place}") for place, (event, rule) in enumerate(sorted(typed.items()))]
    head = f"-- Rule {name} of pack {pack.digest[:12]}, for {chosen.name}; see docs/guides/warehouse.md\n"
    steps = "WITH " + ",\n".join(query.steps) + "\n" if query.steps else ""
    return f"{head}{steps}" + "\nUNION ALL\n".join(parts) + chosen.ending


def tables_sql(pack: PackDef, name: str, dialect: str) -> str:
    """Write the tables that a rule's query reads.

    Refuses: RuleMissing, PackInvalid, NotInDialect.
    """
    chosen = dialect_named(dialect)
    made = [_table(chosen, table, columns) for table, columns in warehouse_tables(pack, name, dialect).items()]
    return "\n".join(f"{each};" for each in made)


def warehouse_tables(pack: PackDef, name: str, dialect: str) -> dict[str, tuple[tuple[str, Type], ...]]:
    """Return the tables that a rule's query reads, with their columns.

    Refuses: RuleMissing, PackInvalid, NotInDialect.
    """
    chosen = dialect_named(dialect)
    first = (("seq", Type.INT), ("log_at", Type.INT))
    found = {archive_relation(kind): (*first, *_fields(pack.events[kind], chosen)) for kind in read_kinds(pack, name)}
    return {**found, ON_LIST: _SPAN_COLUMNS, LABELLED: _SPAN_COLUMNS}


def read_kinds(pack: PackDef, name: str) -> list[str]:
    """Name the event types whose relations a rule's query reads.

    Refuses: RuleMissing, PackInvalid.
    """
    typed = _typed(pack, name)
    plan = plan_features(pack, {key.partition("@")[0] for rule in typed.values() for key in rule.feature_keys})
    found = set(typed)
    for event, rule in typed.items():
        for key in rule.feature_keys:
            feature, _ = resolve_key(plan, pack.events[event], key)
            for part in plan.parts(feature.name):
                found.update(plan.cells[str(part.cell)].by)
    return sorted(found)


def spans_of(log: Log, pack: PackDef, *, upto_seq: int) -> dict[str, list[Interval]]:
    """Return the rows of the two relations of spans, as of an entry of the log."""
    lists, labels = Past(log.tx, pack, upto_seq=upto_seq).intervals()
    return {ON_LIST: list(lists), LABELLED: list(labels)}


def _typed(pack: PackDef, name: str) -> dict[str, CheckedRule]:
    if name not in pack.rules:
        raise RuleMissing(f"The pack has no rule {name[:80]!r}.")
    typed, faults = typed_rules(pack)
    if faults:
        raise PackInvalid(faults, pack.files)
    return {event: rule for event, rules in typed.items() for rule in rules if rule.rule.name == name}


def _fields(event: EventType, dialect: Dialect) -> list[tuple[str, Type]]:
    """Return the columns that a warehouse holds of an event type: no sealed field, no array where none may be NULL."""
    kept = [
        (path, Type(field.type))
        for path, field in event.fields.items()
        if (field.personal is None or field.joined) and (dialect.arrays or field.type != Type.TEXTS)
    ]
    names = [path.replace(".", dialect.dots) for path, _ in kept]
    if len(set(names)) < len(names):
        raise NotInDialect(f"{dialect.name} cannot tell fields of {event.name} apart that differ in dots alone.")
    return kept


def _table(dialect: Dialect, name: str, columns: Iterable[tuple[str, Type]]) -> str:
    shown = ", ".join(f"{in_quotes(dialect, path)} {dialect.types[kind]}" for path, kind in columns)
    ending = " ENGINE = MergeTree ORDER BY tuple()" if dialect.name == "clickhouse" else ""
    return f"CREATE TABLE {name} ({shown}){ending}"


def _judge(query: _Query, name: str, rule: CheckedRule, prefix: str) -> str:
    """Write the part that judges one event type: its fields and features side by side, look-ups joined, truth last."""
    event, dialect = query.pack.events[name], query.dialect
    _refuse_sealed(event, rule.checked, dialect)
    if rule.checked.scores:
        raise NotInDialect(f"{dialect.name} cannot say score: scores are entries of the log, which a warehouse does not hold.")
    fields = sorted(rule.checked.reads)
    shown = ["e.seq AS seq", "e.log_at AS log_at"]
    shown += [f"{query.column(path, 'e')} AS {in_quotes(dialect, f'f {path}')}" for path in fields]
    joins = ""
    for place, key in enumerate(sorted(rule.feature_keys)):
        value, joined = _feature(query, event, key, f"{prefix}_v{place}")
        shown.append(f"{value} AS {in_quotes(dialect, f'v{place}')}")
        joins += joined
    judged = query.step(
        f"{prefix}_judged", f"  SELECT {', '.join(shown)}\n  FROM {archive_relation(name)} AS e{joins}"
    )
    columns = {path: f"j.{in_quotes(dialect, f'f {path}')}" for path in fields}
    columns |= {key: f"j.{in_quotes(dialect, f'v{place}')}" for place, key in enumerate(sorted(rule.feature_keys))}
    columns["time"] = "j.log_at"
    joins = ""
    for place, node in enumerate(_lookups(rule.checked)):
        asked = to_dialect(_part(rule.checked, node.args[0]), columns, dialect)
        found, table = f"{prefix}_l{place}", LABELLED if node.op == "has_label" else ON_LIST
        held = node.value[0] if isinstance(node.value, tuple) else node.value
        query.step(
            found,
            f"  SELECT DISTINCT j.seq AS seq FROM {judged} AS j{joins} JOIN {table} AS s ON s.value = {asked}\n"
            f"  WHERE s.name = {literal(dialect, held, Type.TEXT)} AND s.after_at < j.log_at AND j.log_at < s.until_at",
        )
        joins += f"\nLEFT JOIN {found} ON {found}.seq = j.seq"
        columns[node.key] = f"(CASE WHEN {asked} IS NOT NULL THEN {found}.seq IS NOT NULL END)"
    condition = to_dialect(rule.checked, columns, dialect)
    return f"SELECT '{name}' AS event_type, j.seq AS seq, j.log_at AS log_at\nFROM {judged} AS j{joins}\nWHERE {condition}"


def _part(checked: Checked, node: Node) -> Checked:
    return msgspec.structs.replace(checked, core=node, root=node, type=node.type)


def _lookups(checked: Checked) -> list[Node]:
    """Return the look-ups of an expression, each once; those inside of others first."""
    found = {node.key: node for node in reversed(list(walk(checked.core))) if is_lookup(node)}
    return list(found.values())


def _refuse_sealed(event: EventType, checked: Checked, dialect: Dialect) -> None:
    sealed = [path for path in sorted(checked.reads) if event.fields[path].personal is not None and not event.fields[path].joined]
    if sealed:
        raise NotInDialect(f"{dialect.name} cannot say {sealed[0]}: it is personal, and sealed in the archive.")


def _feature(query: _Query, event: EventType, key: str, prefix: str) -> tuple[str, str]:
    """Write the steps of a feature's value; returns the SQL that reads it beside the event `e`, and the joins."""
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


def _cell(query: _Query, event: EventType, part: FeaturePlan, path: str, name: str) -> str:
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


def _subject(query: _Query, path: str) -> str:
    if path == EVERYONE:
        return "'*'"
    parts = [query.column(part, "e") for part in path.split("+")]
    if len(parts) == 1:
        return parts[0]
    length = f"CAST({query.dialect.length}({parts[0]}) AS {query.dialect.text})"
    return f"({length} || ':' || {parts[0]} || {parts[1]})"


def _fed(query: _Query, cell: CellPlan, event: EventType) -> str:
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


def _said(query: _Query, checked: Checked, event: EventType, columns: Mapping[str, str]) -> str:
    _refuse_sealed(event, checked, query.dialect)
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
