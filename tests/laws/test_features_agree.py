"""Law 2 for features: one log gives the same values by definition, live, replayed after a crash, and in DuckDB."""

import math
import random
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import duckdb
import msgspec
import pytest
import sqlalchemy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from koban.base import DAY, SECOND, limits
from koban.db import Database, Tx
from koban.features import (
    FeatureStore,
    archive_relation,
    backfill,
    bare_path,
    compile_features,
    feature_sql,
    new_features,
    stored_watermark,
)
from koban.language import Environment, register_functions
from koban.packs import FeatureDef, PackDef, Source, parse_duration, parse_files

EVENTS = """
- event: order.made
  about: {en: An order, ja: 注文}
  acting: buyer.id
  within_ms: 200
  fallback: allow
  retention: 30 days
  subjects: {buyer.id: account, seller.id: account, device.id: device}
  fields:
    buyer.id: text
    seller.id: text
    device.id: text
    amount: int
    price: decimal
    item: text
    note: {type: text, personal: buyer.id}
    flag: bool
    sent: timestamp
- event: login.done
  about: {en: A sign-in, ja: ログイン}
  acting: account.id
  within_ms: 200
  fallback: allow
  retention: 30 days
  subjects: {account.id: account, device.id: device}
  fields:
    account.id: text
    device.id: text
    amount: int
    price: decimal
    item: text
    note: {type: text, personal: account.id}
    flag: bool
    sent: timestamp
"""
TYPES = {
    "buyer.id": "VARCHAR",
    "seller.id": "VARCHAR",
    "account.id": "VARCHAR",
    "device.id": "VARCHAR",
    "amount": "BIGINT",
    "price": "BIGINT",
    "item": "VARCHAR",
    "note": "VARCHAR",
    "flag": "BOOLEAN",
    "sent": "BIGINT",
}
HERE = Source(file="features.yaml", line=1)
PACK = parse_files({"pack.yaml": "pack: law\nversion: '1'\nabout: {en: a, ja: a}\n", "events.yaml": EVENTS})
BY = (
    ("account", {"order.made": "buyer.id"}),
    ("account", {"order.made": "seller.id", "login.done": "account.id"}),
    ("account", {"order.made": "buyer.id", "login.done": "account.id"}),
    ("device", {"order.made": "device.id", "login.done": "device.id"}),
    ("device", {"login.done": "device.id"}),
    ("account+account", {"order.made": "buyer.id+seller.id"}),
    ("everyone", {"order.made": "everyone", "login.done": "everyone"}),
)
WHERE: dict[str, Callable[[Mapping[str, Any]], object]] = {
    "flag": lambda row: row.get("flag"),
    "NOT flag": lambda row: None if row.get("flag") is None else not row["flag"],
    "amount > 0": lambda row: None if row.get("amount") is None else row["amount"] > 0,
    "item = 'a' OR flag": lambda row: (
        True
        if row.get("item") == "a" or row.get("flag")
        else None
        if row.get("item") is None or row.get("flag") is None
        else False
    ),
}
VALUES = (
    *["count(*)", "count(item)", "count(distinct item)", "count(distinct amount)", "count(distinct flag)"],
    *["count(distinct note)", "sum(amount)", "sum(price)", "avg(amount)", "avg(price)", "min(amount)", "max(amount)"],
    *["min(price)", "max(sent)", "min(time)", "first(item)", "last(item)", "first(amount)", "last(flag)"],
    *["last(price)", "age_days()", "stddev(amount)", "stddev(price)", "most_frequent(item)", "most_frequent(amount)"],
    *["most_frequent(flag)", "linked_sanctioned(device.id)"],
)
SEQUENCES = (
    "sequence(order.made THEN login.done WITHIN 1 seconds)",
    "sequence(login.done THEN login.done WITHIN 1 days)",
    "sequence(order.made THEN login.done WITHIN 30 seconds THEN order.made WITHIN 1 seconds)",
    "sequence(order.made THEN order.made WITHIN 30 seconds THEN login.done WITHIN 1 days)",
)
BOUNDED = ("distinct", "most_frequent", "linked")
# Which device a sanction stands on, from when until when.
SANCTIONED = {"d1": ((0, 600), (700, 10**15 + 900)), "d2": ((10**15 + 30, 2**62),)}

Entry = tuple[int, str, dict[str, Any], int]


def _define(name: str, value: str, by: int, **more: Any) -> FeatureDef:
    kind, paths = BY[by]
    return FeatureDef(
        name=name,
        kind=kind,
        by=paths,
        value=value,
        where=more.get("where"),
        within_us=more.get("within_us"),
        excluding_current=more.get("excluding_current", False),
        bound=more.get("bound"),
        about={},
        source=HERE,
    )


@st.composite
def definitions(draw: st.DrawFn) -> dict[str, FeatureDef]:
    features: dict[str, FeatureDef] = {}
    for number in range(draw(st.integers(1, 7))):
        value = draw(st.one_of(st.sampled_from(VALUES), st.sampled_from(VALUES), st.sampled_from(SEQUENCES)))
        fitting = [place for place, (_, by) in enumerate(BY) if _fits(value, by)]
        windows = (None,) if value == "age_days()" else (None, 60, 600, 60 * 50, 60 * DAY)
        features[f"f{number}"] = _define(
            f"f{number}",
            value,
            draw(st.sampled_from(fitting)),
            where=draw(st.none() | st.sampled_from(list(WHERE))),
            within_us=draw(st.sampled_from(windows)),
            excluding_current=draw(st.booleans()) and "linked" not in value,
            bound=draw(st.integers(1, 4)) if any(word in value for word in BOUNDED) else None,
        )
    features |= draw(composed())
    numbers = [name for name, one in features.items() if one.value.split("(")[0] in {"count", "sum", "avg", "age_days"}]
    if draw(st.booleans()) and numbers:
        top, bottom = draw(st.sampled_from(numbers)), draw(st.sampled_from(numbers))
        if features[top].kind == features[bottom].kind:
            by = next(number for number, (kind, _) in enumerate(BY) if kind == features[top].kind)
            features["ratio_of"] = _define("ratio_of", f"ratio({top}, {bottom})", by)
    return features


def _fits(value: str, by: Mapping[str, str]) -> bool:
    """Tell whether a value can belong to these subjects: a sequence needs them in each of its events."""
    if value.startswith("sequence"):
        return {name for name in PACK.events if name in value} == set(by)
    return True


@st.composite
def composed(draw: st.DrawFn) -> dict[str, FeatureDef]:
    """Draw rates, peers and ages of linked subjects over features of their own."""
    found: dict[str, FeatureDef] = {}
    where = draw(st.none() | st.sampled_from(list(WHERE)))
    if draw(st.booleans()):
        value = draw(st.sampled_from(("count(*)", "sum(amount)", "sum(price)", "count(distinct item)")))
        bound = 3 if "distinct" in value else None
        found["short"] = _define("short", value, 2, within_us=600, bound=bound)
        found["long"] = _define("long", value, 2, within_us=60 * 50, excluding_current=draw(st.booleans()), bound=bound)
        found["rate_of"] = _define("rate_of", "rate(short, long)", 2)
    if draw(st.booleans()):
        group = draw(st.sampled_from((3, 6)))
        found["own"] = _define("own", draw(st.sampled_from(("count(*)", "sum(amount)"))), 2, where=where)
        found["total"] = _define("total", draw(st.sampled_from(("count(*)", "sum(price)"))), group, within_us=600)
        found["members"] = _define("members", "count(distinct item)", group, within_us=600, bound=3)
        found["peers_of"] = _define("peers_of", "peers(own, total, members)", 2)
    if draw(st.booleans()):
        within_us = draw(st.sampled_from((None, 600)))
        found["age"] = _define("age", "age_days()", draw(st.sampled_from((3, 4))), where=where)
        for name in ("youngest", "oldest"):
            value = f"linked_{name}(device.id, age)"
            found[name] = _define(name, value, draw(st.sampled_from((1, 2, 5))), within_us=within_us, bound=2)
    return found


@st.composite
def logs(draw: st.DrawFn) -> list[Entry]:
    ids = st.sampled_from((None, "a1", "a2", "a3"))
    devices = st.sampled_from((None, "d1", "d2"))
    big = st.sampled_from((2**63 - 1, -(2**63), 10**18 - 1))
    rows = st.fixed_dictionaries(
        {
            "device.id": devices,
            "amount": st.one_of(st.none(), st.integers(-3, 3), big),
            "price": st.one_of(
                st.none(), st.integers(-2_500_000, 2_500_000), st.sampled_from((10**18 - 1, 1 - 10**18))
            ),
            "item": st.one_of(st.none(), st.sampled_from(("", "a", "b", "カ", "x" * 300, "y" + "x" * 299))),
            "note": st.one_of(st.none(), st.sampled_from(("n", "m", "k"))),
            "flag": st.one_of(st.none(), st.booleans()),
            "sent": st.one_of(st.none(), st.integers(-5, 5)),
        }
    )
    at = draw(st.sampled_from((0, 59, 60, 10**15, 86_400_000_000 * 3 - 40)))
    entries: list[Entry] = []
    steps = st.one_of(
        st.integers(1, 12), st.sampled_from((1, 10, 59, 60, 61, 590, 600, 3000, SECOND, 29 * SECOND, DAY))
    )
    for seq in range(1, draw(st.integers(1, 40)) + 1):
        at += draw(steps)
        row = dict(draw(rows))
        if draw(st.booleans()):
            event = "order.made"
            row |= {"buyer.id": draw(ids), "seller.id": draw(ids)}
        else:
            event = "login.done"
            row |= {"account.id": draw(ids)}
        entries.append((seq, event, {path: value for path, value in row.items() if value is not None}, at))
    return entries


def _keys(features: Mapping[str, FeatureDef]) -> dict[str, set[str]]:
    keys: dict[str, set[str]] = {event: set() for event in PACK.events}
    for name, feature in features.items():
        for event, declared in PACK.events.items():
            paths = [path for path, role in declared.subjects.items() if role.kind == feature.kind]
            if feature.value.startswith("peers") and any(
                bare_path(_pack(features), features[part], declared) is None for part in ("total", "members")
            ):
                continue
            keys[event].update(f"{name}@{path}" for path in paths)
            if event in feature.by or len(paths) == 1:
                keys[event].add(name)
    return keys


def _pack(features: Mapping[str, FeatureDef]) -> PackDef:
    return msgspec.structs.replace(PACK, features=dict(features))


def _divide(top: int, bottom: int) -> int | None:
    if bottom == 0:
        return None
    sign = 1 if (top < 0) == (bottom < 0) else -1
    size = abs(top) * 1_000_000 // abs(bottom)
    return sign * size if size < 10**18 else None


def _by_definition(
    features: Mapping[str, FeatureDef],
    name: str,
    subject: str | None,
    until: int,
    log: list[Entry],
    starts: Mapping[str, int],
) -> Any:
    """Compute a feature of a subject as of the entry at index `until`, straight from the definition.

    `starts` says at which entry features that came with a later pack began to count.
    """
    feature = features[name]
    if subject is None:
        return None
    function, argument = feature.value.rstrip(")").split("(")
    if function == "rate":
        top, bottom = (_by_definition(features, part, subject, until, log, starts) for part in ("short", "long"))
        return None if None in (top, bottom) else _divide(top * 5, bottom)
    if function == "peers":
        row, event = log[until][2], log[until][1]
        group = [_subject_at(row, bare_path(_pack(features), features["total"], PACK.events[event]))] * 2
        asked = zip(("own", "total", "members"), (subject, *group), strict=True)
        own, total, members = (_by_definition(features, part, one, until, log, starts) for part, one in asked)
        if None in (own, total, members):
            return None
        scale = 1_000_000 if features["total"].value == "sum(price)" else 1
        return _divide(own * members * scale, total)
    if function == "ratio":
        top, bottom = argument.split(", ")
        parts = [_by_definition(features, part, subject, until, log, starts) for part in (top, bottom)]
        if None in parts:
            return None
        scaled = [_is_decimal(features[part].value) for part in (top, bottom)]
        return _divide(parts[0] * (1 if scaled[0] else 1_000_000), parts[1] * (1 if scaled[1] else 1_000_000))
    now = log[until][3]
    counted = []
    for _, event, row, at in log[starts.get(name, 0) : until if feature.excluding_current else until + 1]:
        if feature.by.get(event) is None or _subject_at(row, feature.by[event]) != subject:
            continue
        if feature.where is not None and WHERE[feature.where](row) is not True:
            continue
        if feature.within_us is not None and at // (feature.within_us // 60) < now // (feature.within_us // 60) - 59:
            continue
        counted.append((row, at))
    if function == "sequence":
        return _sequences(features, name, subject, until, log, starts)
    if function.startswith("linked"):
        return _linked(features, name, until, log, counted, starts)
    if argument == "*":
        return len(counted)
    if function == "age_days":
        return (now - counted[0][1]) // DAY if counted else None
    path = argument.removeprefix("distinct ")
    seen = [at if path == "time" else row.get(path) for row, at in counted]
    return _aggregate(function, argument, [value for value in seen if value is not None], feature.bound)


def _subject_at(row: Mapping[str, Any], path: str | None) -> str | None:
    if path == "everyone":
        return "*"
    parts = [row[part] for part in str(path).split("+") if row.get(part) is not None]
    if len(parts) != str(path).count("+") + 1:
        return None
    return str(parts[0]) if len(parts) == 1 else f"{len(parts[0])}:{parts[0]}{parts[1]}"


def _sequences(
    features: Mapping[str, FeatureDef], name: str, subject: str, until: int, log: list[Entry], starts: Mapping[str, int]
) -> int:
    """Count the events that end a chain of steps, each within its time of some earlier end of the step before."""
    feature = features[name]
    words = feature.value.removeprefix("sequence(").rstrip(")").split(" THEN ")
    steps = [words[0], *(word.split(" WITHIN ")[0] for word in words[1:])]
    lengths = [0, *(parse_duration(word.split(" WITHIN ")[1]) or 0 for word in words[1:])]
    reached: list[list[int]] = [[] for _ in steps]
    now = log[until][3]
    total = 0
    for index, (_, event, row, at) in enumerate(log[: until if feature.excluding_current else until + 1]):
        if index < starts.get(name, 0) or event not in feature.by or _subject_at(row, feature.by[event]) != subject:
            continue
        if feature.where is not None and WHERE[feature.where](row) is not True:
            continue
        ends = [
            place
            for place, step in enumerate(steps)
            if step == event and (place == 0 or any(0 < at - one <= lengths[place] for one in reached[place - 1]))
        ]
        for place in ends:
            reached[place].append(at)
        width = feature.within_us
        inside = width is None or at // (width // 60) >= now // (width // 60) - 59
        total += inside and len(steps) - 1 in ends
    return total


def _linked(
    features: Mapping[str, FeatureDef],
    name: str,
    until: int,
    log: list[Entry],
    counted: list[tuple[Any, int]],
    starts: Mapping[str, int],
) -> int | None:
    feature, now = features[name], log[until][3]
    seen: dict[str, None] = {}
    for row, _ in counted:
        if row.get("device.id") is not None:
            seen.pop(row["device.id"], None)
            seen[row["device.id"]] = None
    devices = list(seen)[-(feature.bound or 0) :]
    if feature.value.startswith("linked_sanctioned"):
        return sum(_stands("device", each, now) for each in devices)
    ages = [_by_definition(features, "age", each, until, log, starts) for each in devices]
    known = [age for age in ages if age is not None]
    return (min(known) if "youngest" in feature.value else max(known)) if known else None


def _stands(kind: str, subject: str, at: int) -> bool:
    return kind == "device" and any(start <= at < end for start, end in SANCTIONED.get(subject, ()))


def _is_decimal(value: str) -> bool:
    return value.startswith("avg") or value == "sum(price)"


def _aggregate(function: str, argument: str, seen: list[Any], bound: int | None) -> Any:
    if argument.startswith("distinct"):
        return min(len(set(seen)), bound or 0)
    if function == "count":
        return len(seen)
    if not seen:
        return None
    match function:
        case "sum":
            total = sum(seen)
            fits = abs(total) < 10**18 if argument == "price" else -(2**63) <= total < 2**63
            return total if fits else None
        case "stddev":
            return _deviation(seen, decimal=argument == "price")
        case "avg":
            return _divide(sum(seen), len(seen) * (1_000_000 if argument == "price" else 1))
        case "min":
            return min(seen)
        case "max":
            return max(seen)
    if function == "most_frequent":
        kept = [value[:256] if isinstance(value, str) else value for value in seen][-(bound or 0) :]
        return max(kept, key=lambda value: (kept.count(value), max(i for i, one in enumerate(kept) if one == value)))
    value = seen[0] if function == "first" else seen[-1]
    return value[:256] if isinstance(value, str) else value


def _deviation(seen: list[int], *, decimal: bool) -> int | None:
    count = len(seen)
    if count < 2:
        return None
    spread = sum((count * value - sum(seen)) ** 2 for value in seen) // count  # n * sum of squared distances
    root = math.isqrt(spread * (1 if decimal else 10**12) // (count * (count - 1)))
    return root if root < 10**18 else None


def _expected(
    features: Mapping[str, FeatureDef], log: list[Entry], starts: Mapping[str, int] | None = None
) -> list[dict[str, Any]]:
    keys = _keys(features)
    out = []
    for index, (_, event, row, _) in enumerate(log):
        values = {}
        for key in keys[event]:
            name, _, path = key.partition("@")
            paths = [one for one, role in PACK.events[event].subjects.items() if role.kind == features[name].kind]
            subject = _subject_at(row, path or features[name].by.get(event) or paths[0])
            values[key] = _by_definition(features, name, subject, index, log, starts or {})
        out.append(values)
    return out


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write slices of few entries' changes, and of few records."""
    monkeypatch.setattr(limits, "FEATURES_TOGETHER", 0)
    monkeypatch.setattr(limits, "FEATURE_SLICE_MAX", 2)


def _write_back(store: FeatureStore, tx: Tx, seq: int, chance: random.Random) -> None:
    """Write some changes back, those that may wait into a slice, and fold some slices."""
    store.write_slice(tx, seq, chance.choice((0, 0, 1, 2, 100)), until=chance.choice((None, seq, seq - 2)))
    if chance.random() < 0.4:
        store.fold(tx, chance.choice((1, 3, 100)))


class _PowerCut(Exception):
    pass


def _play_with_crashes(
    database: Database, pack: PackDef, log: list[Entry], chance: random.Random
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Run a log through a durable store as the decider does: batches, undone entries, failed commits, restarts."""
    program = compile_features(pack, _keys(pack.features))
    sizes = {"hot_limit": chance.choice((1, 2, 50)), "cold_limit": chance.choice((1, 3, 50))}
    with database.write() as tx:
        store = FeatureStore.open(tx, program, **sizes)
        store.standing = _stands
    done = 0
    while done < len(log):
        batch = log[done : done + chance.randint(1, 6)]
        answers = []
        cut = chance.random() < 0.2
        try:
            with database.write() as tx:
                for seq, event, row, at in batch:
                    mark = store.mark()
                    if chance.random() < 0.3:
                        other = chance.choice(log)
                        store.apply(tx, seq, other[1], other[2], at)
                        store.undo(mark)
                    answers.append((seq, store.apply(tx, seq, event, row, at)))
                _write_back(store, tx, batch[-1][0], chance)
                if cut:
                    raise _PowerCut  # noqa: TRY301  # the transaction must see it
        except _PowerCut:
            pass
        else:
            store.forget()
            done += len(batch)
            yield from answers
        if cut or chance.random() < 0.2:
            with database.write() as tx:
                if chance.random() < 0.5:
                    store = FeatureStore.open(tx, program, **sizes)
                    store.standing = _stands
                else:
                    store.reload(tx, program)
                for seq, event, row, at in log[store.watermark : done]:
                    store.apply(tx, seq, event, row, at)
                    if chance.random() < 0.2:
                        _write_back(store, tx, seq, chance)
                    store.forget()


class _Played(NamedTuple):
    values: dict[str, Any]
    fills: bool  # whether new features were backfilled


def _carries_over(feature: FeatureDef, earlier: Mapping[str, FeatureDef]) -> bool:
    """Tell whether the same thing was kept before, whatever its name and whether the current event counted."""
    return any(_what_is_kept(feature) == _what_is_kept(other) for other in earlier.values())


def _what_is_kept(feature: FeatureDef) -> FeatureDef:
    """Leave out what only the reading of a feature says; of linked subjects that is also what is asked of them."""
    value = re.sub(r"^linked_\w+\(([a-z.]+)[^)]*\)$", r"linked(\1)", feature.value)
    return msgspec.structs.replace(feature, name="", excluding_current=False, value=value)


def _play_with_switch(
    database: Database, earlier: PackDef, later: PackDef, log: list[Entry], at_entry: int, chance: random.Random
) -> Iterator[_Played]:
    """Switch packs before the entry at index `at_entry`, with crashes; entries have even numbers, the switch is odd."""
    programs = [compile_features(pack, _keys(pack.features)) for pack in (earlier, later)]
    log = [(seq * 2, event, row, at) for seq, event, row, at in log]
    switch_seq = log[at_entry][0] - 1
    fills = chance.random() < 0.7
    sizes = {"hot_limit": chance.choice((1, 2, 50)), "cold_limit": chance.choice((1, 3, 50))}

    def switch(tx: Any, store: FeatureStore) -> None:
        new = new_features(*programs)
        store.switch(tx, programs[1], switch_seq, filled=backfill(later, new, log[:at_entry]) if fills else None)

    def recover(tx: Any, done: int) -> FeatureStore:
        watermark = stored_watermark(tx)
        store = FeatureStore.open(tx, programs[watermark >= switch_seq], **sizes)
        store.standing = _stands
        for index, (seq, event, row, at) in enumerate(log[:done]):
            if index == at_entry and watermark < switch_seq:
                switch(tx, store)
            if seq > watermark:
                store.apply(tx, seq, event, row, at)
                if chance.random() < 0.2:
                    _write_back(store, tx, seq, chance)
                store.forget()
        return store

    with database.write() as tx:
        store = recover(tx, 0)
    for index, (seq, event, row, at) in enumerate(log):
        with database.write() as tx:
            if index == at_entry:
                switch(tx, store)
            answer = store.apply(tx, seq, event, row, at)
            _write_back(store, tx, seq, chance)
            store.forget()
        yield _Played(answer, fills)
        if chance.random() < 0.25:
            with database.write() as tx:
                store = recover(tx, index + 1)


def _empty(database: Database) -> None:
    with database.write() as tx:
        for table in ("feature_state", "feature_slices", "feature_layout", "feature_watermark"):
            tx.execute(sqlalchemy.text(f"DELETE FROM {table}"))


def _ask_duckdb(features: Mapping[str, FeatureDef], log: list[Entry]) -> list[dict[str, Any]]:
    """Answer every entry's features from an archive in DuckDB."""
    connection = duckdb.connect(config={"threads": 1})
    register_functions(connection, Environment())
    connection.execute(
        "CREATE TABLE event_koban_sanctioned (kind VARCHAR, subject VARCHAR, from_at BIGINT, until_at BIGINT)"
    )
    connection.executemany(
        "INSERT INTO event_koban_sanctioned VALUES ('device', ?, ?, ?)",
        [[subject, *span] for subject, spans in SANCTIONED.items() for span in spans],
    )
    pack = _pack(features)
    out: list[dict[str, Any]] = [{} for _ in log]
    for name, event in pack.events.items():
        columns = ", ".join(f'"{path}" {TYPES[path]}' for path in event.fields)
        connection.execute(f"CREATE TABLE {archive_relation(name)} (seq BIGINT, log_at BIGINT, {columns})")
        rows = [[seq, at, *(row.get(path) for path in event.fields)] for seq, kind, row, at in log if kind == name]
        if rows:
            marks = ", ".join("?" * len(rows[0]))
            connection.executemany(f"INSERT INTO {archive_relation(name)} VALUES ({marks})", rows)
    for name, keys in _keys(features).items():
        result = connection.execute(feature_sql(pack, name, keys))
        names = [column[0] for column in result.description or ()]
        for row in result.fetchall():
            out[row[0] - 1] = dict(zip(names[1:], row[1:], strict=True))
    connection.close()
    return out


LAW = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
LAW_IN_DATABASE = settings(LAW, max_examples=60)


@LAW
@given(features=definitions(), log=logs())
def test_live_values_are_those_of_the_definition(features: dict[str, FeatureDef], log: list[Entry]) -> None:
    store = FeatureStore(compile_features(_pack(features), _keys(features)), hot_limit=2)
    store.standing = _stands
    live = []
    for seq, event, row, at in log:
        live.append(store.apply(None, seq, event, row, at))
        store.forget()
    assert live == _expected(features, log)


@LAW_IN_DATABASE
@given(features=definitions(), log=logs(), seed=st.integers(0, 2**32))
def test_values_after_crashes_and_undone_entries_are_those_of_the_definition(
    database: Database, features: dict[str, FeatureDef], log: list[Entry], seed: int
) -> None:
    _empty(database)
    played = dict(_play_with_crashes(database, _pack(features), log, random.Random(seed)))
    assert [played[entry[0]] for entry in log] == _expected(features, log)


@LAW_IN_DATABASE
@given(earlier=definitions(), later=definitions(), log=logs(), kept=st.booleans(), seed=st.integers(0, 2**32))
def test_unchanged_features_carry_over_and_new_ones_are_backfilled(
    database: Database,
    earlier: dict[str, FeatureDef],
    later: dict[str, FeatureDef],
    log: list[Entry],
    kept: bool,  # noqa: FBT001  # drawn by name
    seed: int,
) -> None:
    _empty(database)
    chance = random.Random(seed)
    if kept:
        later = {name: feature for name, feature in later.items() if not name.startswith("ratio")}
        later |= {
            f"kept_{name}": msgspec.structs.replace(feature, name=f"kept_{name}")
            for name, feature in earlier.items()
            if name.startswith("f")
        }
    at_entry = chance.randrange(len(log))
    played = list(_play_with_switch(database, _pack(earlier), _pack(later), log, at_entry, chance))
    starts = {name: at_entry for name, feature in later.items() if not _carries_over(feature, earlier)}
    before = _expected(earlier, log)
    after = _expected(later, log, {} if played[0].fills else starts)
    assert [one.values for one in played] == before[:at_entry] + after[at_entry:]


@LAW_IN_DATABASE
@given(features=definitions(), log=logs())
def test_duckdb_gives_the_values_of_the_definition(features: dict[str, FeatureDef], log: list[Entry]) -> None:
    assert _ask_duckdb(features, log) == _expected(features, log)
