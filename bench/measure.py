"""What every bench shares: rows of results, process CPU time, interleaved runs, and what machine this is."""

import dataclasses
import gc
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

ROOT: Final = pathlib.Path(__file__).resolve().parent.parent


@dataclasses.dataclass(frozen=True, kw_only=True)
class Size:
    """How much a bench does: `FULL` for figures, `TINY` to see that it runs."""

    runs: int
    events: int  # events of one run of a cheap engine
    rules: tuple[int, ...]
    accounts: int
    many_accounts: int
    bulk_events: int
    rate: int  # events a second over HTTP
    http_s: int
    stored_events: int
    page_events: int  # in the log behind the console's pages
    backtest_events: int


FULL: Final = Size(
    runs=5,
    events=2_000,
    rules=(10, 100, 500),
    accounts=100_000,
    many_accounts=1_000_000,
    bulk_events=20_000,
    rate=1_000,
    http_s=20,
    stored_events=100_000,
    page_events=1_000_000,
    backtest_events=1_000_000,
)
TINY: Final = Size(
    runs=1,
    events=60,
    rules=(20,),
    accounts=200,
    many_accounts=0,
    bulk_events=300,
    rate=50,
    http_s=1,
    stored_events=0,
    page_events=0,
    backtest_events=900,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """One figure. `target` is what design asks for, in the same unit; None where it asks for nothing."""

    bench: str
    what: str
    value: float
    unit: str
    target: float | None = None
    higher_is_better: bool = False
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None without one."""
        if self.target is None:
            return None
        return self.value >= self.target if self.higher_is_better else self.value <= self.target


def cpu_us(run: Callable[[], object], events: int) -> float:
    """Return the process CPU time of one run, in microseconds an event; garbage of before does not count."""
    gc.collect()
    start = time.process_time_ns()
    run()
    return (time.process_time_ns() - start) / 1_000 / events


def interleave(runs: int, engines: Mapping[str, Callable[[], float]]) -> dict[str, float]:
    """Measure every engine in turn, again and again, and return the median of each.

    Why in turn: whatever else the machine does falls on all of them alike.
    """
    seen: dict[str, list[float]] = {name: [] for name in engines}
    for _ in range(runs):
        for name, measure in engines.items():
            seen[name].append(measure())
    return {name: statistics.median(values) for name, values in seen.items()}


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value below or at which `share` of all values lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def describe_machine() -> dict[str, str]:
    """Say what the figures were measured on, and how busy it was."""
    model = "unknown"
    cpuinfo = pathlib.Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
        model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), model)
    one, five, fifteen = os.getloadavg()
    return {
        "cpu": f"{model}, {os.cpu_count()} cores",
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "load": f"{one:.1f} {five:.1f} {fifteen:.1f} (1, 5, 15 minutes, at the start)",
    }


def run_child(module: str, *arguments: str, timeout_s: float = 900) -> str:
    """Run a module of this folder in a process of its own and return what it printed."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
        timeout=timeout_s,
    )
    return done.stdout
