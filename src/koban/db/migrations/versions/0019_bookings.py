"""What people want booked: one proposes, another decides

Revision: 0019
Before: 0018
"""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the tables to this revision."""
    op.create_table(
        "ledger_bookings",
        sa.Column("id", sa.Text(), nullable=False, comment="The client's id; also the id of the posting."),
        sa.Column("wants", sa.Text(), nullable=False, comment="JSON: a posting, transfers, or limits of a book."),
        sa.Column("reason", sa.Text(), nullable=False, comment="Why."),
        sa.Column("proposed_by", sa.Text(), nullable=False, comment="The first person."),
        sa.Column("proposed_at", sa.BigInteger(), nullable=False, comment="When, in microseconds."),
        sa.Column("status", sa.Text(), nullable=False, comment="waiting, approved or declined."),
        sa.Column("decided_by", sa.Text(), nullable=True, comment="The second person."),
        sa.Column("decided_at", sa.BigInteger(), nullable=True, comment="When."),
        sa.Column("answer", sa.Text(), nullable=False, comment="Why it was declined."),
        sa.PrimaryKeyConstraint("id"),
        comment="What people want booked: one proposes, another decides.",
    )
    op.create_index("ledger_bookings_status", "ledger_bookings", ["status", "proposed_at", "id"])
