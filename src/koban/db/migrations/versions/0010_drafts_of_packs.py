"""Drafts of packs

Revision: 0010
Before: 0009
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the tables to this revision."""
    op.create_table(
        "pack_drafts",
        sa.Column("id", sa.Text(), nullable=False, comment="draft_… id"),
        sa.Column("digest", sa.Text(), nullable=False, comment="digest that the version has when it is activated"),
        sa.Column("base", sa.Text(), nullable=False, comment="digest of the version that it was made from"),
        sa.Column("files", sa.LargeBinary(), nullable=False, comment="JSON of file name to text, zlib-compressed"),
        sa.Column("changes", sa.Text(), nullable=False, comment="what it changes, JSON"),
        sa.Column("severe", sa.BigInteger(), nullable=False, comment="1: a second person must approve it"),
        sa.Column("author", sa.Text(), nullable=False, comment="actor who proposed it"),
        sa.Column("reason", sa.Text(), nullable=False, comment="why, in the author's words"),
        sa.Column("proposed_at", sa.BigInteger(), nullable=False, comment="when, in microseconds"),
        sa.Column("state", sa.Text(), nullable=False, comment="open, activated or withdrawn"),
        sa.Column("decided_by", sa.Text(), nullable=True, comment="actor who activated or withdrew it"),
        sa.Column("decided_at", sa.BigInteger(), nullable=True, comment="when, in microseconds"),
        sa.PrimaryKeyConstraint("id"),
        comment="Versions that were proposed: who, why, what they change, and what became of them.",
    )
    op.create_index("pack_drafts_state", "pack_drafts", ["state", "proposed_at"], unique=False)
