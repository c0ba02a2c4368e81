"""Sanctions that were overturned lately are found without looking at all others

Revision: 0030
Before: 0029
"""

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the tables to this revision."""
    op.create_index(
        "sanctions_overturned",
        "sanctions",
        ["changed_seq"],
        sqlite_where=sa.text("status = 'overturned'"),
        postgresql_where=sa.text("status = 'overturned'"),
    )
