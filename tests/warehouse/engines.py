"""The engines that the dialects are run on: two in this process, two from PyPI in environments of their own."""

import json
import pathlib
import subprocess
from collections.abc import Sequence
from typing import Any

import duckdb
import psycopg

from koban.language import Value

ROOT = pathlib.Path(__file__).resolve().parents[2]
HERE = pathlib.Path(__file__).resolve().parent
Rows = list[tuple[Any, ...]]  # Any: what an engine answers


def run(engine: str, postgres_url: str, setup: Sequence[str], queries: Sequence[str]) -> list[Rows]:
    """Run statements that prepare, then queries; returns the rows of each query."""
    match engine:
        case "duckdb":
            connection = duckdb.connect()
            for each in setup:
                connection.execute(each)
            return [connection.execute(each).fetchall() for each in queries]
        case "postgres":
            with psycopg.connect(postgres_url) as session:
                for each in setup:
                    session.execute(each)
                found = [session.execute(each).fetchall() for each in queries]
                session.rollback()
            return found
        case _:
            python = ROOT / ".venv-warehouse" / engine / "bin" / "python"
            asked = json.dumps({"setup": list(setup), "queries": list(queries)})
            done = subprocess.run(
                [str(python), str(HERE / f"run_{engine}.py")], input=asked, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stderr[-4_000:]
            answers: list[list[list[Any]]] = json.loads(done.stdout.splitlines()[-1])
            return [[tuple(row) for row in rows] for rows in answers]


def shown(value: object) -> Value:
    """Return a value as Koban has it: whole numbers as int, arrays as tuples."""
    if isinstance(value, list):
        return tuple(value)
    if value is None or isinstance(value, bool | int | str):
        return value
    return int(str(value))
