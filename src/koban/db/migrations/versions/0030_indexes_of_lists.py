"""Overturned sanctions, accounts under a measure and open cases of an account are found without reading all others

Revision: 0030
Before: 0029
"""

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None

ACCOUNTS = sa.text("status = 'in_force' AND subject_kind = 'account'")


def upgrade() -> None:
    """Bring the tables to this revision."""
    op.create_index(
        "sanctions_overturned",
        "sanctions",
        ["changed_seq"],
        sqlite_where=sa.text("status = 'overturned'"),
        postgresql_where=sa.text("status = 'overturned'"),
    )
    op.create_index(
        "sanctions_accounts",
        "sanctions",
        ["status", "subject_kind", "id", "subject_id", "effect", "policy"],
        sqlite_where=ACCOUNTS,
        postgresql_where=ACCOUNTS,
    )
    op.drop_index("cases_acting", table_name="cases")
    op.create_index("cases_acting", "cases", ["acting_kind", "acting_id", "status"])
