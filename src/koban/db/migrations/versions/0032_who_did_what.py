"""Who did what is found in the index beside the log, not in an index of the decider's own

Revision: 0032
Before: 0031
"""

import sqlalchemy as sa
from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None

# What the index has not taken in yet it takes in by itself; without a place it has taken in nothing.
FILL = """INSERT INTO account_acts (account, seq) SELECT d.acting, d.seq FROM decisions d JOIN index_place p
    ON p.name = 'finding' AND d.seq <= p.seq WHERE d.acting IS NOT NULL"""


def upgrade() -> None:
    """Bring the tables to this revision. On SQLite the index is made again from the log, in its own file."""
    if op.get_bind().dialect.name != "sqlite":
        op.create_table(
            "account_acts",
            sa.Column("account", sa.Text(), nullable=False, comment="The account that did it."),
            sa.Column(
                "seq", sa.BigInteger(), autoincrement=False, nullable=False, comment="A decision about what it did."
            ),
            sa.PrimaryKeyConstraint("account", "seq"),
            comment="Which decisions are about what each account did; made from the log, a moment behind it.",
        )
        op.execute(FILL)
    op.drop_index("decisions_acting", table_name="decisions")
