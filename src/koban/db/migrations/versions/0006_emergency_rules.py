"""Emergency rules, and verdicts that were taken back

Revision: 0006
Before: 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the tables to this revision."""
    op.create_table(
        "emergency_rules",
        sa.Column("name", sa.Text(), nullable=False, comment="emergency.… name; never used twice"),
        sa.Column(
            "seq", sa.BigInteger(), nullable=False, comment="log entry that started it: the version that decisions name"
        ),
        sa.Column("started_at", sa.BigInteger(), nullable=False, comment="log time, microseconds UTC"),
        sa.Column("started_by", sa.Text(), nullable=False, comment="actor who typed it"),
        sa.Column("ends_at", sa.BigInteger(), nullable=False, comment="log time from which it decides nothing"),
        sa.Column("extended_by", sa.Text(), nullable=True, comment="the second person who let it live longer, once"),
        sa.Column("extended_at", sa.BigInteger(), nullable=True, comment="when"),
        sa.Column(
            "ended_at", sa.BigInteger(), nullable=True, comment="when its end was entered into the log; null: it stands"
        ),
        sa.Column("ended_by", sa.Text(), nullable=True, comment="actor; koban when its time was over"),
        sa.Column("ended_how", sa.Text(), nullable=True, comment="expired, ended or unfit"),
        sa.Column("case_id", sa.Text(), nullable=False, comment="the case of its review"),
        sa.Column("body", sa.Text(), nullable=False, comment="the whole rule as its log entry has it, JSON"),
        sa.PrimaryKeyConstraint("name"),
        comment="Emergency rules, those that are over included; rows are never deleted.",
    )
    op.create_index("emergency_rules_seq", "emergency_rules", ["seq"])
    op.create_index(
        "emergency_rules_standing",
        "emergency_rules",
        ["name"],
        sqlite_where=sa.text("ended_at IS NULL"),
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.create_table(
        "decision_withdrawals",
        sa.Column(
            "seq",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="The decision that was taken back in part.",
        ),
        sa.Column("rule", sa.Text(), nullable=False, comment="The rule whose part in it is withdrawn."),
        sa.Column("withdrawn_seq", sa.BigInteger(), nullable=False, comment="The log entry of the command."),
        sa.Column("withdrawn_at", sa.BigInteger(), nullable=False, comment="Log time, in microseconds."),
        sa.PrimaryKeyConstraint("seq", "rule"),
        comment="Verdicts that a person took back because a rule was wrong; the decision itself stays as it was given.",
    )
