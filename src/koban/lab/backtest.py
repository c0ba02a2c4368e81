"""Say what a pack would have done: run it over a log, beside the pack in force, and measure."""

import contextlib
import time
from collections.abc import Collection, Iterator, Mapping, Sequence

import duckdb
import msgspec

from koban.events import archive as archives
from koban.features import Plan, archive_relation, plan_features, resolve_key
from koban.lab import measure
from koban.lab.asof import Past
from koban.lab.erased import erasures_in
from koban.lab.in_live import run_live
from koban.lab.in_sql import Run, run_in_sql, unsayable
from koban.lab.types import NEW, OLD, EngineUnfit, Judged, Log, NothingToTest, Question, Ran, Report, Scope, TooLarge
from koban.packs import PackDef, PackInvalid
from koban.rules import CheckedRule, typed_rules


def backtest(log: Log, question: Question) -> Report:
    """Run a pack over a log and measure what it would have done.

    Refuses: PackInvalid, NothingToTest, EngineUnfit, TooLarge. Raises ArchiveDamaged.
    """
    started = time.perf_counter()
    try:
        with open_run(log, question) as ran:
            report = measure.report(ran)
    except duckdb.OutOfMemoryException as error:
        raise TooLarge(f"It may have {question.memory}: take a shorter time, or fewer rules.") from error
    return msgspec.structs.replace(report, took_s=round(time.perf_counter() - started, 3))


@contextlib.contextmanager
def open_run(log: Log, question: Question) -> Iterator[Ran]:
    """Run the packs in question over a log."""
    new = _judged(NEW, question.pack, question, start=0, other=None)
    old = None
    if question.against is not None:
        old = _judged(OLD, question.against, question, start=len(new.numbers), other=new)
    kinds = _kinds(new)
    with _connect(log, question, question.pack, kinds) as connection:
        scope = _scope(connection, question, [name for name, rules in new.typed.items() if rules], kinds)
        _make_tables(connection, [each for each in (new, old) if each is not None])
        ran = Ran(connection=connection, log=log, question=question, new=new, old=old, scope=scope)
        _run(ran, connection, new)
        if old is not None:
            _run_other(ran, old)
        yield ran


def hits_of(log: Log, question: Question) -> set[tuple[int, str]]:
    """Return every (entry, rule) that the pack's rules hit: what tests hold against the decisions."""
    with open_run(log, question) as ran:
        names = {number: name for name, number in ran.new.numbers.items()}
        rows = ran.connection.execute("SELECT seq, rule FROM hits").fetchall()
    return {(seq, names[rule]) for seq, rule in rows if rule in names}


def _judged(which: str, pack: PackDef, question: Question, *, start: int, other: Judged | None) -> Judged:
    # A rule that is asked about by its name is run though it is off: one wants to know before switching it on.
    named = None if which == OLD else question.rules
    wanted = {
        name: rule for name, rule in pack.rules.items() if (rule.mode.name.is_asked if named is None else name in named)
    }
    if not wanted and which == NEW:
        if named is not None:
            raise NothingToTest(f"The pack has no rule {', '.join(repr(each[:80]) for each in sorted(named)[:5])}.")
        raise NothingToTest("The pack has no rule that is neither off nor retired.")
    trial = msgspec.structs.replace(pack, rules=wanted)
    typed, faults = typed_rules(trial)
    if faults and which == NEW:
        raise PackInvalid(faults, pack.files)
    if question.rules is not None and other is not None:  # events of other types are not judged: nobody asks of them
        typed = {name: rules for name, rules in typed.items() if other.typed.get(name)}
    unfit = _unfit(trial, typed)
    if unfit:
        wanted = {name: rule for name, rule in wanted.items() if name not in unfit}
        if not wanted and which == NEW:
            told = "; ".join(f"{rule}: {reason}" for rule, reason in sorted(unfit.items())[:5])
            raise NothingToTest(f"No engine can say what the rules would have hit. {told}.")
        trial = msgspec.structs.replace(trial, rules=wanted)
        typed = {name: [each for each in rules if each.rule.name in wanted] for name, rules in typed.items()}
    copied = _copied(trial, other) if other is not None else {}
    plan = plan_features(trial, read_names(typed))
    left = {name: [each for each in rules if each.rule.name not in copied] for name, rules in typed.items()}
    if question.engine == "live":
        engines = {name: "asked for" for name in wanted if name not in copied}
    else:
        engines = unsayable(trial, plan, left)
    if question.engine == "sql" and engines:
        told = "; ".join(f"{rule}: {reason}" for rule, reason in sorted(engines.items())[:5])
        raise EngineUnfit(f"It cannot say {told}. Run it with the live engine.")
    return Judged(
        which=which,
        pack=trial,
        plan=plan,
        rules=wanted,
        typed=typed,
        numbers={name: start + place for place, name in enumerate(wanted)},
        engines=engines,
        copied=copied,
        unfit=unfit,
        rest=_rest(wanted, question) if other is not None else frozenset(),
    )


def _rest(rules: Collection[str], question: Question) -> frozenset[str]:
    """Name the other pack's rules that nobody asks about, and that go on as they are beside those that are tried."""
    if question.rules is None:
        return frozenset()
    return frozenset(name for name in rules if name not in question.rules and name in question.pack.rules)


def _unfit(pack: PackDef, typed: Mapping[str, Sequence[CheckedRule]]) -> dict[str, str]:
    """Name the rules that no engine can run over the past, each with the reason; the others are run without them.

    Why not approximated: under other rules, other accounts would stand under sanctions.
    """
    plan = plan_features(pack, read_names(typed))
    asking = {name: part.name for name in plan.features for part in plan.parts(name) if part.linked == "sanctioned"}
    return {
        each.rule.name: f"the feature '{asking[key]}' asks which sanctions stood, and a backtest imposes none"
        for rules in typed.values()
        for each in rules
        for key in sorted({key.partition("@")[0] for key in each.feature_keys} & asking.keys())
    }


def read_names(typed: Mapping[str, Sequence[CheckedRule]]) -> set[str]:
    """Name the features that rules read."""
    return {key.partition("@")[0] for rules in typed.values() for each in rules for key in each.feature_keys}


def _copied(pack: PackDef, other: Judged) -> dict[str, str]:
    """Name the rules that mean the same in both packs, so that their hits need not be found twice."""
    alike = {
        name
        for name, rule in pack.rules.items()
        if (twin := other.rules.get(name)) is not None
        and (twin.when, twin.on) == (rule.when, rule.on)
        and all(pack.events[kind] == other.pack.events.get(kind) for kind in rule.on)
    }
    reads = {name: other.read_by(name) for name in alike}
    known = {key for keys, _ in reads.values() for key in keys if key in pack.features}
    plan = plan_features(pack, known)
    return {
        name: name
        for name, (features, lists) in reads.items()
        if all(_feature(plan, key) == _feature(other.plan, key) for key in features)
        and all(_list(pack, each) == _list(other.pack, each) for each in lists)
    }


def _feature(plan: Plan, name: str) -> object:
    """Return what a feature means, without its name."""
    if name not in plan.features:
        return None
    parts = plan.parts(name)
    return [(each.kind, sorted(each.by.items()), each.cell, each.excluding_current) for each in parts]


def _list(pack: PackDef, name: str) -> object:
    found = pack.lists.get(name)
    return None if found is None else (
        found.kind, found.entries, found.unless, found.negatable, found.whole_word, found.left_out,
    )  # fmt: skip


def _kinds(judged: Judged) -> set[str]:
    """Name the event types that a run reads: what rules judge, what features count, what tells of losses."""
    plan = judged.plan
    kinds = {name for name, rules in judged.typed.items() if rules}
    for name, rules in judged.typed.items():
        for key in {key for each in rules for key in each.feature_keys}:
            feature, _ = resolve_key(plan, judged.pack.events[name], key)
            for part in plan.parts(feature.name):
                kinds.update(plan.cells[str(part.cell)].by)
    return kinds | {name for name, event in judged.pack.events.items() if event.loss is not None}


@contextlib.contextmanager
def _connect(log: Log, question: Question, pack: PackDef, kinds: set[str]) -> Iterator[duckdb.DuckDBPyConnection]:
    connection = archives.archive_connection(
        log.tx,
        log.archive,
        log.vault,
        pack,
        event_types=sorted(kinds),
        opening=False,
        threads=question.threads,
        memory=question.memory,
    )
    try:
        yield connection
    finally:
        connection.close()


def _scope(
    connection: duckdb.DuckDBPyConnection, question: Question, kinds: Sequence[str], told: Collection[str]
) -> Scope:
    """Bound what is judged; `told` are all event types that are read, losses after the last judged event included."""
    rows = " UNION ALL ".join(f"SELECT seq, log_at FROM {archive_relation(name)}" for name in kinds)
    found = connection.execute(f"SELECT max(seq), min(log_at), max(log_at) FROM ({rows})").fetchall()
    upto_seq, first_at, last_at = found[0]
    if upto_seq is None:
        raise NothingToTest("The log has no event that the pack's rules read.")
    everything = " UNION ALL ".join(f"SELECT seq, log_at FROM {archive_relation(name)}" for name in sorted(told))
    upto_seq, until_at = connection.execute(f"SELECT max(seq), max(log_at) FROM ({everything})").fetchall()[0]
    since_at = max(first_at, question.since_at or first_at)
    before = connection.execute(f"SELECT max(seq) FROM ({rows}) WHERE log_at < {since_at}").fetchall()
    after_seq = -1 if before[0][0] is None else before[0][0]
    if question.newest is not None:
        newest = connection.execute(
            f"SELECT seq, log_at FROM ({rows}) WHERE seq > {after_seq} ORDER BY seq DESC LIMIT 1 OFFSET {question.newest - 1}"
        ).fetchall()
        if newest:
            after_seq, since_at = newest[0][0] - 1, newest[0][1]
    if since_at > last_at:
        raise NothingToTest("The log has no event since then that the pack's rules read.")
    return Scope(after_seq=after_seq, upto_seq=upto_seq, since_at=since_at, until_at=until_at)


def _make_tables(connection: duckdb.DuckDBPyConnection, packs: Sequence[Judged]) -> None:
    archives.fill(connection, "CREATE TABLE hits AS SELECT * FROM {rows}", {"seq": "int", "rule": "int"}, [])
    rules = [
        {"rule": number, "pack": judged.which, "name": name, "rest": int(name in judged.rest)}
        for judged in packs
        for name, number in judged.numbers.items()
    ]
    columns = {"rule": "int", "pack": "text", "name": "text", "rest": "int"}
    archives.fill(connection, "CREATE TABLE rule_of AS SELECT * FROM {rows}", columns, rules)
    queues = [
        {"rule": judged.numbers[name], "queue": queue}
        for judged in packs
        for name, rule in judged.rules.items()
        for queue in measure.queues_of(rule)
    ]
    archives.fill(connection, "CREATE TABLE queue_of AS SELECT * FROM {rows}", {"rule": "int", "queue": "text"}, queues)


def _run(ran: Ran, connection: duckdb.DuckDBPyConnection, judged: Judged) -> None:
    run = Run(
        connection=connection,
        log=ran.log,
        pack=judged.pack,
        plan=judged.plan,
        past=Past(ran.log.tx, judged.pack, upto_seq=ran.scope.upto_seq),
        scope=ran.scope,
        prefix=f"{judged.which}_",
        erased=erasures_in(ran.log, connection, judged.pack, _kinds(judged)) if read_names(judged.typed) else (),
    )
    live = {name: rule for name, rule in judged.rules.items() if name in judged.engines}
    in_sql = {
        name: [each for each in rules if each.rule.name not in live and each.rule.name not in judged.copied]
        for name, rules in judged.typed.items()
    }
    if any(in_sql.values()):
        run_in_sql(run, in_sql, judged.numbers)
    if live:
        run_live(run, live, judged.numbers)


def _run_other(ran: Ran, old: Judged) -> None:
    """Run the pack that is compared with: what means the same is copied, the rest is run."""
    new, connection = ran.new, ran.connection
    for name, twin in old.copied.items():
        connection.execute(
            f"INSERT INTO hits SELECT seq, {old.numbers[name]} FROM hits WHERE rule = {new.numbers[twin]}"
        )
    if old.copied.keys() == old.rules.keys():
        return
    kinds = _kinds(old)
    if kinds <= _kinds(new) and all(old.pack.events[name].fields == new.pack.events[name].fields for name in kinds):
        _run(ran, connection, old)
        return
    with _connect(ran.log, ran.question, old.pack, kinds) as other:
        _make_tables(other, [old])
        _run(ran, other, old)
        found = other.execute("SELECT seq, rule FROM hits").fetchnumpy()
    connection.register("other_hits", {"seq": found["seq"], "rule": found["rule"]})
    connection.execute("INSERT INTO hits SELECT seq, rule FROM other_hits")
    connection.unregister("other_hits")
