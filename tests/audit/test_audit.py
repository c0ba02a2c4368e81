import concurrent.futures
import pathlib
import stat
import threading
from collections.abc import Callable

import pytest
import sqlalchemy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from koban.audit import (
    AuditKeyMissing,
    Broken,
    Checkpoint,
    Report,
    SeededSecrets,
    SigningKey,
    append_checkpoint,
    checkpoint,
    list_entries,
    proves,
    read_checkpoints,
    record,
    seal,
    verify,
)
from koban.audit.store import read_head
from koban.base import SECOND, Instant, Unavailable
from koban.db import Database

AT = Instant(1_792_584_000_000_000)


def write_entries(database: Database, count: int, start: int = 0) -> None:
    with database.write() as tx:
        for number in range(start, start + count):
            record(tx, Instant(AT + number), f"staff_{number % 3}", "list.added", f"entry_{number}", {"list": "brands"})


def sealed(database: Database, count: int = 8) -> None:
    write_entries(database, count)
    with database.write() as tx:
        seal(tx, AT)


def run(database: Database, *statements: str) -> None:
    with database.write() as tx:
        for statement in statements:
            tx.execute(sqlalchemy.text(statement))


def check(database: Database, checkpoints: tuple[Checkpoint, ...] = (), key: SigningKey | None = None) -> Report:
    with database.read() as tx:
        return verify(tx, checkpoints, key.public if key else None)


def broken(report: Report) -> Broken:
    assert report.broken is not None
    return report.broken


def test_an_entry_is_rolled_back_with_what_it_tells(database: Database) -> None:
    def fail_afterwards() -> None:
        with database.write() as tx:
            record(tx, AT, "staff_1", "token.issued", "token_1")
            raise Undo

    with pytest.raises(Undo):
        fail_afterwards()
    assert check(database) == Report(sealed=0, unsealed=0, oldest_unsealed_at=None, checkpoints=0, broken=None)


def test_sealing_gives_every_entry_its_place_once(database: Database) -> None:
    write_entries(database, 3)
    with database.write() as tx:
        first = seal(tx, AT)
        assert (first.position, first.added) == (3, 3)
        second = seal(tx, AT)
        assert (second.position, second.added, second.hash) == (3, 0, first.hash)
    write_entries(database, 2, start=3)
    assert check(database).unsealed == 2
    with database.write() as tx:
        assert seal(tx, AT).position == 5
    report = check(database)
    assert (report.sealed, report.unsealed, report.is_whole) == (5, 0, True)


def test_more_entries_than_one_sealing_takes_wait_for_the_next(database: Database) -> None:
    write_entries(database, 1_100)
    with database.write() as tx:
        assert seal(tx, AT).added == 1_000
    with database.write() as tx:
        assert seal(tx, AT).added == 100
    assert check(database).sealed == 1_100


def test_entries_are_listed_newest_first_and_by_filter(database: Database) -> None:
    write_entries(database, 7)
    with database.read() as tx:
        page = list_entries(tx, before_id=None, limit=3, actor=None, action=None, object_id=None)
        assert [one.object_id for one in page] == ["entry_6", "entry_5", "entry_4"]
        rest = list_entries(tx, before_id=page[-1].id, limit=9, actor="staff_0", action="list.added", object_id=None)
        assert [one.object_id for one in rest] == ["entry_3", "entry_0"]
        assert list_entries(tx, before_id=None, limit=9, actor=None, action=None, object_id="entry_2")[0].details == {
            "list": "brands"
        }


@pytest.mark.parametrize(
    ("actor", "action", "object_id", "details"),
    [
        ("staff 1", "token.issued", "x", {}),
        ("staff_1", "Issue a token", "x", {}),
        ("aoi@example.com", "token.issued", "x", {}),
        ("staff_1", "token.issued", "x", {"why": "x" * 201}),
        ("staff_1", "token.issued", "x", {"why": "because she said so"}),
        ("staff_1", "token.issued", "x", {str(number): 1 for number in range(41)}),
    ],
)
def test_free_text_never_enters_the_trail(
    database: Database, actor: str, action: str, object_id: str, details: dict[str, str | int | bool | None]
) -> None:
    with database.write() as tx:
        with pytest.raises(ValueError, match=r"must be|short|details"):
            record(tx, AT, actor, action, object_id, details)
        assert verify(tx).unsealed == 0


def test_an_id_of_the_marketplace_may_hold_anything(database: Database) -> None:
    with database.write() as tx:
        record(tx, AT, "staff_1", "label.set", "account:山田 太郎\ud800")
        record(tx, AT, "staff_1", "label.set", "x" * 5_000)
        seal(tx, AT)
        long, odd = list_entries(tx, before_id=None, limit=2, actor=None, action=None, object_id=None)
        assert odd.object_id == "account:%E5%B1%B1%E7%94%B0%20%E5%A4%AA%E9%83%8E%3F"
        assert long.object_id == "x" * 1_000
        for wanted in ("account:山田 太郎\ud800", odd.object_id):
            found = list_entries(tx, before_id=None, limit=2, actor=None, action=None, object_id=wanted)
            assert found == [odd]
        assert verify(tx).is_whole


def test_a_commitment_proves_a_value_until_its_salt_is_destroyed(database: Database) -> None:
    with database.write() as tx:
        record(
            tx, AT, "staff_1", "staff.invited", "staff_2", commitments={"email": "aoi@example.com"},
            secrets=SeededSecrets(1),
        )  # fmt: skip
        seal(tx, AT)
        entry = list_entries(tx, before_id=None, limit=1, actor=None, action=None, object_id=None)[0]
        assert "aoi" not in str(entry)
        assert proves(tx, entry, "email", "aoi@example.com") is True
        assert proves(tx, entry, "email", "ren@example.com") is False
        tx.execute(sqlalchemy.text("DELETE FROM audit_salts"))
        assert proves(tx, entry, "email", "aoi@example.com") is None
        assert verify(tx).is_whole


FORGERIES: dict[str, Callable[[int, int], list[str]]] = {
    "actor": lambda one, _: [f"UPDATE audit_entries SET actor = 'somebody' WHERE position = {one}"],
    "action": lambda one, _: [f"UPDATE audit_entries SET action = 'other.done' WHERE position = {one}"],
    "object": lambda one, _: [f"UPDATE audit_entries SET object_id = 'other' WHERE position = {one}"],
    "details": lambda one, _: [f"UPDATE audit_entries SET details = '{{}}' WHERE position = {one}"],
    "no JSON": lambda one, _: [f"UPDATE audit_entries SET details = '{{' WHERE position = {one}"],
    "time": lambda one, _: [f"UPDATE audit_entries SET recorded_at = recorded_at + 1 WHERE position = {one}"],
    "id": lambda one, _: [f"UPDATE audit_entries SET id = id + 1000 WHERE position = {one}"],
    "hash": lambda one, _: [f"UPDATE audit_entries SET hash = '{'1' * 64}' WHERE position = {one}"],
    "no hash": lambda one, _: [f"UPDATE audit_entries SET hash = NULL WHERE position = {one}"],
    "previous": lambda one, _: [f"UPDATE audit_entries SET previous_hash = '{'1' * 64}' WHERE position = {one}"],
    "position": lambda one, _: [f"UPDATE audit_entries SET position = position + 100 WHERE position = {one}"],
    "unsealed": lambda one, _: [f"UPDATE audit_entries SET position = NULL WHERE position = {one}"],
    "removed": lambda one, _: [f"DELETE FROM audit_entries WHERE position = {one}"],
    "cut off": lambda one, _: [f"DELETE FROM audit_entries WHERE position >= {one}"],
    "all gone": lambda _one, _: ["DELETE FROM audit_entries"],
    "exchanged": lambda one, other: [
        f"UPDATE audit_entries SET position = -1 WHERE position = {one}",
        f"UPDATE audit_entries SET position = {one} WHERE position = {other}",
        f"UPDATE audit_entries SET position = {other} WHERE position = -1",
    ],
    "put in": lambda one, _: [
        (
            f"INSERT INTO audit_entries SELECT id + 1000, recorded_at, actor, action, object_id, details, 0, previous_hash,"
            f" hash FROM audit_entries WHERE position = {one}"
        )
    ],
    "head": lambda _one, _: ["UPDATE audit_head SET position = position - 1"],
    "head gone": lambda _one, _: ["DELETE FROM audit_head"],
    "head hash": lambda _one, _: [f"UPDATE audit_head SET hash = '{'1' * 64}'"],
}


class Undo(Exception):
    """Rolls a forgery back, so that the next one starts from the same chain."""


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
@given(
    name=st.sampled_from(sorted(FORGERIES)),
    one=st.integers(1, 8),
    other=st.integers(1, 7),
)
def test_any_single_change_is_found(database: Database, name: str, one: int, other: int) -> None:
    with database.read() as tx:
        if verify(tx).sealed == 0:
            sealed(database)
    other = other if other < one else other + 1

    def forge() -> None:
        with database.write() as tx:
            assert verify(tx).is_whole
            for statement in FORGERIES[name](one, other):
                tx.execute(sqlalchemy.text(statement))
            assert verify(tx).broken is not None, name
            raise Undo

    with pytest.raises(Undo):
        forge()


@pytest.mark.parametrize(
    ("statements", "what", "position"),
    [
        (["UPDATE audit_entries SET actor = 'x' WHERE position = 4"], "altered", 4),
        (["DELETE FROM audit_entries WHERE position = 4"], "removed", 4),
        (["DELETE FROM audit_entries WHERE position >= 6"], "truncated", 6),
        (FORGERIES["exchanged"](3, 6), "moved", 3),
        (["UPDATE audit_head SET position = 7"], "head", 8),
    ],
)
def test_the_first_broken_entry_is_named(database: Database, statements: list[str], what: str, position: int) -> None:
    sealed(database)
    run(database, *statements)
    found = broken(check(database))
    assert (found.what, found.position) == (what, position)


@pytest.fixture
def key(tmp_path: pathlib.Path) -> SigningKey:
    return SigningKey.open(tmp_path / "audit.key", SeededSecrets(7))


def make_checkpoint(database: Database, key: SigningKey, path: pathlib.Path) -> Checkpoint | None:
    with database.read() as tx:
        return checkpoint(tx, AT, key, path, not_within_us=0)


def test_a_cut_tail_with_a_forged_head_is_found_by_a_checkpoint(
    database: Database, key: SigningKey, tmp_path: pathlib.Path
) -> None:
    file = tmp_path / "out" / "checkpoints.jsonl"
    sealed(database)
    assert make_checkpoint(database, key, file) is not None
    assert make_checkpoint(database, key, file) is None
    run(
        database,
        "DELETE FROM audit_entries WHERE position > 5",
        "UPDATE audit_head SET position = 5, hash = (SELECT hash FROM audit_entries WHERE position = 5)",
    )
    assert check(database).is_whole
    found = broken(check(database, read_checkpoints(file), key))
    assert (found.what, found.position) == ("truncated", 6)


def test_a_wholly_rewritten_chain_is_found_by_a_checkpoint(
    database: Database, key: SigningKey, tmp_path: pathlib.Path
) -> None:
    file = tmp_path / "checkpoints.jsonl"
    sealed(database)
    make_checkpoint(database, key, file)
    run(
        database,
        "UPDATE audit_entries SET position = NULL, actor = 'nobody'",
        "DELETE FROM audit_head",
    )
    with database.write() as tx:
        seal(tx, AT)
    assert check(database).is_whole
    assert broken(check(database, read_checkpoints(file), key)).what == "rewritten"


def test_checkpoints_follow_each_other(database: Database, key: SigningKey, tmp_path: pathlib.Path) -> None:
    file = tmp_path / "checkpoints.jsonl"
    for start in (0, 8, 16):
        write_entries(database, 8, start)
        with database.write() as tx:
            seal(tx, AT)
        make_checkpoint(database, key, file)
    three = read_checkpoints(file)
    assert [one.position for one in three] == [8, 16, 24]
    assert check(database, three, key).is_whole
    assert broken(check(database, (three[0], three[2]), key)).what == "checkpoint"
    stranger = SigningKey.open(tmp_path / "other.key", SeededSecrets(8))
    assert broken(check(database, three, stranger)).what == "checkpoint"


def test_a_torn_last_line_is_cut_and_a_bad_one_refused(
    database: Database, key: SigningKey, tmp_path: pathlib.Path
) -> None:
    file = tmp_path / "checkpoints.jsonl"
    sealed(database)
    made = make_checkpoint(database, key, file)
    with file.open("ab") as torn:
        torn.write(b'{"position":9,"ha')
    size = file.stat().st_size
    assert read_checkpoints(file) == (made,)
    assert file.stat().st_size == size
    write_entries(database, 1, start=8)
    with database.write() as tx:
        seal(tx, AT)
    make_checkpoint(database, key, file)
    assert [one.position for one in read_checkpoints(file)] == [8, 9]
    file.write_bytes(b"nonsense\n")
    with pytest.raises(Unavailable):
        read_checkpoints(file)


def test_a_minute_has_one_checkpoint(database: Database, key: SigningKey, tmp_path: pathlib.Path) -> None:
    file = tmp_path / "checkpoints.jsonl"
    made = []
    for second in (0, 59, 60, 61, 30):
        write_entries(database, 1)
        with database.write() as tx:
            seal(tx, AT)
        with database.read() as tx:
            made.append(checkpoint(tx, Instant(AT + second * SECOND), key, file))
    assert [one.position if one else None for one in made] == [1, None, 3, None, 5]
    assert check(database, read_checkpoints(file), key).is_whole


def test_two_at_once_make_one_checkpoint(database: Database, key: SigningKey, tmp_path: pathlib.Path) -> None:
    gate = threading.Barrier(8)
    sealed(database)
    with database.read() as tx:
        end = read_head(tx)

    def make(file: pathlib.Path) -> bool:
        gate.wait()
        return append_checkpoint(end, Instant(AT), key, file) is not None

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for turn in range(30):
            file = tmp_path / f"{turn}.jsonl"
            assert sum(pool.map(make, [file] * 8)) == 1
            assert check(database, read_checkpoints(file), key).is_whole


def test_the_last_checkpoint_is_found_in_a_long_file(
    database: Database, key: SigningKey, tmp_path: pathlib.Path
) -> None:
    file = tmp_path / "checkpoints.jsonl"
    for _ in range(20):
        write_entries(database, 1)
        with database.write() as tx:
            seal(tx, AT)
        make_checkpoint(database, key, file)
    assert file.stat().st_size > 5_000
    assert check(database, read_checkpoints(file), key).is_whole


def test_the_key_is_made_once_for_its_owner_alone(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "audit.key"
    first = SigningKey.open(file, SeededSecrets(1))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    again = SigningKey.open(file, SeededSecrets(2))
    assert first.public.public_bytes_raw() == again.public.public_bytes_raw()
    file.write_bytes(b"")
    with pytest.raises(Unavailable):
        SigningKey.open(file, SeededSecrets(3))


def test_a_key_that_is_not_there_is_not_made_to_check_with(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "audit.key"
    with pytest.raises(AuditKeyMissing, match="Put the installation's own there"):
        SigningKey.read(file)
    assert not file.exists()
    made = SigningKey.open(file, SeededSecrets(1))
    assert SigningKey.read(file).public == made.public


def test_two_sealers_never_give_one_place_twice(database: Database) -> None:
    import threading

    failures: list[Exception] = []

    def work(number: int) -> None:
        try:
            for step in range(10):
                with database.write() as tx:
                    record(tx, AT, f"staff_{number}", "list.added", f"entry_{step}")
                with database.write() as tx:
                    seal(tx, AT)
        except Exception as error:  # noqa: BLE001 — a thread's failure is shown by the test
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    report = check(database)
    assert (report.sealed, report.unsealed, report.broken) == (40, 0, None)
