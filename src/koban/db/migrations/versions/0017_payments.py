"""Payments: parts, steps, calls to providers, their webhooks

Revision: 0017
Before: 0016
"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the tables to this revision."""
    op.create_table(
        "payments",
        sa.Column("id", sa.Text(), nullable=False, comment="The client's id."),
        sa.Column("kind", sa.Text(), nullable=False, comment="order or payout."),
        sa.Column("goal", sa.Text(), nullable=False, comment="authorise, capture, undo or payout."),
        sa.Column("order_ref", sa.Text(), nullable=True, comment="Id of the order; null: a payout."),
        sa.Column("account", sa.Text(), nullable=False, comment="Id of who pays, or who is paid."),
        sa.Column("seller", sa.Text(), nullable=True, comment="Id of the seller, where the client said."),
        sa.Column("currency", sa.Text(), nullable=False, comment="ISO 4217."),
        sa.Column("level", sa.Text(), nullable=True, comment="Level of verification, for limits of the ledger."),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False, comment="Of all parts, minor units."),
        sa.Column("verdict", sa.Text(), nullable=False, comment="Of the decision on the payment's event."),
        sa.Column(
            "three_ds", sa.Text(), nullable=False, comment="frictionless or challenge: what the decision demands."
        ),
        sa.Column("held", sa.SmallInteger(), nullable=False, comment="1 while nothing may be captured or paid out."),
        sa.Column(
            "held_why", sa.Text(), nullable=False, comment="hold, or the challenges that nothing here can prove."
        ),
        sa.Column("ended_because", sa.Text(), nullable=False, comment="Why it was undone; empty: it was not."),
        sa.Column(
            "status", sa.Text(), nullable=False, comment="Derived from goal, parts and steps; kept to be found by."
        ),
        sa.Column("digest", sa.Text(), nullable=False, comment="Keyed digest of the request, to know a retry."),
        sa.Column(
            "decision_seq", sa.BigInteger(), nullable=True, comment="Place in the log of the event that was decided."
        ),
        sa.Column("created_at", sa.BigInteger(), nullable=False, comment="Microseconds."),
        sa.Column("changed_at", sa.BigInteger(), nullable=False, comment="Microseconds."),
        sa.Column("lapses_at", sa.BigInteger(), nullable=False, comment="When it is given up unless it got there."),
        sa.Column(
            "sealed", sa.LargeBinary(), nullable=False, comment="Tokens and context, sealed under the account's key."
        ),
        sa.PrimaryKeyConstraint("id"),
        comment="Payments of orders and payouts.",
    )
    op.create_index("payments_account", "payments", ["account"])
    op.create_index("payments_created", "payments", ["created_at", "id"])
    op.create_index("payments_decision", "payments", ["decision_seq"])
    op.create_index("payments_order", "payments", ["order_ref"])
    op.create_index("payments_status", "payments", ["status"])
    op.create_table(
        "payment_parts",
        sa.Column("payment", sa.Text(), nullable=False, comment="Id of the payment."),
        sa.Column("no", sa.SmallInteger(), autoincrement=False, nullable=False, comment="From 0."),
        sa.Column("method", sa.Text(), nullable=False, comment="Method of the pack."),
        sa.Column("provider", sa.Text(), nullable=False, comment="Name of the provider; empty: inside the ledger."),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False, comment="Minor units."),
        sa.Column(
            "state",
            sa.Text(),
            nullable=False,
            comment="planned, waiting, authorised, declined, captured, released, paid.",
        ),
        sa.Column("reference", sa.Text(), nullable=False, comment="The provider's id of the charge."),
        sa.Column("wait_why", sa.Text(), nullable=False, comment="challenge or slip, while the buyer is waited for."),
        sa.Column("wait_url", sa.Text(), nullable=False, comment="Where the buyer is sent."),
        sa.Column("decline", sa.Text(), nullable=False, comment="Why it did not come about."),
        sa.Column("authorised_minor", sa.BigInteger(), nullable=False, comment="Minor units."),
        sa.Column(
            "captured_minor", sa.BigInteger(), nullable=False, comment="Minor units; of a payout: what was sent."
        ),
        sa.Column(
            "refunded_minor", sa.BigInteger(), nullable=False, comment="Minor units; of a payout: what came back."
        ),
        sa.Column("charged_back_minor", sa.BigInteger(), nullable=False, comment="Minor units."),
        sa.Column("three_ds", sa.Text(), nullable=False, comment="Flow, transStatus and ECI of the evidence."),
        sa.Column("authorise_key", sa.Text(), nullable=False, comment="The step whose posting reserves in the ledger."),
        sa.Column(
            "evidence", sa.LargeBinary(), nullable=False, comment="3-D Secure evidence, sealed under the account's key."
        ),
        sa.PrimaryKeyConstraint("payment", "no"),
        comment="The methods that share a payment.",
    )
    op.create_table(
        "payment_steps",
        sa.Column("id", sa.Text(), nullable=False, comment="Also the idempotency key that the provider gets."),
        sa.Column("payment", sa.Text(), nullable=False, comment="Id of the payment."),
        sa.Column("nth", sa.BigInteger(), nullable=False, comment="From 1, within the payment."),
        sa.Column("part", sa.SmallInteger(), nullable=False, comment="Number of the part."),
        sa.Column("kind", sa.Text(), nullable=False, comment="authorise, capture, void, refund or payout."),
        sa.Column("provider", sa.Text(), nullable=False, comment="Name of the provider; empty: inside the ledger."),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False, comment="Minor units that are asked for."),
        sa.Column("status", sa.Text(), nullable=False, comment="open, done, refused, unbooked or closed."),
        sa.Column(
            "request",
            sa.Text(),
            nullable=False,
            comment="The client's id of the refund; empty: it follows from the goal.",
        ),
        sa.Column("attempts", sa.BigInteger(), nullable=False, comment="Calls so far."),
        sa.Column("next_at", sa.BigInteger(), nullable=False, comment="When it is sent (again), microseconds."),
        sa.Column("answer", sa.Text(), nullable=True, comment="JSON, without evidence; null: none yet."),
        sa.Column("posting", sa.Text(), nullable=False, comment="Id of the posting that booked it."),
        sa.Column(
            "trouble", sa.Text(), nullable=False, comment="What ledger or provider said when a person is needed."
        ),
        sa.Column("created_at", sa.BigInteger(), nullable=False, comment="Microseconds."),
        sa.Column("done_at", sa.BigInteger(), nullable=True, comment="Microseconds."),
        sa.PrimaryKeyConstraint("id"),
        comment="Each call to a provider or posting of a payment: stored before it is made.",
    )
    op.create_index(
        "payment_steps_due",
        "payment_steps",
        ["next_at"],
        sqlite_where=sa.text("status = 'open'"),
        postgresql_where=sa.text("status = 'open'"),
    )
    op.create_index("payment_steps_payment", "payment_steps", ["payment", "nth"])
    op.create_table(
        "payment_calls",
        sa.Column("step", sa.Text(), nullable=False, comment="Id of the step."),
        sa.Column("attempt", sa.BigInteger(), autoincrement=False, nullable=False, comment="From 1."),
        sa.Column("at", sa.BigInteger(), nullable=False, comment="When it was made, microseconds."),
        sa.Column("took_us", sa.BigInteger(), nullable=False, comment="How long the answer took, microseconds."),
        sa.Column("outcome", sa.Text(), nullable=False, comment="approved, declined, waiting or unavailable."),
        sa.Column("detail", sa.Text(), nullable=False, comment="Code of a decline, or why there is no answer."),
        sa.PrimaryKeyConstraint("step", "attempt"),
        comment="Every call to a provider.",
    )
    op.create_table(
        "payment_notices",
        sa.Column("provider", sa.Text(), nullable=False, comment="Name of the provider."),
        sa.Column("message", sa.Text(), nullable=False, comment="The provider's id of the message."),
        sa.Column("kind", sa.Text(), nullable=False, comment="changed, chargeback, chargeback_won or payout_returned."),
        sa.Column(
            "payment", sa.Text(), nullable=True, comment="Id of the payment that it is about, once that is known."
        ),
        sa.Column("body", sa.Text(), nullable=False, comment="JSON, as it was understood."),
        sa.Column("status", sa.Text(), nullable=False, comment="waiting, done or unfit."),
        sa.Column("said", sa.Text(), nullable=False, comment="What became of it."),
        sa.Column("received_at", sa.BigInteger(), nullable=False, comment="Microseconds."),
        sa.Column("handled_at", sa.BigInteger(), nullable=True, comment="Microseconds."),
        sa.PrimaryKeyConstraint("provider", "message"),
        comment="The inbox for webhooks of providers; a message that came before is there already.",
    )
    op.create_index("payment_notices_payment", "payment_notices", ["payment", "status"])
    op.create_table(
        "payment_providers",
        sa.Column("name", sa.Text(), nullable=False, comment="Name of the provider."),
        sa.Column("failures", sa.BigInteger(), nullable=False, comment="Calls without an answer in a row."),
        sa.Column("open_until", sa.BigInteger(), nullable=False, comment="Until when it is left alone; 0: it answers."),
        sa.Column("last_error", sa.Text(), nullable=False, comment="Why there was no answer last."),
        sa.Column("failed_at", sa.BigInteger(), nullable=True, comment="When there was none last, microseconds."),
        sa.Column("answered_at", sa.BigInteger(), nullable=True, comment="When it answered last, microseconds."),
        sa.PrimaryKeyConstraint("name"),
        comment="Whether each provider answers.",
    )
