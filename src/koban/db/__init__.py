"""Transactions, migrations, leases and timers on SQLite and PostgreSQL.

Guarantees: a write transaction commits whole or not at all; on SQLite there is one writer at a time; every
difference between the two databases is inside this room.
"""

from koban.db.core import Database, Dialect, Tx, metadata, upsert

__all__ = ["Database", "Dialect", "Tx", "metadata", "upsert"]
