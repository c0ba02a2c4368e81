"""From hits to figures: precision and recall with intervals, harm caught, people touched, work, samples to read."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final, Literal

import duckdb

from koban.base import DAY, Instant, to_rfc3339
from koban.events import archive as archives
from koban.events import make_preparer
from koban.features import archive_relation
from koban.insight import Measured, measure, wilson
from koban.lab import store
from koban.lab.types import (
    NEW,
    OLD,
    SAMPLES,
    TOUCH_S,
    Caught,
    Judged,
    Log,
    NothingToTest,
    Ran,
    Report,
    RuleFigures,
    Sample,
    Scope,
    Total,
    Workload,
)
from koban.packs import EventType, PackDef, Review, RuleDef

OVERLAPS_SHOWN: Final = 3
MASK: Final = "(sealed)"
_MONEY: Final = ("amount_minor", "price_minor")


def queues_of(rule: RuleDef) -> tuple[str, ...]:
    """Return the queues in which a rule opens cases."""
    return tuple(dict.fromkeys(action.queue for action in rule.then if isinstance(action, Review)))


def report(ran: Ran) -> Report:
    """Measure a run."""
    connection, log, question, new, old, scope = ran.connection, ran.log, ran.question, ran.new, ran.old, ran.scope
    make_facts(ran)
    store.make_hit_events(connection)
    events, harmful, honest, _, _, _, harmful_people = store.totals(connection, "scope")
    if not events:
        raise NothingToTest("The log has no event since then that the pack's rules read.")
    basis = _losses(connection, new.pack, scope)
    rates = {"harmful": harmful, "honest": honest, "people": harmful_people}
    days = max((scope.until_at - scope.since_at) / DAY, 1 / 240)
    tested = store.test_part(connection, "scope")
    return Report(
        log=log.name,
        pack=question.pack.digest,
        against=None if question.against is None else question.against.digest,
        since=to_rfc3339(Instant(scope.since_at)),
        until=to_rfc3339(Instant(scope.until_at)),
        days=round(days, 4),
        hours=store.lived_hours(connection),
        events=events,
        harmful=harmful,
        honest=honest,
        engines=_engines(new),
        total=_total(connection, NEW, rates, basis),
        before=None if old is None else _total(connection, OLD, rates, basis),
        test_part=None if not any(tested) else _test_part(connection, tested),
        rules=tuple(_rules(connection, new, old, rates, () if question.against is None else question.against.rules)),
        removed=() if old is None else tuple(sorted(old.rules.keys() - question.pack.rules.keys())),
        left_out={**({} if old is None else old.unfit), **new.unfit},
        work=tuple(_work(ran, days)),
        per_day=tuple(
            (to_rfc3339(Instant(day * DAY))[:10], hits, before)
            for day, hits, before in store.per_day(connection, question.zone_us)
        ),
        caught_samples=tuple(
            _samples(connection, log, new.pack, NEW, store.samples(connection, "hit_new", "hit_old", SAMPLES))
        ),
        freed_samples=tuple(
            _samples(connection, log, new.pack, OLD, store.samples(connection, "hit_old", "hit_new", SAMPLES))
            if old is not None
            else ()
        ),
        harm_from=basis,
        bounded=question.newest is not None,
        took_s=0.0,
    )


def make_facts(ran: Ran) -> None:
    """Write every event in question with what it was into the connection, as `scope`."""
    _make_truth(ran.connection, ran.log)
    kinds = [name for name, rules in ran.new.typed.items() if rules]
    _make_scope(ran.connection, ran.new.pack, ran.scope, kinds)


def _engines(judged: Judged) -> dict[str, str]:
    count = len(judged.rules) - len(judged.engines)
    told = {"sql": f"{count} rules"} if count else {}
    if judged.engines:
        reasons = sorted(set(judged.engines.values()))
        told["live"] = f"{len(judged.engines)} rules: {', '.join(reasons)[:200]}"
    return told


def _make_truth(connection: duckdb.DuckDBPyConnection, log: Log) -> None:
    """Write what is known to be harmful or honest: of subjects, or, in a named log, of single events."""
    of_events = store.truths_of_events(log.tx) if log.name and store.has_truths_of_events(log.tx) else []
    rows = [{"seq": seq, "harmful": harmful, "is_test": is_test} for seq, harmful, is_test in of_events]
    columns = {"seq": "int", "harmful": "int", "is_test": "int"}
    archives.fill(connection, "CREATE TABLE event_truth AS SELECT * FROM {rows}", columns, rows)
    subjects = [
        {"kind": kind, "id": subject, "harmful": value} for kind, subject, value in store.truths_of_subjects(log.tx)
    ]
    columns = {"kind": "text", "id": "text", "harmful": "int"}
    archives.fill(connection, "CREATE TABLE subject_truth AS SELECT * FROM {rows}", columns, subjects)


def _make_scope(connection: duckdb.DuckDBPyConnection, pack: PackDef, scope: Scope, kinds: Sequence[str]) -> None:
    """Write every event in question: who is behind it, what it is about, what it was worth, what it finally was."""
    selects = [_facts(pack.events[name]) for name in kinds]
    within = f"WHERE e.seq > {scope.after_seq} AND e.seq <= {scope.upto_seq}"
    rows = " UNION ALL ".join(f"{select} {within}" for select in selects)
    connection.execute(
        "CREATE TABLE scope AS SELECT r.seq, r.log_at, r.type, r.person, r.content, r.amount, r.currency,"
        " coalesce(t.harmful, c.harmful, p.harmful) AS harmful, coalesce(t.is_test, 0) AS is_test"
        f" FROM ({rows}) r LEFT JOIN event_truth t ON t.seq = r.seq"
        " LEFT JOIN subject_truth c ON c.kind = r.content_kind AND c.id = r.content"
        " LEFT JOIN subject_truth p ON p.kind = 'account' AND p.id = r.person"
    )


def _facts(event: EventType) -> str:
    person = _column(event.acting)
    content = _column(event.content)
    kind = f"'{event.subjects[event.content].kind}'" if event.content is not None else "NULL"
    amount = next((path for path in _MONEY if path in event.fields and event.fields[path].unit == "minor"), None)
    return (
        f"SELECT e.seq, e.log_at, '{event.name}' AS type, {person} AS person, {content} AS content,"
        f" {kind}::VARCHAR AS content_kind, {_column(amount)}::BIGINT AS amount, {_currency(event)} AS currency"
        f" FROM {archive_relation(event.name)} AS e"
    )


def _currency(event: EventType) -> str:
    return f"coalesce({_column('currency')}, '')" if "currency" in event.fields else "''"


def _column(path: str | None) -> str:
    return "NULL::VARCHAR" if path is None else 'e."' + path.replace('"', '""') + '"'


def _losses(
    connection: duckdb.DuckDBPyConnection, pack: PackDef, scope: Scope
) -> Literal["losses", "amounts", "nothing"]:
    """Write the losses that the log tells of; return what harm can be measured by."""
    selects = [
        f'SELECT e.seq, e."{event.loss.by}" AS person, e."{event.loss.amount}" AS amount,'
        f" {_currency(event)} AS currency"
        f" FROM {archive_relation(name)} AS e WHERE e.seq > {scope.after_seq} AND e.seq <= {scope.upto_seq}"
        for name, event in pack.events.items()
        if event.loss is not None
    ]
    nothing = "SELECT NULL::BIGINT AS seq, NULL::VARCHAR AS person, NULL::BIGINT AS amount, '' AS currency WHERE FALSE"
    connection.execute(f"CREATE TABLE losses AS {' UNION ALL '.join([nothing, *selects])}")
    if _any(connection, "SELECT 1 FROM losses WHERE amount IS NOT NULL AND person IS NOT NULL LIMIT 1"):
        return "losses"
    if _any(connection, "SELECT 1 FROM scope WHERE harmful = 1 AND amount IS NOT NULL LIMIT 1"):
        return "amounts"
    return "nothing"


def _any(connection: duckdb.DuckDBPyConnection, query: str) -> bool:
    return bool(connection.execute(query).fetchall())


def _total(connection: duckdb.DuckDBPyConnection, which: str, rates: Mapping[str, int], basis: str) -> Total:
    hits, true, false, unknown, people, honest_people, harmful_people = store.totals(connection, f"hit_{which}")
    found = []
    if basis == "losses":
        found = store.caught_losses(connection, which)
    elif basis == "amounts":
        found = store.caught_amounts(connection, which)
    return Total(
        hits=hits,
        measured=measure(
            "any rule", true=true, false=false, unknown=unknown, harmful=rates["harmful"], honest=rates["honest"]
        ),
        people=people,
        honest_people=honest_people,
        harmful_people=wilson(harmful_people, rates["people"]),
        caught=tuple(
            Caught(currency=currency, of_minor=of, all_hits_minor=hit, first_hit_minor=first)
            for currency, of, hit, first in found
        ),
    )


def _test_part(connection: duckdb.DuckDBPyConnection, tested: tuple[int, int, int]) -> Measured:
    true, false, unknown = store.test_part(connection, "hit_new")
    return measure("test part", true=true, false=false, unknown=unknown, harmful=tested[0], honest=tested[1])


def _rules(
    connection: duckdb.DuckDBPyConnection,
    new: Judged,
    old: Judged | None,
    rates: Mapping[str, int],
    known: Collection[str],
) -> Iterator[RuleFigures]:
    """Measure each rule; `known` are all rules of the pack that is compared with, those that are off, too."""
    counts = store.counts_of_rules(connection)
    shared, overlaps = store.also_old(connection), store.overlaps(connection)
    names = {} if old is None else {number: name for name, number in old.numbers.items()}
    nothing = (0, 0, 0, 0, 0, 0)
    for name, number in new.numbers.items():
        true, false, unknown, people, honest_people, person_hours = counts.get(number, nothing)
        before = None
        changed: Literal["added", "changed", "same"] = "added"
        if old is not None and name in old.numbers:
            before = sum(counts.get(old.numbers[name], nothing)[:3])
            changed = "same" if name in old.copied else "changed"
        elif name in known:  # it was off
            changed = "changed"
        yield RuleFigures(
            rule=name,
            mode=new.rules[name].mode.name.value,
            changed=changed,
            engine="live" if name in new.engines else "sql",
            why_live=new.engines.get(name, ""),
            measured=measure(
                name, true=true, false=false, unknown=unknown, harmful=rates["harmful"], honest=rates["honest"]
            ),
            people=people,
            honest_people=honest_people,
            person_hours=person_hours,
            also_old=shared.get(number, 0),
            overlaps=tuple((names[other], both) for other, both in overlaps.get(number, [])[:OVERLAPS_SHOWN]),
            before=before,
        )


def _work(ran: Ran, days: float) -> Iterator[Workload]:
    question = ran.question
    new, old = store.cases_per_queue(ran.connection, NEW), store.cases_per_queue(ran.connection, OLD)
    tried = [*ran.new.rules.values()]
    if ran.old is not None:
        tried += [rule for name, rule in ran.old.rules.items() if name not in ran.old.rest]
    concerned = {queue for rule in tried for queue in queues_of(rule)}
    for queue in question.pack.queues:
        if queue not in concerned or (queue not in new and queue not in old):
            continue
        more = new.get(queue, 0) - old.get(queue, 0)
        touch_s = question.touch_s.get(queue, TOUCH_S)
        hours = more * touch_s / 3_600
        yield Workload(
            queue=queue,
            cases=new.get(queue, 0),
            more_cases=more,
            more_hours=round(hours, 2),
            more_hours_per_day=round(hours / days, 2),
            touch_s=touch_s,
            measured=queue in question.touch_s,
        )


def _samples(
    connection: duckdb.DuckDBPyConnection, log: Log, pack: PackDef, which: str, seqs: Sequence[int]
) -> Iterator[Sample]:
    rules = store.rules_of_events(connection, seqs, which)
    facts = store.facts(connection, seqs)
    ids = store.event_ids(log.tx, seqs)
    missing = [seq for seq in seqs if seq not in ids]
    ids |= archives.read_event_ids(log.tx, log.archive, missing)
    rows: dict[int, Mapping[str, object]] = {}
    for kind in {fact[2] for fact in facts}:
        event = pack.events[kind]
        among = frozenset(fact[0] for fact in facts if fact[2] == kind)
        sealed = {path for path, field in event.fields.items() if field.personal is not None and not field.joined}
        opened = set(event.fields) if log.name else set(event.fields) - sealed
        found = archives.read_typed(
            log.tx, log.archive, log.vault, make_preparer(event), paths=opened, wanted=among,
            after_seq=min(among) - 1, upto_seq=max(among),
        )  # fmt: skip
        for seq, _, row in found:
            rows[seq] = dict(row) if log.name else {**dict.fromkeys(sealed, MASK), **row}
    for seq, log_at, kind, person, harmful in facts:
        yield Sample(
            seq=seq,
            event_id=ids.get(seq, ""),
            type=kind,
            at=to_rfc3339(Instant(log_at)),
            acting=person,
            truth="unknown" if harmful is None else "harmful" if harmful else "honest",
            rules=tuple(rules.get(seq, ())),
            fields=rows.get(seq, {}),
        )
