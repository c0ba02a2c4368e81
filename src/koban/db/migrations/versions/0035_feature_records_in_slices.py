"""Feature records are written back in slices, which are folded into the table of records later

Revision: 0035
Before: 0034
"""

import sqlalchemy as sa
from alembic import op

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the tables to this revision."""
    op.create_table(
        "feature_slices",
        sa.Column(
            "number",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=False,
            nullable=False,
            comment="In the order of their writing.",
        ),
        sa.Column(
            "as_of_seq",
            sa.BigInteger(),
            nullable=False,
            comment="Its records hold the effects of all entries up to this.",
        ),
        sa.Column(
            "records", sa.LargeBinary(), nullable=False, comment="Kind, subject and cells of each record, packed."
        ),
        sa.PrimaryKeyConstraint("number"),
        comment="Records written back and not yet folded into feature_state; the newest slice that holds one counts.",
    )
    if op.get_bind().dialect.name != "sqlite":
        op.alter_column(
            "feature_watermark",
            "seq",
            comment="Effects of all entries up to this one are in feature_state and feature_slices.",
        )
