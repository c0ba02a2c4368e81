"""Banks: our accounts, cash-outs, batches, statements, lines, proposals

Revision: 0014
Before: 0013
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the tables to this revision."""
    op.create_table(
        "bank_accounts",
        sa.Column("id", sa.Text(), nullable=False, comment="Its name in Koban."),
        sa.Column("bank", sa.Text(), nullable=False, comment="Bank code, four digits."),
        sa.Column("branch", sa.Text(), nullable=False, comment="Branch code, three digits."),
        sa.Column("number", sa.Text(), nullable=False, comment="Account number, by which statements name it."),
        sa.Column("body", sa.Text(), nullable=False, comment="JSON: the whole of it."),
        sa.PrimaryKeyConstraint("id"),
        comment="Our own accounts at banks: files leave for them, statements come of them.",
    )
    op.create_table(
        "bank_cash_outs",
        sa.Column("id", sa.Text(), nullable=False, comment="The posting that reserved the money."),
        sa.Column("number", sa.BigInteger(), nullable=False, comment="Counts up; the reference is made of it."),
        sa.Column("reference", sa.Text(), nullable=False, comment="What the payment carries through the bank."),
        sa.Column("owner", sa.Text(), nullable=False, comment="Whose wallet it leaves."),
        sa.Column("template", sa.Text(), nullable=False, comment="Which posting reserved it."),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False, comment="What the payee gets, in minor units."),
        sa.Column("fee_minor", sa.BigInteger(), nullable=False, comment="What the owner pays for it."),
        sa.Column("currency", sa.Text(), nullable=False, comment="ISO 4217 code."),
        sa.Column(
            "state",
            sa.Text(),
            nullable=False,
            comment="waiting, drafted, sent, paid, returned, failed, cancelled, lapsed.",
        ),
        sa.Column("batch", sa.Text(), nullable=True, comment="The batch that it is or was last in."),
        sa.Column("left_out", sa.Text(), nullable=True, comment="Why the last batch left without it."),
        sa.Column("requested_at", sa.BigInteger(), nullable=False, comment="When it was asked for, in microseconds."),
        sa.Column(
            "holds_until", sa.BigInteger(), nullable=False, comment="When the reservation runs out if it is not sent."
        ),
        sa.Column("sent_at", sa.BigInteger(), nullable=True, comment="When it left."),
        sa.Column("paid_line", sa.Text(), nullable=True, comment="The line of the bank that took the money."),
        sa.Column("returned_line", sa.Text(), nullable=True, comment="The line of the bank that brought it back."),
        sa.Column(
            "settled_at", sa.BigInteger(), nullable=True, comment="When it was paid, returned, failed or cancelled."
        ),
        sa.Column("reason", sa.Text(), nullable=False, comment="Of a failure: why."),
        sa.Column("sealed", sa.LargeBinary(), nullable=True, comment="Payee, under the key of the owner."),
        sa.Column(
            "sent_sealed",
            sa.LargeBinary(),
            nullable=True,
            comment="Payee as it stood in the file, under the key of its day.",
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("number"),
        sa.UniqueConstraint("reference"),
        comment="Cash-outs and what became of them at the bank.",
    )
    op.create_index("bank_cash_outs_amount", "bank_cash_outs", ["amount_minor", "state"], unique=False)
    op.create_index("bank_cash_outs_batch", "bank_cash_outs", ["batch", "number"], unique=False)
    op.create_index("bank_cash_outs_owner", "bank_cash_outs", ["owner", "number"], unique=False)
    op.create_index("bank_cash_outs_state", "bank_cash_outs", ["state", "number"], unique=False)
    op.create_table(
        "bank_batches",
        sa.Column("id", sa.Text(), nullable=False, comment="T and its number."),
        sa.Column("number", sa.BigInteger(), nullable=False, comment="Counts up."),
        sa.Column("account", sa.Text(), nullable=False, comment="Which of our accounts pays."),
        sa.Column("format", sa.Text(), nullable=False, comment="zengin or pain.001."),
        sa.Column("state", sa.Text(), nullable=False, comment="proposed, releasing, released, declined, empty."),
        sa.Column("value_on", sa.Text(), nullable=False, comment="On which day payees have the money."),
        sa.Column("count", sa.BigInteger(), nullable=False, comment="Cash-outs in it."),
        sa.Column("total_minor", sa.BigInteger(), nullable=False, comment="Their sum."),
        sa.Column("proposed_by", sa.Text(), nullable=False, comment="Who drafted it."),
        sa.Column("proposed_at", sa.BigInteger(), nullable=False, comment="When, in microseconds."),
        sa.Column("decided_by", sa.Text(), nullable=True, comment="The second person."),
        sa.Column("decided_at", sa.BigInteger(), nullable=True, comment="When they said so."),
        sa.Column("released_at", sa.BigInteger(), nullable=True, comment="When the file was made."),
        sa.Column("file_name", sa.Text(), nullable=True, comment="What the file is called."),
        sa.Column("file_hash", sa.Text(), nullable=True, comment="SHA-256 of its bytes."),
        sa.Column("reason", sa.Text(), nullable=False, comment="Of a decline: why."),
        sa.Column(
            "file_sealed", sa.LargeBinary(), nullable=True, comment="The file's bytes, under the key of its day."
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("number"),
        comment="Files of transfers that leave for a bank, and who let them.",
    )
    op.create_index("ix_bank_batches_state", "bank_batches", ["state"], unique=False)
    op.create_table(
        "bank_files",
        sa.Column("id", sa.Text(), nullable=False, comment="S and its number."),
        sa.Column("number", sa.BigInteger(), nullable=False, comment="Counts up."),
        sa.Column("hash", sa.Text(), nullable=False, comment="SHA-256 of the bytes."),
        sa.Column("name", sa.Text(), nullable=False, comment="What the file was called."),
        sa.Column("format", sa.Text(), nullable=False, comment="zengin_03, zengin_01, camt.053, camt.054."),
        sa.Column("kind", sa.Text(), nullable=False, comment="statement or notice."),
        sa.Column("account", sa.Text(), nullable=False, comment="Which of our accounts it is about."),
        sa.Column("part", sa.BigInteger(), nullable=False, comment="Which statement of the file, from 0."),
        sa.Column("from_on", sa.Text(), nullable=False, comment="First day."),
        sa.Column("to_on", sa.Text(), nullable=False, comment="Last day."),
        sa.Column("opening_minor", sa.BigInteger(), nullable=True, comment="Balance before."),
        sa.Column("closing_minor", sa.BigInteger(), nullable=True, comment="Balance after."),
        sa.Column("lines", sa.BigInteger(), nullable=False, comment="How many lines it has."),
        sa.Column("done", sa.BigInteger(), nullable=False, comment="How many of them were followed."),
        sa.Column("imported_by", sa.Text(), nullable=False, comment="Who brought it in."),
        sa.Column("imported_at", sa.BigInteger(), nullable=False, comment="When, in microseconds."),
        sa.Column(
            "sealed",
            sa.LargeBinary(),
            nullable=True,
            comment="The bytes, under the key of their day; of the first part alone.",
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("number"),
        comment="Statements and notices that banks sent.",
    )
    op.create_index("bank_files_hash", "bank_files", ["hash", "part"], unique=True)
    op.create_table(
        "bank_lines",
        sa.Column(
            "id", sa.Text(), nullable=False, comment="The file's id and the line's number: the bank_line of postings."
        ),
        sa.Column("file", sa.Text(), nullable=False, comment="The file."),
        sa.Column("account", sa.Text(), nullable=False, comment="Which of our accounts."),
        sa.Column("line", sa.BigInteger(), nullable=False, comment="Record or entry of the file."),
        sa.Column("booked_on", sa.Text(), nullable=False, comment="Day of the bank's books."),
        sa.Column("value_on", sa.Text(), nullable=False, comment="Day from which it counts."),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False, comment="More than zero came in, less went out."),
        sa.Column("currency", sa.Text(), nullable=False, comment="ISO 4217 code."),
        sa.Column("reference", sa.Text(), nullable=False, comment="What the payment carried."),
        sa.Column("bank_id", sa.Text(), nullable=False, comment="The bank's own id; empty: it gave none."),
        sa.Column("kind", sa.Text(), nullable=False, comment="transfer, return, fee or other, by the bank's coding."),
        sa.Column(
            "state",
            sa.Text(),
            nullable=False,
            comment="matched, exception, resolved, noticed (moves no money), known (came before).",
        ),
        sa.Column("exception", sa.Text(), nullable=True, comment="Of an exception: which."),
        sa.Column("detail", sa.Text(), nullable=False, comment="What was found out about it."),
        sa.Column("matched", sa.Text(), nullable=True, comment="A cash-out, a batch, or fee."),
        sa.Column("posting", sa.Text(), nullable=True, comment="The posting that followed from it."),
        sa.Column("attempt", sa.BigInteger(), nullable=False, comment="How often a posting was tried."),
        sa.Column("same", sa.Text(), nullable=False, comment="What a line that comes again has in common with it."),
        sa.Column("sealed", sa.LargeBinary(), nullable=False, comment="Name and note, under the key of their day."),
        sa.PrimaryKeyConstraint("id"),
        comment="Lines of statements and notices, and what became of each.",
    )
    op.create_index("bank_lines_day", "bank_lines", ["account", "booked_on", "id"], unique=False)
    op.create_index("bank_lines_same", "bank_lines", ["account", "same"], unique=False)
    op.create_index("bank_lines_state", "bank_lines", ["state", "id"], unique=False)
    op.create_index("ix_bank_lines_file", "bank_lines", ["file"], unique=False)
    op.create_table(
        "bank_proposals",
        sa.Column("id", sa.Text(), nullable=False, comment="P and its number."),
        sa.Column("kind", sa.Text(), nullable=False, comment="match (a line), fail (a cash-out)."),
        sa.Column("about", sa.Text(), nullable=False, comment="The line, or the cash-out."),
        sa.Column("target", sa.Text(), nullable=False, comment="Of a match: a cash-out, a batch, or fee."),
        sa.Column("fee_back", sa.BigInteger(), nullable=False, comment="1: the owner gets the fee back."),
        sa.Column("reason", sa.Text(), nullable=False, comment="Why."),
        sa.Column("state", sa.Text(), nullable=False, comment="waiting, approved, declined."),
        sa.Column("proposed_by", sa.Text(), nullable=False, comment="Who proposed it."),
        sa.Column("proposed_at", sa.BigInteger(), nullable=False, comment="When, in microseconds."),
        sa.Column("decided_by", sa.Text(), nullable=True, comment="The second person."),
        sa.Column("decided_at", sa.BigInteger(), nullable=True, comment="When they said so."),
        sa.PrimaryKeyConstraint("id"),
        comment="What is to be done by hand about lines and cash-outs, by two people.",
    )
    op.create_index("ix_bank_proposals_state", "bank_proposals", ["state"], unique=False)
