"""A real `koban serve` in a process of its own."""

import contextlib
import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Final

from bench.measure import ROOT

_PATIENCE_S: Final = 120


@dataclasses.dataclass(frozen=True, kw_only=True)
class Server:
    """A server that answers."""

    port: int
    token: str
    pid: int
    wall_s: float  # from the process's start until /health answered
    cpu_s: float


@contextlib.contextmanager
def serving(data: pathlib.Path, pack: pathlib.Path | None = None) -> Iterator[Server]:
    """Start a server on a free port over `data`, wait until it answers, and stop it afterwards."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment |= {"KOBAN_DATA": str(data), "KOBAN_PORT": "0", "KOBAN_LOG_LEVEL": "error"}
    if pack is not None:
        environment["KOBAN_PACK"] = str(pack)
    note = data / "server.json"
    note.unlink(missing_ok=True)
    start = time.perf_counter()
    process = subprocess.Popen(
        [pathlib.Path(sys.executable).parent / "koban", "serve"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        said = _wait(process, note, start)
        wall_s = time.perf_counter() - start
        yield Server(
            port=int(str(said["url"]).rsplit(":", 1)[1]),
            token=str(said["token"]),
            pid=process.pid,
            wall_s=wall_s,
            cpu_s=cpu_of(process.pid),
        )
    finally:
        process.terminate()
        process.wait(timeout=60)


def _wait(process: "subprocess.Popen[bytes]", note: pathlib.Path, start: float) -> dict[str, object]:
    while time.perf_counter() - start < _PATIENCE_S:
        assert process.poll() is None, f"the server ended with {process.returncode}"
        with contextlib.suppress(OSError, ValueError, urllib.error.URLError):
            said: dict[str, object] = json.loads(note.read_text(encoding="utf-8"))
            with urllib.request.urlopen(f"{said['url']}/health", timeout=5) as answer:  # noqa: S310 - our own server
                if answer.status == 200:
                    return said
        time.sleep(0.02)
    raise TimeoutError("the server did not answer")


def cpu_of(pid: int) -> float:
    """Return the seconds of CPU that a process has used."""
    import psutil  # type: ignore[import-untyped]  # used in two places only

    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)
