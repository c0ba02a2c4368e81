"""Indexes of the console's pages: what a rule did, what stands by it, and what waits in a queue, counted without reading rows

Revision: 0015
Before: 0014
"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_OPEN = sa.text("status = 'open'")


def upgrade() -> None:
    """Bring the tables to this revision."""
    op.drop_index("signals_rule", table_name="signals")
    op.create_index("signals_rule", "signals", ["rule", "seq", "log_at", "applied", "acting"])
    op.drop_index("cases_due", table_name="cases")
    op.create_index(
        "cases_due", "cases", ["queue", "due_at", "id", "paused_at", "opened_at", "status"],
        sqlite_where=_OPEN, postgresql_where=_OPEN,
    )  # fmt: skip
    op.create_index("sanctions_rule", "sanctions", ["rule", "id"])
