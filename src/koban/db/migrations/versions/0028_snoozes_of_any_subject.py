"""Snoozes of any kind of subject

Revision: 0028
Before: 0027
"""

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the tables to this revision; what was mute for an account stays so."""
    op.create_table(
        "snoozes",
        sa.Column("rule", sa.Text(), nullable=False, comment="rule that is mute"),
        sa.Column("kind", sa.Text(), nullable=False, comment="kind of the subject; account: the acting one"),
        sa.Column("subject", sa.Text(), nullable=False, comment="subject for which it is mute"),
        sa.Column("until_at", sa.BigInteger(), nullable=False, comment="log time from which it speaks again"),
        sa.Column("set_seq", sa.BigInteger(), nullable=False, comment="log entry that set it"),
        sa.Column("set_by", sa.Text(), nullable=False, comment="actor"),
        sa.Column("reason", sa.Text(), nullable=False, comment="why, in the actor's words"),
        sa.PrimaryKeyConstraint("rule", "kind", "subject"),
        comment="Rules that are mute for single subjects for a while.",
    )
    op.execute(
        "INSERT INTO snoozes (rule, kind, subject, until_at, set_seq, set_by, reason)"
        " SELECT rule, 'account', account, until_at, set_seq, set_by, reason FROM rule_snoozes"
    )
    op.drop_table("rule_snoozes")
