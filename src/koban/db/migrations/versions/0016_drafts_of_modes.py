"""Drafts of modes

Revision: 0016
Before: 0015
"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the tables to this revision."""
    op.create_table(
        "mode_drafts",
        sa.Column("id", sa.Text(), nullable=False, comment="modedraft_… id"),
        sa.Column("rule", sa.Text(), nullable=False, comment="name of the rule"),
        sa.Column("mode", sa.Text(), nullable=True, comment="mode that it is to have; NULL: the pack's"),
        sa.Column(
            "basis_points", sa.Integer(), nullable=False, comment="share of accounts for which it is live, in 1/100 %"
        ),
        sa.Column(
            "base", sa.Text(), nullable=False, comment="digest of the pack version whose condition was looked at"
        ),
        sa.Column("author", sa.Text(), nullable=False, comment="actor who proposed it"),
        sa.Column("reason", sa.Text(), nullable=False, comment="why, in the author's words"),
        sa.Column("proposed_at", sa.BigInteger(), nullable=False, comment="when, in microseconds"),
        sa.Column("state", sa.Text(), nullable=False, comment="open, activated or withdrawn"),
        sa.Column("decided_by", sa.Text(), nullable=True, comment="actor who approved or withdrew it"),
        sa.Column("decided_at", sa.BigInteger(), nullable=True, comment="when, in microseconds"),
        sa.PrimaryKeyConstraint("id"),
        comment="Modes of severe rules that were proposed: who, why, and what became of them.",
    )
    op.create_index("mode_drafts_state", "mode_drafts", ["state", "proposed_at"], unique=False)
