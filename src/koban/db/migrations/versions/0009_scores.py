"""Scores from outside

Revision: 0009
Before: 0008
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the tables to this revision."""
    op.create_table(
        "scores",
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False, comment="log entry that recorded it"),
        sa.Column("at", sa.BigInteger(), nullable=False, comment="log time, microseconds UTC"),
        sa.Column("name", sa.Text(), nullable=False, comment="the score's name, as the pack declares it"),
        sa.Column("subject_kind", sa.Text(), nullable=False, comment="account, listing, order, …"),
        sa.Column(
            "subject_id", sa.Text(), nullable=False, comment="the subject's id; a pseudonym where the kind is personal"
        ),
        sa.Column("score", sa.BigInteger(), nullable=False, comment="millionths, 0 to 1,000,000"),
        sa.Column("model", sa.Text(), nullable=False, comment="version of the model that gave it"),
        sa.Column("recorded_by", sa.Text(), nullable=False, comment="actor"),
        sa.Column(
            "expires_at", sa.BigInteger(), nullable=True, comment="log time from which it no longer counts; null: never"
        ),
        sa.PrimaryKeyConstraint("seq"),
        comment="What models outside said of subjects; the newest row of a name and subject counts.",
    )
    op.create_index("scores_by_subject", "scores", ["subject_kind", "subject_id"])
