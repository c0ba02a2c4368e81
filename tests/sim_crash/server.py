"""A real server process on a data folder, that can be killed and started again."""

import contextlib
import http.client
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Mapping

KOBAN = pathlib.Path(sys.executable).parent / "koban"
START_S = 90.0  # machines are busy where tests run


class Server:
    """`koban serve` on one data folder; every start takes a free port."""

    def __init__(self, folder: pathlib.Path, pack: pathlib.Path, environment: Mapping[str, str]) -> None:
        self.folder = folder
        self.log = folder.parent / "server.log"
        self.url = ""
        self.token = ""
        self.starts = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("KOBAN_")},
            "KOBAN_DATA": str(folder),
            "KOBAN_PACK": str(pack),
            "KOBAN_PORT": "0",
            "KOBAN_ALLOW_PRIVATE_WEBHOOKS": "1",
            "KOBAN_LOG_LEVEL": "warning",
            **environment,
        }

    def spawn(self) -> None:
        """Start the process and do not wait until it serves."""
        assert self._process is None, "a server is started once at a time"
        self.starts += 1
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [str(KOBAN), "serve"], env=self._environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def start(self) -> None:
        """Start the process and wait until it serves."""
        self.spawn()
        self.wait_ready()

    def wait_ready(self) -> None:
        """Wait until the process has said where it serves."""
        assert self._process is not None
        until = time.monotonic() + START_S
        while time.monotonic() < until:
            if self._process.poll() is not None:
                raise AssertionError(f"the server ended by itself:\n{self.tail()}")
            note = self._read_note()
            if note is not None and note["pid"] == self._process.pid:
                self.url, self.token = str(note["url"]), str(note["token"])
                if self._is_up():
                    return
            time.sleep(0.02)
        raise AssertionError(f"the server did not come up:\n{self.tail()}")

    def kill(self) -> None:
        """End the process as a crash does: at once, without a word."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self._process = None

    def stop(self) -> None:
        """End the process as an operator does."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise
        finally:
            self._process = None

    def tail(self) -> str:
        """Return the end of what the process said."""
        return self.log.read_bytes()[-4_000:].decode(errors="replace")

    def _read_note(self) -> dict[str, object] | None:
        try:
            note: dict[str, object] = json.loads((self.folder / "server.json").read_bytes())
        except (OSError, ValueError):
            return None  # not there yet, half written, or left by a process that was killed
        return note

    def _is_up(self) -> bool:
        try:
            with contextlib.closing(Line(self)) as line:
                return line.call("GET", "/health")[0] == 200
        except OSError:
            return False


class Line:
    """One keep-alive connection to a server; raises OSError or HTTPException when the server dies."""

    def __init__(self, server: Server) -> None:
        host, port = server.url.removeprefix("http://").split(":")
        self._connection = http.client.HTTPConnection(host, int(port), timeout=60)
        self._headers = {"authorization": f"Bearer {server.token}"}

    def call(
        self, method: str, path: str, body: object = None, *, media: str = "application/json"
    ) -> tuple[int, bytes]:
        """Send one request and return status and body; `body` goes out as it is, or as JSON."""
        raw = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        headers = self._headers if raw is None else {**self._headers, "content-type": media}
        self._connection.request(method, path, raw, headers)
        answer = self._connection.getresponse()
        return answer.status, answer.read()

    def close(self) -> None:
        """Hang up."""
        self._connection.close()
