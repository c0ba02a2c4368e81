"""Marks on the hits of a named log

Revision: 0003
Before: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the tables to this revision."""
    op.create_table(
        "log_marks",
        sa.Column("event_id", sa.Text(), nullable=False, comment="The event of a hit."),
        sa.Column("mark", sa.SmallInteger(), nullable=False, comment="1 right, 0 wrong, 2 not to be told."),
        sa.Column("marked_by", sa.Text(), nullable=False, comment="Who said so."),
        sa.Column("marked_at", sa.BigInteger(), nullable=False, comment="When, in microseconds."),
        sa.PrimaryKeyConstraint("event_id"),
    )
