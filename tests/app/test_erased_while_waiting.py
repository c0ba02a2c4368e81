"""What waits in the inbox while its person is erased is decided without them: nothing of the person comes back."""

import dataclasses
import json
import pathlib
import shutil
import threading
import time
from collections.abc import Callable

import pytest
from tests.app.conftest import MakeSite, Site, records_wait, send
from tests.app.test_filling import _ask_more, _crashed, _ever

from koban.app import Koban
from koban.app.people import erase_person
from koban.db import Tx
from koban.events import decode
from koban.events.routes import Taken
from koban.pipeline import Memory
from koban.pipeline.desk import QUARANTINE


@pytest.fixture
def site(site_of: MakeSite) -> Site:
    return site_of("one")


def _nothing(_memory: Memory, _tx: Tx) -> None:
    pass


def _erase_while_it_waits(
    koban: Koban, person: str, *events: dict[str, object], then: Callable[[Memory, Tx], None] = _nothing
) -> None:
    """Have events put into the inbox, a person erased, and something done, before the decider gets to them."""
    goes_on, busy = threading.Event(), threading.Event()

    def wait(_memory: Memory, _tx: Tx) -> None:
        busy.set()
        assert goes_on.wait(60)

    holding = threading.Thread(target=lambda: koban.desk.command(wait, alone=True))
    holding.start()
    assert busy.wait(60)
    queued = koban.desk.decider.queued
    items = decode(json.dumps(events).encode(), "application/cloudevents-batch+json")
    taken = koban.desk.submit(items, koban.clock.now(), asynchronous=True)
    hands = [
        threading.Thread(target=lambda: erase_person(koban, person, by="dpo")),
        threading.Thread(target=lambda: koban.desk.command(then, alone=True)),
    ]
    for number, hand in enumerate(hands, 1):
        hand.start()
        while koban.desk.decider.queued < queued + len(events) + number:
            time.sleep(0.001)
    goes_on.set()
    for hand in (holding, *hands):
        hand.join(60)
    assert all(isinstance(one, Taken) for one in taken.result(timeout=60))
    until = time.monotonic() + 60
    while _count(koban, "inbox"):
        assert time.monotonic() < until, "what waits in the inbox is never decided"
        time.sleep(0.005)


def _count(koban: Koban, table: str, where: str = "1 = 1") -> int:
    with koban.database.read() as tx:
        return int(tx.rows(f"SELECT count(*) FROM {table} WHERE {where}")[0][0])


def _records(koban: Koban) -> set[str]:
    koban.desk.command(lambda memory, tx: memory.features.write_all(tx, memory.last_seq), alone=True)
    koban.desk.command(lambda memory, tx: memory.features.fold(tx, 1_000), alone=True)
    with koban.database.read() as tx:
        return {str(row[0]) for row in tx.rows("SELECT subject FROM feature_state")}


def test_an_event_that_waits_while_its_sender_is_erased_brings_nothing_of_them_back(site: Site) -> None:
    with site.open() as koban:
        send(koban, site.event("before", sender="gone"))
        lure = site.event("waits", "直取引しませんか", sender="gone", recipient={"id": "stays"})
        _erase_while_it_waits(koban, "gone", lure, site.event("other", sender="stays"))
        assert _count(koban, "log_entries", "event_id = 'waits'") == 1
        assert _count(koban, "decisions", "acting = 'gone'") == 1, "the one from before the erasure"
        assert _count(koban, "vault_people") == 1, "the key of the one who stays"
        assert "gone" not in _records(koban)
        assert "stays" in _records(koban)


def test_who_comes_back_is_counted_from_then_on(site: Site) -> None:
    with site.open() as koban:
        send(koban, site.event("before", sender="gone"))
        _erase_while_it_waits(koban, "gone", site.event("waits", sender="gone"))
        send(koban, site.event("back", sender="gone"))
        _ask_more(koban)
        assert _ever(koban, site, "gone") == 2, "what came back, and what was sent now"


def test_a_recovery_leaves_out_who_was_erased_while_the_event_waited(
    tmp_path: pathlib.Path, site_of: MakeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = site_of("one")
    if site.settings.database_url.startswith("postgresql"):
        pytest.skip("a copy of the folder is a crash of SQLite alone")
    with site.open() as koban, records_wait(monkeypatch):
        send(koban, site.event("before", sender="gone"))
        _erase_while_it_waits(koban, "gone", site.event("waits", sender="gone"), site.event("other", sender="stays"))
        assert koban.memory.features.unsaved > 0
        shutil.copytree(site.settings.data, tmp_path / "crashed")
    with _crashed(site, tmp_path) as koban:
        assert "gone" not in _records(koban)
        assert "stays" in _records(koban)


def test_of_what_can_no_longer_be_read_and_names_who_was_erased_only_the_id_is_kept(site: Site) -> None:
    def undeclare(memory: Memory, _tx: Tx) -> None:
        memory.compiled = dataclasses.replace(memory.compiled, preparers={})

    with site.open() as koban:
        _erase_while_it_waits(
            koban, "gone", site.event("waits", sender="gone"), site.event("other", sender="stays"), then=undeclare
        )
        with koban.database.read() as tx:
            kept = {str(row[0]): bytes(row[1]) for row in tx.rows("SELECT event_id, sealed FROM quarantine")}
            opened = {each: koban.vault.open_dated(tx, QUARANTINE, sealed) for each, sealed in kept.items()}
    data = {each: json.loads(raw)["data"] for each, raw in opened.items() if raw is not None}
    assert data["waits"] == {}
    assert data["other"]["sender"]["id"] == "stays"
