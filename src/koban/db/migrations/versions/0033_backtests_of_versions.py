"""Backtests are kept with the versions that they tried

Revision: 0033
Before: 0032
"""

import sqlalchemy as sa
from alembic import op

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the tables to this revision."""
    op.create_table(
        "pack_backtests",
        sa.Column("digest", sa.Text(), nullable=False, comment="version that was tried"),
        sa.Column("run_id", sa.Text(), nullable=False, comment="run_… id"),
        sa.Column("started_at", sa.BigInteger(), nullable=False, comment="when, in microseconds"),
        sa.Column(
            "report", sa.LargeBinary(), nullable=False, comment="what it said, without samples: JSON, zlib-compressed"
        ),
        sa.PrimaryKeyConstraint("digest"),
        comment="The newest whole backtest over the live log of each version: what the version is held to in force.",
    )
