"""A backup taken from a running server becomes a server again that forgets nothing and repeats no number."""

import gzip
import pathlib

import msgspec
import pytest
import sqlalchemy
from tests.app.conftest import MakeSite, Site, send

from koban.app import DataOfOtherRelease, Koban
from koban.app.archiving import run_archive
from koban.app.backup import (
    MANIFEST,
    BackupDamaged,
    BackupFolderUsed,
    BackupUnreadable,
    DataFolderUsed,
    Manifest,
    next_epoch,
    read_erasures,
    restore,
    take_backup,
)
from koban.app.people import erase_person
from koban.base import DAY, MINUTE, Instant
from koban.decisions import DecisionRecord, Inputs
from koban.vault import MasterKeyMissing, MasterKeyWrong


def _seq(body: bytes) -> int:
    return msgspec.json.decode(body, type=DecisionRecord).seq


def _backup(site: Site, koban: Koban, folder: pathlib.Path) -> Manifest:
    return take_backup(site.settings, koban.database, site.secrets, site.clock, folder)


def _key(site: Site) -> pathlib.Path:
    return site.settings.data / "vault.key"


def _content(folder: pathlib.Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_restored_server_gives_first_answers_again_and_new_numbers(site_of: MakeSite, tmp_path: pathlib.Path) -> None:
    old, new = site_of("old"), site_of("new")
    events = [old.event(f"e{number}", "直取引しませんか") for number in range(4)]
    with old.open() as koban:
        answers = [send(koban, event) for event in events[:2]]
        koban.clock.advance(40 * DAY)  # type: ignore[attr-defined]  # the clock is moved by hand
        koban.desk.command(lambda memory, tx: memory.features.write_slice(tx, memory.last_seq, 1_000))
        run_archive(old.settings, koban.database, koban.vault, koban.clock, koban.memory.compiled.pack)
        answers += [send(koban, event) for event in events[2:]]
        manifest = _backup(old, koban, tmp_path / "backup")
        lost = [_seq(send(koban, old.event(f"lost{number}"))) for number in range(3)]

    done = restore(new.settings, new.secrets, new.clock, tmp_path / "backup", key=_key(old))

    assert done.last_seq == manifest.last_seq
    assert done.archive_files == 2
    with new.open() as koban:
        assert [send(koban, event) for event in events] == answers
        fresh = [_seq(send(koban, new.event(f"f{number}"))) for number in range(3)]
    assert min(fresh) > max(lost)
    assert {seq >> 40 for seq in fresh} == {done.epoch}


def test_a_second_restore_of_one_backup_has_an_epoch_of_its_own(site_of: MakeSite, tmp_path: pathlib.Path) -> None:
    old = site_of("old")
    with old.open() as koban:
        send(koban, old.event("e1"))
        _backup(old, koban, tmp_path / "backup")
    epochs = []
    for name in ("first", "second"):
        new = site_of(name)
        new.clock.advance(MINUTE)
        epochs.append(restore(new.settings, new.secrets, new.clock, tmp_path / "backup", key=_key(old)).epoch)
    assert epochs[1] > epochs[0] > 0


def test_an_epoch_follows_the_clock_and_always_rises() -> None:
    at = Instant(1_767_225_600_000_000)
    cases = [(0, at, 1), (0, Instant(at + 5 * MINUTE), 5), (900, at, 901), (4, Instant(at + 5 * MINUTE), 5)]
    for old, when, new in cases:
        assert next_epoch(old, when) == new


def test_a_backup_holds_no_key_and_nothing_that_people_said(site_of: MakeSite, tmp_path: pathlib.Path) -> None:
    site = site_of("old")
    with site.open() as koban:
        send(koban, site.event("e1", "住所は港区", device={"id": "phone-77"}))
        _backup(site, koban, tmp_path / "backup")
    found = _content(tmp_path / "backup")
    keys = [site.settings.data / name for name in ("vault.key", "audit.key")]
    plain = b"".join(gzip.decompress(body) if name.endswith(".gz") else body for name, body in found.items())
    for secret in (*(key.read_bytes().split(b"\n")[1] for key in keys), "港区".encode(), b"phone-77"):
        assert secret not in plain
    assert not {"vault.key", "audit.key"} & {name.rsplit("/", 1)[-1] for name in found}


def test_actions_that_nobody_took_are_sent_again_with_their_ids(site_of: MakeSite, tmp_path: pathlib.Path) -> None:
    from koban.webhooks import add_endpoint

    old, new = site_of("old"), site_of("new")
    with old.open() as koban:
        with koban.database.write() as tx:
            add_endpoint(
                tx, koban.clock.now(), koban.box, endpoint_id="endpoint_1", url="http://127.0.0.1:9/", kinds=(),
                allow_private=True, by="test",
            )  # fmt: skip
            koban.memory.book.reload(tx)
        for number in range(3):
            send(koban, old.event(f"e{number}", "直取引しませんか"))
        _backup(old, koban, tmp_path / "backup")
        ids = _actions(koban)
    assert ids
    done = restore(new.settings, new.secrets, new.clock, tmp_path / "backup", key=_key(old))
    assert done.sent_again == len(ids)
    with new.open() as koban:
        assert _actions(koban) == ids


def _actions(koban: Koban) -> list[str]:
    with koban.database.read() as tx:
        return [str(row[0]) for row in tx.rows("SELECT id FROM actions ORDER BY id")]


def test_erasures_after_the_backup_are_repeated(site_of: MakeSite, tmp_path: pathlib.Path) -> None:
    old, new = site_of("old"), site_of("new")
    with old.open() as koban:
        send(koban, old.event("e1", sender="gone"))
        send(koban, old.event("e2", sender="back"))
        erase_person(koban, "back", by="dpo")
        send(koban, old.event("e3", sender="back"))
        koban.clock.advance(MINUTE)  # type: ignore[attr-defined]  # the clock is moved by hand
        _backup(old, koban, tmp_path / "backup")
        koban.clock.advance(MINUTE)  # type: ignore[attr-defined]  # the clock is moved by hand
        erase_person(koban, "gone", by="dpo")
        _backup(old, koban, tmp_path / "later")
    erasures = read_erasures(tmp_path / "later")
    assert len(erasures) == 2
    lines = tmp_path / "erasures.jsonl"
    lines.write_text("".join(f'{{"pseudonym": "{who}", "erased_at": {at}}}\n' for who, at in erasures))
    assert read_erasures(lines) == erasures
    if old.settings.database_url.startswith("sqlite"):
        assert read_erasures(old.settings.data) == erasures

    done = restore(new.settings, new.secrets, new.clock, tmp_path / "backup", key=_key(old), erasures=erasures)

    assert done.erased_again == 1  # who was erased before the backup and came back stays
    with new.open() as koban, koban.database.read() as tx:
        gone, back = (koban.vault.pseudonym("person", person) for person in ("gone", "back"))
        left = {str(row[0]) for row in tx.rows("SELECT pseudonym FROM vault_people")}
    assert back in left
    assert gone not in left


@pytest.mark.parametrize("waits", [False, True], ids=["stored", "not yet stored"])
def test_the_features_of_whom_a_restore_erases_again_are_forgotten(
    site_of: MakeSite, tmp_path: pathlib.Path, *, waits: bool
) -> None:
    old, new = site_of("old"), site_of("new")
    with old.open() as koban:
        for number in range(3):
            for sender in ("gone", "stays", "bare"):
                send(koban, old.event(f"{sender}{number}", sender=sender))
        never_sealed = koban.vault.pseudonym("person", "bare")
        if not waits:
            koban.desk.command(lambda memory, tx: memory.features.write_slice(tx, memory.last_seq, 1_000))
        _backup(old, koban, tmp_path / "backup")
        koban.clock.advance(MINUTE)  # type: ignore[attr-defined]  # the clock is moved by hand
        erase_person(koban, "gone", by="dpo")
        _backup(old, koban, tmp_path / "later")
    erasures = read_erasures(tmp_path / "later")
    with_bare = [*erasures, (never_sealed, erasures[0][1])]
    restore(new.settings, new.secrets, new.clock, tmp_path / "backup", key=_key(old), erasures=with_bare)
    for start in range(2):
        with new.open() as koban:
            for sender in ("gone", "stays", "bare"):
                send(koban, new.event(f"again{start}{sender}", sender=sender))
            with koban.database.read() as tx:
                assert tx.rows("SELECT value FROM log_state WHERE name = 'forget_since'") == [(0,)]
                newest = tx.rows("SELECT inputs FROM decisions ORDER BY seq DESC LIMIT 3")
        counted = [msgspec.json.decode(inputs, type=Inputs).features["messages_1h"] for (inputs,) in reversed(newest)]
        assert counted == [1 + start, 4 + start, 1 + start]


def test_the_audit_trail_is_whole_after_a_restore(site_of: MakeSite, tmp_path: pathlib.Path) -> None:
    from koban.audit import SigningKey, checkpoint, read_checkpoints, seal, verify

    old, new = site_of("old"), site_of("new")
    with old.open() as koban:
        erase_person(koban, "a1", by="dpo")
        with koban.database.write() as tx:
            seal(tx, koban.clock.now())
        with koban.database.read() as tx:
            checkpoint(tx, koban.clock.now(), koban.signing_key, old.settings.data / "audit-checkpoints.jsonl")
        _backup(old, koban, tmp_path / "backup")
    restore(new.settings, new.secrets, new.clock, tmp_path / "backup", key=_key(old))
    key = SigningKey.open(old.settings.data / "audit.key", old.secrets)
    with new.open() as koban:
        with koban.database.write() as tx:
            seal(tx, koban.clock.now())
        with koban.database.read() as tx:
            report = verify(tx, read_checkpoints(new.settings.data / "audit-checkpoints.jsonl"), key.public)
    assert report.broken is None
    assert report.checkpoints == 1


def test_what_cannot_be_restored_leaves_nothing_behind(site_of: MakeSite, tmp_path: pathlib.Path) -> None:
    old, new = site_of("old"), site_of("new")
    backup = tmp_path / "backup"
    with old.open() as koban:
        send(koban, old.event("e1"))
        _backup(old, koban, backup)
    wrong = tmp_path / "wrong.key"
    wrong.write_text("koban master key v1\n" + "ab" * 32 + "\n")
    manifest = (backup / MANIFEST).read_bytes()
    said = msgspec.json.decode(manifest, type=Manifest)

    right = _key(old)

    def refused(error: type[Exception], message: str, *, key: pathlib.Path | None = right) -> None:
        with pytest.raises(error, match=message):
            restore(new.settings, new.secrets, new.clock, backup, key=key)
        assert not new.settings.data.exists() or not any(new.settings.data.iterdir())
        (backup / MANIFEST).write_bytes(manifest)

    refused(MasterKeyWrong, "another installation", key=wrong)
    refused(MasterKeyMissing, "vault.key", key=None)
    (backup / MANIFEST).unlink()
    refused(BackupUnreadable, "interrupted")
    (backup / MANIFEST).write_bytes(manifest[:200])
    refused(BackupUnreadable, "no manifest")
    (backup / MANIFEST).write_bytes(msgspec.json.encode(msgspec.structs.replace(said, revision="9999")))
    refused(DataOfOtherRelease, "revision 9999")
    (backup / MANIFEST).write_bytes(msgspec.json.encode(msgspec.structs.replace(said, format=2)))
    refused(BackupUnreadable, "format 2")
    table = backup / "tables" / "log_entries.ndjson.gz"
    whole = table.read_bytes()
    table.write_bytes(whole[:-9] + bytes([whole[-9] ^ 0xFF]) + whole[-8:])
    refused(BackupDamaged, "log_entries")
    table.unlink()
    refused(BackupDamaged, "missing")
    table.write_bytes(whole)
    assert restore(new.settings, new.secrets, new.clock, backup, key=_key(old)).last_seq == said.last_seq


def test_a_failure_in_the_middle_takes_everything_back(site_of: MakeSite, tmp_path: pathlib.Path) -> None:
    old, new = site_of("old"), site_of("new")
    backup = tmp_path / "backup"
    with old.open() as koban:
        send(koban, old.event("e1"))
        manifest = _backup(old, koban, backup)
    short = gzip.compress(b"")
    (backup / "tables" / "log_entries.ndjson.gz").write_bytes(short)
    import hashlib

    files = tuple(
        msgspec.structs.replace(file, bytes=len(short), sha256=hashlib.sha256(short).hexdigest())
        if file.path == "tables/log_entries.ndjson.gz"
        else file
        for file in manifest.files
    )
    (backup / MANIFEST).write_bytes(msgspec.json.encode(msgspec.structs.replace(manifest, files=files)))
    with pytest.raises(BackupDamaged, match="holds 0 rows"):
        restore(new.settings, new.secrets, new.clock, backup, key=_key(old))
    assert not any(new.settings.data.iterdir())
    with new.open() as koban:
        assert koban.memory.last_seq > 0


def test_folders_that_hold_something_are_refused(site_of: MakeSite, tmp_path: pathlib.Path) -> None:
    site = site_of("old")
    with site.open() as koban:
        _backup(site, koban, tmp_path / "backup")
        with pytest.raises(BackupFolderUsed):
            _backup(site, koban, tmp_path / "backup")
    before = _content(site.settings.data)
    with pytest.raises(DataFolderUsed):
        restore(site.settings, site.secrets, site.clock, tmp_path / "backup")
    assert _content(site.settings.data) == before


def test_looking_at_data_of_another_release_is_refused_in_words(site_of: MakeSite) -> None:
    from koban.app import open_to_read

    site = site_of("old")
    with site.open() as koban, koban.database.write() as tx:
        tx.execute(sqlalchemy.text("UPDATE alembic_version SET version_num = '7777'"))
    with pytest.raises(DataOfOtherRelease, match="revision 7777, this release is at"):
        open_to_read(site.settings, site.secrets)
