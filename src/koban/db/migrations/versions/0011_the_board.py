"""The board's minutes, and what its counts need

Revision: 0011
Before: 0010
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_PARTIAL = (
    ("cases_opened", "cases", ["opened_at"], "status = 'open'"),
    ("cases_honest", "cases", ["closed_at"], "outcome = 'honest'"),
    ("sanctions_freezes", "sanctions", ["subject_id"], "status = 'in_force' AND effect = 'freeze_payout'"),
)


def upgrade() -> None:
    """Bring the tables to this revision."""
    op.create_table(
        "board_minutes",
        sa.Column(
            "minute", sa.BigInteger(), autoincrement=False, nullable=False, comment="Minutes since 1970-01-01 UTC."
        ),
        sa.Column("figures", sa.Text(), nullable=False, comment="JSON: name of a figure to its value at that minute."),
        sa.PrimaryKeyConstraint("minute"),
        comment="The board's figures by the minute, for its sparklines; kept for a week.",
    )
    op.create_index("sanctions_status", "sanctions", ["status"])
    for name, table, columns, where in _PARTIAL:
        op.create_index(name, table, columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))
