"""What one person said of how a step ended, until a second one says the same

Revision: 0026
Before: 0025
"""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the tables to this revision."""
    op.create_table(
        "payment_sayings",
        sa.Column("step", sa.Text(), nullable=False, comment="Id of the step."),
        sa.Column("said_by", sa.Text(), nullable=False, comment="Who said it."),
        sa.Column("at", sa.BigInteger(), nullable=False, comment="When, microseconds."),
        sa.Column("happened", sa.SmallInteger(), nullable=False, comment="1: it came about."),
        sa.Column("reference", sa.Text(), nullable=False, comment="The provider's own id of it, where it happened."),
        sa.Column("reason", sa.Text(), nullable=False, comment="Who said so at the provider, and where it is seen."),
        sa.PrimaryKeyConstraint("step"),
        comment="What one person said of how a step ended whose person was erased; gone once a second one said the same.",
    )
