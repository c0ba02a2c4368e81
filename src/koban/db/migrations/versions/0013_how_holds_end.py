"""How holds of events ended

Revision: 0013
Before: 0012
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the tables to this revision."""
    op.create_table(
        "hold_ends",
        sa.Column(
            "seq", sa.BigInteger(), autoincrement=False, nullable=False, comment="The decision that held an event."
        ),
        sa.Column("ended_at", sa.BigInteger(), nullable=False, comment="Log time of the end, in microseconds."),
        sa.Column(
            "why",
            sa.Text(),
            nullable=False,
            comment="lapsed, withdrawn (its rules were wrong), or judged (by a person).",
        ),
        sa.Column("verdict", sa.Text(), nullable=False, comment="What the event became."),
        sa.Column("cause_seq", sa.BigInteger(), nullable=False, comment="The log entry that ended it."),
        sa.PrimaryKeyConstraint("seq"),
        comment="How holds ended: by their time, by taking back the rules behind them, or by a person's judgement.",
    )
    op.create_index("hold_ends_cause", "hold_ends", ["cause_seq"])
