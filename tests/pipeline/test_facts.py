"""Facts that Koban tells itself: events like any other, with a chain of causes that ends."""

import pathlib
import shutil
from collections.abc import Iterator

import msgspec
import pytest
from tests.pipeline.conftest import SMALL_PACK, Station, open_station

from koban.base import ManualClock, limits
from koban.cases import CloseCase, claim_next
from koban.db import Database, Tx
from koban.events import decode
from koban.events.routes import Kept
from koban.pipeline import casework
from koban.pipeline.facts import Fact, enter_fact
from koban.pipeline.memory import Memory

EVENT = """
- event: case.closed
  about: {en: A case was closed, ja: ケース終了}
  acting: account.id
  within_ms: 200
  fallback: allow
  retention: 365 days
  subjects: {message.id: message, account.id: account}
  fields: {case_id: text, queue: text, policy: text, outcome: text, message.id: text, account.id: text}
"""
RULE = """
- rule: upheld
  policy: fraud/lure
  on: [case.closed]
  when: outcome = 'upheld'
  then: [{review: scams}]
  mode: live
  because: {en: was upheld, ja: 認められました}
"""


@pytest.fixture
def station(database: Database, clock: ManualClock, tmp_path: pathlib.Path) -> Iterator[Station]:
    """A desk whose pack listens to Koban's own facts."""
    folder = tmp_path / "pack"
    shutil.copytree(SMALL_PACK, folder)
    for file, more in (("events.yaml", EVENT), ("rules/rules.yaml", RULE)):
        path = folder / file
        path.write_text(path.read_text(encoding="utf-8") + more.lstrip("\n"), encoding="utf-8")
    with open_station(database, clock, tmp_path, first=True, pack_folder=folder) as opened:
        yield opened


def fact(number: int, **data: object) -> Fact:
    given = {"case_id": f"c{number}", "outcome": "upheld", **data}
    return Fact(room="cases", id=f"f{number}", type="case.closed", subject=None, data=given)


def tell(station: Station, number: int, cause_seq: int, **data: object) -> int | None:
    return station.desk.command(lambda memory, tx: enter_fact(memory, tx, fact(number, **data), cause_seq=cause_seq))


def test_a_judgement_is_a_fact_that_rules_see(station: Station) -> None:
    for number in range(4):
        station.send(station.event(f"e{number}", "直取引しませんか"))
    with station.database.write() as tx:
        case = claim_next(tx, station.clock.now(), ("scams",), by="staff_1")
    command = CloseCase(case_id=case.id, outcome="upheld", by="staff_1", fence=case.fence)
    station.desk.command(lambda memory, tx: casework.close(memory, tx, command))
    found = station.rows(
        "SELECT e.source, c.type, d.verdict FROM log_entries e JOIN log_entries c ON c.seq = e.cause_seq"
        " JOIN decisions d ON d.seq = e.seq WHERE e.type = 'case.closed' AND e.kind = 'event'"
    )
    assert found == [("koban:cases", "case.closed", "allow")]
    signals = station.rows("SELECT rule FROM signals WHERE rule = 'upheld'")
    assert signals == [("upheld",)]


def test_a_chain_of_facts_ends_with_an_alert(station: Station) -> None:
    record = station.decide(station.event("e1"))
    seq: int | None = record.seq
    for number in range(limits.CAUSE_CHAIN_MAX):
        assert seq is not None
        seq = tell(station, number, seq)
    assert seq is not None
    before = station.desk.memory.last_seq
    assert tell(station, 9, seq) is None
    assert station.desk.memory.last_seq == before
    assert station.rows("SELECT kind, object FROM alerts") == [("chain.too_deep", "event:f9")]
    assert station.rows("SELECT count(*) FROM log_entries WHERE source = 'koban:cases'") == [(3,)]


def test_a_chain_inside_one_command_is_counted_too(station: Station) -> None:
    first = station.decide(station.event("e1")).seq

    def run(memory: Memory, tx: Tx) -> list[int | None]:
        found: list[int | None] = []
        cause = first
        for number in range(5):
            seq = enter_fact(memory, tx, fact(number), cause_seq=cause)
            found.append(seq)
            cause = seq if seq is not None else cause
        return found

    told = station.desk.command(run)
    assert [one is not None for one in told] == [True, True, True, False, False]


def test_the_same_fact_is_told_once(station: Station) -> None:
    seq = station.decide(station.event("e1")).seq
    assert tell(station, 1, seq) is not None
    assert tell(station, 1, seq) is None
    assert station.rows("SELECT count(*) FROM log_entries WHERE source = 'koban:cases'") == [(1,)]


def test_a_fact_that_the_pack_cannot_read_is_said_and_stops_nothing(station: Station) -> None:
    seq = station.decide(station.event("e1")).seq
    assert tell(station, 1, seq, message={"id": 7}) is None
    assert station.rows("SELECT kind, object FROM alerts") == [("fact.unreadable", "event:case.closed")]


def test_nobody_outside_tells_facts(station: Station) -> None:
    event = {"id": "x", "source": "koban:cases", "type": "case.closed", "data": {}}
    items = decode(msgspec.json.encode(event), "application/json")
    result = station.desk.submit(items, station.clock.now(), False).result(timeout=60)[0]
    assert isinstance(result, Kept)
    assert result.problems[0].path == "/source"
