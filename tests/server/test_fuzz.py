"""An API fuzzer over our own OpenAPI document finds no answer of the 500 kind."""

import pathlib
import subprocess
import sys

from tests.server.conftest import start_server


def test_the_fuzzer_finds_no_server_error(tmp_path: pathlib.Path) -> None:
    with start_server(tmp_path / "data") as server:
        ended = subprocess.run(
            [
                sys.executable, "-m", "schemathesis.cli", "run", f"http://127.0.0.1:{server.port}/openapi.json",
                "--header", f"Authorization: Bearer {server.token}",
                "--checks", "not_a_server_error", "--phases", "fuzzing", "--max-examples", "5",
                "--generation-deterministic", "--exclude-path-regex", "(sign-out|/v1/me|/v1/tokens/)", "--no-color",
            ],
            capture_output=True, text=True, timeout=240, check=False, cwd=tmp_path,
        )  # fmt: skip
        assert ended.returncode == 0, ended.stdout[-6_000:] + ended.stderr[-2_000:]
        assert server.alive()
