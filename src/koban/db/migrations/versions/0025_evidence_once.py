"""What proves one posting and may prove no other

Revision: 0025
Before: 0024
"""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the tables to this revision."""
    op.create_table(
        "ledger_evidence",
        sa.Column(
            "evidence", sa.Text(), nullable=False, comment="JSON: the references that prove a posting, by parameter."
        ),
        sa.Column("posting_id", sa.Text(), nullable=False, comment="The posting that they prove."),
        sa.PrimaryKeyConstraint("evidence"),
        comment="What proves one posting and may prove no other; free again when the posting is released in full.",
    )
    op.create_index("ledger_evidence_posting", "ledger_evidence", ["posting_id"])
