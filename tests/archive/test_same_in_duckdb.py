"""Law 2 over the archive: rules and features in DuckDB say of every event what the decider said when it came."""

import collections
import pathlib
import random
from collections.abc import Callable

import duckdb
import msgspec
import pytest
from tests.archive.conftest import Station, open_station

from koban.base import DAY, HOUR, MINUTE, Instant, ManualClock
from koban.db import Database
from koban.decisions import DecisionRecord, Inputs
from koban.events import decode
from koban.events.archive import Archive
from koban.features import archive_relation, feature_sql
from koban.language import register_functions, to_sql
from koban.packs import load_pack
from koban.rules import CompiledRules
from koban.sim import Scenario, Settings, Size, plan, wire

STARTER = pathlib.Path(__file__).parents[2] / "packs" / "starter"
MIDNIGHT = Instant(1_792_627_200_000_000)  # 2026-10-22T00:00:00Z: half of what is sent stands before it
SIZE = Size(people=1_500, events_per_minute=12, streams=1)
FEATURES_SAMPLED = 400

Matches = dict[int, frozenset[str]]


def test_the_small_pack_says_the_same(station: Station) -> None:
    randomness = random.Random(4)
    texts = ["こんにちは", "直取引しませんか", "please pay outside", "直取引はお断りします", "値下げできますか"]
    for number in range(300):
        station.clock.advance(randomness.choice([0, 1_000_000, 5 * MINUTE, 70 * MINUTE]))
        if number % 7 == 0:
            event = station.payout(f"p{number}", randomness.choice([5, 99_999, 100_000]), account="a1")
        else:
            event = station.event(f"e{number}", randomness.choice(texts))
            data = dict(event["data"])  # type: ignore[call-overload]  # a mapping
            sender, recipient = {"id": f"a{randomness.randrange(3)}"}, {"id": f"b{randomness.randrange(9)}"}
            event = {**event, "data": {**data, "sender": sender, "recipient": recipient}}
        station.send(event)
    station.days_pass(30)
    report = station.run_archive()
    assert report.archived > 100
    assert station.rows("SELECT count(*) FROM log_entries WHERE kind = 'event'") != [(0,)]

    compare(station)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_the_starter_pack_says_the_same_of_a_simulated_hour(
    database: Database, clock: ManualClock, tmp_path: pathlib.Path
) -> None:
    settings = Settings(seed=11, start_at=Instant(MIDNIGHT - HOUR // 2), size=SIZE, scenario=Scenario(raid=None))
    pack = load_pack(STARTER)
    clock.advance(settings.start_at - clock.now())
    with open_station(database, clock, tmp_path, first=True, pack=pack) as station:
        batch: list[bytes] = []
        for event in plan(settings):
            if event.at > clock.now() and batch:
                _post(station, batch)
                clock.advance(event.at - clock.now())
            batch.append(msgspec.json.encode(wire(event)))
        _post(station, batch)
        # The second half stays in the database: it is just young enough.
        station.clock.advance(MIDNIGHT + 30 * DAY + HOUR - clock.now())
        station.days_pass(0)
        report = station.run_archive()
        hot = station.rows("SELECT count(*) FROM log_entries WHERE kind = 'event'")[0][0]
        assert report.archived > 300
        assert int(str(hot)) > 300

        found = compare(station)

    assert len(found) >= 10, "a simulated hour makes many rules match"


def _post(station: Station, batch: list[bytes]) -> None:
    if batch:
        items = decode(b"[" + b",".join(batch) + b"]", "application/json")
        station.desk.submit(items, station.clock.now(), asynchronous=False).result(timeout=60)
        batch.clear()


def compare(
    station: Station, silent: Callable[[int], frozenset[str]] = lambda _seq: frozenset()
) -> collections.Counter[str]:
    """Hold DuckDB against the decisions; return how often each rule matched. `silent` names the rules that were off."""
    decided, inputs = _decided(station)
    counts: collections.Counter[str] = collections.Counter()
    sampled = set(random.Random(1).sample(sorted(inputs), min(FEATURES_SAMPLED, len(inputs))))
    compared = 0
    with station.duckdb() as connection:
        compiled = station.desk.memory.compiled.rules
        at = station.clock.now()
        environment = next(iter(compiled.values())).phrases.environment(at)
        register_functions(connection, environment)
        for name, rules in compiled.items():
            matches, features = _in_duckdb(connection, station, name, rules)
            for seq, matched in matches.items():
                assert matched - silent(seq) == decided[seq], (name, seq)
                counts.update(matched)
            for seq in sampled & features.keys():
                said = inputs[seq]
                assert {key: features[seq][key] for key in said if key in features[seq]} == said, (name, seq)
                compared += len(said)
            assert matches.keys() == {seq for seq, kind in _kinds(station).items() if kind == name}
    reads = any(each.feature_keys for rules in compiled.values() for each in rules.typed)
    assert compared > 0 or not reads
    return counts


def _in_duckdb(
    connection: duckdb.DuckDBPyConnection, station: Station, name: str, rules: CompiledRules
) -> tuple[Matches, dict[int, dict[str, object]]]:
    keys = sorted({key for each in rules.typed for key in each.feature_keys})
    event = station.pack.events[name]
    columns = (
        {path: f'e."{path}"' for path in event.fields} | {key: f'f."{key}"' for key in keys} | {"time": "e.log_at"}
    )
    conditions = [f"({to_sql(each.checked, columns)})" for each in rules.typed]
    features = ", ".join(f'f."{key}"' for key in keys)
    selected = ", ".join(["e.seq", *conditions, *([features] if features else [])])
    found = connection.execute(
        f"SELECT {selected} FROM {archive_relation(name)} AS e"
        f" JOIN ({feature_sql(station.pack, name, keys)}) AS f ON f.seq = e.seq"
    ).fetchall()
    width = len(conditions)
    matches = {
        row[0]: frozenset(
            each.rule.name for each, value in zip(rules.typed, row[1 : 1 + width], strict=True) if value is True
        )
        for row in found
    }
    return matches, {row[0]: dict(zip(keys, row[1 + width :], strict=True)) for row in found}


def _decided(station: Station) -> tuple[Matches, dict[int, dict[str, object]]]:
    """What was said live, from the database and from the archive."""
    bodies: dict[int, tuple[bytes, bytes]] = {}
    with station.database.read() as tx:
        archive: Archive = station.archive
        for each in archive.walk(tx):
            if each.answer is not None and each.inputs is not None:
                bodies[each.entry.seq] = (each.answer, each.inputs)
        for seq, body, inputs in tx.rows("SELECT seq, body, inputs FROM decisions"):
            bodies[int(seq)] = (str(body).encode(), str(inputs).encode())
    decided = {
        seq: frozenset(signal.rule for signal in msgspec.json.decode(body, type=DecisionRecord).signals)
        for seq, (body, _) in bodies.items()
    }
    features: dict[int, dict[str, object]] = {
        seq: {**msgspec.json.decode(inputs, type=Inputs).features} for seq, (_, inputs) in bodies.items()
    }
    return decided, features


def _kinds(station: Station) -> dict[int, str]:
    with station.database.read() as tx:
        kinds = {each.entry.seq: each.entry.type for each in station.archive.walk(tx) if each.entry.kind == "event"}
        kinds |= {
            int(seq): str(kind) for seq, kind in tx.rows("SELECT seq, type FROM log_entries WHERE kind = 'event'")
        }
    return kinds
