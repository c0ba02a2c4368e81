"""Cases: calendars, rank, members, hands on and off, pauses, proposals; statements of reasons; appeals

Revision: 0004
Before: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# What was open before has no terms: it keeps its place by its due time, and gets the timer that notes a breach.
STANDING = '{"weighed":{},"half_life_us":900000000}'


def upgrade() -> None:
    """Bring the tables to this revision."""
    op.create_table(
        "appeals",
        sa.Column("id", sa.Text(), nullable=False, comment="appeal_… id, made from the entry that opened it."),
        sa.Column("sanction_id", sa.Text(), nullable=False, comment="What it is against."),
        sa.Column("subject_kind", sa.Text(), nullable=False, comment="Kind of the subject sanctioned."),
        sa.Column("subject_id", sa.Text(), nullable=False, comment="Its id."),
        sa.Column("account_kind", sa.Text(), nullable=True, comment="Kind of who is behind it."),
        sa.Column(
            "account_id", sa.Text(), nullable=True, comment="Whose words the text is, and under whose key it is sealed."
        ),
        sa.Column("channel", sa.Text(), nullable=False, comment="link or api."),
        sa.Column("language", sa.Text(), nullable=False, comment="ja or en: in which it was written."),
        sa.Column(
            "filed_by", sa.Text(), nullable=False, comment="The account by its link, or the token that filed it."
        ),
        sa.Column("filed_at", sa.BigInteger(), nullable=False, comment="Log time, in microseconds."),
        sa.Column("case_id", sa.Text(), nullable=False, comment="The case in which it is decided."),
        sa.Column("sealed", sa.LargeBinary(), nullable=False, comment="What the person wrote, sealed."),
        sa.Column("status", sa.Text(), nullable=False, comment="open, upheld or overturned."),
        sa.Column("decided_at", sa.BigInteger(), nullable=True, comment="When it was decided."),
        sa.Column("decided_by", sa.Text(), nullable=True, comment="By whom: nobody who had a part in the sanction."),
        sa.Column(
            "answer", sa.Text(), nullable=False, comment="What the person was answered, in both languages, JSON."
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("appeals_account", "appeals", ["account_id", "filed_at"], unique=False)
    op.create_index("appeals_case", "appeals", ["case_id"], unique=False)
    op.create_index(
        "appeals_one_open",
        "appeals",
        ["sanction_id"],
        unique=True,
        sqlite_where=sa.text("status = 'open'"),
        postgresql_where=sa.text("status = 'open'"),
    )
    op.create_index("appeals_sanction", "appeals", ["sanction_id", "id"], unique=False)
    op.create_table(
        "case_batches",
        sa.Column("id", sa.Text(), nullable=False, comment="batch_… id."),
        sa.Column("made_by", sa.Text(), nullable=False, comment="Who decided several at once."),
        sa.Column("made_at", sa.BigInteger(), nullable=False, comment="When, in microseconds."),
        sa.Column("outcome", sa.Text(), nullable=False, comment="What was decided."),
        sa.Column("case_ids", sa.Text(), nullable=False, comment="The cases that were decided, JSON."),
        sa.Column("undone_at", sa.BigInteger(), nullable=True, comment="When it was taken back."),
        sa.Column("undone_by", sa.Text(), nullable=True, comment="By whom."),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "case_members",
        sa.Column("case_id", sa.Text(), nullable=False, comment="The case."),
        sa.Column("subject_kind", sa.Text(), nullable=False, comment="Kind of a subject that it is about."),
        sa.Column("subject_id", sa.Text(), nullable=False, comment="Its id."),
        sa.Column("acting_kind", sa.Text(), nullable=True, comment="Kind of who is behind it."),
        sa.Column("acting_id", sa.Text(), nullable=True, comment="Id of who is behind it."),
        sa.Column("seq", sa.BigInteger(), nullable=False, comment="The log entry that brought it in."),
        sa.Column("joined_at", sa.BigInteger(), nullable=False, comment="Log time of that entry, in microseconds."),
        sa.Column("event_id", sa.Text(), nullable=False, comment="The event."),
        sa.PrimaryKeyConstraint("case_id", "subject_kind", "subject_id"),
    )
    op.create_index("case_members_subject", "case_members", ["subject_kind", "subject_id"], unique=False)
    op.create_table(
        "case_pauses",
        sa.Column("case_id", sa.Text(), nullable=False, comment="The case whose clock stood."),
        sa.Column("paused_at", sa.BigInteger(), autoincrement=False, nullable=False, comment="From when."),
        sa.Column("resumed_at", sa.BigInteger(), nullable=True, comment="Until when; null while it stands."),
        sa.Column("reason", sa.Text(), nullable=False, comment="person, marketplace, evidence, other_team or legal."),
        sa.Column("note", sa.Text(), nullable=False, comment="What is waited for."),
        sa.Column("paused_by", sa.Text(), nullable=False, comment="Who let it stand."),
        sa.Column("resumed_by", sa.Text(), nullable=True, comment="Who let it run again; koban: the pause was over."),
        sa.Column("due_before", sa.BigInteger(), nullable=False, comment="When it was due before."),
        sa.Column(
            "due_after",
            sa.BigInteger(),
            nullable=True,
            comment="When it is due since: later by the open time it stood.",
        ),
        sa.PrimaryKeyConstraint("case_id", "paused_at"),
    )
    op.create_table(
        "case_people",
        sa.Column("case_id", sa.Text(), nullable=False, comment="The case."),
        sa.Column("person", sa.Text(), nullable=False, comment="Who is not given it."),
        sa.Column("why", sa.Text(), nullable=False, comment="skipped, decided (what is appealed) or proposed."),
        sa.Column("reason", sa.Text(), nullable=False, comment="Of a skip: the reason given."),
        sa.Column("noted_at", sa.BigInteger(), nullable=False, comment="When, in microseconds."),
        sa.PrimaryKeyConstraint("case_id", "person", "why"),
    )
    op.create_table(
        "case_proposals",
        sa.Column("id", sa.Text(), nullable=False, comment="proposal_… id."),
        sa.Column("case_id", sa.Text(), nullable=False, comment="The case."),
        sa.Column("proposed_by", sa.Text(), nullable=False, comment="Who proposed it."),
        sa.Column("proposed_at", sa.BigInteger(), nullable=False, comment="When, in microseconds."),
        sa.Column("body", sa.Text(), nullable=False, comment="The whole judgement, JSON."),
        sa.Column("status", sa.Text(), nullable=False, comment="waiting, approved or declined."),
        sa.Column("decided_by", sa.Text(), nullable=True, comment="The second person."),
        sa.Column("decided_at", sa.BigInteger(), nullable=True, comment="When they said so."),
        sa.Column("reason", sa.Text(), nullable=False, comment="Of a decline: why."),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_case_proposals_case_id"), "case_proposals", ["case_id"], unique=False)
    op.create_table(
        "case_sanctions",
        sa.Column("case_id", sa.Text(), nullable=False, comment="The case in which a person decided."),
        sa.Column("sanction_id", sa.Text(), nullable=False, comment="A sanction that it imposed, joined or took back."),
        sa.Column("what", sa.Text(), nullable=False, comment="imposed or taken_back."),
        sa.Column("seq", sa.BigInteger(), nullable=False, comment="The log entry of the judgement."),
        sa.PrimaryKeyConstraint("case_id", "sanction_id", "what"),
    )
    op.create_index("case_sanctions_sanction", "case_sanctions", ["sanction_id"], unique=False)
    op.create_table(
        "case_timeline",
        sa.Column("case_id", sa.Text(), nullable=False, comment="The case."),
        sa.Column(
            "happened_at", sa.BigInteger(), autoincrement=False, nullable=False, comment="When, in microseconds."
        ),
        sa.Column(
            "kind", sa.Text(), nullable=False, comment="claimed, skipped, handed, paused, moved, proposed, closed, …"
        ),
        sa.Column("actor", sa.Text(), nullable=False, comment="Who did it."),
        sa.Column(
            "detail", sa.Text(), nullable=False, comment="Reason, queue, colleague, JSON. Rows are never changed."
        ),
        sa.PrimaryKeyConstraint("case_id", "happened_at", "kind", "actor"),
    )
    op.create_table(
        "case_touches",
        sa.Column("case_id", sa.Text(), nullable=False, comment="The case."),
        sa.Column("fence", sa.BigInteger(), autoincrement=False, nullable=False, comment="The claim."),
        sa.Column("queue", sa.Text(), nullable=False, comment="Its queue then."),
        sa.Column("harm", sa.Text(), nullable=False, comment="What looking at it does to people."),
        sa.Column("person", sa.Text(), nullable=False, comment="Who held it."),
        sa.Column("claimed_at", sa.BigInteger(), nullable=False, comment="When it was claimed."),
        sa.Column("opened_at", sa.BigInteger(), nullable=True, comment="When its content was first on the screen."),
        sa.Column("ended_at", sa.BigInteger(), nullable=True, comment="When hands were off it."),
        sa.Column(
            "how",
            sa.Text(),
            nullable=True,
            comment="decided, proposed, released, skipped, handed, moved, paused, lapsed.",
        ),
        sa.Column(
            "touch_us",
            sa.BigInteger(),
            nullable=False,
            comment="From opened, or claimed, to the end; a claim's length at most.",
        ),
        sa.PrimaryKeyConstraint("case_id", "fence"),
    )
    op.create_index("case_touches_person", "case_touches", ["person", "claimed_at"], unique=False)
    op.create_index("case_touches_queue", "case_touches", ["queue", "claimed_at"], unique=False)
    op.create_table(
        "harm_optouts",
        sa.Column("person", sa.Text(), nullable=False, comment="Who is not given cases of a kind of harm."),
        sa.Column(
            "harm", sa.Text(), nullable=False, comment="Which. Shown to that person alone, and not in the audit trail."
        ),
        sa.PrimaryKeyConstraint("person", "harm"),
    )
    op.create_table(
        "rule_outcomes",
        sa.Column("rule", sa.Text(), nullable=False, comment="The rule."),
        sa.Column("upheld", sa.BigInteger(), nullable=False, comment="Cases with a signal of it that were upheld."),
        sa.Column(
            "honest", sa.BigInteger(), nullable=False, comment="Cases with a signal of it that were found honest."
        ),
        sa.PrimaryKeyConstraint("rule"),
    )
    op.create_table(
        "statements",
        sa.Column(
            "seq", sa.BigInteger(), autoincrement=False, nullable=False, comment="The log entry that it was made at."
        ),
        sa.Column("sanction_id", sa.Text(), nullable=False, comment="The sanction; its newest statement is in force."),
        sa.Column(
            "kind", sa.Text(), nullable=False, comment="The change that it was made for: sanction.imposed, .amended, …"
        ),
        sa.Column("made_at", sa.BigInteger(), nullable=False, comment="Log time, in microseconds."),
        sa.Column("body", sa.Text(), nullable=False, comment="The statement of reasons, JSON. Rows are never changed."),
        sa.PrimaryKeyConstraint("seq"),
    )
    op.create_index(op.f("ix_statements_sanction_id"), "statements", ["sanction_id"], unique=False)
    op.add_column(
        "case_signals",
        sa.Column(
            "reporter", sa.Text(), nullable=True, comment="The account that reported, where the event is a report."
        ),
    )
    op.add_column(
        "cases", sa.Column("closed_seq", sa.BigInteger(), nullable=True, comment="The log entry of the judgement.")
    )
    op.add_column(
        "cases",
        sa.Column(
            "rank_at",
            sa.BigInteger(),
            nullable=False,
            server_default="0",
            comment="What its queue is ordered by: due_at less boost_us.",
        ),
    )
    op.add_column(
        "cases",
        sa.Column(
            "boost_us",
            sa.BigInteger(),
            nullable=False,
            server_default="0",
            comment="What its terms are worth, in microseconds.",
        ),
    )
    op.add_column(
        "cases",
        sa.Column(
            "terms",
            sa.Text(),
            nullable=False,
            server_default="",
            comment="Why it is first: every term of its rank, JSON.",
        ),
    )
    op.add_column(
        "cases",
        sa.Column(
            "standing",
            sa.Text(),
            nullable=False,
            server_default="",
            comment="What the decider weighs it and finds it again by, JSON.",
        ),
    )
    op.add_column(
        "cases",
        sa.Column("members", sa.BigInteger(), nullable=False, server_default="1", comment="Subjects that it is about."),
    )
    op.add_column(
        "cases",
        sa.Column(
            "harm",
            sa.Text(),
            nullable=False,
            server_default="none",
            comment="What looking at it does to people: none, child, violence, …",
        ),
    )
    op.add_column(
        "cases", sa.Column("paused_at", sa.BigInteger(), nullable=True, comment="Since when its clock stands.")
    )
    op.add_column(
        "cases",
        sa.Column("pause_ends_at", sa.BigInteger(), nullable=True, comment="When the clock runs again at the latest."),
    )
    op.add_column(
        "cases",
        sa.Column("breached_at", sa.BigInteger(), nullable=True, comment="When its time was over without a judgement."),
    )
    op.add_column("cases", sa.Column("assigned_to", sa.Text(), nullable=True, comment="To whom it was handed."))
    op.add_column(
        "cases",
        sa.Column(
            "assigned_until",
            sa.BigInteger(),
            nullable=True,
            comment="Until when others leave it to them; null: for good.",
        ),
    )
    op.add_column(
        "cases",
        sa.Column(
            "escalated", sa.BigInteger(), nullable=False, server_default="0", comment="1 after somebody sent it up."
        ),
    )
    op.add_column(
        "cases", sa.Column("proposal", sa.Text(), nullable=True, comment="The proposal that waits for a second person.")
    )
    op.add_column("cases", sa.Column("appeal", sa.Text(), nullable=True, comment="The appeal that it is about."))
    op.create_index("cases_acting", "cases", ["acting_kind", "acting_id"], unique=False)
    op.create_index(
        "cases_assigned",
        "cases",
        ["assigned_to"],
        unique=False,
        sqlite_where=sa.text("status = 'open'"),
        postgresql_where=sa.text("status = 'open'"),
    )
    op.create_index(
        "cases_rank",
        "cases",
        ["rank_at", "id"],
        unique=False,
        sqlite_where=sa.text("status = 'open'"),
        postgresql_where=sa.text("status = 'open'"),
    )
    op.create_index(
        "cases_holder",
        "cases",
        ["claimed_by"],
        unique=False,
        sqlite_where=sa.text("status = 'open'"),
        postgresql_where=sa.text("status = 'open'"),
    )
    op.create_index("cases_closed", "cases", ["closed_at"], unique=False)
    op.create_index(
        "cases_next",
        "cases",
        ["queue", "rank_at", "id"],
        unique=False,
        sqlite_where=sa.text("status = 'open' AND paused_at IS NULL"),
        postgresql_where=sa.text("status = 'open' AND paused_at IS NULL"),
    )
    op.create_index("cases_policy", "cases", ["policy", "closed_at"], unique=False)
    op.add_column("notices", sa.Column("event_id", sa.Text(), nullable=True, comment="The event that it is about."))
    op.add_column(
        "notices", sa.Column("case_id", sa.Text(), nullable=True, comment="The case whose judgement it tells.")
    )
    op.add_column(
        "notices",
        sa.Column("role", sa.Text(), nullable=False, server_default="author", comment="author, recipient or reporter."),
    )
    op.create_index("notices_case", "notices", ["case_id"], unique=False)
    op.create_index("notices_event", "notices", ["event_id"], unique=False)
    _fill()


def _fill() -> None:
    """Bring what is there to what the new columns mean."""
    op.execute(sa.text("UPDATE cases SET rank_at = due_at, standing = :standing").bindparams(standing=STANDING))
    op.execute(
        "INSERT INTO case_members (case_id, subject_kind, subject_id, acting_kind, acting_id, seq, joined_at, event_id)"
        " SELECT c.id, c.subject_kind, c.subject_id, c.acting_kind, c.acting_id, c.opened_seq, c.opened_at,"
        " COALESCE((SELECT MIN(s.event_id) FROM case_signals s WHERE s.case_id = c.id AND s.seq = c.opened_seq), '')"
        " FROM cases c"
    )
    op.execute(
        "INSERT INTO timers (id, due_at, kind, about) SELECT 'timer_due_' || id, due_at, 'case.due', id FROM cases"
        " WHERE status = 'open'"
    )
    op.execute(
        "INSERT INTO rule_outcomes (rule, upheld, honest)"
        " SELECT rule, SUM(upheld), SUM(honest) FROM (SELECT DISTINCT s.rule, s.case_id,"
        " CASE WHEN c.outcome = 'upheld' THEN 1 ELSE 0 END AS upheld,"
        " CASE WHEN c.outcome = 'honest' THEN 1 ELSE 0 END AS honest"
        " FROM case_signals s JOIN cases c ON c.id = s.case_id WHERE c.outcome IN ('upheld', 'honest')) ended"
        " GROUP BY rule"
    )
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    field = "json_extract(body, '$.{}')" if is_sqlite else "(body::json ->> '{}')"
    op.execute(f"UPDATE notices SET role = {field.format('role')}, event_id = {field.format('event_id')}")
