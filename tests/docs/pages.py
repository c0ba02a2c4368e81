"""What the tests of the documentation share: pages, their code blocks, and a shell that runs them."""

import contextlib
import dataclasses
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence

import httpx

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGES = (ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md")))
MASKED = ("seq", "decided_at", "pack", "sanctions", "cases")  # of an answer, what differs from run to run

_FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Block:
    """A code block that is run, and what the page says comes out of it."""

    page: str
    line: int
    command: str
    expected: str  # empty where the page shows nothing
    language: str  # of what is expected: text, where each line occurs in this order and … is anything, or json


def blocks_of(path: pathlib.Path) -> list[Block]:
    """Return the blocks of a page that are marked `bash run`, each with the block that follows it."""
    text = path.read_text(encoding="utf-8")
    found = list(_FENCE.finditer(text))
    blocks = []
    for fence, following in zip(found, [*found[1:], None], strict=True):
        if fence[1].strip() != "bash run":
            continue
        shown = following is not None and following[1].strip() in {"text", "json"}
        blocks.append(
            Block(
                page=path.relative_to(ROOT).as_posix(),
                line=text.count("\n", 0, fence.start()) + 1,
                command=fence[2],
                expected=following[2] if shown and following is not None else "",
                language=following[1].strip() if shown and following is not None else "text",
            )
        )
    return blocks


def difference(block: Block, output: str) -> str:
    """Say what of the expected output is missing; empty when nothing is."""
    where = f"{block.page} line {block.line}"
    if block.language == "json":
        expected, given = json.loads(block.expected), json.loads(output)
        for one in (expected, given):
            one.update(dict.fromkeys(set(MASKED) & one.keys(), "…"))
        return "" if expected == given else f"{where}: the answer was {json.dumps(given, ensure_ascii=False)}"
    rest = output
    for line in filter(None, map(str.strip, block.expected.splitlines())):
        for part in filter(None, map(str.strip, line.split("…"))):
            _, found, rest = rest.partition(part)
            if not found:
                return f"{where}: {line!r} did not come, or not in this place; what came was:\n{output}"
    return ""


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def lay_out(folder: pathlib.Path) -> None:
    """Make a folder look like a clone after `make install`."""
    (folder / ".venv" / "bin").mkdir(parents=True)
    koban = pathlib.Path(sys.executable).parent / "koban"
    for name, target in (("koban", koban), ("python", pathlib.Path(sys.executable))):
        script = folder / ".venv" / "bin" / name
        script.write_text(f'#!/bin/sh\nexec "{target}" "$@"\n', encoding="utf-8")
        script.chmod(0o755)
    for name in ("packs", "docs"):
        (folder / name).symlink_to(ROOT / name)


@contextlib.contextmanager
def server(folder: pathlib.Path, port: int) -> Iterator[None]:
    """Run Koban in a folder as the pages say."""
    environment = {**_environment(), "KOBAN_PORT": str(port), "KOBAN_ALLOW_PRIVATE_WEBHOOKS": "1"}
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [folder / ".venv" / "bin" / "koban", "serve"], cwd=folder, env=environment, stdout=log, stderr=log
        )
        try:
            deadline = time.monotonic() + 120
            while not _answers(port):  # its note in the data folder is there before it listens
                assert process.poll() is None, (folder / "server.log").read_text(encoding="utf-8")
                assert time.monotonic() < deadline, "the server did not start"
                time.sleep(0.1)
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=60)


def _answers(port: int) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        return httpx.get(f"http://127.0.0.1:{port}/health", trust_env=False).status_code == 200
    return False


def run_blocks(blocks: Sequence[Block], folder: pathlib.Path, ports: dict[str, str]) -> list[str]:
    """Run blocks one after the other in one shell, as a reader does; return what each printed."""
    mark = "---- the next block ----"
    script = f"echo '{mark}'\n".join(block.command for block in blocks)
    for written, real in ports.items():
        script = script.replace(written, real)
    with subprocess.Popen(
        ["bash", "-e"],
        cwd=folder,
        env=_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as shell:
        try:
            output, _ = shell.communicate(script, timeout=240)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(shell.pid, signal.SIGKILL)
    printed = output.split(f"{mark}\n")
    assert shell.returncode == 0, (
        f"{blocks[len(printed) - 1].page} line {blocks[len(printed) - 1].line}:\n{printed[-1]}"
    )
    return printed


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("KOBAN_")}
    return {**kept, "PYTHONDONTWRITEBYTECODE": "1"}
