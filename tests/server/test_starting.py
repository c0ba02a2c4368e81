"""Starting: what stands in the way is said plainly, with exit code 2, and nothing is changed by it."""

import pathlib
import shutil
import signal
import socket
import sqlite3

import pytest
from tests.server.conftest import SMALL_PACK, environment, free_port, run_koban, start_server

from koban.app.serving import PortTaken, serve
from koban.audit import read_checkpoints
from koban.base.settings import on_port, own_url, read_settings


def test_a_busy_port_is_named(tmp_path: pathlib.Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        ended = run_koban("serve", data=tmp_path / "data", port=port)
    assert ended.returncode == 2
    assert f"127.0.0.1:{port}" in ended.stderr
    assert "KOBAN_PORT" in ended.stderr
    assert not (tmp_path / "data").exists()


def test_whoever_bound_the_port_in_the_same_moment_and_listened_first_has_it(tmp_path: pathlib.Path) -> None:
    settings = read_settings(environment(tmp_path / "data", free_port()))
    with socket.socket() as other:

        def listen_first() -> None:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            other.bind((settings.host, settings.port))
            other.listen()

        with pytest.raises(PortTaken, match=f"127.0.0.1:{settings.port} cannot be listened on"):
            serve(settings, before=listen_first)
    assert not (tmp_path / "data" / "server.json").exists()


@pytest.mark.parametrize(
    ("chosen", "own", "public"),
    [
        ({"KOBAN_PORT": "0"}, "http://127.0.0.1:4711", "http://127.0.0.1:4711"),
        ({"KOBAN_PORT": "0", "KOBAN_HOST": "::1"}, "http://[::1]:4711", "http://[::1]:4711"),
        (
            {"KOBAN_PORT": "0", "KOBAN_PUBLIC_URL": "https://koban.example/"},
            "http://127.0.0.1:4711",
            "https://koban.example",
        ),
    ],
)
def test_a_port_that_the_machine_chose_is_where_links_go(chosen: dict[str, str], own: str, public: str) -> None:
    settings = on_port(read_settings(chosen), 4711)
    assert (own_url(settings), settings.public_url) == (own, public)


def test_a_second_server_on_the_folder_is_refused_and_the_first_goes_on(tmp_path: pathlib.Path) -> None:
    with start_server(tmp_path / "data") as first:
        ended = run_koban("serve", data=tmp_path / "data", port=free_port())
        assert ended.returncode == 2
        assert f"held by process {first.process.pid} on {socket.gethostname()}, which serves http://" in ended.stderr
        assert first.alive()


@pytest.mark.parametrize("asked", [signal.SIGTERM, signal.SIGINT])
def test_a_server_that_is_told_to_stop_leaves_nothing_open(tmp_path: pathlib.Path, asked: signal.Signals) -> None:
    with start_server(tmp_path / "data") as first:
        first.process.send_signal(asked)
        assert first.process.wait(timeout=60) == 0
    assert {file.name for file in (tmp_path / "data").iterdir()}.isdisjoint(
        {"server.json", "koban.db-wal", "index.db-wal"}
    )
    with start_server(tmp_path / "data") as second:
        old = second.client.get("/v1/tokens", headers={"authorization": f"Bearer {first.token}"})
        assert old.status_code == 401


def test_what_a_server_did_last_is_signed_when_it_stops(tmp_path: pathlib.Path) -> None:
    data = tmp_path / "data"
    with start_server(data) as server:
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(timeout=60) == 0
    connection = sqlite3.connect(data / "koban.db")
    last = connection.execute("SELECT id, action, position FROM audit_entries ORDER BY id DESC LIMIT 1").fetchone()
    signed = read_checkpoints(data / "audit-checkpoints.jsonl")
    assert last[1:] == ("token.revoked", signed[-1].position)
    # Whoever takes it out now, and sets the head of the chain back, is found by the checkpoint.
    connection.execute("DELETE FROM audit_entries WHERE id = ?", (last[0],))
    connection.execute(
        "UPDATE audit_head SET (position, hash) = (SELECT position, hash FROM audit_entries ORDER BY position DESC LIMIT 1)"
    )
    connection.commit()
    connection.close()
    verified = run_koban("audit", "verify", data=data, port=free_port())
    assert verified.returncode == 1
    assert f"position {signed[-1].position}" in verified.stdout


def test_without_the_key_that_signed_nothing_is_called_false(tmp_path: pathlib.Path) -> None:
    data, backup, restored = tmp_path / "data", tmp_path / "backup", tmp_path / "restored"
    with start_server(data):
        pass
    assert run_koban("backup", str(backup), data=data, port=free_port()).returncode == 0
    done = run_koban("restore", str(backup), "--key", str(data / "vault.key"), data=restored, port=free_port())
    assert f"Put audit.key into {restored}" in done.stdout, done.stderr
    for verb in ("audit", "ledger"):
        refused = run_koban(verb, "verify", data=restored, port=free_port())
        assert refused.returncode not in (0, 1), refused.stdout
        assert "audit.key is not there" in refused.stderr
    assert not (restored / "audit.key").exists(), "no other key takes its place"
    shutil.copy(data / "audit.key", restored)
    assert run_koban("audit", "verify", data=restored, port=free_port()).returncode == 0


def test_after_a_kill_the_next_server_starts_at_once(tmp_path: pathlib.Path) -> None:
    with start_server(tmp_path / "data") as first:
        first.kill()
        left_behind = first.token
    with start_server(tmp_path / "data") as second:
        assert second.alive()
        headers = {"authorization": f"Bearer {left_behind}"}
        assert second.client.get("/v1/rules", headers=headers).status_code == 401


def test_a_broken_pack_is_shown_with_its_place_and_a_caret(tmp_path: pathlib.Path) -> None:
    pack = tmp_path / "pack"
    shutil.copytree(SMALL_PACK, pack)
    rules = pack / "rules" / "rules.yaml"
    rules.write_text(rules.read_text().replace("messages_1h >= 3", "mesages_1h >= 3"))
    ended = run_koban("check", str(pack), data=tmp_path / "data", port=free_port())
    assert ended.returncode == 1
    assert "rules/rules.yaml:12:37" in ended.stderr
    assert "messages_1h" in ended.stderr
    assert "^" in ended.stderr
    served = run_koban("serve", data=tmp_path / "data", port=free_port(), KOBAN_PACK=str(pack))
    assert served.returncode == 1


def test_a_folder_that_cannot_be_written_is_named(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    ended = run_koban("serve", data=file / "data", port=free_port())
    assert ended.returncode == 2
    assert "KOBAN_DATA" in ended.stderr


def test_a_folder_of_another_version_is_refused(tmp_path: pathlib.Path) -> None:
    import sqlite3

    with start_server(tmp_path / "data"):
        pass
    with sqlite3.connect(tmp_path / "data" / "koban.db") as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    database.close()
    ended = run_koban("serve", data=tmp_path / "data", port=free_port())
    assert ended.returncode == 2
    assert "later release" in ended.stderr


@pytest.mark.parametrize(
    ("name", "value"), [("KOBAN_PORT", "http"), ("KOBAN_DATABASE_URL", "mysql://x"), ("KOBAN_STRICT", "maybe")]
)
def test_a_setting_that_cannot_be_used_is_named(tmp_path: pathlib.Path, name: str, value: str) -> None:
    ended = run_koban("serve", data=tmp_path / "data", port=free_port(), **{name: value})
    assert ended.returncode == 2
    assert name in ended.stderr
