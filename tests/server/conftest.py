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
import time
from collections.abc import Iterator, Mapping

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
        timeout=60,
        check=False,
    )


@dataclasses.dataclass(kw_only=True)
class Server:
    """A running server and how to speak to it."""

    data: pathlib.Path
    port: int
    process: subprocess.Popen[bytes]
    token: str
    client: httpx.Client

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
    port = int(more.get("KOBAN_PORT", "0")) or free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "koban.cli", *(verb or ("serve",))],
        env=environment(data, port, **more),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30.0, trust_env=False)
    try:
        token = _wait(process, client, data)
        client.headers["authorization"] = f"Bearer {token}"
        yield Server(data=data, port=port, process=process, token=token, client=client)
    finally:
        client.close()
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _wait(process: subprocess.Popen[bytes], client: httpx.Client, data: pathlib.Path) -> str:
    for _ in range(1_200):
        if process.poll() is not None:
            said = process.stdout.read().decode() if process.stdout is not None else ""
            raise AssertionError(f"the server ended with {process.returncode}: {said}")
        with contextlib.suppress(httpx.HTTPError, OSError, ValueError, KeyError):
            if client.get("/health").status_code == 200:
                return str(json.loads((data / "server.json").read_text())["token"])
        time.sleep(0.1)
    raise AssertionError("the server did not answer within two minutes")


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for a whole module, on each database: what one test sends must not disturb another."""
    data = tmp_path_factory.mktemp("server") / "data"
    with (
        fresh_address(request, str(request.param), data) as address,
        start_server(data, KOBAN_DATABASE_URL=address) as started,
    ):
        yield started
