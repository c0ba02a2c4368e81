"""A disk that is full: every answer says so, the process lives, nothing answered is lost, and with space it goes on."""

import pathlib
import shutil
import subprocess
import sys
import time

import pytest
from tests.server.conftest import Server, start_server
from tests.server.test_bad_input import event

COMPILER = shutil.which("cc") or shutil.which("gcc")


@pytest.mark.skipif(COMPILER is None or sys.platform != "linux", reason="preloading wants Linux and a C compiler")
def test_a_full_disk_is_said_and_survived(tmp_path: pathlib.Path) -> None:
    library, flag = tmp_path / "full_disk.so", tmp_path / "full"
    assert COMPILER is not None
    source = pathlib.Path(__file__).parent / "full_disk.c"
    subprocess.run([COMPILER, "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True, timeout=120)
    more = {"LD_PRELOAD": str(library), "KOBAN_DISK_IS_FULL": str(flag)}
    with start_server(tmp_path / "data", **more) as server:
        before = server.post(event("before"))
        assert before.status_code == 200
        flag.touch()
        for number in range(3):
            refused = server.post(event(f"during{number}"))
            assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
            assert int(refused.headers["retry-after"]) > 0
            unreadable = server.post({**event("kept"), "type": "no.such"})
            assert unreadable.status_code == 503, "it cannot be kept in quarantine either"
        assert server.post(b"[" + b"{}," * 20 + b"{}]").status_code == 503
        assert server.alive()
        flag.unlink()
        _wait_for_space(server)
        assert server.post(event("before")).content == before.content
        assert [server.post(event(f"during{number}")).status_code for number in range(3)] == [200] * 3
        server.kill()
    with start_server(tmp_path / "data") as again:
        assert again.post(event("before")).content == before.content
        assert again.client.get("/v1/decisions", params={"limit": 50}).status_code == 200


def _wait_for_space(server: Server) -> None:
    """Ask until the decider has made its memory anew."""
    until = time.monotonic() + 60
    while server.post(event("during0")).status_code != 200:
        assert time.monotonic() < until, "the server does not go on"
        time.sleep(0.1)
