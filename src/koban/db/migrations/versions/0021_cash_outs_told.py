"""Whether rules and the marketplace heard of a cash-out's state

Revision: 0021
Before: 0020
"""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the tables to this revision."""
    op.add_column(
        "bank_cash_outs",
        sa.Column(
            "untold",
            sa.SmallInteger(),
            nullable=False,
            server_default="0",
            comment="1: rules and the marketplace hear of its state.",
        ),
    )
    op.create_index("bank_cash_outs_untold", "bank_cash_outs", ["untold", "number"])
