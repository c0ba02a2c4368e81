"""Reconciliation: the ledger, reports of providers and lines of banks are compared every day, three ways.

Owns the tables reconciliation_*. Guarantees: each row is in exactly one match or exception of each comparison that it
belongs to; a run without anything new changes nothing; the order of rows does not matter; nothing is adjusted but by a
posting that one person proposed and another approved.
"""

from koban.reconciliation.actions import (
    age_days,
    bucket,
    find,
    find_live,
    run,
    take_file,
)
from koban.reconciliation.logic import match_rows
from koban.reconciliation.types import (
    AdjustmentMissing,
    AdjustmentOwn,
    AdjustmentRefused,
    ExceptionDone,
    ExceptionMissing,
    ExceptionType,
    Found,
    Match,
    Outcome,
    PeriodUnreconciled,
    Proposal,
    Row,
    RowsUnreadable,
    RunReport,
    Terms,
)

__all__ = [
    "AdjustmentMissing",
    "AdjustmentOwn",
    "AdjustmentRefused",
    "ExceptionDone",
    "ExceptionMissing",
    "ExceptionType",
    "Found",
    "Match",
    "Outcome",
    "PeriodUnreconciled",
    "Proposal",
    "Row",
    "RowsUnreadable",
    "RunReport",
    "Terms",
    "age_days",
    "bucket",
    "find",
    "find_live",
    "match_rows",
    "run",
    "take_file",
]
