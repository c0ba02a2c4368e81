"""Run the benches, print a table, write JSON. `make bench`; `python -m bench.run --help`."""

import argparse
import dataclasses
import json
import pathlib
import sys
from collections.abc import Callable, Sequence
from typing import Final

from rich.console import Console
from rich.table import Table

from bench.backtest import measure_backtest
from bench.bulk import measure_bulk
from bench.cases import measure_queue
from bench.engine import measure_engines
from bench.features import measure_features
from bench.ledger import measure_ledger
from bench.measure import FULL, ROOT, TINY, Row, Size, describe_machine
from bench.over_http import measure_http
from bench.pages import measure_pages
from bench.payments import measure_payments
from bench.reconciliation import measure_reconciliation
from bench.start import measure_start
from bench.story import measure_story
from bench.versions import measure_versions

BENCHES: Final[dict[str, Callable[[Size], list[Row]]]] = {
    "engine": measure_engines,
    "features": measure_features,
    "bulk": measure_bulk,
    "backtest": measure_backtest,
    "http": measure_http,
    "queue": measure_queue,
    "start": measure_start,
    "pages": measure_pages,
    "ledger": measure_ledger,
    "reconciliation": measure_reconciliation,
    "payments": measure_payments,
    "story": measure_story,
    "versions": measure_versions,
}
RESULTS: Final = ROOT / "bench" / "results" / "latest.json"


def run_benches(names: Sequence[str], size: Size, console: Console) -> list[Row]:
    """Run benches in order, printing each table as soon as it is there."""
    rows = []
    for name in names:
        found = BENCHES[name](size)
        console.print(draw(name, found))
        rows += found
    return rows


def draw(name: str, rows: Sequence[Row]) -> Table:
    """Draw the rows of one bench."""
    table = Table(title=name, title_justify="left", title_style="bold")
    table.add_column("what")
    table.add_column("value", justify="right")
    table.add_column("target", justify="right")
    table.add_column("")
    table.add_column("note", style="dim")
    for row in rows:
        sign = {None: "", True: "≤ ", False: "≤ "}[row.met] if not row.higher_is_better else "≥ "
        target = "" if row.target is None else f"{sign}{shown(row.target)}"
        verdict = {None: "", True: "[green]met[/]", False: "[red]missed[/]"}[row.met]
        table.add_row(row.what, f"{shown(row.value)} {row.unit}", target, verdict, row.note)
    return table


def shown(value: float) -> str:
    """Write a number with as many digits as it deserves."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*BENCHES, []], help="benches to run; all without any")
    parser.add_argument("--full", action="store_true", help="also what takes minutes: a million accounts in memory")
    parser.add_argument("--tiny", action="store_true", help="only see that everything runs")
    parser.add_argument("--json", type=pathlib.Path, default=RESULTS, help=f"where results go ({RESULTS.name})")
    given = parser.parse_args()
    size = TINY if given.tiny else FULL if given.full else dataclasses.replace(FULL, many_accounts=0)
    console = Console(width=None if sys.stdout.isatty() else 200)
    machine = describe_machine()
    console.print("\n".join(f"{name}: {value}" for name, value in machine.items()))
    rows = run_benches(given.names or list(BENCHES), size, console)
    given.json.parent.mkdir(parents=True, exist_ok=True)
    results = [{**dataclasses.asdict(row), "met": row.met} for row in rows]
    given.json.write_text(
        json.dumps({"machine": machine, "rows": results}, ensure_ascii=False, indent=1), encoding="utf-8"
    )
    console.print(f"written to {given.json}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
