"""Write results as the tables of docs/benchmarks.md: `python -m bench.report bench/results/latest.json`."""

import json
import pathlib
import sys
from collections.abc import Sequence

from bench.run import shown


def write_tables(paths: Sequence[pathlib.Path]) -> str:
    """Return the tables of one or more results as Markdown."""
    lines = []
    for path in paths:
        results = json.loads(path.read_text(encoding="utf-8"))
        lines += [f"Load while measuring: {results['machine']['load']}.", ""]
        for bench in dict.fromkeys(row["bench"] for row in results["rows"]):
            lines += [f"### {bench}", "", "| what | value | target | | note |", "|---|---:|---:|---|---|"]
            for row in (row for row in results["rows"] if row["bench"] == bench):
                sign = "≥" if row["higher_is_better"] else "≤"
                target = "" if row["target"] is None else f"{sign} {shown(row['target'])}"
                verdict = {None: "", True: "met", False: "**missed**"}[row["met"]]
                value = f"{shown(row['value'])} {row['unit']}"
                lines.append(f"| {row['what']} | {value} | {target} | {verdict} | {row['note']} |")
            lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    print(write_tables([pathlib.Path(name) for name in sys.argv[1:]]))
