"""What waits for a provider is found by provider; what is expected of the bank is summed without walking the past

Revision: 0027
Before: 0026
"""

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the tables to this revision."""
    op.drop_index("payment_steps_due", table_name="payment_steps")
    where = sa.text("status = 'open'")
    op.create_index(
        "payment_steps_due", "payment_steps", ["provider", "next_at", "id"], sqlite_where=where, postgresql_where=where
    )
    awaited = sa.text("state = 'waiting' AND reusable = 0")
    op.create_index(
        "bank_expected_open",
        "bank_expected",
        ["currency", "until", "amount_minor"],
        sqlite_where=awaited,
        postgresql_where=awaited,
    )
