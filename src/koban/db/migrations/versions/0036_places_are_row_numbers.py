"""On SQLite the place of an entry and of a decision is the number of its row, which no index has to hold

Revision: 0036
Before: 0035
"""

import sqlalchemy as sa
from alembic import op

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the tables to this revision. On SQLite log and decisions are copied once, which takes as much room again."""
    if op.get_bind().dialect.name != "sqlite":
        return
    op.drop_index("decisions_not_allowed", table_name="decisions")  # copied below without its condition otherwise
    for table in ("log_entries", "decisions"):
        with op.batch_alter_table(table, recreate="always") as batch_op:
            batch_op.alter_column("seq", existing_type=sa.BigInteger(), type_=sa.Integer(), existing_nullable=False)
    op.create_index(
        "decisions_not_allowed", "decisions", ["verdict", "seq"], sqlite_where=sa.text("verdict <> 'allow'")
    )
