"""Write a rule as one query for a warehouse that holds the archive: which events it would have hit.

The query reads the archive's relations (`event_<type>`) and two more that `koban sql --spans` writes: `koban_on_list` and
`koban_labelled`, which say in which span of log time a value was on a list or a label counted. Features are joined with the
events that feed them: slots, exclusions and bounds are those of the live engine.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from koban.features import (
    WarehouseQuery,
    archive_relation,
    feature_in_dialect,
    plan_features,
    refuse_sealed,
    resolve_key,
)
from koban.lab.asof import Interval, Past
from koban.lab.split import is_lookup
from koban.lab.types import Log
from koban.language import (
    Checked,
    Dialect,
    Node,
    NotInDialect,
    Type,
    dialect_named,
    in_quotes,
    literal,
    to_dialect,
    walk,
)
from koban.packs import EventType, PackDef, PackInvalid
from koban.rules import CheckedRule, RuleMissing, typed_rules

ON_LIST: Final = "koban_on_list"
LABELLED: Final = "koban_labelled"
_SPAN_COLUMNS: Final = (("name", Type.TEXT), ("value", Type.TEXT), ("after_at", Type.INT), ("until_at", Type.INT))


def rule_sql(pack: PackDef, name: str, dialect: str) -> str:
    """Write the query that answers (event_type, seq, log_at) for every event that a rule hits.

    Refuses: RuleMissing, PackInvalid, NotInDialect.
    """
    chosen = dialect_named(dialect)
    typed = _typed(pack, name)
    keys = {key.partition("@")[0] for rule in typed.values() for key in rule.feature_keys}
    query = WarehouseQuery(dialect=chosen, pack=pack, plan=plan_features(pack, keys), steps=[])
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
        if (field.personal is None or field.joined) and (dialect.arrays or Type(field.type) is not Type.TEXTS)
    ]
    names = [path.replace(".", dialect.dots) for path, _ in kept]
    if len(set(names)) < len(names):
        raise NotInDialect(f"{dialect.name} cannot tell fields of {event.name} apart that differ in dots alone.")
    return kept


def _table(dialect: Dialect, name: str, columns: Iterable[tuple[str, Type]]) -> str:
    shown = ", ".join(f"{in_quotes(dialect, path)} {dialect.types[kind]}" for path, kind in columns)
    ending = " ENGINE = MergeTree ORDER BY tuple()" if dialect.name == "clickhouse" else ""
    return f"CREATE TABLE {name} ({shown}){ending}"


def _judge(query: WarehouseQuery, name: str, rule: CheckedRule, prefix: str) -> str:
    """Write the part that judges one event type: its fields and features side by side, look-ups joined, truth last."""
    event, dialect = query.pack.events[name], query.dialect
    refuse_sealed(event, rule.checked, dialect)
    if rule.checked.scores:
        raise NotInDialect(
            f"{dialect.name} cannot say score: scores are entries of the log, which a warehouse does not hold."
        )
    fields = sorted(rule.checked.reads)
    shown = ["e.seq AS seq", "e.log_at AS log_at"]
    shown += [f"{query.column(path, 'e')} AS {in_quotes(dialect, f'f{place}')}" for place, path in enumerate(fields)]
    joins = ""
    for place, key in enumerate(sorted(rule.feature_keys)):
        value, joined = feature_in_dialect(query, event, key, f"{prefix}_v{place}")
        shown.append(f"{value} AS {in_quotes(dialect, f'v{place}')}")
        joins += joined
    judged = query.step(f"{prefix}_judged", f"  SELECT {', '.join(shown)}\n  FROM {archive_relation(name)} AS e{joins}")
    columns = {path: f"j.{in_quotes(dialect, f'f{place}')}" for place, path in enumerate(fields)}
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
    return (
        f"SELECT '{name}' AS event_type, j.seq AS seq, j.log_at AS log_at\nFROM {judged} AS j{joins}\nWHERE {condition}"
    )


def _part(checked: Checked, node: Node) -> Checked:
    return msgspec.structs.replace(checked, core=node, root=node, type=node.type)


def _lookups(checked: Checked) -> list[Node]:
    """Return the look-ups of an expression, each once; those inside of others first."""
    found = {node.key: node for node in reversed(list(walk(checked.core))) if is_lookup(node)}
    return list(found.values())
