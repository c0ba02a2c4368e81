"""Law 1 against a power cut: what was written and not synced is gone, wholly or in part, and nothing answered is lost.

A kill alone proves little about a disk, because the kernel still holds what was written. So the process runs with
`unsynced.c` preloaded, which notes what each write overwrote since the file was last synced; after the kill the test
puts that back. What it does not model: names of new files that are lost because their folder was not synced.
"""

import base64
import contextlib
import os
import pathlib
import random
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
import time
from typing import Final, NamedTuple

import pytest
import sqlalchemy
from tests.sim_crash.checking import Remains
from tests.sim_crash.marketplace import wait_for

from koban.base import Unavailable

SEED = int(os.environ.get("KOBAN_SEED", "20261122"))
CUTS = 12 if os.environ.get("KOBAN_LONG") == "1" else 4
START_S = 90.0
BLOCK = 4_096
HEAD: Final = struct.Struct("=qqq")  # offset, length, size before: as in unsynced.c
HERE = pathlib.Path(__file__).parent
COMPILER = shutil.which("cc") or shutil.which("gcc")

needs_compiler = pytest.mark.skipif(
    COMPILER is None or sys.platform != "linux", reason="preloading unsynced.c wants Linux and a C compiler"
)


class Note(NamedTuple):
    """What one write overwrote."""

    offset: int
    old: bytes
    size_before: int


class Round(NamedTuple):
    """What a process had answered when the power went."""

    answers: dict[str, bytes]
    accepted: set[str]


class Disk:
    """A data folder whose power can be cut."""

    def __init__(self, folder: pathlib.Path, pack: pathlib.Path) -> None:
        self.data = folder / "data"
        self.data.mkdir()
        self._pack = pack
        self._notes = folder / "notes"
        self._notes.mkdir()
        self._library = folder / "unsynced.so"
        assert COMPILER is not None
        command = [COMPILER, "-shared", "-fPIC", "-O1", "-o", str(self._library), str(HERE / "unsynced.c"), "-ldl"]
        subprocess.run(command, check=True, timeout=120)

    def run(self, name: str, seconds: float, *, durable: bool) -> Round:
        """Decide for a while, then cut the power; return what was answered until then."""
        environment = {
            **os.environ,
            "LD_PRELOAD": str(self._library),
            "KOBAN_UNSYNCED_FOLDER": str(self.data.resolve()),
            "KOBAN_UNSYNCED_NOTES": str(self._notes),
        }
        command = [sys.executable, str(HERE / "deciding.py"), str(self.data), str(self._pack), name]
        said, log = self.data.parent / f"{name}.said", self.data.parent / f"{name}.log"
        with said.open("wb") as output, log.open("wb") as errors:
            process = subprocess.Popen(
                [*command, "durable" if durable else "hasty"],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                start_new_session=True,
            )
        try:
            wait_for("the first answer", lambda: _answered(said) or process.poll() is not None, START_S)
            time.sleep(seconds)
            assert process.poll() is None, log.read_text(encoding="utf-8")[-4_000:]
        finally:
            _end(process)
        lines = said.read_bytes().split(b"\n")
        assert lines[0] == b"ready ", lines[0]
        done = Round({}, set())
        for line in lines[1:-1]:  # what follows the last line end was never fully said
            word, _, body = line.partition(b" ")
            if body:
                done.answers[word.decode()] = base64.b64decode(body)
            else:
                done.accepted.add(word.decode())
        return done

    def lose(self, chance: random.Random) -> int:
        """Put back what was not synced, all of it or some blocks; return how many writes that undoes."""
        undone = 0
        lose_all = chance.random() < 0.5
        for path in sorted(self.data.iterdir()):
            if path.name.endswith("-shm"):
                path.unlink()  # shared memory, not on any disk
                continue
            notes = _read_notes(self._notes / str(path.stat().st_ino))
            undone += len(notes)
            if notes:
                newest = path.read_bytes()
                synced = _as_synced(newest, notes)
                path.write_bytes(synced if lose_all else _mixed(newest, synced, chance))
        for notes_file in self._notes.iterdir():
            notes_file.unlink()
        return undone

    def check(self, rounds: list[Round]) -> int:
        """Check the log and every answer ever given; return how many entries there are."""
        remains = Remains(f"sqlite:///{self.data}/koban.db", self.data, self._pack)
        try:
            log = remains.check_log()
            answers = {one: body for each in rounds for one, body in each.answers.items()}
            remains.check_answers(log, answers, {one for each in rounds for one in each.accepted})
            remains.check_features(log)
            remains.check_index()
        finally:
            remains.close()
        return len(log)


def _answered(said: pathlib.Path) -> bool:
    """Tell whether an answer was said; that an event was accepted is none."""
    return any(body for _, _, body in (line.partition(b" ") for line in said.read_bytes().split(b"\n")[:-1]))


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and what it started: left alone, the one that makes the index would close the database in order."""
    wait_for("the end of all that it started", lambda: not _kill_session(process.pid), 60.0)
    process.wait()


def _kill_session(session: int) -> list[int]:
    """Kill what runs in a session, the newest first, and return it; what ended and was not yet asked how does not run."""
    running = []
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # ended meanwhile
            state, _, _, its_session = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[:4]
            if int(its_session) == session and state != "Z":
                running.append(int(stat.parent.name))
    for one in sorted(running, reverse=True):
        with contextlib.suppress(ProcessLookupError):
            os.kill(one, signal.SIGKILL)
    return running


def _read_notes(path: pathlib.Path) -> list[Note]:
    """Read notes, oldest first; one that was cut off belongs to a write that had not begun."""
    raw = path.read_bytes() if path.exists() else b""
    notes = []
    at = 0
    while at + HEAD.size <= len(raw):
        offset, length, size_before = HEAD.unpack_from(raw, at)
        at += HEAD.size + length
        if at > len(raw):
            break
        notes.append(Note(offset, raw[at - length : at], size_before))
    return notes


def _as_synced(newest: bytes, notes: list[Note]) -> bytes:
    content = bytearray(newest)
    for note in reversed(notes):
        del content[note.size_before :]
        content.extend(bytes(note.size_before - len(content)))
        content[note.offset : note.offset + len(note.old)] = note.old
    return bytes(content)


def _mixed(newest: bytes, synced: bytes, chance: random.Random) -> bytes:
    """Take each block from either: a disk writes in whatever order it likes."""
    size = chance.choice((len(newest), len(synced)))
    blocks = []
    for at in range(0, size, BLOCK):
        source = chance.choice((newest, synced))
        end = min(at + BLOCK, size)
        blocks.append(source[at:end].ljust(end - at, b"\0"))
    return b"".join(blocks)


@needs_compiler
@pytest.mark.timeout(900)
def test_nothing_answered_is_lost_when_the_power_is_cut(pack: pathlib.Path, tmp_path: pathlib.Path) -> None:
    chance = random.Random(SEED)
    disk = Disk(tmp_path, pack)
    rounds: list[Round] = []
    undone = 0
    for number in range(CUTS):
        rounds.append(disk.run(f"r{number}", chance.uniform(0.3, 2.0), durable=True))
        undone += disk.lose(chance)
        entries = disk.check(rounds)
    answered = sum(len(each.answers) for each in rounds)
    assert answered > CUTS
    print(f"{CUTS} cuts, {answered} answers, {entries} entries, {undone} unsynced writes lost")


@needs_compiler
@pytest.mark.timeout(300)
def test_the_power_cut_is_noticed_when_the_database_does_not_sync(pack: pathlib.Path, tmp_path: pathlib.Path) -> None:
    chance = random.Random(SEED)
    disk = Disk(tmp_path, pack)
    safe = disk.run("safe", 0.5, durable=True)
    disk.lose(chance)
    disk.check([safe])
    hasty = disk.run("hasty", 1.0, durable=False)
    assert hasty.answers
    assert disk.lose(chance) > 0
    with pytest.raises((AssertionError, Unavailable, sqlite3.DatabaseError, sqlalchemy.exc.DatabaseError)):
        disk.check([safe, hasty])
