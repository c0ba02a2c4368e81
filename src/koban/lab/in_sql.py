"""Run a pack's conditions over a log as SQL: windows, joins and truth in DuckDB, texts in Python where they matter.

Features are windows over the archive's relations. Lists and labels are joined as the spans in which they held. What only
Python can compute (texts, patterns, sealed fields) is computed by the compiled expressions that decide live, with lists as
of each event, for those events that the rest of a condition does not exclude; see `split`.
"""

import dataclasses
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import duckdb
import msgspec

from koban.events import archive as archives
from koban.events import make_preparer
from koban.features import (
    Plan,
    archive_relation,
    check_argument,
    check_condition,
    feature_sql,
    resolve_key,
)
from koban.lab.asof import Interval, Past
from koban.lab.erased import ACCOUNT, Erased
from koban.lab.split import Split, is_lookup, split, write
from koban.lab.types import Log, NotInSql, Scope
from koban.language import NEVER, Checked, Node, Type, Value, compile_traces
from koban.packs import PackDef
from koban.rules import CheckedRule
from koban.rules import compile as compiling
from koban.text import Normalised

PAGE: Final = 20_000
_BEYOND: Final = {  # what cells keep -> what a feature is that reads them
    "sequence": "is a sequence of events",
    "linked": "counts linked accounts",
    "stddev": "is a standard deviation",
    "most_frequent": "is a most frequent value",
}
RULES_AT_ONCE: Final = 64
_SQL_TYPES: Final[Mapping[Type, str]] = {
    Type.BOOL: "bool",
    Type.INT: "int",
    Type.DECIMAL: "decimal",
    Type.TEXT: "text",
    Type.TIMESTAMP: "timestamp",
    Type.INTERVAL: "int",
    Type.TEXTS: "text[]",
}

Typed = Mapping[str, Sequence[CheckedRule]]  # event type -> the rules that read it


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """What a run over one pack needs: `prefix` names its tables, so that several packs share one connection."""

    connection: duckdb.DuckDBPyConnection
    log: Log
    pack: PackDef
    plan: Plan
    past: Past
    scope: Scope
    prefix: str
    erased: Sequence[Erased] = ()  # by event types and the pack's features: what each forgot, and when


def run_in_sql(run: Run, typed: Typed, numbers: Mapping[str, int]) -> None:
    """Write (seq, rule) of every rule that matches into the table `hits` of the connection; `numbers` name the rules.

    Raises NotInSql.
    """
    typed = {name: rules for name, rules in typed.items() if rules and _has_events(run, name)}
    splits = {
        name: [split(each.checked, sealed=_sealed(run.pack, name)) for each in rules] for name, rules in typed.items()
    }
    keys = {name: sorted({key for each in rules for key in each.feature_keys}) for name, rules in typed.items()}
    feature_atoms = _feature_atoms(run.pack, run.plan, keys)
    _write_spans(run)
    floor = _floor(run, keys)
    _write_erased(run)
    for name in sorted({*typed, *_sources(run.pack, run.plan, keys)}):
        _relate(run, name, feature_atoms.get(name, {}), floor)
    for name, rules in typed.items():
        _judge(run, name, list(zip(rules, splits[name], strict=True)), feature_atoms, numbers)


def unsayable(pack: PackDef, plan: Plan, typed: Typed) -> dict[str, str]:
    """Return the rules that SQL cannot say, with a sentence that says what of it.

    The console knows these sentences (`console.tried`) and says them in the reader's language.
    """
    found: dict[str, str] = {}
    for name, rules in typed.items():
        keys = sorted({key for each in rules for key in each.feature_keys})
        bad = {} if _why_not(pack, plan, name, keys) == "" else {key: _why_not(pack, plan, name, [key]) for key in keys}
        for rule in rules:
            reasons = [reason for key in sorted(rule.feature_keys) if (reason := bad.get(key))]
            try:
                split(rule.checked, sealed=_sealed(pack, name))
            except NotInSql as reason:
                reasons.append(_said(reason.what))
            if reasons:
                found.setdefault(rule.rule.name, reasons[0])
    return found


def _why_not(pack: PackDef, plan: Plan, name: str, keys: Sequence[str]) -> str:
    for key in keys:
        feature, path = resolve_key(plan, pack.events[name], key)
        cells = [plan.cells[str(part.cell)] for part in plan.parts(feature.name)]
        kinds = [_BEYOND[each.function] for each in cells if each.function in _BEYOND]
        if path not in pack.events[name].subjects or not all(_plain(pack, each.by) for each in cells):
            kinds.append("does not belong to one subject")
        if kinds:
            return f"the feature '{feature.name}' {kinds[0]}"
    try:
        atoms = _feature_atoms(pack, plan, {name: keys})
        feature_sql(pack, name, keys, parts=_parts(atoms), plan=plan)
    except NotInSql as reason:
        return f"the features {', '.join(keys)[:80]}: {_said(reason.what)}"
    except (AssertionError, NotImplementedError) as reason:
        return f"the features {', '.join(keys)[:80]}: {reason}"
    return ""


def _said(what: str) -> str:
    return "it reads a score" if what == "score" else f"{what} over a feature"


def _plain(pack: PackDef, by: Mapping[str, str]) -> bool:
    """Tell whether subjects are named by single fields: pairs, and the one that all events share, are not."""
    return all(path in pack.events[event].subjects for event, path in by.items())


def _has_events(run: Run, name: str) -> bool:
    within = f"seq > {run.scope.after_seq} AND seq <= {run.scope.upto_seq}"
    return bool(run.connection.execute(f"SELECT 1 FROM {archive_relation(name)} WHERE {within} LIMIT 1").fetchall())


def _judge(
    run: Run,
    name: str,
    rules: Sequence[tuple[CheckedRule, Split]],
    feature_atoms: Mapping[str, Mapping[str, tuple[Checked, Node]]],
    numbers: Mapping[str, int],
) -> None:
    """Write the hits of the rules that read one event type."""
    splits = [each for _, each in rules]
    keys = sorted({key for each, _ in rules for key in each.feature_keys})
    flat = name.replace(".", "_")
    joined = f"{run.prefix}joined_{flat}"
    relation = f"{run.prefix}{archive_relation(name)}"
    features = ", ".join(f"f.{_quoted(key)}" for key in keys)
    source = f"FROM {relation} AS e"
    if keys:
        asked = feature_sql(
            run.pack,
            name,
            keys,
            relation=lambda each: f"{run.prefix}{archive_relation(each)}",
            parts=_parts(feature_atoms),
            plan=run.plan,
            subject=_life if run.erased else _quoted,
        )
        source += f" JOIN ({asked}) AS f ON f.seq = e.seq"
    used = sorted({path for each in splits for path in each.checked.reads})
    fields = ", ".join(f"e.{_quoted(path)}" for path in used)
    selected = ", ".join(["e.seq", "e.log_at", *filter(None, (fields, features))])
    where = f"WHERE e.seq > {run.scope.after_seq} AND e.seq <= {run.scope.upto_seq}"
    run.connection.execute(f"CREATE TABLE {joined} AS SELECT {selected} {source} {where}")
    columns = {path: f"j.{_quoted(path)}" for path in used} | {key: f"j.{_quoted(key)}" for key in keys}
    columns["time"] = "j.log_at"
    lookups = _Lookups(run.prefix, "j.log_at")
    atoms = {key: (each.checked, node) for each in splits for key, node in each.atoms.items()}
    parts = {}
    if atoms:
        table = f"{run.prefix}atoms_{flat}"
        wanted = _candidates(run, joined, splits, columns, lookups)
        _compute(run, name, table, atoms, wanted=wanted, after_seq=run.scope.after_seq)
        parts = {key: f"a.a{place}" for place, key in enumerate(atoms)}
        joined = f"{joined} AS j LEFT JOIN {table} AS a ON a.seq = j.seq"
    else:
        joined = f"{joined} AS j"
    for start in range(0, len(rules), RULES_AT_ONCE):
        cases = ", ".join(
            f"CASE WHEN {write(part.checked, part.checked.core, columns | parts, lookups.find)}"
            f" THEN {numbers[each.rule.name]} END"
            for each, part in rules[start : start + RULES_AT_ONCE]
        )
        run.connection.execute(
            f"INSERT INTO hits SELECT seq, unnest(found) FROM (SELECT j.seq, list_filter([{cases}], lambda n: n IS NOT NULL)"
            f" AS found FROM {joined}) WHERE len(found) > 0"
        )
    run.connection.execute(f"DROP TABLE {run.prefix}joined_{flat}")


def _candidates(
    run: Run, joined: str, splits: Sequence[Split], columns: Mapping[str, str], lookups: "_Lookups"
) -> Collection[int] | None:
    """Return the events for which some rule's plain part holds, so that its texts matter; None: all of them."""
    tests = []
    for each in splits:
        if not each.atoms:
            continue
        if not each.plain:
            return None
        tests.append(" AND ".join(f"({write(each.checked, part, columns, lookups.find)})" for part in each.plain))
    found = run.connection.execute(
        f"SELECT j.seq FROM {joined} AS j WHERE {' OR '.join(f'({test})' for test in tests)}"
    ).fetchnumpy()["seq"]
    return frozenset(found.tolist())


def _feature_atoms(
    pack: PackDef, plan: Plan, keys: Mapping[str, Iterable[str]]
) -> dict[str, dict[str, tuple[Checked, Node]]]:
    """Find what Python must compute for the features that are read, per event type that feeds them."""
    found: dict[str, dict[str, tuple[Checked, Node]]] = {}
    for name, wanted in keys.items():
        for key in wanted:
            feature, _ = resolve_key(plan, pack.events[name], key)
            for part in plan.parts(feature.name):
                cell = plan.cells[str(part.cell)]
                for source in cell.by:
                    event = pack.events[source]
                    said = []
                    if cell.argument is not None and cell.function not in {"count", "age_days"}:
                        said.append(check_argument(cell.argument, event))
                    if cell.where is not None:
                        said.append(check_condition(cell.where, event))
                    for checked in said:
                        atoms = split(checked, sealed=_sealed(pack, source)).atoms
                        known = found.setdefault(source, {})
                        known.update({key: (checked, node) for key, node in atoms.items()})
    return found


def _parts(atoms: Mapping[str, Mapping[str, tuple[Checked, Node]]]) -> dict[str, dict[str, str]]:
    return {name: {key: _quoted(f"koban a{place}") for place, key in enumerate(each)} for name, each in atoms.items()}


def _sources(pack: PackDef, plan: Plan, keys: Mapping[str, Iterable[str]]) -> set[str]:
    """Name the event types that feed the features that are read."""
    return {
        source
        for name, wanted in keys.items()
        for key in wanted
        for part in plan.parts(resolve_key(plan, pack.events[name], key)[0].name)
        for source in plan.cells[str(part.cell)].by
    }


def _floor(run: Run, keys: Mapping[str, Iterable[str]]) -> int | None:
    """Return the log time before which nothing is read; None where a feature looks back for ever."""
    plan = run.plan
    width = 0
    for name, wanted in keys.items():
        for key in wanted:
            for part in plan.parts(resolve_key(plan, run.pack.events[name], key)[0].name):
                slot_us = plan.cells[str(part.cell)].slot_us
                if slot_us is None:
                    return None
                width = max(width, slot_us * 60)
    return run.scope.since_at - width


def _relate(run: Run, name: str, atoms: Mapping[str, tuple[Checked, Node]], floor: int | None) -> None:
    """Make the relation that features read: an event type's fields, and the columns that Python fills."""
    view = f"{run.prefix}{archive_relation(name)}"
    where = f"WHERE e.seq <= {run.scope.upto_seq}"
    if floor is not None:
        where += f" AND e.log_at >= {floor}"
    lives = _lives(run, name)
    if not atoms:
        run.connection.execute(f"CREATE VIEW {view} AS SELECT e.*{lives} FROM {archive_relation(name)} AS e {where}")
        return
    table = f"{run.prefix}fed_{name.replace('.', '_')}"
    after = -1 if floor is None else _seq_before(run, name, floor)
    _compute(run, name, table, atoms, wanted=None, after_seq=after)
    read = ", ".join(f"a.a{place} AS {_quoted(f'koban a{place}')}" for place in range(len(atoms)))
    run.connection.execute(
        f"CREATE VIEW {view} AS SELECT e.*, {read}{lives} FROM {archive_relation(name)} AS e"
        f" LEFT JOIN {table} AS a ON a.seq = e.seq {where}"
    )


def _write_erased(run: Run) -> None:
    if run.erased:
        rows = [{"account": account, "at": at} for at, account in run.erased]
        columns = {"account": "text", "at": "int"}
        archives.fill(run.connection, f"CREATE TABLE {run.prefix}erased AS SELECT * FROM {{rows}}", columns, rows)


def _lives(run: Run, name: str) -> str:
    """Write a column per subject of an event type that tells apart what somebody did before an erasure and since.

    Why: features forgot the past of whoever was erased, and the events stay under the same id.
    """
    if not run.erased:
        return ""
    written = []
    for path, role in run.pack.events[name].subjects.items():
        one = f"e.{_quoted(path)}"
        if role.kind == ACCOUNT:
            before = f"SELECT count(*) FROM {run.prefix}erased AS x WHERE x.account = {one} AND x.at < e.log_at"
            known = f"{one} IN (SELECT account FROM {run.prefix}erased)"
            one = f"CASE WHEN {known} THEN ({before})::VARCHAR || chr(10) || {one} ELSE {one} END"
        written.append(f", {one} AS {_life(path)}")
    return "".join(written)


def _life(path: str) -> str:
    """Name the column that says whose past an event belongs to."""
    return _quoted(f"koban life {path}")


def _seq_before(run: Run, name: str, at: int) -> int:
    found = run.connection.execute(f"SELECT max(seq) FROM {archive_relation(name)} WHERE log_at < {at}").fetchall()
    return -1 if found[0][0] is None else int(found[0][0])


def _compute(
    run: Run,
    name: str,
    table: str,
    atoms: Mapping[str, tuple[Checked, Node]],
    *,
    wanted: Collection[int] | None,
    after_seq: int,
) -> None:
    """Fill a table with the values of atoms, computed as they are live, lists and labels as of each event."""
    columns = {"seq": "int"} | {f"a{place}": _SQL_TYPES[node.type] for place, (_, node) in enumerate(atoms.values())}
    archives.fill(run.connection, f"CREATE TABLE {table} AS SELECT * FROM {{rows}}", columns, [])
    page: list[dict[str, object]] = []
    for row in _computed(run, name, list(atoms.values()), wanted=wanted, after_seq=after_seq):
        page.append(row)
        if len(page) == PAGE:
            archives.fill(run.connection, f"INSERT INTO {table} SELECT * FROM {{rows}}", columns, page)
            page = []
    if page:
        archives.fill(run.connection, f"INSERT INTO {table} SELECT * FROM {{rows}}", columns, page)


def _computed(
    run: Run,
    name: str,
    atoms: Sequence[tuple[Checked, Node]],
    *,
    wanted: Collection[int] | None,
    after_seq: int,
) -> Iterator[dict[str, object]]:
    cursor = run.past.cursor()
    phrases = compiling.LivePhrases(
        {key: each for key, each in run.pack.lists.items() if each.kind == "phrases"}, cursor.lists, cursor.labels
    )
    traces = compile_traces(
        [msgspec.structs.replace(checked, root=node, core=node, type=node.type) for checked, node in atoms]
    )
    names = [f"a{place}" for place in range(len(atoms))]
    paths = {path for checked, _ in atoms for path in checked.reads}
    rows = archives.read_typed(
        run.log.tx,
        run.log.archive,
        run.log.vault,
        make_preparer(run.pack.events[name]),
        paths=paths,
        after_seq=after_seq,
        upto_seq=run.scope.upto_seq,
        wanted=wanted,
    )
    nothing: Mapping[str, Value] = {}
    for seq, at, row in rows:
        cursor.advance(seq)
        texts: dict[str, Normalised] = {}
        values: Any = traces.run(row, nothing, at, phrases.environment(at), texts)  # Any: a tuple per atom, root first
        yield {"seq": seq, **{each: value[0] for each, value in zip(names, values, strict=True)}}


def _write_spans(run: Run) -> None:
    """Write when each value was on a list and each label counted: for good in one table, for a while in another."""
    lists, labels = run.past.intervals()
    for table, spans in (("on_list", lists), ("labelled", labels)):
        for kind, kept in (("always", True), ("spans", False)):
            rows = [_span_row(each) for each in spans if _is_always(each) is kept]
            name = f"{run.prefix}{table}_{kind}"
            columns = {"name": "text", "value": "text", "after_at": "int", "until_at": "int"}
            archives.fill(run.connection, f"CREATE TABLE {name} AS SELECT * FROM {{rows}}", columns, rows)


def _is_always(span: Interval) -> bool:
    return span.after_at < 0 and span.until_at == NEVER


def _span_row(span: Interval) -> dict[str, object]:
    return {"name": span.name, "value": span.value, "after_at": span.after_at, "until_at": span.until_at}


@dataclasses.dataclass(frozen=True)
class _Lookups:
    """How a look-up in a list or of a label is written over the tables of spans."""

    prefix: str
    time: str

    def find(self, node: Node, asked: str) -> str | None:
        if not is_lookup(node) or not isinstance(node.value, tuple):
            return None
        table = self.prefix + ("on_list" if node.op == "in_list" else "labelled")
        name = "'" + str(node.value[0]).replace("'", "''") + "'"
        always = f"({asked} IN (SELECT value FROM {table}_always WHERE name = {name}))"
        during = (
            f"EXISTS (SELECT 1 FROM {table}_spans AS s WHERE s.name = {name} AND s.value = {asked}"
            f" AND s.after_at < {self.time} AND {self.time} < s.until_at)"
        )
        return f"(CASE WHEN {asked} IS NOT NULL THEN {always} OR {during} END)"


def _sealed(pack: PackDef, name: str) -> frozenset[str]:
    fields = pack.events[name].fields
    return frozenset(path for path, field in fields.items() if field.personal is not None and not field.joined)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
