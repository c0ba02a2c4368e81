"""Named logs: anybody's file as a log, a pack run over it, and nothing that happens because of it."""

import contextlib
import fcntl
import os
import pathlib
import random
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Sequence

import pytest
import sqlalchemy

from koban.audit import SeededSecrets
from koban.insight import Map, MapInvalid, Truth, evaluate
from koban.insight.types import LogMissing
from koban.packs import PackDef, load_pack
from koban.pipeline.logs import (
    ImportReport,
    LogNameInvalid,
    NamedLog,
    import_files,
    log_names,
    open_log,
    replay,
)

SMALL_PACK = pathlib.Path(__file__).parents[1] / "small_pack"
LOGGED = "SELECT seq, log_at, type, event_id, event_at, data, digest, flags FROM log_entries ORDER BY seq"
DECIDED = "SELECT seq, log_at, type, verdict, acting, took_us, body, inputs FROM decisions ORDER BY seq"
SIGNALS = "SELECT seq, rule, policy, applied, withheld FROM signals ORDER BY seq, rule"


@pytest.fixture(scope="module")
def pack() -> PackDef:
    return load_pack(SMALL_PACK)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> str:
    return (
        f"sqlite:///{tmp_path}/koban.db" if request.param == "sqlite" else str(request.getfixturevalue("postgres_url"))
    )


@pytest.fixture
def name() -> str:
    return f"log_{os.getpid()}_{random.getrandbits(40):x}"


@pytest.fixture
def log(url: str, name: str, tmp_path: pathlib.Path) -> Iterator[NamedLog]:
    with open_log(tmp_path, url, name, SeededSecrets(3), make=True) as opened:
        yield opened
    if not url.startswith("sqlite"):
        engine = sqlalchemy.create_engine(sqlalchemy.make_url(url).set(drivername="postgresql+psycopg"))
        with engine.begin() as connection:
            connection.execute(sqlalchemy.text(f"DROP SCHEMA log_{name} CASCADE"))
        engine.dispose()


def a_map(**changes: object) -> Map:
    given: dict[str, object] = {
        "about": "made up",
        "source": "this test",
        "event": "message.sent",
        "id": "'m-' || number",
        "time": "TIMESTAMP '2026-01-05 00:00:00' + to_seconds(CAST(number AS INTEGER))",
        "data": {
            "sender.id": "who",
            "recipient.id": "'r' || number",
            "message.id": "number",
            "text": "said",
            "price_minor": "price",
        },
        "truth": Truth(harmful="label = 'bad'", what="made up"),
    }
    return Map(**{**given, **changes})  # type: ignore[arg-type]  # the tests' own words


def messages(path: pathlib.Path, count: int, *, start: int = 0) -> pathlib.Path:
    with path.open("w") as file:
        file.write("number,who,said,price,label\n")
        for number in range(start, start + count):
            bad = number % 5 == 0
            said = "please pay outside" if bad else "is it still there"
            file.write(f"{number},u{number % 7},{said} {number},{number * 100},{'bad' if bad else 'good'}\n")
    return path


def rows(log: NamedLog, sql: str) -> list[tuple[object, ...]]:
    with log.database.read() as tx:
        return [tuple(row) for row in tx.rows(sql)]


def summary(report: ImportReport) -> tuple[int, int, int, int, int, int]:
    return report.rows, report.imported, report.already_there, report.unreadable, report.harmful, report.honest


def test_importing_twice_changes_nothing(log: NamedLog, pack: PackDef, tmp_path: pathlib.Path) -> None:
    file = messages(tmp_path / "a.csv", 1_500)
    assert summary(import_files(log, pack, a_map(), [file])) == (1_500, 1_500, 0, 0, 300, 1_200)
    before = rows(log, LOGGED)
    assert summary(import_files(log, pack, a_map(), [file])) == (1_500, 0, 1_500, 0, 300, 1_200)
    assert rows(log, LOGGED) == before
    assert rows(log, "SELECT count(*) FROM log_truth") == [(1_500,)]


def test_rows_that_cannot_be_read_are_counted_and_stop_nothing(
    log: NamedLog, pack: PackDef, tmp_path: pathlib.Path
) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes(
        b"number,who,said,price,label\n1,ann,hello,100,good\n2,bob\n3,cid,hello,much,good\n4,dan,b\xff,1,bad\n"
        b"5,eve,hello,,bad\n,fay,hello,1,bad\n"
    )
    report = import_files(log, pack, a_map(), [file])
    assert summary(report) == (6, 2, 0, 4, 1, 1)
    assert sorted((each.place, each.problems[0].path) for each in report.examples) == [
        ("line 3", ""),
        ("line 5", ""),
        ("row 2", "data.price_minor"),
        ("row 4", "id"),
    ]
    assert rows(log, "SELECT event_id FROM log_entries ORDER BY seq") == [("m-1",), ("m-5",)]


def test_several_files_and_several_imports_make_one_log(log: NamedLog, pack: PackDef, tmp_path: pathlib.Path) -> None:
    first, second = messages(tmp_path / "a.csv", 30), messages(tmp_path / "b.csv", 30, start=30)
    third = messages(tmp_path / "c.csv", 30, start=45)
    assert summary(import_files(log, pack, a_map(), [first, second]))[:3] == (60, 60, 0)
    assert summary(import_files(log, pack, a_map(), [third]))[:3] == (30, 15, 15)
    assert [row[3] for row in rows(log, LOGGED)] == [f"m-{number}" for number in range(75)]


def test_a_map_that_does_not_fit_the_pack_is_refused_with_what_there_is(
    log: NamedLog, pack: PackDef, tmp_path: pathlib.Path
) -> None:
    file = messages(tmp_path / "a.csv", 3)
    with pytest.raises(MapInvalid) as caught:
        import_files(log, pack, a_map(event="message.send"), [file])
    assert caught.value.problems[0].path == "event"
    assert "message.sent" in caught.value.problems[0].hint
    with pytest.raises(MapInvalid) as caught:
        import_files(log, pack, a_map(data={"txt": "said"}), [file])
    assert caught.value.problems[0].path == "data.txt"
    assert "price_minor" in caught.value.problems[0].hint


def test_two_runs_decide_the_same_byte_for_byte(log: NamedLog, pack: PackDef, tmp_path: pathlib.Path) -> None:
    import_files(log, pack, a_map(), [messages(tmp_path / "a.csv", 2_300)])
    first = replay(log, pack)
    decided, fired = rows(log, DECIDED), rows(log, SIGNALS)
    assert first.events == len(decided) == 2_300
    assert first.rules["lure"] == 460
    assert first.rules["lure_again"] > 0
    again = replay(log, pack)
    assert again == first
    assert rows(log, DECIDED) == decided
    assert rows(log, SIGNALS) == fired


def test_a_named_log_has_no_consequences(log: NamedLog, pack: PackDef, tmp_path: pathlib.Path) -> None:
    import_files(log, pack, a_map(), [messages(tmp_path / "a.csv", 400)])
    report = replay(log, pack)
    assert report.verdicts["block"] == 80  # what would have been done is known
    tables = ["sanctions", "cases", "timers", "outbox", "alerts", "budgets", "endpoints", "deliveries"]
    with log.database.read() as tx:
        listed = (
            "SELECT name FROM sqlite_master WHERE type = 'table'"
            if tx.dialect == "sqlite"
            else "SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema()"
        )
        there = {str(row[0]) for row in tx.rows(listed)}
        assert {"sanctions", "cases", "timers"} <= there
        counts = {table: int(tx.rows(f"SELECT count(*) FROM {table}")[0][0]) for table in sorted(there & set(tables))}
        changes = tx.rows("SELECT count(*) FROM log_entries WHERE kind <> 'event'")[0][0]
    assert set(counts.values()) == {0}, counts
    assert changes == 0


def test_an_evaluation_of_the_run_knows_what_the_file_said(
    log: NamedLog, pack: PackDef, tmp_path: pathlib.Path
) -> None:
    import_files(log, pack, a_map(split="time"), [messages(tmp_path / "a.csv", 500)])
    replay(log, pack)
    found = evaluate(log.database, log=log.name)
    assert (found.train.rows, found.test.rows) == (400, 100)
    assert (found.test.flagged.true, found.test.flagged.false, found.test.harmful) == (20, 0, 20)
    assert found.pack == pack.digest


def test_labels_are_never_part_of_what_rules_read(log: NamedLog, pack: PackDef, tmp_path: pathlib.Path) -> None:
    import_files(log, pack, a_map(), [messages(tmp_path / "a.csv", 10)])
    read = [str(row) for row in rows(log, "SELECT data FROM log_entries WHERE kind = 'event'")]
    assert len(read) == 10
    assert all("price" in row and "good" not in row and "bad" not in row for row in read)


@pytest.mark.parametrize("name", ["Log", "", "a" * 41, "1a", "a-b", "a.b", "../a"])
def test_a_name_that_is_no_name_is_refused(tmp_path: pathlib.Path, name: str) -> None:
    with (
        pytest.raises(LogNameInvalid),
        open_log(tmp_path, f"sqlite:///{tmp_path}/k.db", name, SeededSecrets(3), make=True),
    ):
        pass


def test_a_log_that_is_not_there_is_refused_with_those_that_are(tmp_path: pathlib.Path) -> None:
    url = f"sqlite:///{tmp_path}/k.db"
    with open_log(tmp_path, url, "mails", SeededSecrets(3), make=True):
        pass
    with (
        pytest.raises(LogMissing, match="there are: mails"),
        open_log(tmp_path, url, "mail", SeededSecrets(3), make=False),
    ):
        pass
    assert log_names(tmp_path) == ["mails"]


MAP = """
about: made up
source: this test
event: message.sent
id: "'m-' || number"
time: "TIMESTAMP '2026-01-05 00:00:00' + to_seconds(CAST(number AS INTEGER))"
data: {sender.id: who, recipient.id: "'r' || number", message.id: number, text: said, price_minor: price}
truth: {what: made up, harmful: "label = 'bad'"}
"""


def koban(
    arguments: Sequence[str], folder: pathlib.Path, pack: pathlib.Path, *, says: int = subprocess.PIPE
) -> subprocess.Popen[str]:
    """Start a command; what it says of its progress goes to `says`."""
    environment = {**os.environ, "KOBAN_DATA": str(folder), "KOBAN_PACK": str(pack)}
    command = [sys.executable, "-m", "koban.cli", *arguments, "--pack", str(pack)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=says, text=True)


@contextlib.contextmanager
def narrow_pipe(room: int) -> Iterator[tuple[int, int]]:
    """A pipe that nobody reads, into which so many bytes go; whoever writes more stands still. (On Linux alone.)"""
    reads, writes = os.pipe()
    try:
        if sys.platform == "linux":
            os.write(writes, b"." * (fcntl.fcntl(writes, fcntl.F_SETPIPE_SZ, 4_096) - room))
        yield reads, writes
    finally:
        os.close(reads)
        os.close(writes)


def bytes_in(pipe: int) -> int:
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)


def test_an_import_that_is_killed_goes_on_where_it_was(tmp_path: pathlib.Path, pack: PackDef) -> None:
    count = 12_000
    file = messages(tmp_path / "a.csv", count)
    (tmp_path / "map.yaml").write_text(MAP)
    arguments = ["import", str(file), "--map", str(tmp_path / "map.yaml"), "--log", "killed"]
    data = tmp_path / "data"
    data.mkdir()
    # Its second line has no room: however late the kill comes, the import is not through.
    with narrow_pipe(room=50) as (reads, writes):
        before = bytes_in(reads)
        running = koban(arguments, data, SMALL_PACK, says=writes)
        while bytes_in(reads) == before:
            assert running.poll() is None
            time.sleep(0.01)
        time.sleep(0.05)
        running.send_signal(signal.SIGKILL)
        running.communicate()
        assert os.read(reads, 8_192).lstrip(b".").startswith(b"importing a.csv: ")
    assert running.returncode == -signal.SIGKILL
    assert list((data / "logs" / "killed").glob("import-*")), "the kill came while the spool was there"

    url = f"sqlite:///{data}/koban.db"
    again = koban(arguments, data, SMALL_PACK)
    said, wrong = again.communicate(timeout=120)
    assert again.returncode == 0, wrong
    assert "0 unreadable; 2,400 harmful, 9,600 honest" in said
    assert "12,000 rows: 12,000 imported" not in said  # part of them was there
    assert not list((data / "logs" / "killed").glob("import-*"))

    whole = tmp_path / "whole"
    whole.mkdir()
    with open_log(whole, f"sqlite:///{whole}/koban.db", "killed", SeededSecrets(3), make=True) as straight:
        import_files(straight, pack, a_map(), [file])
        expected = [(row[0], row[1], row[3]) for row in rows(straight, LOGGED)]
    with open_log(data, url, "killed", SeededSecrets(3), make=False) as resumed:
        assert [(row[0], row[1], row[3]) for row in rows(resumed, LOGGED)] == expected
        assert rows(resumed, "SELECT count(*) FROM log_truth") == [(count,)]
        assert replay(resumed, pack).events == count
