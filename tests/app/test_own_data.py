"""Own data, from a file to a first precision and away again, through the child process that reads it."""

import time
from collections.abc import Iterator

import pytest
from tests.app.conftest import MakeSite, Site

from koban.app import Koban
from koban.app.own_data import LOGS_MAX, OwnData
from koban.base import DAY, ManualClock, wilson
from koban.insight.types import FileRefused, LogBusy, LogMissing, LogTooMany, OwnLog

LURE = "直取引しませんか"
LINES = [f"{number},u{number % 3},{LURE if number % 4 == 0 else 'ありがとうございました'} {number},{'悪' if number % 8 == 0 else '良'}"
         for number in range(40)]  # fmt: skip
CSV = ("id,user,本文,ラベル\n" + "\n".join(LINES) + "\n").encode("cp932")


@pytest.fixture
def site(site_of: MakeSite) -> Site:
    return site_of("own")


@pytest.fixture
def koban(site: Site) -> Iterator[Koban]:
    with site.open() as opened:
        yield opened


@pytest.fixture
def own(koban: Koban) -> Iterator[OwnData]:
    made = OwnData(koban)
    yield made
    made.close()


def judged(own: OwnData, name: str) -> OwnLog:
    own.judge(name, by="staff_1")
    for _ in range(1_200):
        found = own.read(name)
        if found.state != "judging":
            return found
        time.sleep(0.1)
    raise AssertionError("it was not judged within two minutes")


def test_from_a_file_to_a_precision_of_one_s_own_and_away_again(own: OwnData, koban: Koban) -> None:
    name = own.upload("受信 箱.csv", CSV, by="staff_1")
    found = own.read(name)
    assert found.looked is not None
    assert found.chosen is not None
    assert (found.state, found.title, found.looked.encoding) == ("uploaded", "受信 箱.csv", "cp932")
    assert dict(found.chosen.columns) == {"id": "id", "user": "sender.id", "本文": "text", "ラベル": "truth"}
    rows, problems = own.preview(name)
    assert problems == ()
    assert dict(rows[0].fields)["text"] == f"{LURE} 0"
    assert dict(rows[0].fields)["sender.id"] == "u0"

    done = judged(own, name)
    assert done.state == "judged", done.detail
    assert done.judged is not None
    assert (done.judged.rows, done.judged.imported, done.judged.unreadable) == (40, 40, 0)
    folder = koban.settings.data / "logs" / name
    assert not (folder / "upload").exists()
    assert not [file for file in folder.rglob("*") if file.is_file() and LURE.encode() in file.read_bytes()]
    assert koban.memory.last_seq == 1, "nothing came into the log of the marketplace"

    hits, total = own.hits(name, offset=0, limit=5, by="staff_1")
    assert total == 10
    assert all(LURE in hit.texts[0] for hit in hits)
    for hit, mark in zip(hits, (1, 1, 1, 0, 2), strict=True):
        assert own.mark(name, hit.event_id, mark, by="staff_1")
    assert not own.mark(name, "no such", 1, by="staff_1")
    line = own.marked(name).all
    assert (line.flagged, line.right, line.wrong, line.unsure, line.precision) == (10, 3, 1, 1, wilson(3, 4))
    own.mark(name, hits[3].event_id, None, by="staff_1")
    assert own.marked(name).all.precision == wilson(3, 3)
    assert [row[1] for row in own.labels(name)].count(1) == 3
    assert {hit.event_id for hit in own.hits(name, offset=5, limit=5, by="staff_1")[0]}.isdisjoint(
        hit.event_id for hit in hits
    )
    evaluation = own.evaluation(name)
    assert evaluation.decided == 40
    assert sum(part.harmful for part in (evaluation.train, evaluation.test)) == 5

    with pytest.raises(LogBusy):
        own.preview(name)
    own.delete(name, by="staff_1")
    assert not folder.exists()
    with pytest.raises(LogMissing):
        own.hits(name, offset=0, limit=1, by="staff_1")
    with koban.database.read() as tx:
        trail = [row[0] for row in tx.rows("SELECT action FROM audit_entries ORDER BY id")]
    assert [each for each in trail if each.startswith("log.")] == [
        "log.uploaded", "log.judged", "log.texts_opened", "log.texts_opened", "log.deleted",
    ]  # fmt: skip


def test_what_is_chosen_wrongly_is_said_and_judged_by_nobody(own: OwnData) -> None:
    name = own.upload("a.jsonl", b'{"body": "hello there, how are you", "who": "u1"}\n' * 3, by="staff_1")
    found = own.read(name)
    assert found.chosen is not None
    own.choose(
        name, type(found.chosen)(event="message.sent", encoding="utf-8", columns={"body": "", "who": ""}), by="s"
    )
    rows, problems = own.preview(name)
    assert rows == ()
    assert [each.detail for each in problems] == ["no_field"]


REFUSED = (
    ("a.exe", b"MZ", "ending"),
    ("../../etc/passwd", b"root", "ending"),
    ("a.csv", b" \n", "empty"),
    ("a.parquet", b"a,b\n1,2", "content"),
    ("a.csv", b"PAR1xxxx", "content"),
)


def test_files_that_are_none_are_refused_and_leave_nothing(own: OwnData, koban: Koban) -> None:
    for name, content, reason in REFUSED:
        with pytest.raises(FileRefused) as refused:
            own.upload(name, content, by="staff_1")
        assert refused.value.problems[0].path == reason
    assert list(own.names()) == []
    assert not (koban.settings.data / "logs").exists()


def test_a_file_that_no_table_is_in_is_refused_by_the_child_and_leaves_nothing(own: OwnData, koban: Koban) -> None:
    with pytest.raises(FileRefused) as refused:
        own.upload("a.parquet", b"PAR1" + b"\x00" * 40, by="staff_1")
    assert refused.value.problems[0].path == "unreadable"
    assert not list((koban.settings.data / "logs").iterdir())


def test_uploads_that_were_never_judged_go_after_a_day_and_there_is_an_end(own: OwnData, koban: Koban) -> None:
    folder = koban.settings.data / "logs"
    for number in range(LOGS_MAX):
        (folder / f"log_{number}").mkdir(parents=True)
    with pytest.raises(LogTooMany):
        own.upload("a.csv", b"text\nhello", by="staff_1")
    for number in range(LOGS_MAX):
        (folder / f"log_{number}").rmdir()
    name = own.upload("a.csv", b"text\nhello there you all\n", by="staff_1")
    assert [each.name for each in own.names()] == [name]
    assert isinstance(koban.clock, ManualClock)
    koban.clock.advance(DAY + 1)
    assert list(own.names()) == []
    assert not (folder / name).exists()
