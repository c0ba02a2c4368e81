"""An event stands once by its id and source themselves; the hash of them, and its index, are gone

Revision: 0034
Before: 0033
"""

import sqlalchemy as sa
from alembic import op

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None

# As revision 0001 made it, but for the unique constraint on `event_key`, which SQLite can only leave behind.
BEFORE = sa.Table(
    "log_entries",
    sa.MetaData(),
    sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column("log_at", sa.BigInteger(), nullable=False),
    sa.Column("received_at", sa.BigInteger(), nullable=False),
    sa.Column("kind", sa.Text(), nullable=False),
    sa.Column("type", sa.Text(), nullable=False),
    sa.Column("source", sa.Text(), nullable=False),
    sa.Column("event_id", sa.Text(), nullable=False),
    sa.Column("event_key", sa.LargeBinary(), nullable=True),
    sa.Column("event_at", sa.BigInteger(), nullable=False),
    sa.Column("subject", sa.Text(), nullable=True),
    sa.Column("data", sa.Text(), nullable=False),
    sa.Column("sealed", sa.LargeBinary(), nullable=True),
    sa.Column("digest", sa.LargeBinary(), nullable=True),
    sa.Column("flags", sa.SmallInteger(), nullable=False),
    sa.Column("cause_seq", sa.BigInteger(), nullable=True),
    sa.PrimaryKeyConstraint("seq"),
    sa.Index("log_entries_type", "type", "seq"),
)


def upgrade() -> None:
    """Bring the tables to this revision. On SQLite the log is copied once, which takes as much room again meanwhile."""
    if op.get_bind().dialect.name == "sqlite":
        with op.batch_alter_table("log_entries", copy_from=BEFORE, recreate="always") as batch_op:
            batch_op.drop_column("event_key")
    else:
        op.drop_column("log_entries", "event_key")
    op.create_index("log_entries_once", "log_entries", ["event_id", "source"], unique=True)
