"""Owners of lists

Revision: 0029
Before: 0028
"""

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the tables to this revision."""
    op.create_table(
        "list_owners",
        sa.Column("list", sa.Text(), nullable=False, comment="name of the list in the pack"),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False, comment="1, 2, … for each list"),
        sa.Column(
            "owner", sa.Text(), nullable=True, comment="member of staff who answers for it from here on; null: nobody"
        ),
        sa.Column("set_by", sa.Text(), nullable=False, comment="actor"),
        sa.Column("set_at", sa.BigInteger(), nullable=False, comment="microseconds UTC"),
        sa.Column("reason", sa.Text(), nullable=False, comment="why, in the actor's words"),
        sa.PrimaryKeyConstraint("list", "number"),
        comment="Who answers for a list as a whole, and who did.",
    )
