"""What rules are expected to do, and how they do

Revision: 0008
Before: 0007
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the tables to this revision."""
    op.create_table(
        "rule_expectations",
        sa.Column("rule", sa.Text(), nullable=False, comment="rule"),
        sa.Column("basis", sa.Text(), nullable=False, comment="none: nothing is known yet; backtest; past: its own"),
        sa.Column("people", sa.BigInteger(), nullable=False, comment="people whom it touched, each once an hour"),
        sa.Column("hours", sa.BigInteger(), nullable=False, comment="in so many hours"),
        sa.Column(
            "ceiling", sa.BigInteger(), nullable=False, comment="from this count in an hour on it only opens cases"
        ),
        sa.Column("counts", sa.Text(), nullable=False, comment="actions or people"),
        sa.Column("by", sa.Text(), nullable=False, comment="actor; koban where it was measured"),
        sa.Column("reason", sa.Text(), nullable=False, comment="where it comes from"),
        sa.Column("set_seq", sa.BigInteger(), nullable=False, comment="log entry"),
        sa.Column("set_at", sa.BigInteger(), nullable=False, comment="log time, microseconds UTC"),
        sa.PrimaryKeyConstraint("rule"),
        comment="What each rule is expected to do, and the ceiling that follows.",
    )
    op.create_table(
        "rule_hours",
        sa.Column("rule", sa.Text(), nullable=False, comment="rule"),
        sa.Column("hour_at", sa.BigInteger(), nullable=False, comment="the whole hour's beginning, microseconds UTC"),
        sa.Column("events", sa.BigInteger(), nullable=False, comment="events of the types that it reads"),
        sa.Column("hits", sa.BigInteger(), nullable=False, comment="events that it matched"),
        sa.Column("acted", sa.BigInteger(), nullable=False, comment="of them, those on which it acted"),
        sa.Column("people", sa.BigInteger(), nullable=False, comment="different accounts among those that it matched"),
        sa.PrimaryKeyConstraint("rule", "hour_at"),
        comment="What each rule did in each hour, counted once the hour is over.",
    )
    op.create_index("rule_hours_at", "rule_hours", ["hour_at"])
