"""Reconciliation: rows of three sides, matches, exceptions and adjustments by two people

Revision: 0018
Before: 0017
"""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the tables to this revision."""
    op.create_table(
        "reconciliation_rows",
        sa.Column("id", sa.Text(), nullable=False, comment="Made from side, source and reference."),
        sa.Column("leg", sa.Text(), nullable=False, comment="provider, bank or settlement: what it is compared for."),
        sa.Column("side", sa.Text(), nullable=False, comment="ledger, provider or bank."),
        sa.Column("source", sa.Text(), nullable=False, comment="The provider, or our account at a bank."),
        sa.Column(
            "kind",
            sa.Text(),
            nullable=False,
            comment="What the side calls it: capture, refund, transfer, a posting's name.",
        ),
        sa.Column("keys", sa.Text(), nullable=False, comment="JSON: references, the surest first."),
        sa.Column("named", sa.SmallInteger(), nullable=False, comment="1: one of them is meant to be ours."),
        sa.Column(
            "amount",
            sa.BigInteger(),
            nullable=False,
            comment="Minor units; more than zero raises what is ours outside.",
        ),
        sa.Column("fee", sa.BigInteger(), nullable=False, comment="Minor units."),
        sa.Column("currency", sa.Text(), nullable=False, comment="ISO 4217."),
        sa.Column("booked_on", sa.Text(), nullable=False, comment="YYYY-MM-DD."),
        sa.Column(
            "payout",
            sa.Text(),
            nullable=False,
            comment="The provider's payout that it is in, where the report says so.",
        ),
        sa.Column("outcome", sa.Text(), nullable=False, comment="open, matched, or settled by a person."),
        sa.Column("match_id", sa.BigInteger(), nullable=True, comment="The match that it is in."),
        sa.Column(
            "exception_id", sa.Text(), nullable=True, comment="The exception that it is in, or was settled with."
        ),
        sa.Column("at", sa.BigInteger(), nullable=False, comment="When it was taken in, in microseconds."),
        sa.PrimaryKeyConstraint("id", "leg"),
        comment="Movements of money as the ledger, providers and banks tell them. No names: ids, amounts and dates.",
    )
    op.create_index("reconciliation_rows_outcome", "reconciliation_rows", ["outcome", "leg"])
    op.create_index("reconciliation_rows_exception", "reconciliation_rows", ["exception_id"])
    op.create_index("reconciliation_rows_match", "reconciliation_rows", ["match_id"])
    op.create_table(
        "reconciliation_keys",
        sa.Column("key", sa.Text(), nullable=False, comment="A reference."),
        sa.Column("leg", sa.Text(), nullable=False, comment="Of the row."),
        sa.Column("row_id", sa.Text(), nullable=False, comment="The row."),
        sa.PrimaryKeyConstraint("key", "leg", "row_id"),
        comment="Which rows have which reference.",
    )
    op.create_table(
        "reconciliation_matches",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False, comment="Counts up."),
        sa.Column("at", sa.BigInteger(), nullable=False, comment="When it was found, in microseconds."),
        sa.Column("leg", sa.Text(), nullable=False, comment="provider, bank or settlement."),
        sa.Column("found_by", sa.Text(), nullable=False, comment="The pass that found it."),
        sa.PrimaryKeyConstraint("id"),
        comment="Rows that tell the same.",
    )
    op.create_table(
        "reconciliation_exceptions",
        sa.Column("id", sa.Text(), nullable=False, comment="exception_… id."),
        sa.Column("key", sa.Text(), nullable=False, comment="What it is about; the same from run to run."),
        sa.Column("type", sa.Text(), nullable=False, comment="What is wrong."),
        sa.Column("leg", sa.Text(), nullable=False, comment="provider, bank or settlement."),
        sa.Column("source", sa.Text(), nullable=False, comment="The provider or account."),
        sa.Column("amount", sa.BigInteger(), nullable=False, comment="Ledger less the other side, minor units."),
        sa.Column("currency", sa.Text(), nullable=False, comment="ISO 4217."),
        sa.Column("since", sa.Text(), nullable=False, comment="Earliest date of its rows."),
        sa.Column("due", sa.Text(), nullable=False, comment="Until when somebody should have seen to it."),
        sa.Column(
            "state",
            sa.Text(),
            nullable=False,
            comment="open, proposed, resolved (by two people) or cleared (by a run).",
        ),
        sa.Column("owner", sa.Text(), nullable=True, comment="Who sees to it."),
        sa.Column("opened_at", sa.BigInteger(), nullable=False, comment="When it was first found, in microseconds."),
        sa.Column("changed_at", sa.BigInteger(), nullable=False, comment="When it last changed."),
        sa.Column("note", sa.Text(), nullable=False, comment="Why it was resolved or cleared."),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("key"),
        comment="What does not match, and what became of it.",
    )
    op.create_index("reconciliation_exceptions_state", "reconciliation_exceptions", ["state", "due", "id"])
    op.create_table(
        "reconciliation_proposals",
        sa.Column("id", sa.Text(), nullable=False, comment="adjustment_… id; also the id of its posting."),
        sa.Column("exception", sa.Text(), nullable=False, comment="What it is about."),
        sa.Column(
            "template", sa.Text(), nullable=False, comment="Posting template; empty: an explanation without a posting."
        ),
        sa.Column("currency", sa.Text(), nullable=False, comment="ISO 4217."),
        sa.Column("parameters", sa.Text(), nullable=False, comment="JSON."),
        sa.Column("reason", sa.Text(), nullable=False, comment="Why."),
        sa.Column("by", sa.Text(), nullable=False, comment="Who proposed it."),
        sa.Column("at", sa.BigInteger(), nullable=False, comment="When, in microseconds."),
        sa.Column("status", sa.Text(), nullable=False, comment="waiting, approved or declined."),
        sa.Column("decided_by", sa.Text(), nullable=True, comment="The second person."),
        sa.Column("decided_at", sa.BigInteger(), nullable=True, comment="When."),
        sa.Column("answer", sa.Text(), nullable=False, comment="Why it was declined."),
        sa.PrimaryKeyConstraint("id"),
        comment="Adjustments that one person proposed and another decides.",
    )
    op.create_index("reconciliation_proposals_exception", "reconciliation_proposals", ["exception"])
    op.create_table(
        "reconciliation_state",
        sa.Column("name", sa.Text(), nullable=False, comment="ledger_position, last_run_at."),
        sa.Column("value", sa.BigInteger(), nullable=False, comment="How far, or when."),
        sa.PrimaryKeyConstraint("name"),
        comment="How far reconciliation has read.",
    )
