"""On-call: the rota, contacts, pages

Revision: 0007
Before: 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the tables to this revision."""
    _rota()
    _pages()


def _rota() -> None:
    op.create_table(
        "oncall_shifts",
        sa.Column("id", sa.Text(), nullable=False, comment="shift_… id"),
        sa.Column("level", sa.SmallInteger(), nullable=False, comment="1 is called first"),
        sa.Column("staff_id", sa.Text(), nullable=False, comment="who is on call"),
        sa.Column("weekdays", sa.Text(), nullable=False, comment="days on which it begins, JSON; 0 is Monday"),
        sa.Column("from_minute", sa.BigInteger(), nullable=False, comment="minute of the day at which it begins"),
        sa.Column(
            "until_minute",
            sa.BigInteger(),
            nullable=False,
            comment="and ends; not later than the beginning: the next day",
        ),
        sa.Column("zone", sa.Text(), nullable=False, comment="time zone of both"),
        sa.PrimaryKeyConstraint("id"),
        comment="The weekly pattern of who is on call.",
    )
    op.create_table(
        "oncall_overrides",
        sa.Column("id", sa.Text(), nullable=False, comment="override_… id"),
        sa.Column("level", sa.SmallInteger(), nullable=False, comment="at which level"),
        sa.Column("staff_id", sa.Text(), nullable=False, comment="who stands in"),
        sa.Column("from_at", sa.BigInteger(), nullable=False, comment="from when, microseconds UTC"),
        sa.Column("until_at", sa.BigInteger(), nullable=False, comment="until when"),
        sa.Column("reason", sa.Text(), nullable=False, comment="why"),
        sa.PrimaryKeyConstraint("id"),
        comment="Who stands in for whom the pattern names.",
    )
    op.create_index("oncall_overrides_until", "oncall_overrides", ["until_at"])
    op.create_table(
        "oncall_contacts",
        sa.Column("id", sa.Text(), nullable=False, comment="contact_… id"),
        sa.Column("staff_id", sa.Text(), nullable=False, comment="whom it reaches"),
        sa.Column("kind", sa.Text(), nullable=False, comment="webhook, slack or mail"),
        sa.Column("address", sa.Text(), nullable=False, comment="URL or mail address"),
        sa.Column(
            "allow_private", sa.SmallInteger(), nullable=False, comment="1: the URL may lie inside the own network"
        ),
        sa.Column("zone", sa.Text(), nullable=False, comment="time zone of the quiet hours"),
        sa.Column(
            "quiet_from",
            sa.BigInteger(),
            nullable=True,
            comment="minute of the day from which it is quiet; null: never",
        ),
        sa.Column("quiet_until", sa.BigInteger(), nullable=True, comment="and until which"),
        sa.Column("quiet_least", sa.Text(), nullable=False, comment="the least severe page that is sent all the same"),
        sa.Column("secret", sa.LargeBinary(), nullable=False, comment="sealed secret with which webhooks are signed"),
        sa.PrimaryKeyConstraint("id"),
        comment="How staff are reached.",
    )
    op.create_index("ix_oncall_contacts_staff_id", "oncall_contacts", ["staff_id"])


def _pages() -> None:
    op.create_table(
        "oncall_pages",
        sa.Column("id", sa.Text(), nullable=False, comment="page_… id"),
        sa.Column("kind", sa.Text(), nullable=False, comment="kind of trouble: budget.tripped, actions.unconfirmed, …"),
        sa.Column("object", sa.Text(), nullable=False, comment="what it is about"),
        sa.Column("severity", sa.Text(), nullable=False, comment="low, medium, high or critical"),
        sa.Column("detail", sa.Text(), nullable=False, comment="a sentence; the latest one"),
        sa.Column("status", sa.Text(), nullable=False, comment="open, acknowledged or resolved"),
        sa.Column("level", sa.SmallInteger(), nullable=False, comment="the level that was called last"),
        sa.Column("times", sa.BigInteger(), nullable=False, comment="how often the trouble came"),
        sa.Column("opened_at", sa.BigInteger(), nullable=False, comment="when, microseconds UTC"),
        sa.Column("last_at", sa.BigInteger(), nullable=False, comment="when the trouble came last"),
        sa.Column(
            "escalate_at", sa.BigInteger(), nullable=True, comment="when the next level is called; null: not by itself"
        ),
        sa.Column("alert_id", sa.Text(), nullable=True, comment="the alert behind it; null: a person called"),
        sa.Column("acknowledged_at", sa.BigInteger(), nullable=True, comment="when somebody took it"),
        sa.Column("acknowledged_by", sa.Text(), nullable=True, comment="who"),
        sa.Column("acknowledged_how", sa.Text(), nullable=True, comment="console, api, link"),
        sa.Column("resolved_at", sa.BigInteger(), nullable=True, comment="when it was over"),
        sa.Column("resolved_by", sa.Text(), nullable=True, comment="who said so"),
        sa.Column(
            "open_key", sa.Text(), nullable=True, comment="kind and object until it is resolved: one page of each"
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("open_key"),
        comment="Calls for a person.",
    )
    op.create_index("ix_oncall_pages_alert_id", "oncall_pages", ["alert_id"])
    op.create_index(
        "oncall_pages_escalate",
        "oncall_pages",
        ["escalate_at"],
        sqlite_where=sa.text("escalate_at IS NOT NULL"),
        postgresql_where=sa.text("escalate_at IS NOT NULL"),
    )
    op.create_table(
        "oncall_sends",
        sa.Column("id", sa.Text(), nullable=False, comment="send_… id"),
        sa.Column("page_id", sa.Text(), nullable=False, comment="the page"),
        sa.Column("staff_id", sa.Text(), nullable=False, comment="whom it is to reach"),
        sa.Column("contact_id", sa.Text(), nullable=False, comment="through which contact"),
        sa.Column("level", sa.SmallInteger(), nullable=False, comment="the level for which it was made"),
        sa.Column("status", sa.Text(), nullable=False, comment="waiting, sent, given_up or dropped"),
        sa.Column("attempts", sa.BigInteger(), nullable=False, comment="attempts begun"),
        sa.Column("next_attempt_at", sa.BigInteger(), nullable=False, comment="not before this moment"),
        sa.Column("last_error", sa.Text(), nullable=False, comment="how the last attempt failed"),
        sa.Column("sent_at", sa.BigInteger(), nullable=True, comment="when the receiver took it"),
        sa.PrimaryKeyConstraint("id"),
        comment="Messages about pages, each until it was taken or given up.",
    )
    op.create_index("ix_oncall_sends_page_id", "oncall_sends", ["page_id"])
    op.create_index(
        "oncall_sends_due",
        "oncall_sends",
        ["next_attempt_at"],
        sqlite_where=sa.text("status = 'waiting'"),
        postgresql_where=sa.text("status = 'waiting'"),
    )
    op.create_table(
        "oncall_steps",
        sa.Column("page_id", sa.Text(), nullable=False, comment="the page"),
        sa.Column(
            "ordinal", sa.BigInteger(), autoincrement=False, nullable=False, comment="its place among the page's steps"
        ),
        sa.Column("at", sa.BigInteger(), nullable=False, comment="when, microseconds UTC"),
        sa.Column("what", sa.Text(), nullable=False, comment="opened, told, escalated, acknowledged, resolved, …"),
        sa.Column("who", sa.Text(), nullable=False, comment="whom it concerns, or who did it"),
        sa.Column("detail", sa.Text(), nullable=False, comment="more about it"),
        sa.PrimaryKeyConstraint("page_id", "ordinal"),
        comment="What happened to each page, in order; never changed.",
    )
