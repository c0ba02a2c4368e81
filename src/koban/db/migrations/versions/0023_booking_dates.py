"""An index on booking dates: the journal of a month reads that month

Revision: 0023
Before: 0022
"""

from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the tables to this revision."""
    op.create_index("ledger_transfers_booked", "ledger_transfers", ["booking_date", "position"])
