"""An API fuzzer over our own OpenAPI document finds no answer of the 500 kind."""

import os
import pathlib
import subprocess
import sys

import pytest
from tests.conftest import fresh_address
from tests.server.conftest import start_server

IS_LONG = os.environ.get("KOBAN_LONG") == "1"
EXAMPLES = 200 if IS_LONG else 5  # of each operation


@pytest.mark.timeout(3_000 if IS_LONG else 900)
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_the_fuzzer_finds_no_server_error(request: pytest.FixtureRequest, tmp_path: pathlib.Path, kind: str) -> None:
    with (
        fresh_address(request, kind, tmp_path / "data") as address,
        start_server(tmp_path / "data", KOBAN_DATABASE_URL=address) as server,
    ):
        ended = subprocess.run(
            [
                sys.executable, "-m", "schemathesis.cli", "run", f"http://127.0.0.1:{server.port}/openapi.json",
                "--header", f"Authorization: Bearer {server.token}",
                "--checks", "not_a_server_error", "--phases", "fuzzing", "--max-examples", str(EXAMPLES),
                "--generation-deterministic", "--exclude-path-regex", "(sign-out|/v1/me|/v1/tokens/)", "--no-color",
            ],
            capture_output=True, text=True, timeout=2_900 if IS_LONG else 850, check=False, cwd=tmp_path,
        )  # fmt: skip
        assert ended.returncode == 0, ended.stdout[-6_000:] + ended.stderr[-2_000:]
        assert server.alive()
