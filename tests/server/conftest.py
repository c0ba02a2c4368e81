"""A real server process on a free port, over its own data folder, stopped by the process id that was started."""

import contextlib
import dataclasses
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from typing import IO

import httpx
import pytest
from tests.conftest import fresh_address

SMALL_PACK = pathlib.Path(__file__).parents[1] / "small_pack"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(data: pathlib.Path, port: int, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("KOBAN_")}
    return {
        **kept,
        "KOBAN_DATA": str(data),
        "KOBAN_PORT": str(port),
        "KOBAN_PACK": str(SMALL_PACK),
        "KOBAN_LOG_LEVEL": "error",
        **more,
    }


def run_koban(*arguments: str, data: pathlib.Path, port: int, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "koban.cli", *arguments],
        env=environment(data, port, **more),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@dataclasses.dataclass(kw_only=True)
class Server:
    """A running server and how to speak to it."""

    data: pathlib.Path
    port: int
    process: subprocess.Popen[bytes]
    said: IO[bytes]
    token: str
    client: httpx.Client
    killed: bool = False

    def kill(self) -> None:
        """Kill it on the spot, as a test may; whatever else kills it (memory ran out, say) is told."""
        self.killed = True
        self.process.kill()
        self.process.wait()

    def post(
        self, body: bytes | object, media: str = "application/cloudevents+json", path: str = "/v1/events"
    ) -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.client.post(path, content=content, headers={"content-type": media})

    def command(self, path: str, body: Mapping[str, object]) -> httpx.Response:
        return self.client.post(path, json=dict(body))

    def alive(self) -> bool:
        return self.process.poll() is None and self.client.get("/health").status_code == 200


@contextlib.contextmanager
def start_server(data: pathlib.Path, *verb: str, **more: str) -> Iterator[Server]:
    """Start a server on a port of its own choice, unless KOBAN_PORT says which; one that ends unasked says what it said."""
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            [sys.executable, "-X", "faulthandler", "-m", "koban.cli", *(verb or ("serve",))],
            env=environment(data, int(more.get("KOBAN_PORT", "0")), **more),
            stdout=said,
            stderr=subprocess.STDOUT,
        )
        server = None
        try:
            note = _wait(process, data, said)
            headers = {"authorization": f"Bearer {note['token']}"}
            with httpx.Client(base_url=note["url"], timeout=30.0, trust_env=False, headers=headers) as client:
                port = int(note["url"].rpartition(":")[2])
                server = Server(data=data, port=port, process=process, said=said, token=note["token"], client=client)
                yield server
        finally:
            _end(process, said, killed=server is not None and server.killed)


def read_said(said: IO[bytes]) -> str:
    """Return what a server printed until now."""
    return os.pread(said.fileno(), 1_000_000, 0).decode(errors="replace")


def _wait(process: subprocess.Popen[bytes], data: pathlib.Path, said: IO[bytes]) -> dict[str, str]:
    """Wait until this very process answers; return what it says about itself."""
    for _ in range(1_200):
        assert process.poll() is None, f"the server ended with {process.returncode}: {read_said(said)}"
        with contextlib.suppress(httpx.HTTPError, OSError, ValueError):
            note = json.loads((data / "server.json").read_text())
            if note["pid"] == process.pid and httpx.get(note["url"] + "/health", trust_env=False).status_code == 200:
                return {"url": note["url"], "token": note["token"]}
        time.sleep(0.1)
    raise AssertionError(f"the server did not answer within two minutes: {read_said(said)}")


def _end(process: subprocess.Popen[bytes], said: IO[bytes], *, killed: bool) -> None:
    """Stop a server. One that is gone already was stopped or killed by its test, or it fell."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
    expected = -signal.SIGKILL if killed else 0
    assert process.returncode == expected, f"the server fell ({process.returncode}): {read_said(said)}"


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for a whole module, on each database: what one test sends must not disturb another."""
    data = tmp_path_factory.mktemp("server") / "data"
    with (
        fresh_address(request, str(request.param), data) as address,
        start_server(data, KOBAN_DATABASE_URL=address) as started,
    ):
        yield started
