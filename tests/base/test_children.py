"""A process of ours runs our modules, whatever lies in the folder where the server was started."""

import pathlib
import subprocess

import pytest

from koban.base import child_command


@pytest.mark.parametrize("name", ["random", "koban", "json"])
def test_a_file_where_the_server_stands_takes_no_modules_place(tmp_path: pathlib.Path, name: str) -> None:
    (tmp_path / f"{name}.py").write_text("raise SystemExit('taken from the wrong place')\n", encoding="utf-8")
    done = subprocess.run(
        child_command("koban.cli", "--help"), cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, "backtest" in done.stdout) == (0, True), done.stderr
