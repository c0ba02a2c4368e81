"""Old entries leave the database for files; whatever is interrupted, nothing is lost, doubled or answered anew."""

import contextlib
import pathlib
from collections.abc import Callable

import msgspec
import pytest
from tests.archive.conftest import Station

from koban.app import switch_pack
from koban.base import DAY, Unavailable
from koban.decisions import DecisionMissing
from koban.events import EventConflict
from koban.events.archive import ArchiveBusy, list_files
from koban.events.routes import Conflicting
from koban.packs import parse_files
from koban.packs.draft_store import Permit
from koban.pipeline import explain
from koban.vault import erase, lift_hold, place_hold

Reopen = Callable[[], contextlib.AbstractContextManager[Station]]


def test_what_is_older_than_thirty_days_leaves_the_database(station: Station) -> None:
    sent = [station.event(f"e{number}") for number in range(5)]
    station.send(*sent)
    station.days_pass(20)
    station.send(station.event("young"))
    before = station.seqs()
    station.days_pass(12)

    report = station.run_archive()

    assert (report.archived, report.files) == (6, 2)  # five events, and the activation of the pack as a change
    assert station.rows("SELECT event_id FROM log_entries WHERE kind = 'event'") == [("young",)]
    assert station.rows("SELECT count(*) FROM decisions") == [(1,)]
    assert station.rows("SELECT count(*) FROM archive_keys") == [(5,)]
    assert station.seqs() == before


def test_a_change_that_explanations_fold_stays_in_the_database(station: Station) -> None:
    station.send(station.event("e1"))
    station.days_pass(40)
    station.run_archive()
    assert station.rows("SELECT type FROM log_entries") == [("pack.activated",)]


def test_a_second_run_finds_nothing_to_do(station: Station) -> None:
    station.send(station.event("e1"))
    station.days_pass(40)
    station.run_archive()
    again = station.run_archive()
    assert (again.archived, again.files, again.deleted_rows, again.strays) == (0, 0, 0, 0)


def test_an_archived_event_gets_its_first_answer_again(station: Station) -> None:
    event = station.event("e1", "直取引でお願いします。LINEで連絡ください")
    first = station.answer(event)
    station.days_pass(40)
    station.run_archive()
    assert station.answer(event) == first


def test_an_archived_event_with_other_content_is_refused_and_the_field_named(station: Station) -> None:
    event = station.event("e1")
    station.send(event)
    station.days_pass(40)
    station.run_archive()
    late = station.event("e1", time=event["time"])
    changes: list[tuple[dict[str, object], str]] = [
        ({**late, "data": {**dict(event["data"]), "text": "other"}}, "data"),  # type: ignore[call-overload]  # a mapping
        ({**late, "subject": "x"}, "subject"),
        ({**late, "time": "2026-01-01T00:00:00Z"}, "time"),
        ({**station.payout("e1", 5), "time": event["time"]}, "type"),
    ]
    for changed, field in changes:
        assert station.send(changed) == [Conflicting(id="e1", source="shop", field=field)]
    assert EventConflict.status == 409


def test_a_lost_file_is_an_outage_and_never_a_second_decision(station: Station) -> None:
    event = station.event("e1")
    station.send(event)
    station.days_pass(40)
    station.run_archive()
    for path in (station.archive.places.folder / "entries").rglob("*.parquet"):
        path.unlink()
    with pytest.raises(Unavailable):
        station.send(event)
    assert station.rows("SELECT count(*) FROM decisions") == [(0,)]


def test_the_log_goes_on_after_everything_was_archived(station: Station, reopen: Reopen) -> None:
    seq = station.decide(station.event("e1")).seq
    station.desk.command(lambda memory, _tx: memory.enter("note.made", b"{}", about=None, cause_seq=None))
    station.days_pass(40)
    station.run_archive(kept_changes=frozenset())
    station.desk.decider.close()
    assert station.rows("SELECT count(*) FROM log_entries") == [(0,)]
    with reopen() as again:
        assert again.decide(again.event("e2")).seq > seq + 1


def test_features_count_on_after_what_they_counted_was_archived(station: Station, reopen: Reopen) -> None:
    station.send(station.payout("p1", 700))
    station.days_pass(40)
    station.run_archive()
    station.desk.decider.close()
    with reopen() as again:
        record = again.decide(again.payout("p2", 50))
        inputs = again.rows("SELECT inputs FROM decisions WHERE seq = ?", (record.seq,))
        features = msgspec.json.decode(str(inputs[0][0]))["features"]
    assert features.get("paid_out", 750) == 750


def test_nothing_leaves_before_what_is_derived_from_it_is_stored(station: Station) -> None:
    station.send(station.event("e1"), station.event("e2"))
    station.clock.advance(40 * DAY)
    report = station.run_archive(derived_seq=lambda _tx: 0)
    assert report.archived == 0
    assert station.rows("SELECT count(*) FROM archive_files") == [(0,)]


class _KilledError(Exception):
    """The process ends here."""


@pytest.mark.parametrize("step", range(12))
def test_a_run_that_is_killed_anywhere_is_finished_by_the_next(station: Station, step: int) -> None:
    events = [station.event(f"e{number}", f"本文 {number}") for number in range(9)]
    answers = [station.answer(event) for event in events]
    before = station.seqs()
    station.days_pass(40)
    left = step

    def dies(_seconds: float) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise _KilledError

    with contextlib.suppress(_KilledError):
        station.run_archive(pause=dies, chunk=4)
    assert station.seqs() == before
    assert [station.answer(event) for event in events] == answers
    station.run_archive(chunk=4)
    assert station.seqs() == before
    assert [station.answer(event) for event in events] == answers
    assert station.rows("SELECT count(*) FROM log_entries WHERE kind = 'event'") == [(0,)]


def test_files_that_nobody_names_are_swept(station: Station) -> None:
    station.send(station.event("e1"))
    station.days_pass(40)
    station.run_archive()
    stray = station.archive.places.folder / "entries" / "message.sent" / "2026-01-01" / "1-2.parquet"
    stray.parent.mkdir(parents=True)
    stray.write_bytes(b"half")
    stray.with_name(".1-2.parquet.part").write_bytes(b"half")
    assert station.run_archive().strays == 2
    assert not stray.exists()


def test_two_runs_at_once_are_refused(station: Station) -> None:
    station.send(station.event("e1"))
    station.days_pass(40)

    def second(_seconds: float) -> None:
        with pytest.raises(ArchiveBusy):
            station.run_archive()

    assert station.run_archive(pause=second).archived == 2


def test_what_is_past_its_retention_goes_with_its_files_and_keys(station: Station) -> None:
    event = station.event("e1")
    first = station.decide(event)
    station.days_pass(40)
    station.run_archive()
    station.days_pass(326)  # a day has its whole retention of 365 days
    report = station.run_archive()
    assert (report.expired_files, report.expired_entries) == (1, 1)
    assert station.rows("SELECT count(*) FROM archive_keys") == [(0,)]
    assert [path.parent.parent.name for path in _parquet(station.archive.places.folder)] == ["koban.changes"]
    assert station.decide(event).seq > first.seq


@pytest.mark.parametrize("part", ["entries", "sealed"])
@pytest.mark.parametrize("damage", ["gone", "damaged"])
def test_a_file_that_cannot_be_read_keeps_no_other_past_its_retention(station: Station, part: str, damage: str) -> None:
    for number in range(3):
        station.send(station.event(f"e{number}"))
        station.days_pass(1)
    station.days_pass(40)
    station.run_archive()
    files = sorted((station.archive.places.folder / part / "message.sent").rglob("*.par*"))
    assert len(files) == 3
    whole = files[0].read_bytes()
    if damage == "gone":
        files[0].unlink()
    else:
        files[0].write_bytes(whole[:100])
    station.days_pass(366)
    report = station.run_archive()
    assert report.expired_files == 2
    (name,) = report.unreadable_files
    assert name.startswith("message.sent/")
    assert station.rows("SELECT count(*) FROM archive_files WHERE type = 'message.sent'") == [(1,)]
    assert station.rows("SELECT count(*) FROM archive_keys") == [(1,)]

    files[0].write_bytes(whole)
    report = station.run_archive()
    assert (report.expired_files, report.unreadable_files) == (1, ())
    assert station.rows("SELECT count(*) FROM archive_keys") == [(0,)]


def test_a_retention_shorter_than_the_time_in_the_database_is_kept_there(station: Station) -> None:
    short = msgspec.structs.replace(station.pack.events["message.sent"], retention_days=7)
    pack = msgspec.structs.replace(station.pack, events={**station.pack.events, "message.sent": short})
    station.send(station.event("e1"), station.payout("p1", 5))
    station.days_pass(8)
    report = station.run_archive(pack)
    assert (report.deleted_rows, report.archived) == (1, 0)
    assert station.rows("SELECT event_id FROM log_entries WHERE kind = 'event'") == [("p1",)]
    assert station.rows("SELECT type FROM decisions") == [("payout.requested",)]


def test_a_legal_hold_outranks_retention(station: Station) -> None:
    station.send(station.event("e1"))
    station.days_pass(40)
    station.run_archive()
    with station.database.write() as tx:
        place_hold(tx, station.clock.now(), station.vault, "a1", by="counsel", reference="R-1")
    station.days_pass(400)
    assert (station.run_archive().expired_files, station.run_archive().held_files) == (0, 1)
    with station.database.write() as tx:
        lift_hold(tx, station.clock.now(), station.vault, "a1", by="counsel")
    assert station.run_archive().expired_files == 1


def test_files_hold_no_word_of_a_person(station: Station) -> None:
    text = "住所は港区です 090-1234-5678"
    station.send(station.event("e1", text))
    station.days_pass(40)
    station.run_archive()
    found = b"".join(path.read_bytes() for path in _parquet(station.archive.places.folder))
    assert found
    for secret in (text, "港区", "090-1234", "phone-77"):
        assert secret.encode() not in found


def test_sealed_fields_open_in_memory_until_the_person_is_erased(station: Station) -> None:
    station.send(station.event("e1", "ひみつ"), station.payout("p1", 3))
    station.days_pass(40)
    station.run_archive()
    station.send(station.event("e2", "あたらしい"))
    query = (
        'SELECT "text", "sender.id", "price_minor", "device.id" LIKE \'device~%\' FROM event_message_sent ORDER BY seq'
    )
    with station.duckdb() as connection:
        assert connection.execute(query).fetchall() == [("ひみつ", "a1", None, True), ("あたらしい", "a1", None, True)]
        assert connection.execute('SELECT "amount_minor" FROM event_payout_requested').fetchall() == [(3,)]
    with station.duckdb(opening=False) as connection:
        assert connection.execute('SELECT DISTINCT "text" FROM event_message_sent').fetchall() == [(None,)]
    with station.database.write() as tx:
        erase(tx, station.clock.now(), station.vault, "a1", by="dpo")
    with station.duckdb() as connection:
        assert connection.execute('SELECT DISTINCT "text" FROM event_message_sent').fetchall() == [(None,)]


def test_a_connection_reads_the_archive_alone(station: Station, tmp_path: pathlib.Path) -> None:
    import duckdb

    other = tmp_path / "other.csv"
    other.write_text("a\n1\n")
    with station.duckdb() as connection:
        for sql in (f"SELECT * FROM read_csv('{other}')", "SET enable_external_access = true", "INSTALL httpfs"):
            with pytest.raises(duckdb.Error):
                connection.execute(sql)


def test_files_of_another_shape_are_read_again_from_what_was_sent(station: Station) -> None:
    station.send(station.payout("p1", 3))
    station.days_pass(40)
    station.run_archive()
    declared = station.pack.events["payout.requested"]
    amount = msgspec.structs.replace(declared.fields["amount_minor"], type="decimal")
    changed = msgspec.structs.replace(declared, fields={**declared.fields, "amount_minor": amount})
    pack = msgspec.structs.replace(station.pack, events={**station.pack.events, "payout.requested": changed})
    from koban.events.archive import archive_connection

    with station.database.read() as tx:
        connection = archive_connection(tx, station.archive, station.vault, pack)
    with connection:
        assert connection.execute('SELECT "amount_minor" FROM event_payout_requested').fetchall() == [(3_000_000,)]


def test_days_and_types_have_files_of_their_own(station: Station) -> None:
    station.send(station.event("e1"), station.payout("p1", 1))
    station.clock.advance(DAY)
    station.send(station.event("e2"))
    station.days_pass(40)
    station.run_archive()
    with station.database.read() as tx:
        named = {(file.type, file.entries) for file in list_files(tx)}
        events = [file.name.rsplit("/", 1)[0] for file in list_files(tx) if not file.type.startswith("koban.")]
    assert named == {("koban.changes", 1), ("message.sent", 1), ("payout.requested", 1)}
    assert sorted(events) == ["message.sent/2026-10-21", "message.sent/2026-10-22", "payout.requested/2026-10-21"]


def _parquet(folder: pathlib.Path) -> list[pathlib.Path]:
    return sorted(folder.rglob("*.parquet"))


def test_a_new_feature_counts_what_was_archived_before_it_was_thought_of(station: Station) -> None:
    station.send(*[station.event(f"e{number}") for number in range(3)])
    station.days_pass(40)
    station.run_archive()
    station.send(station.event("e3"))
    files = dict(station.pack.files)
    files["features.yaml"] += (
        "- feature: messages_ever\n  about: {en: Messages, ja: メッセージ}\n  on: message.sent\n  by: sender.id\n"
        "  value: count(*)\n  within: ever\n"
    )
    files["rules/rules.yaml"] += (
        "- rule: chatty\n  policy: fraud/lure\n  on: [message.sent]\n  when: messages_ever >= 5\n"
        "  then: [{review: scams}]\n  mode: shadow\n  because: {en: writes, ja: 書いています}\n"
    )
    base = station.desk.memory.compiled.pack.digest
    switch_pack(
        station.desk, parse_files(files), Permit(base=base, by="test", reason="a new feature", ground="ordinary")
    )
    record = station.decide(station.event("e4"))
    assert [signal.rule for signal in record.signals] == ["chatty"]


def test_an_archived_decision_is_explained_as_before(station: Station) -> None:
    record = station.decide(station.event("e1", "直取引しませんか"))
    before = explain(station.database, station.vault, record.seq)
    station.days_pass(40)
    station.run_archive()
    with pytest.raises(DecisionMissing):
        explain(station.database, station.vault, record.seq)
    assert explain(station.database, station.vault, record.seq, archive=station.archive) == before
    with station.database.read() as tx:
        for source in ("shop", None):
            found = station.archive.find_event(tx, "e1", source)
            assert found is not None
            assert found.entry.seq == record.seq
        assert station.archive.find_event(tx, "e9", None) is None
        assert station.archive.find_event(tx, "e1", "another shop") is None
