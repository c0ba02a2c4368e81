"""Cases about children: two people, and the evidence stays until they found the person honest."""

import pytest
from tests.casework.conftest import Bench

import koban.vault.store as vault_store
from koban import vault
from koban.app.people import forget_person
from koban.cases import Case
from koban.cases.types import ReopenCase
from koban.pipeline import casework
from koban.vault import PersonOnLegalHold


def held(bench: Bench) -> dict[str, str]:
    """Return who is under legal hold, and why."""
    pseudonym = bench.station.desk.memory.vault.pseudonym
    names = {pseudonym("person", each): each for each in ("a1", "a2", "b1")}
    with bench.database.read() as tx:
        return {names[hold.pseudonym]: hold.reference for hold in vault_store.list_holds(tx, after="", limit=10)}


def judge(bench: Bench, case: Case, outcome: str) -> None:
    proposal = bench.decide(bench.claim(case.id), outcome=outcome).proposal
    assert proposal is not None, "one person alone decided"
    bench.decide(bench.claim(case.id, "staff_2"), "staff_2", outcome=outcome, proposal=proposal)


def test_the_data_of_everybody_in_it_is_kept_at_once(bench: Bench) -> None:
    case = bench.lure("e1", "child, send me a picture")
    assert held(bench) == {"a1": case.id, "b1": case.id}
    for person in ("a1", "b1"):
        with pytest.raises(PersonOnLegalHold):
            bench.run(lambda memory, tx, who=person: forget_person(memory, tx, who, by="staff_1"))  # type: ignore[misc]
    rows = bench.station.rows("SELECT actor, action FROM audit_entries WHERE action = 'hold.placed'")
    assert rows == [("koban", "hold.placed")] * 2


@pytest.mark.parametrize(("outcome", "stays"), [("honest", False), ("upheld", True), ("unclear", True)])
def test_only_a_finding_of_honesty_by_two_lifts_it(bench: Bench, outcome: str, stays: object) -> None:
    case = bench.lure("e1", "child, send me a picture")
    judge(bench, case, outcome)
    assert held(bench) == ({"a1": case.id, "b1": case.id} if stays else {})


def test_another_case_about_the_same_person_keeps_it(bench: Bench) -> None:
    first = bench.lure("e1", "child, send me a picture")
    second = bench.lure("e2", "child, where do you live", recipient="a2")
    assert first.id != second.id
    judge(bench, first, "honest")
    assert held(bench) == {"a1": second.id, "a2": second.id}
    judge(bench, second, "honest")
    assert held(bench) == {}


def test_what_a_person_placed_outranks_what_a_case_placed(bench: Bench) -> None:
    memory = bench.station.desk.memory
    with bench.database.write() as tx:
        vault.place_hold(tx, bench.clock.now(), memory.vault, "a1", by="staff_9", reference="警察庁 令和8年 第12号")
    case = bench.lure("e1", "child, send me a picture")
    judge(bench, case, "honest")
    assert held(bench) == {"a1": "警察庁 令和8年 第12号"}


def test_a_case_that_is_judged_again_keeps_it_again(bench: Bench) -> None:
    case = bench.lure("e1", "child, send me a picture")
    judge(bench, case, "honest")
    again = ReopenCase(case_id=case.id, by="staff_3", reason="looked again")
    bench.run(lambda memory, tx: casework.reopen(memory, tx, again))
    assert held(bench) == {"a1": case.id}


def test_other_queues_keep_nothing(bench: Bench) -> None:
    bench.lure("e1")
    assert held(bench) == {}
