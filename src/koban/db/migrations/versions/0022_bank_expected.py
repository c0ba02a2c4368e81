"""Money that is expected on our accounts at banks

Revision: 0022
Before: 0021
"""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the tables to this revision."""
    op.create_table(
        "bank_expected",
        sa.Column("id", sa.Text(), nullable=False, comment="The client's id."),
        sa.Column("reference", sa.Text(), nullable=False, comment="Number or words that the payment will carry."),
        sa.Column("kind", sa.Text(), nullable=False, comment="order or wallet."),
        sa.Column("owner", sa.Text(), nullable=False, comment="The order, or the account whose wallet it is."),
        sa.Column("amount_minor", sa.BigInteger(), nullable=True, comment="How much; null: whatever comes."),
        sa.Column("currency", sa.Text(), nullable=False, comment="ISO 4217 code."),
        sa.Column("level", sa.Text(), nullable=True, comment="Verification level, where limits ask for it."),
        sa.Column(
            "reusable", sa.SmallInteger(), nullable=False, comment="1: every line with the reference, not one alone."
        ),
        sa.Column("state", sa.Text(), nullable=False, comment="waiting, met or cancelled."),
        sa.Column("until", sa.BigInteger(), nullable=True, comment="Not expected any more from here, in microseconds."),
        sa.Column("line", sa.Text(), nullable=True, comment="The newest line that brought it."),
        sa.Column("made_by", sa.Text(), nullable=False, comment="Whose token said so."),
        sa.Column("made_at", sa.BigInteger(), nullable=False, comment="When, in microseconds."),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("reference"),
        comment="Money that is expected on our accounts at banks: virtual accounts and references.",
    )
    op.create_index("bank_expected_owner", "bank_expected", ["kind", "owner"])
    op.create_index("bank_expected_at", "bank_expected", ["made_at", "id"])
