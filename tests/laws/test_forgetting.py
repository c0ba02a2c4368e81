"""Law 7: after an erasure nothing of a person can be read any more, on any disk; a legal hold outranks it."""

import base64
import contextlib
import json
import pathlib
import random
from collections.abc import Iterator, Mapping
from typing import Final

import pytest
import sqlalchemy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.laws.town import Town, message, open_town, payout

import koban.events.store as event_store
from koban.app import Koban, open_koban
from koban.app.people import erase_person, forget_person
from koban.audit import SeededSecrets
from koban.base import Instant, ManualClock
from koban.base.settings import read_settings
from koban.db import Database, metadata
from koban.events import decode
from koban.events.routes import Decided, Taken
from koban.pipeline.sealing import open_entry
from koban.vault import PersonOnLegalHold, Vault, place_hold

START: Final = Instant(1_792_584_000_000_000)
SMALL_PACK = pathlib.Path(__file__).parents[1] / "small_pack"

# Words that stand for nobody else, in several scripts, with what JSON and SQL write otherwise.
words = st.text(st.sampled_from("山田花子àéß'\"\\\n🙂xyz"), min_size=6, max_size=12).map(lambda text: f"qz{text}zq")


@contextlib.contextmanager
def _open(data: pathlib.Path, clock: ManualClock) -> Iterator[Koban]:
    settings_ = read_settings({"KOBAN_DATA": str(data), "KOBAN_PACK": str(SMALL_PACK)})
    with open_koban(settings_, clock, random.Random(3), SeededSecrets(3), durable=False) as koban:
        yield koban


def _traces(folder: pathlib.Path, secret: str | bytes) -> list[str]:
    """Name the files that hold something in any form in which it may have been written."""
    raw = secret if isinstance(secret, bytes) else secret.encode()
    forms = {raw, raw.hex().encode(), base64.b64encode(raw)[:-4]}
    if isinstance(secret, str):
        forms |= {json.dumps(secret)[1:-1].encode(), json.dumps(secret, ensure_ascii=False)[1:-1].encode()}
        forms |= {secret.encode("utf-16-le")}
    return [str(path) for path in folder.rglob("*") if path.is_file() for form in forms if form in path.read_bytes()]


def _rows(database: Database) -> list[str]:
    """Read every row of every table, as a dump would."""
    with database.read() as tx:
        return [
            repr(tuple(bytes(one) if isinstance(one, memoryview) else one for one in row))
            for table in metadata.sorted_tables
            for row in tx.execute(sqlalchemy.select(table))
        ]


def _salt(database: Database, vault: Vault, person: str) -> bytes | None:
    with database.read() as tx:
        found = tx.rows("SELECT salt FROM vault_people WHERE pseudonym = ?", (vault.pseudonym("person", person),))
    return bytes(found[0][0]) if found else None


def _personal(database: Database, vault: Vault, event_id: str) -> Mapping[str, object]:
    with database.read() as tx:
        entry = event_store.find_event(tx, "shop", event_id)
        assert entry is not None
        return open_entry(tx, vault, event_store.event_key("shop", event_id), entry)


def _events(who: str, word: str, number: int) -> list[dict[str, object]]:
    data = {
        "sender": {"id": who, "nickname": f"{word}-nickname"},
        "recipient": {"id": "other"},
        "message": {"id": f"m{number}"},
        "text": f"直取引しませんか {word}-text",
        "device": {"id": f"{word}-device"},
        "note": [f"{word}-note"],
    }
    event = {"specversion": "1.0", "source": "shop", "type": "message.sent", "time": "2026-10-21T12:00:00Z"}
    return [{**event, "id": f"{who}-{number + i}", "data": data} for i in range(3)]


@settings(max_examples=6, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(mine=words, theirs=words, restarts=st.booleans(), waits=st.booleans())
def test_after_an_erasure_no_file_holds_anything_of_the_person(
    tmp_path_factory: pytest.TempPathFactory, mine: str, theirs: str, *, restarts: bool, waits: bool
) -> None:
    data = tmp_path_factory.mktemp("erased") / "data"
    clock = ManualClock(START)
    with contextlib.ExitStack() as stack:
        koban = stack.enter_context(_open(data, clock))
        for who, word in (("p1", mine), ("p2", theirs)):
            items = decode(json.dumps(_events(who, word, 1)).encode(), "application/json")
            results = koban.desk.submit(items, clock.now(), waits).result(timeout=60)
            assert all(isinstance(one, Decided | Taken) for one in results)
        koban.desk.command(lambda _memory, _tx: None)
        if restarts:
            stack.close()
            koban = stack.enter_context(_open(data, clock))
        salt, other_salt = (_salt(koban.database, koban.vault, who) for who in ("p1", "p2"))
        assert salt is not None
        assert other_salt is not None
        assert _traces(data, salt) != []
        erase_person(koban, "p1", by="staff_1")
        for part in ("nickname", "text", "device", "note"):
            assert _traces(data, f"{mine}-{part}") == []
        assert _traces(data, salt) == []
        assert _salt(koban.database, koban.vault, "p2") == other_salt
        if not waits:
            assert _personal(koban.database, koban.vault, "p1-1") == {}
            assert _personal(koban.database, koban.vault, "p2-1")["text"] == f"直取引しませんか {theirs}-text"
        # Who comes back is somebody new, and erased again as a whole.
        again = decode(json.dumps(_events("p1", mine, 10)).encode(), "application/json")
        koban.desk.submit(again, clock.now(), False).result(timeout=60)
        assert _personal(koban.database, koban.vault, "p1-10")["text"] == f"直取引しませんか {mine}-text"
        second = _salt(koban.database, koban.vault, "p1")
        assert second not in {None, salt}
        with koban.database.write() as tx:
            place_hold(tx, clock.now(), koban.vault, "p1", by="staff_1", reference="case 7")
        with pytest.raises(PersonOnLegalHold):
            erase_person(koban, "p1", by="staff_1")
        assert _salt(koban.database, koban.vault, "p1") == second
        assert _personal(koban.database, koban.vault, "p1-10")["text"] == f"直取引しませんか {mine}-text"


def test_after_an_erasure_no_table_holds_anything_of_the_person(database: Database, tmp_path: pathlib.Path) -> None:
    with open_town(database, tmp_path) as town:
        events = [
            message(
                f"e{i}", town.clock.now(), sender__id="a1", sender__name="qzNamezq", sender__email="qzMailzq",
                text="qzTextzq 直取引", device__id="qzDevicezq", qzKept="qzMorezq",
            )
            for i in range(4)
        ]  # fmt: skip
        town.send(
            [*events, payout("p", town.clock.now(), account__id="a1", account__name="qzNamezq", amount_minor=5_000)]
        )
        assert [row for row in _rows(database) if "qz" in row.replace("qzKept", "")] == []
        salt = _salt(database, town.vault, "a1")
        assert salt is not None
        assert [row for row in _rows(database) if repr(salt) in row]
        _erase(town, "a1")
        assert [row for row in _rows(database) if repr(salt) in row] == []
        assert all(_personal(database, town.vault, f"e{i}") == {} for i in range(4))
        first = town.decisions()
        town.send(events)
        assert town.decisions() == first, "a repetition is still recognised, and gets the first answer"


def test_features_of_an_erased_person_stay_forgotten_after_a_crash(database: Database, tmp_path: pathlib.Path) -> None:
    with open_town(database, tmp_path) as town:
        # More people than are written back with one commit, so that recovery begins before the erasure.
        crowd = [message(f"c{i}", town.clock.now(), sender__id=f"x{i}", text="x") for i in range(200)]
        town.send([*crowd, *(message(f"e{i}", town.clock.now(), sender__id="a1", text="x") for i in range(3))])
        _erase(town, "a1")
        town.restart(crash=True)
        town.send([message("after", town.clock.now(), sender__id="a1", text="x")])
        last = max(town.decisions().items())[1]
        assert last[1]["messages_1h"] == 1


def _erase(town: Town, person: str) -> None:
    """Erase as `erase_person` does, on a desk that has no data folder."""
    town.desk.command(lambda memory, tx: forget_person(memory, tx, person, by="staff_1"), alone=True)
    town.database.forget_deleted()


def test_what_could_not_be_read_and_names_the_person_is_forgotten_too(tmp_path: pathlib.Path) -> None:
    clock = ManualClock(START)
    with _open(tmp_path / "data", clock) as koban:

        def sent(account: str) -> None:
            event = {"id": f"q-{account}", "source": "shop", "type": "no.such", "data": {"sender": {"id": account}}}
            items = decode(json.dumps(event).encode(), "application/json")
            koban.desk.submit(items, clock.now(), False).result(timeout=60)

        sent("erna")
        sent("otto")
        erase_person(koban, "erna", by="test")
        with koban.database.read() as tx:
            left = tx.rows("SELECT event_id FROM quarantine")
    assert [row[0] for row in left] == ["q-otto"]
