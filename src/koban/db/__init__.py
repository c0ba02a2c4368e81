"""Transactions, migrations, leases and timers on SQLite and PostgreSQL.

Guarantees: a write transaction commits whole or not at all; on SQLite there is one writer at a time; a holder that
lost its lease cannot commit; a timer fires once; tables that can be made again from the log have a writer of their own
on SQLite, and nobody waits for it; every difference between the two databases is inside this room.
"""

from koban.db.core import Database, Dialect, RowNumber, Tx, insert, metadata, upsert
from koban.db.failures import failure
from koban.db.index import index_metadata
from koban.db.lease import Held, Lease, drop_lease, keep_lease, take_lease
from koban.db.migrate import DataForeign, DataTooNew, newest_revision, revision, upgrade
from koban.db.sums import sum_halves, whole_sum
from koban.db.timers import LiveTimers, Timer, delete_timers, insert_timers, load_timers

__all__ = [
    "DataForeign",
    "DataTooNew",
    "Database",
    "Dialect",
    "Held",
    "Lease",
    "LiveTimers",
    "RowNumber",
    "Timer",
    "Tx",
    "delete_timers",
    "drop_lease",
    "failure",
    "index_metadata",
    "insert",
    "insert_timers",
    "keep_lease",
    "load_timers",
    "metadata",
    "newest_revision",
    "revision",
    "sum_halves",
    "take_lease",
    "upgrade",
    "upsert",
    "whole_sum",
]
