"""Indexes of the console's pages: what a rule did without reading its signals, and what stands by a rule

Revision: 0013
Before: 0012
"""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the tables to this revision."""
    op.drop_index("signals_rule", table_name="signals")
    op.create_index("signals_rule", "signals", ["rule", "seq", "log_at", "applied", "acting"])
    op.create_index("sanctions_rule", "sanctions", ["rule", "id"])
