import pathlib
import stat

import pytest
import sqlalchemy
from hypothesis import given
from hypothesis import strategies as st

from koban.audit import SeededSecrets, list_entries, verify
from koban.base import DAY, Instant
from koban.db import Database
from koban.vault import (
    HoldMissing,
    MasterKeyMissing,
    MasterKeyWrong,
    PersonOnLegalHold,
    SealBroken,
    Sealed,
    Vault,
    erase,
    erased_since,
    forget_days,
    lift_hold,
    place_hold,
    repeat_erasures,
)
from koban.vault.vault import PEOPLE_CACHED_MAX

AT = Instant(1_792_584_000_000_000)
FIELDS: dict[str, object] = {"text": "LINEで連絡ください", "account.name": "山田 花子"}


@pytest.fixture
def vault(database: Database, tmp_path: pathlib.Path) -> Vault:
    with database.write() as tx:
        return Vault.open_file(tx, tmp_path / "keys" / "master.key", SeededSecrets(1))


def seal(database: Database, vault: Vault, person: str, context: str, fields: dict[str, object] = FIELDS) -> bytes:
    with database.write() as tx:
        vault.prepare(tx, AT, [person])
        blob = vault.seal(person, context, fields)
        vault.save(tx)
    vault.settle()
    return blob


def forget(database: Database, vault: Vault, person: str) -> None:
    with database.write() as tx:
        erase(tx, AT, vault, person, by="staff_1")
    vault.forget(person)
    database.forget_deleted()


def table_of_salts(database: Database) -> list[tuple[str, bytes]]:
    with database.read() as tx:
        return [
            (row[0], bytes(row[1])) for row in tx.rows("SELECT pseudonym, salt FROM vault_people ORDER BY pseudonym")
        ]


def test_sealed_fields_open_in_another_process(database: Database, vault: Vault, tmp_path: pathlib.Path) -> None:
    blob = seal(database, vault, "account_1", "event_1")
    assert "山田".encode() not in blob
    with database.write() as tx:
        other = Vault.open_file(tx, tmp_path / "keys" / "master.key", SeededSecrets(2))
    with database.read() as tx:
        assert other.open(tx, "account_1", "event_1", blob) == FIELDS


def test_the_key_file_is_for_its_owner_alone(vault: Vault, tmp_path: pathlib.Path) -> None:
    assert vault is not None
    assert stat.S_IMODE((tmp_path / "keys" / "master.key").stat().st_mode) == 0o600


def test_a_missing_key_is_refused_once_anything_could_be_sealed(
    database: Database, vault: Vault, tmp_path: pathlib.Path
) -> None:
    seal(database, vault, "account_1", "event_1")
    path = tmp_path / "keys" / "master.key"
    path.unlink()
    with database.write() as tx, pytest.raises(MasterKeyMissing):
        Vault.open_file(tx, path, SeededSecrets(3))
    assert not path.exists()


@pytest.mark.parametrize(
    "content", ["", "koban master key v1\nzz\n", "koban master key v1\n" + "00" * 31 + "\n", "x\n" + "00" * 32]
)
def test_a_damaged_key_is_refused(database: Database, vault: Vault, tmp_path: pathlib.Path, content: str) -> None:
    assert vault is not None
    path = tmp_path / "keys" / "master.key"
    path.write_text(content)
    with database.write() as tx, pytest.raises(MasterKeyWrong):
        Vault.open_file(tx, path, SeededSecrets(3))


def test_the_key_of_another_installation_is_refused(database: Database, vault: Vault, tmp_path: pathlib.Path) -> None:
    assert vault is not None
    path = tmp_path / "keys" / "master.key"
    path.write_text("koban master key v1\n" + "00" * 32 + "\n")
    with database.write() as tx, pytest.raises(MasterKeyWrong):
        Vault.open_file(tx, path, SeededSecrets(3))


def test_an_altered_or_moved_seal_is_broken(database: Database, vault: Vault) -> None:
    blob = seal(database, vault, "account_1", "event_1")
    seal(database, vault, "account_2", "event_2")
    with database.read() as tx:
        with pytest.raises(SealBroken):
            vault.open(tx, "account_1", "event_2", blob)
        with pytest.raises(SealBroken):
            vault.open(tx, "account_1", "event_1", blob[:-1] + bytes([blob[-1] ^ 1]))
        with pytest.raises(SealBroken):
            vault.open(tx, "account_1", "event_1", blob[:12])
        assert vault.open(tx, "account_2", "event_1", blob) is None


def test_an_erased_persons_fields_open_as_none(database: Database, vault: Vault) -> None:
    mine = seal(database, vault, "account_1", "event_1")
    theirs = seal(database, vault, "account_2", "event_2")
    forget(database, vault, "account_1")
    with database.read() as tx:
        opened = vault.open_many(
            tx,
            [
                Sealed(person="account_1", context="event_1", blob=mine),
                Sealed(person="account_2", context="event_2", blob=theirs),
            ],
        )
        assert opened == [None, FIELDS]


def test_who_comes_back_after_an_erasure_gets_a_new_key(database: Database, vault: Vault) -> None:
    before = seal(database, vault, "account_1", "event_1")
    forget(database, vault, "account_1")
    after = seal(database, vault, "account_1", "event_2", {"text": "new"})
    with database.read() as tx:
        assert vault.open(tx, "account_1", "event_1", before) is None
        assert vault.open(tx, "account_1", "event_2", after) == {"text": "new"}


def test_an_erasure_leaves_no_salt_in_any_file(database: Database, vault: Vault, tmp_path: pathlib.Path) -> None:
    seal(database, vault, "account_1", "event_1")
    salts = table_of_salts(database)
    assert len(salts) == 1
    if database.dialect == "sqlite":
        assert any(salts[0][1] in file.read_bytes() for file in tmp_path.glob("koban.db*"))
    forget(database, vault, "account_1")
    assert table_of_salts(database) == []
    if database.dialect == "sqlite":
        assert not any(salts[0][1] in file.read_bytes() for file in tmp_path.glob("koban.db*"))


def test_an_erasure_is_recorded_by_pseudonym_alone(database: Database, vault: Vault) -> None:
    seal(database, vault, "account_1", "event_1")
    with database.write() as tx:
        done = erase(tx, AT, vault, "account_1", by="staff_1")
        assert done.had_data
        assert done.pseudonym == vault.pseudonym("person", "account_1")
        again = erase(tx, Instant(AT + 5), vault, "account_1", by="staff_1")
        assert (again.had_data, again.erased_at) == (False, AT + 5)
        entries = list_entries(tx, before_id=None, limit=9, actor=None, action="person.erased", object_id=None)
        assert [(one.actor, one.object_id, one.details) for one in entries] == [
            ("staff_1", done.pseudonym, {"had_data": False}),
            ("staff_1", done.pseudonym, {"had_data": True}),
        ]
        assert erased_since(tx, AT) == [(done.pseudonym, AT), (done.pseudonym, AT + 5)]
        assert "account_1" not in repr(entries)
        assert verify(tx).unsealed == 2


def test_an_erasure_holds_after_a_restore(database: Database, vault: Vault) -> None:
    blob = seal(database, vault, "account_1", "event_1")
    backup = table_of_salts(database)
    forget(database, vault, "account_1")
    with database.write() as tx:
        erased = erased_since(tx, Instant(0))
        tx.execute(sqlalchemy.text("DELETE FROM vault_erasures"))
        tx.many("INSERT INTO vault_people (pseudonym, salt, made_at) VALUES (?, ?, 0)", backup)
        assert vault.open(tx, "account_1", "event_1", blob) == FIELDS
        assert repeat_erasures(tx, AT, erased, by="koban") == 1
        assert repeat_erasures(tx, AT, erased, by="koban") == 0
        assert vault.open(tx, "account_1", "event_1", blob) is None


def test_a_legal_hold_refuses_erasure_and_changes_nothing(database: Database, vault: Vault) -> None:
    blob = seal(database, vault, "account_1", "event_1")
    with database.write() as tx:
        place_hold(tx, AT, vault, "account_1", by="staff_9", reference="R8-123")
    with database.write() as tx:
        with pytest.raises(PersonOnLegalHold, match="R8-123"):
            erase(tx, AT, vault, "account_1", by="staff_1")
        assert vault.open(tx, "account_1", "event_1", blob) == FIELDS
        assert erased_since(tx, Instant(0)) == []
        lift_hold(tx, AT, vault, "account_1", by="staff_9")
        with pytest.raises(HoldMissing):
            lift_hold(tx, AT, vault, "account_1", by="staff_9")
        assert erase(tx, AT, vault, "account_1", by="staff_1").had_data


def test_salts_that_were_not_committed_are_made_anew(database: Database, vault: Vault) -> None:
    with database.read() as tx:
        vault.prepare(tx, AT, ["account_1"])
        lost = vault.seal("account_1", "event_1", FIELDS)
    assert len(vault.new_salts()) == 1
    vault.drop()
    assert vault.new_salts() == []
    blob = seal(database, vault, "account_1", "event_1")
    with database.read() as tx:
        assert vault.open(tx, "account_1", "event_1", blob) == FIELDS
        assert vault.open(tx, "account_1", "event_1", lost) is None


def test_a_batch_of_people_is_prepared_at_once(database: Database, vault: Vault) -> None:
    people = [f"account_{number}" for number in range(1_300)]
    with database.write() as tx:
        vault.prepare(tx, AT, people)
        vault.save(tx)
    vault.settle()
    vault.drop()
    with database.write() as tx:
        vault.prepare(tx, AT, people)
        assert vault.new_salts() == []
    assert len(table_of_salts(database)) == 1_300


def test_the_cache_is_bounded_and_keeps_what_is_not_written(database: Database, vault: Vault) -> None:
    with database.read() as tx:
        vault._sealers.update(dict.fromkeys(map(str, range(PEOPLE_CACHED_MAX)), vault._sealer(b"x")))
        vault._pending["0"] = ("person~0", b"x", AT)
        vault.prepare(tx, AT, ["account_1"])
    assert len(vault._sealers) == PEOPLE_CACHED_MAX - PEOPLE_CACHED_MAX // 10 + 2
    assert "0" in vault._sealers
    assert "1" not in vault._sealers
    vault.drop()


def test_a_pseudonym_depends_on_kind_value_and_key(vault: Vault) -> None:
    one = vault.pseudonym("device", "abc")
    assert one.startswith("device~")
    assert len(one) == len("device~") + 20
    assert vault.pseudonym("device", "abc") == one
    other = Vault(b"1" * 32, SeededSecrets(1))
    assert (
        len({one, vault.pseudonym("ip", "abc"), vault.pseudonym("device", "abd"), other.pseudonym("device", "abc")})
        == 4
    )
    assert vault.pseudonym("device", "\ud800")


def test_a_digest_is_keyed(vault: Vault) -> None:
    assert vault.digest(b"x") == vault.digest(b"x")
    assert vault.digest(b"x") != Vault(b"1" * 32, SeededSecrets(1)).digest(b"x")


def test_a_forgotten_day_opens_as_none(database: Database, vault: Vault) -> None:
    with database.write() as tx:
        old = vault.seal_dated(tx, AT, "quarantine", b"{broken")
        same_day = vault.seal_dated(tx, Instant(AT + 1), "quarantine", b"{broken")
        new = vault.seal_dated(tx, Instant(AT + 2 * DAY), "quarantine", b"{later")
        assert b"broken" not in old
        assert vault.open_dated(tx, "quarantine", old) == b"{broken"
        assert vault.open_dated(tx, "quarantine", same_day) == b"{broken"
        with pytest.raises(SealBroken):
            vault.open_dated(tx, "quarantine", old[:-1] + b"x")
        assert forget_days(tx, Instant(AT + 2 * DAY), "quarantine", older_than_us=1 * DAY) == 1
        assert forget_days(tx, Instant(AT + 2 * DAY), "quarantine", older_than_us=1 * DAY) == 0
        assert vault.open_dated(tx, "quarantine", old) is None
        assert vault.open_dated(tx, "quarantine", new) == b"{later"


_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(fields=st.dictionaries(st.text(), _values), person=st.text(), context=st.text())
def test_what_was_sealed_opens_as_it_was(fields: dict[str, object], person: str, context: str) -> None:
    from koban.vault.vault import _opened

    vault = Vault(b"0" * 32, SeededSecrets(1))
    vault._sealers[person] = vault._sealer(b"salt")
    blob = vault.seal(person, context, fields)
    assert _opened(vault._sealer(b"salt"), Sealed(person=person, context=context, blob=blob)) == fields
    assert _opened(vault._sealer(b"other"), Sealed(person=person, context=context, blob=blob)) is None
    assert vault.seal(person, context, fields) != blob
