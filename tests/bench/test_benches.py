"""Every bench runs in a tiny form, and the engines that are compared give the same answers."""

import json
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]


@pytest.mark.parametrize(
    "bench",
    [
        "engine",
        "features",
        "bulk",
        "backtest",
        "http",
        "queue",
        "start",
        "pages",
        "ledger",
        "reconciliation",
        "payments",
        "story",
        "versions",
    ],
)
def test_bench_runs_in_a_tiny_form(bench: str, tmp_path: pathlib.Path) -> None:
    written = tmp_path / "results.json"
    command = [sys.executable, "-m", "bench.run", bench, "--tiny", "--json", str(written)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=240)

    results = json.loads(written.read_text())
    assert {"cpu", "python", "load"} <= set(results["machine"])
    assert results["rows"]
    assert {row["bench"] for row in results["rows"]} == {bench}
    # A difference between two blocks may be less than nothing.
    differs = [row for row in results["rows"] if row["unit"] == "bytes/account" or "pairs of blocks" in row["note"]]
    assert all(row["value"] > 0 for row in results["rows"] if row not in differs)


def test_all_engines_find_the_same_rules() -> None:
    checked = (
        "from bench.engine import build_engines, check_answers\n"
        "from bench.workload import make_events, make_rules\n"
        "events = [event for _, event in make_events(21, 300)]\n"
        "print(check_answers(build_engines(make_rules(22, 60)), events))"
    )
    done = subprocess.run(
        [sys.executable, "-c", checked], cwd=ROOT, check=True, capture_output=True, text=True, timeout=120
    )
    assert int(done.stdout) > 100  # rules do hold, so equal answers say something
