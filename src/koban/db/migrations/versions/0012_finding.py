"""What finding owns, and personal fields that are open for a while

Revision: 0012
Before: 0011
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_BYTES = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Bring the tables to this revision."""
    op.create_table(
        "entry_subjects",
        sa.Column("kind", sa.Text(), nullable=False, comment="Kind of the subject; `event` for the event's own id."),
        sa.Column("subject", _BYTES, nullable=False, comment="Its id; a pseudonym where the kind is personal."),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False, comment="An entry that names it."),
        sa.PrimaryKeyConstraint("kind", "subject", "seq"),
        comment="Which entries name which subject; made from the log, a moment behind it.",
        sqlite_with_rowid=False,
    )
    op.create_table(
        "account_links",
        sa.Column("account", sa.Text(), nullable=False, comment="The account that did it."),
        sa.Column(
            "kind", sa.Text(), nullable=False, comment="Kind of what it used: device, address, card, bank, image, …"
        ),
        sa.Column(
            "subject", sa.Text(), nullable=False, comment="What it used; a pseudonym where the kind is personal."
        ),
        sa.Column("times", sa.BigInteger(), nullable=False, comment="In how many events."),
        sa.Column("first_at", sa.BigInteger(), nullable=False, comment="Log time of the first, in microseconds."),
        sa.Column("last_at", sa.BigInteger(), nullable=False, comment="Log time of the last."),
        sa.Column("last_seq", sa.BigInteger(), nullable=False, comment="The last entry."),
        sa.PrimaryKeyConstraint("account", "kind", "subject"),
        comment="What each account used: two that used the same are linked.",
    )
    op.create_index("account_links_subject", "account_links", ["kind", "subject", "account"])
    op.create_table(
        "saved_views",
        sa.Column("id", sa.Text(), nullable=False, comment="view_… id."),
        sa.Column("owner", sa.Text(), nullable=False, comment="Who keeps it."),
        sa.Column("shared", sa.SmallInteger(), nullable=False, comment="1: everybody sees it."),
        sa.Column("page", sa.Text(), nullable=False, comment="Address of the list: /decisions, …"),
        sa.Column("query", sa.Text(), nullable=False, comment="Its filters, as they stand behind the question mark."),
        sa.Column("name", sa.Text(), nullable=False, comment="What its owner calls it."),
        sa.Column("created_at", sa.BigInteger(), nullable=False, comment="When it was kept, in microseconds."),
        sa.PrimaryKeyConstraint("id"),
        comment="Lists with their filters that people keep.",
    )
    op.create_index("saved_views_page", "saved_views", ["page", "owner"])
    op.create_table(
        "vault_disclosures",
        sa.Column("id", sa.Text(), nullable=False, comment="disclosure_… id."),
        sa.Column("staff", sa.Text(), nullable=False, comment="Who may see."),
        sa.Column("seq", sa.BigInteger(), nullable=False, comment="The log entry."),
        sa.Column("path", sa.Text(), nullable=False, comment="The field."),
        sa.Column("case_id", sa.Text(), nullable=False, comment="The case for which."),
        sa.Column("opened_at", sa.BigInteger(), nullable=False, comment="When it was opened, in microseconds."),
        sa.Column("until_at", sa.BigInteger(), nullable=False, comment="Until when it is shown."),
        sa.PrimaryKeyConstraint("id"),
        comment="Personal fields that somebody opened for a case and a purpose, and until when they stay open.",
    )
    op.create_index("vault_disclosures_staff", "vault_disclosures", ["staff", "seq", "until_at"])
    op.create_index("case_signals_seq", "case_signals", ["seq"])
