"""Forgetting a person, end to end: afterwards no file of the data folder, and no backup, gives anything of them back."""

import base64
import contextlib
import gzip
import hashlib
import json
import pathlib
import sqlite3
from collections.abc import Iterator

import pytest
from tests.app.conftest import Site, send
from tests.server.conftest import SMALL_PACK, free_port, run_koban, start_server

from koban.app.archiving import run_archive
from koban.base import DAY, Instant, ManualClock, SystemClock, limits
from koban.base.settings import read_settings
from koban.db import Tx
from koban.pipeline import Memory

TEXT = "明日の十時に港区芝公園で直接お渡しします"
LINES = ("ヤマダタロウ", "taro.yamada@example.jp", "device-9f8e7d6c", "090-1234-5678", TEXT)
PERSON = "account-of-taro"


def _event(site: Site, event_id: str) -> dict[str, object]:
    name, mail, device, phone, text = LINES
    return site.event(event_id, f"{text} {phone}", sender=PERSON, device={"id": device}, name=name, mail=mail)


def _write_slice(memory: Memory, tx: Tx) -> int:
    memory.features.write_slice(tx, memory.last_seq, 1_000, until=memory.last_seq)
    return memory.features.unfolded


@pytest.fixture
def folder(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """A data folder with events of weeks ago in the archive, some of yesterday in the database, and a named log."""
    monkeypatch.setattr(limits, "FEATURES_TOGETHER", 0)
    data = tmp_path / "data"
    clock = ManualClock(Instant(SystemClock().now() - 45 * DAY))
    site = Site(settings=read_settings({"KOBAN_DATA": str(data), "KOBAN_PACK": str(SMALL_PACK)}), clock=clock)
    with site.open() as koban:
        for number in range(3):
            send(koban, _event(site, f"old{number}"))
            send(koban, site.event(f"other{number}", "ほかの人の文", sender="someone-else"))
        clock.advance(44 * DAY)
        koban.desk.command(lambda memory, tx: memory.features.write_slice(tx, memory.last_seq, 1_000))
        report = run_archive(site.settings, koban.database, koban.vault, clock, koban.memory.compiled.pack)
        assert report.archived >= 6
        send(koban, _event(site, "young"))
        assert koban.desk.command(_write_slice), "records of the person stand in a slice, too"
    rows, mapping = tmp_path / "rows.csv", tmp_path / "map.yaml"
    rows.write_text(f"who,said\n{PERSON},{TEXT}\nsomeone-else,hello\n", encoding="utf-8")
    mapping.write_text(
        "about: Two messages of long ago.\nsource: this test\n"
        'read: "read_csv(?, header=true, all_varchar=true)"\n'
        "event: message.sent\nid: \"'row-' || row\"\ndata:\n  sender.id: who\n  text: said\n",
        encoding="utf-8",
    )
    imported = run_koban("import", str(rows), "--map", str(mapping), "--log", "history", data=data, port=free_port())
    assert imported.returncode == 0, imported.stderr
    return data


def _salts(data: pathlib.Path) -> list[bytes]:
    salts = []
    for path in (data / "koban.db", data / "logs" / "history" / "koban.db"):
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            salts += [bytes(row[0]) for row in connection.execute("SELECT salt FROM vault_people")]
    return salts


def _bytes_of(*folders: pathlib.Path) -> Iterator[tuple[pathlib.Path, bytes]]:
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                content = path.read_bytes()
                yield path, gzip.decompress(content) if path.suffix == ".gz" else content


def _found(needles: list[bytes], *folders: pathlib.Path) -> list[str]:
    return [str(path) for path, content in _bytes_of(*folders) for needle in needles if needle in content]


def _written(salts: list[bytes]) -> list[bytes]:
    """Every way in which a salt might stand in a file."""
    return [form for salt in salts for form in (salt, salt.hex().encode(), base64.b64encode(salt))]


def _words() -> list[bytes]:
    return [
        form
        for line in LINES
        for form in (line.encode(), line.encode("utf-16-le"), base64.b64encode(line.encode())[:-4])
    ]


def test_after_an_erasure_nothing_of_the_person_is_on_the_disk(folder: pathlib.Path, tmp_path: pathlib.Path) -> None:
    with start_server(folder) as server:
        answer = server.post(_cloudevent("live"))
        assert answer.status_code == 200, answer.text
        before = _salts(folder)
        assert _found(_written(before), folder), "the salts are looked for in the right places"

        erased = run_koban("erase", PERSON, data=folder, port=server.port)

        assert erased.returncode == 0, erased.stderr
        assert "key is destroyed" in erased.stdout
        gone = [salt for salt in before if salt not in _salts(folder)]
        assert len(gone) == 2, "one in the log, one in the named log"
        backup = run_koban("backup", str(tmp_path / "backup"), data=folder, port=server.port)
        assert backup.returncode == 0, backup.stderr
        assert _found(_written(gone) + _words(), folder, tmp_path / "backup") == []
        again = run_koban("erase", PERSON, data=folder, port=server.port)
        assert (again.returncode, "nothing personal" in again.stdout) == (0, True)
        assert server.alive()
    assert _found(_written(gone) + _words(), folder, tmp_path / "backup") == []
    explained = run_koban("explain", "old1", "--json", data=folder, port=free_port())
    assert json.loads(explained.stdout)["personal_gone"] is True


def test_a_legal_hold_outranks_an_erasure(folder: pathlib.Path) -> None:
    with start_server(folder) as server:
        _erase_under_hold(folder, server.port)
    _erase_under_hold(folder, free_port())


def _erase_under_hold(folder: pathlib.Path, port: int) -> None:
    assert run_koban("hold", "held-one", "--reference", "R-7", data=folder, port=port).returncode == 0
    refused = run_koban("erase", "held-one", data=folder, port=port)
    assert refused.returncode == 2
    assert "R-7" in refused.stderr
    assert run_koban("release", "held-one", data=folder, port=port).returncode == 0
    assert run_koban("erase", "held-one", data=folder, port=port).returncode == 0


def test_a_person_is_forgotten_where_no_server_runs_or_one_was_killed(folder: pathlib.Path) -> None:
    with start_server(folder) as server:
        server.kill()
    assert (folder / "server.json").is_file(), "the killed server left its note"
    before = _salts(folder)
    unset = run_koban("erase", "", data=folder, port=free_port())
    assert (unset.returncode, "1 to 256" in unset.stderr, _salts(folder)) == (2, True, before)
    erased = run_koban("erase", PERSON, data=folder, port=free_port())
    assert erased.returncode == 0, erased.stderr
    gone = [salt for salt in before if salt not in _salts(folder)]
    assert len(gone) == 2
    assert _found(_written(gone) + _words(), folder) == []


LOOKING = (("explain", "old1"), ("explain", "young"), ("audit", "verify"), ("archive", "status"), ("retention",))


def test_verbs_that_only_look_work_beside_a_server_and_change_nothing(
    folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    with start_server(folder) as server:
        for verb in LOOKING:
            looked = run_koban(*verb, data=folder, port=server.port)
            assert looked.returncode == 0, (verb, looked.stderr)
        assert server.alive()
    before = _hashes(folder)
    for verb in (*LOOKING, ("backup", str(tmp_path / "backup"))):
        looked = run_koban(*verb, data=folder, port=free_port())
        assert looked.returncode == 0, (verb, looked.stderr)
    assert _hashes(folder) == before


def test_looking_into_an_empty_folder_makes_nothing(tmp_path: pathlib.Path) -> None:
    for verb in (*LOOKING, ("backup", str(tmp_path / "backup"))):
        looked = run_koban(*verb, data=tmp_path / "data", port=free_port())
        assert looked.returncode == 2
        assert "There is no database" in looked.stderr
    assert not (tmp_path / "data").exists()


def test_the_archive_runs_beside_a_server(folder: pathlib.Path) -> None:
    with start_server(folder) as server:
        ran = run_koban("archive", "run", "--json", data=folder, port=server.port)
        assert ran.returncode == 0, ran.stderr
        assert json.loads(ran.stdout)["archived"] == 0
        found = server.client.get("/v1/events/old1")
        assert (found.status_code, found.json()["id"]) == (200, "old1")
        seq = found.json()["seq"]
        decided = server.client.get(f"/v1/decisions/{seq}")
        explained = server.client.get(f"/v1/decisions/{seq}/explain")
        assert (decided.status_code, decided.json()) == (200, explained.json()["decision"])
        assert (decided.json()["id"], decided.json()["seq"]) == ("old1", seq)
        missing = server.client.get("/v1/decisions/999999")
        assert (missing.status_code, missing.json()["code"]) == (404, "decision_missing")
        event = _cloudevent("live")
        assert server.post(event).content == server.post(event).content
        assert server.alive()


def _cloudevent(event_id: str) -> dict[str, object]:
    site = Site(settings=read_settings({}), clock=ManualClock(Instant(SystemClock().now() // 60_000_000 * 60_000_000)))
    return _event(site, event_id)


def _hashes(folder: pathlib.Path) -> dict[str, str]:
    """What stands on the disk; of a database what it says, wherever in its two files that stands."""
    found = {}
    for path in folder.rglob("*"):
        if path.is_file() and not path.name.endswith(("-shm", "-wal")):
            content = path.read_bytes()
            if path.suffix == ".db":
                with contextlib.closing(sqlite3.connect(path)) as connection:
                    content = "\n".join(connection.iterdump()).encode()
            found[path.relative_to(folder).as_posix()] = hashlib.sha256(content).hexdigest()
    return found
