"""A second person for ceilings, and from when a rule's harm counts

Revision: 0024
Before: 0023
"""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the tables to this revision; what people's settings had begun anew stays begun."""
    op.add_column(
        "mode_drafts",
        sa.Column("what", sa.Text(), nullable=False, server_default="mode", comment="mode or expectation"),
    )
    op.add_column(
        "mode_drafts",
        sa.Column(
            "people", sa.BigInteger(), nullable=True, comment="people expected, where an expectation is proposed"
        ),
    )
    op.add_column("mode_drafts", sa.Column("hours", sa.BigInteger(), nullable=True, comment="in so many hours"))
    op.add_column(
        "rule_expectations",
        sa.Column("approved_by", sa.Text(), nullable=True, comment="the second person, where one was needed"),
    )
    op.add_column(
        "rule_modes",
        sa.Column(
            "counts_from",
            sa.BigInteger(),
            nullable=True,
            comment="log time from which harm counts against the budget; null: all of it",
        ),
    )
    op.execute("UPDATE rule_modes SET counts_from = changed_at WHERE tripped_seq IS NULL")
