"""The index of finding has a file of its own on SQLite (index.db), and a place of its own everywhere

Revision: 0031
Before: 0030
"""

import sqlalchemy as sa
from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None

MOVE = """INSERT INTO index_place (name, seq, log_at) SELECT 'finding', e.seq, e.log_at
    FROM log_state s JOIN log_entries e ON e.seq = s.value WHERE s.name = 'finding_seq'"""


def upgrade() -> None:
    """Bring the tables to this revision. On SQLite the index is made again from the log, in its own file."""
    if op.get_bind().dialect.name == "sqlite":
        op.drop_table("account_links")
        op.drop_table("entry_subjects")
    else:
        place = op.create_table(
            "index_place",
            sa.Column("name", sa.Text(), nullable=False, comment="What follows the log: `finding`."),
            sa.Column("seq", sa.BigInteger(), nullable=False, comment="The last entry that it took in."),
            sa.Column(
                "log_at", sa.BigInteger(), nullable=False,
                comment="Log time of that entry: a log that has another there is another.",
            ),
            sa.PrimaryKeyConstraint("name"),
            comment="Up to which entry of the log an index is made.",
        )  # fmt: skip
        op.execute(MOVE)
        if not op.get_bind().execute(sa.select(place.c.name)).first():  # its last entry left the database
            op.execute("DELETE FROM account_links")
            op.execute("DELETE FROM entry_subjects")
    op.execute("DELETE FROM log_state WHERE name = 'finding_seq'")
