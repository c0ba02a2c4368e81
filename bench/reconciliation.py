"""Reconciliation: what comparing costs as rows grow, the matcher alone and a whole run with its database."""

import pathlib
import tempfile
import time

from bench.measure import Row, Size
from koban.app.reconciliation import TERMS
from koban.base import Instant
from koban.db import Database, upgrade
from koban.ledger import Chart
from koban.reconciliation import Row as Line
from koban.reconciliation import match_rows, run
from koban.reconciliation.actions import take_rows
from koban.reconciliation.logic import days_after

DAY = "2026-10-01"
NOW = Instant(1_792_584_000_000_000)
SHARES = (4, 2, 1)  # of all rows, so that growth is seen


def measure_reconciliation(size: Size) -> list[Row]:
    """Measure in CPU time: half of the rows match by reference, a quarter by amount, one in fifty matches nothing."""
    count = 2_000 if size.stored_events == 0 else 100_000
    rows = []
    for share in SHARES:
        lines = make_lines(count // share)
        begun = time.process_time()
        found = match_rows(lines, days_after(DAY, 60), TERMS)
        spent = time.process_time() - begun
        note = f"{len(lines):,} rows, {len(found.matches):,} matches, {len(found.exceptions):,} exceptions"
        rows.append(
            Row(
                bench="reconciliation", what=f"matcher, {len(lines):,} rows", value=spent / len(lines) * 1e6,
                unit="µs a row", note=note,
            )
        )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        database = Database.open(f"sqlite:///{pathlib.Path(folder)}/koban.db")
        try:
            upgrade(database)
            lines = make_lines(count)
            begun = time.process_time()
            take_rows(database, NOW, lines)
            run(database, lambda: NOW, Chart(kinds={}), TERMS)
            spent = time.process_time() - begun
            begun = time.process_time()
            run(database, lambda: NOW, Chart(kinds={}), TERMS)
            again = time.process_time() - begun
        finally:
            database.close()
    note = "taken in, compared and kept, SQLite, fsync on"
    return [
        *rows,
        Row(bench="reconciliation", what=f"first run, {count:,} rows", value=spent, unit="s", note=note),
        Row(bench="reconciliation", what="run again, nothing new", value=again, unit="s", note="only what is open is looked at"),
    ]  # fmt: skip


def make_lines(count: int) -> list[Line]:
    """Make rows of the ledger and of a bank."""
    lines = []
    for number in range(count // 2):
        day, amount = days_after(DAY, number % 30), 100 + number % 997
        key = f"line{number}" if number % 3 else f"else{number}"
        mine = Line(
            id=f"l_{number}", leg="bank", side="ledger", source="", kind="cash_in", keys=(key, f"in{number}"),
            amount_minor=amount + (number % 50 == 0), currency="JPY", booked_on=day, named=True,
        )  # fmt: skip
        theirs = Line(
            id=f"b_{number}", leg="bank", side="bank", source="main", kind="transfer", keys=(f"line{number}",),
            amount_minor=amount, currency="JPY", booked_on=day,
        )  # fmt: skip
        lines += [mine, theirs]
    return lines
