"""The index is made in a process of its own while much happens; whatever becomes of that process, the index is whole."""

import contextlib
import dataclasses
import functools
import os
import pathlib
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import msgspec
import pytest
import structlog
from tests.app.conftest import MakeSite, Site
from tests.app.test_index import Quiet, content, follow_all, quiet, use

from koban.app.archiving import archive_of
from koban.app.following import APART_AT, STANDS_STILL_AT, IndexFollower
from koban.app.running import switch_pack
from koban.base import Instant, Unavailable, child_command
from koban.db import Database
from koban.decisions import acts_store
from koban.finding import span_of
from koban.finding.worker import CHUNK, QUIET_EVENTS, ROUND_S, ROUNDS_LOOKED_BACK, Job, follow_along
from koban.labels import LabelSet, LabelSource
from koban.packs import files_of, load_pack, parse_files
from koban.packs.draft_store import Permit
from koban.pipeline.commands import label

PATIENCE_S = 240.0
WORKER = child_command("koban.finding.worker")


def fill(koban: Quiet, site: Site, number: int, *, begin: int = 0) -> None:
    for each in range(begin, begin + number):
        use(koban, site, f"a{each % 7}", f"phone{each % 5}", number=each)


def wait(done: Callable[[], bool], why: str) -> None:
    until = time.monotonic() + PATIENCE_S
    while not done():
        assert time.monotonic() < until, why
        time.sleep(0.02)


def is_whole(koban: Quiet) -> bool:
    with koban.database.read() as tx:
        return acts_store.indexed_upto(tx) == koban.desk.memory.last_seq


def put_in_force(koban: Quiet, site: Site) -> None:
    """Activate the pack, as a server does when it starts."""
    pack = load_pack(site.settings.pack)
    base = koban.desk.memory.compiled.pack.digest
    switch_pack(koban.desk, pack, Permit(base=base, by="system", reason="first", ground="first"))


def job_of(site: Site, *, round_s: float = ROUND_S) -> Job:
    folder = archive_of(site.settings).places.folder
    return Job(database_url=site.settings.database_url, archive=str(folder), round_s=round_s)


@contextlib.contextmanager
def follower_of(koban: Quiet, site: Site) -> Iterator[IndexFollower]:
    put_in_force(koban, site)
    follower = IndexFollower(koban.desk, site.settings)
    try:
        yield follower
    finally:
        follower.close()


def begin_apart(
    koban: Quiet, site: Site, follower: IndexFollower, number: int = APART_AT + 1, *, begin: int = 0
) -> int:
    """Have so much happen that the other process begins; return its number."""
    fill(koban, site, number, begin=begin)
    follower.look()
    process = follower.process
    assert process is not None
    return process


def as_made_here(koban: Quiet) -> bool:
    """Tell whether the index is the one that this process makes."""
    found = content(koban.database)
    koban.database.empty_index()
    follow_all(koban)
    return found == content(koban.database)


def runs_none(follower: IndexFollower) -> bool:
    return follower.process is None


def is_gone(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    return False


def test_little_is_taken_in_here_and_much_in_a_process_of_its_own(site_of: MakeSite) -> None:
    site = site_of("one")
    with quiet(site) as koban, follower_of(koban, site) as follower:
        fill(koban, site, 30)
        follower.look()
        assert is_whole(koban)
        assert runs_none(follower)
        process = begin_apart(koban, site, follower, APART_AT + 30, begin=30)
        wait(lambda: is_whole(koban), "the other process takes in what there is")
        fill(koban, site, 30, begin=APART_AT + 60)
        follower.look()
        assert follower.process == process, "it goes on"
        wait(lambda: is_whole(koban), "and what comes later")
        follower.close()
        assert is_gone(process)
        assert as_made_here(koban)


def test_changes_after_the_newest_event_are_no_work_for_a_process(site_of: MakeSite) -> None:
    site = site_of("one")
    with quiet(site) as koban, follower_of(koban, site) as follower:
        fill(koban, site, 1)
        follower.look()
        for number in range(APART_AT + 1):
            change = LabelSet(
                subject_kind="account", subject_id=f"a{number}", label="honest", value="yes",
                source=LabelSource.IMPORT, by="test",
            )  # fmt: skip
            koban.desk.command(functools.partial(label, change=change))
        follower.look()
        assert runs_none(follower)
        fill(koban, site, 1, begin=1)
        follower.look()
        assert runs_none(follower)
        assert is_whole(koban)


def test_what_a_killed_process_left_is_taken_in_here_once(site_of: MakeSite) -> None:
    site = site_of("one")
    with quiet(site) as koban, follower_of(koban, site) as follower:
        process = begin_apart(koban, site, follower, 4 * CHUNK)
        wait(lambda: content(koban.database)["index_place"] != [], "it begins")
        os.kill(process, signal.SIGKILL)
        wait(lambda: follower.process is None, "it is gone")
        fill(koban, site, APART_AT + 1, begin=4 * CHUNK)
        while not is_whole(koban):
            follower.look()
            assert follower.process is None, "no other one for a while"
        assert as_made_here(koban)


def test_a_process_that_stands_still_is_ended_and_its_work_done_here(site_of: MakeSite) -> None:
    site = site_of("one")
    with quiet(site) as koban, follower_of(koban, site) as follower:
        process = begin_apart(koban, site, follower)
        os.kill(process, signal.SIGSTOP)
        with structlog.testing.capture_logs() as logs:
            for _ in range(STANDS_STILL_AT):
                assert follower.process == process
                follower.look()
            follower.look()
        assert is_gone(process)
        assert [each["said"] for each in logs] == ["it stood still and was ended"]
        assert is_whole(koban)
        assert as_made_here(koban)


def test_a_process_that_was_told_to_end_is_no_failure(site_of: MakeSite) -> None:
    site = site_of("one")
    with quiet(site) as koban, follower_of(koban, site) as follower:
        process = begin_apart(koban, site, follower)
        with structlog.testing.capture_logs() as logs:
            os.kill(process, signal.SIGTERM)
            wait(lambda: follower.process is None, "it ends")
            follower.look()
        assert logs == []
        assert runs_none(follower), "whoever stops all that runs here wants no other one"
        assert is_whole(koban)


@pytest.mark.parametrize("site_of", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("sqlite:////nowhere/koban.db", "koban.base.refusals.Unavailable: cannot open /nowhere/koban.db"),
        (
            "postgresql://koban:pass-word@127.0.0.1:1/koban",
            "koban.base.refusals.Unavailable: cannot reach the PostgreSQL",
        ),
        ("sqlite:///{data}/alone.db", "sqlalchemy.exc.OperationalError: (sqlite3.OperationalError) no such table"),
    ],
)
def test_why_a_process_failed_is_logged_without_a_secret(site_of: MakeSite, url: str, why: str) -> None:
    site = site_of("one")
    with quiet(site) as koban:
        put_in_force(koban, site)
        fill(koban, site, APART_AT + 1)
        elsewhere = dataclasses.replace(site.settings, database_url=url.format(data=site.settings.data))
        with contextlib.closing(IndexFollower(koban.desk, elsewhere)) as follower:
            follower.look()
            wait(lambda: follower.process is None, "it fails")
            with structlog.testing.capture_logs() as logs:
                follower.look()
        assert [(each["event"], each["code"]) for each in logs] == [("index_process_failed", 1)]
        assert logs[0]["said"].startswith(why)
        assert "pass-word" not in str(logs)
        assert is_whole(koban)


@pytest.mark.parametrize("site_of", ["sqlite"], indirect=True)
@pytest.mark.parametrize("harm", ["gone", "anew", "damaged"])
def test_a_file_thrown_away_under_the_process_is_made_anew_and_followed(site_of: MakeSite, harm: str) -> None:
    site = site_of("one")
    with quiet(site) as koban, follower_of(koban, site) as follower:
        begin_apart(koban, site, follower)
        wait(lambda: is_whole(koban), "it takes in what there is")
        file = site.settings.data / "index.db"
        if harm == "anew":
            koban.database.empty_index()
        elif harm == "gone":
            file.unlink()
        else:
            with file.open("r+b") as opened:  # the second page on: what is inside tables
                opened.seek(4096)
                opened.write(os.urandom(max(4096, file.stat().st_size - 4096)))
            file.with_name("index.db-wal").unlink()
        fill(koban, site, 30, begin=APART_AT + 1)

        def look_on() -> bool:
            follower.look()
            with contextlib.suppress(sqlite3.DatabaseError):
                return is_whole(koban)
            return False

        wait(look_on, "whoever follows")
        assert as_made_here(koban)


def test_the_process_ends_with_the_one_that_started_it(site_of: MakeSite) -> None:
    site = site_of("one")
    with quiet(site):
        starts = (
            "import subprocess, sys, time\n"
            "child = subprocess.Popen(sys.argv[2:], stdin=subprocess.PIPE)\n"
            "child.stdin.write(sys.argv[1].encode() + b'\\n'); child.stdin.flush()\n"
            "print(child.pid, flush=True); time.sleep(60)\n"
        )
        command = [sys.executable, "-c", starts, msgspec.json.encode(job_of(site)).decode(), *WORKER]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as parent:
            assert parent.stdout is not None
            process = int(parent.stdout.readline())
            time.sleep(2.0)  # it follows
            assert not is_gone(process)
            parent.kill()
        wait(lambda: is_gone(process), "nobody is there to follow for")


def test_a_process_that_cannot_open_the_data_says_why_and_is_not_started_again_at_once(
    site_of: MakeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = site_of("one")
    with quiet(site) as koban, follower_of(koban, site) as follower:
        fill(koban, site, APART_AT + 1)
        with monkeypatch.context() as there:
            there.setattr(sys, "executable", str(pathlib.Path(sys.executable).with_name("no-such-python")))
            follower.look()
        assert follower.process is None
        assert is_whole(koban), "it was taken in here"
        fill(koban, site, APART_AT + 1, begin=APART_AT + 1)
        follower.look()
        assert follower.process is None
        assert is_whole(koban)


def test_a_file_where_the_server_was_started_is_not_imported(
    site_of: MakeSite, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = site_of("one")
    with quiet(site) as koban, follower_of(koban, site) as follower:
        fill(koban, site, APART_AT + 1)
        for name in ("random.py", "msgspec.py"):
            (tmp_path / name).write_text("raise SystemExit(3)\n", encoding="utf-8")
        monkeypatch.chdir(tmp_path)
        follower.look()
        wait(lambda: is_whole(koban), "the other process takes in what there is")
        assert follower.process is not None


def test_nothing_begins_once_it_will_be_closed(site_of: MakeSite) -> None:
    site = site_of("one")
    with quiet(site) as koban, follower_of(koban, site) as follower:
        fill(koban, site, APART_AT + 1)
        follower.stop()
        follower.look()
        assert runs_none(follower)
        assert content(koban.database)["index_place"] == []


def test_it_follows_by_the_pack_in_force_and_ends_when_little_happens(site_of: MakeSite) -> None:
    site = site_of("one")
    with quiet(site) as koban:
        assert koban.desk.archive is not None
        put_in_force(koban, site)
        fill(koban, site, 40)
        beside = Database.open_beside(site.settings.database_url)
        with contextlib.closing(beside):
            follow_along(beside, koban.desk.archive.next_entries, threading.Event(), round_s=0.0)
        assert ROUNDS_LOOKED_BACK * 0.1 < QUIET_EVENTS  # fifty a second, and it was forty in all
        assert as_made_here(koban)


class Meanwhile(threading.Event):
    """An end that never comes; something happens when it is first asked for."""

    def __init__(self, do: Callable[[], object]) -> None:
        super().__init__()
        self._todo = [do]

    def is_set(self) -> bool:
        while self._todo:
            self._todo.pop()()
        return super().is_set()


def test_what_a_new_pack_decided_meanwhile_is_not_read_by_the_old_one(site_of: MakeSite) -> None:
    site = site_of("one")
    with quiet(site) as koban:
        assert koban.desk.archive is not None
        put_in_force(koban, site)
        fill(koban, site, CHUNK + 30)

        def name_codes() -> None:
            files = dict(files_of(site.settings.pack))
            declared = files["events.yaml"].replace("device.id: device}", "device.id: device, to.id: code}")
            files["events.yaml"] = declared.replace("device.id: {", "to.id: text\n    device.id: {")
            base = koban.desk.memory.compiled.pack.digest
            permit = Permit(base=base, by="staff_new", reason="codes", ground="ordinary")
            switch_pack(koban.desk, parse_files(files), permit)
            use(koban, site, "a1", "phone", number=CHUNK + 30, code="a-code")

        beside = Database.open_beside(site.settings.database_url)
        with contextlib.closing(beside):
            follow_along(beside, koban.desk.archive.next_entries, Meanwhile(name_codes), round_s=0.0)
        assert is_whole(koban)
        with koban.database.read() as tx:
            assert span_of(tx, "code", "a-code") is not None


def test_a_process_that_little_happens_for_ends_as_if_told_to(site_of: MakeSite) -> None:
    site = site_of("one")
    with quiet(site), subprocess.Popen(WORKER, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
        assert child.stdin is not None
        child.stdin.write(msgspec.json.encode(job_of(site, round_s=0.0)) + b"\n")
        child.stdin.flush()  # and it stays open: the server is there
        assert child.wait(PATIENCE_S) == 0


def test_a_process_beside_the_log_makes_no_file_of_its_own(tmp_path: pathlib.Path) -> None:
    url = f"sqlite:///{tmp_path}/koban.db"
    with contextlib.closing(Database.open(url, durable=False)):
        with pytest.raises(Unavailable, match=r"index\.db is not there"):
            Database.open_beside(url)
        assert not (tmp_path / "index.db").exists()


def test_a_process_beside_the_log_does_not_ask_for_the_writer_s_place(tmp_path: pathlib.Path) -> None:
    url = f"sqlite:///{tmp_path}/koban.db"
    with (
        contextlib.closing(Database.open(url, durable=False, index=True)) as holder,
        holder.write(),  # whoever else asks for the place is refused
        contextlib.closing(Database.open_beside(url)) as beside,
        beside.write_index() as tx,
    ):
        assert acts_store.move_place(tx, before=None, to=(1, Instant(1)))
