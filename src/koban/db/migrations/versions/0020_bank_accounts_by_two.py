"""Our accounts at banks are proposed, like lines and failures

Revision: 0020
Before: 0019
"""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the tables to this revision."""
    op.add_column(
        "bank_proposals",
        sa.Column("body", sa.Text(), nullable=False, server_default="", comment="Of an account: JSON of all of it."),
    )
