"""The tables of postings and of what counts against limits, and all SQL on them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec
from sqlalchemy import BigInteger, Column, Index, Table, Text

from koban.base import Instant
from koban.db import Tx, metadata
from koban.ledger.codes import PostingCode

if TYPE_CHECKING:
    from koban.ledger.posting import Posting, PostingResult

postings: Final = Table(
    "ledger_postings",
    metadata,
    Column("id", Text, primary_key=True, comment="The client's id."),
    Column("at", BigInteger, nullable=False, comment="When, in microseconds."),
    Column("template", Text, nullable=False, comment="Which posting template."),
    Column("request", Text, nullable=False, comment="JSON: currency, parameters, level, dates; to know a retry."),
    Column("code", Text, nullable=False, comment="posted, or the refusal that burned the id."),
    Column("about", Text, nullable=False, comment="What a refusal is about."),
    Column("transfers", Text, nullable=False, comment="JSON: ids of its transfers."),
    Index("ledger_postings_at", "at"),
    comment="Postings made from templates, and ids that refusals burned.",
)

uses: Final = Table(
    "ledger_uses",
    metadata,
    Column("limit_name", Text, primary_key=True, comment="Limit of the pack."),
    Column("who", Text, primary_key=True, comment="Whom it limits."),
    Column("at", BigInteger, primary_key=True, comment="When, in microseconds."),
    Column("posting_id", Text, primary_key=True, comment="The posting that used it."),
    Column("amount", BigInteger, nullable=False, comment="Minor units."),
    Index("ledger_uses_posting", "posting_id"),
    comment="What counts against limits on amounts and velocity; a posting that is released in full counts no more.",
)

evidence: Final = Table(
    "ledger_evidence",
    metadata,
    Column("evidence", Text, primary_key=True, comment="JSON: the references that prove a posting, by parameter."),
    Column("posting_id", Text, nullable=False, comment="The posting that they prove."),
    Index("ledger_evidence_posting", "posting_id"),
    comment="What proves one posting and may prove no other; free again when the posting is released in full.",
)


class Earlier(msgspec.Struct, frozen=True, kw_only=True):
    """A posting that was made, or whose id was burned."""

    template: str
    request: str
    code: PostingCode
    about: str
    transfers: tuple[str, ...]


class PostingView(msgspec.Struct, frozen=True, kw_only=True):
    """A posting as it is listed."""

    id: str
    at: Instant
    template: str
    code: str
    about: str
    request: dict[str, Any]  # Any: JSON as it was sent


def request_of(posting: "Posting") -> str:
    """Write what a retry must repeat."""
    return msgspec.json.encode(
        {
            "currency": posting.currency,
            "parameters": dict(posting.parameters),
            "level": posting.level,
            "booking_date": posting.booking_date,
            "effective_date": posting.effective_date,
        },
        order="deterministic",
    ).decode()


def find(tx: Tx, posting_id: str) -> Earlier | None:
    """Return a posting by its id."""
    rows = tx.rows("SELECT template, request, code, about, transfers FROM ledger_postings WHERE id = ?", (posting_id,))
    if not rows:
        return None
    template, request, code, about, transfers = rows[0]
    return Earlier(
        template=template,
        request=request,
        code=PostingCode(code),
        about=about,
        transfers=tuple(msgspec.json.decode(transfers)),
    )


def insert(tx: Tx, at: Instant, posting: "Posting", result: "PostingResult") -> None:
    """Write a posting, or that its id was burned."""
    made = [each.id for each in result.transfers] if result.code is PostingCode.POSTED else []
    tx.change(
        "INSERT INTO ledger_postings (id, at, template, request, code, about, transfers) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            posting.id,
            at,
            posting.template,
            request_of(posting),
            result.code.value,
            result.about,
            msgspec.json.encode(made).decode(),
        ),
    )


def used(tx: Tx, limit: str, who: str, after: int) -> tuple[int, int]:
    """Return how often and how much somebody used a limit after a moment."""
    rows = tx.rows(
        "SELECT count(*), coalesce(sum(amount), 0) FROM ledger_uses WHERE limit_name = ? AND who = ? AND at > ?",
        (limit, who, after),
    )
    return int(rows[0][0]), int(rows[0][1])


def insert_use(tx: Tx, at: Instant, limit: str, who: str, *, amount: int, posting_id: str) -> None:
    """Count a posting against a limit."""
    tx.change(
        "INSERT INTO ledger_uses (limit_name, who, at, posting_id, amount) VALUES (?, ?, ?, ?, ?)",
        (limit, who, at, posting_id, amount),
    )


def free(tx: Tx, posting_id: str) -> None:
    """Count a posting against no limit any more, and free what proved it."""
    tx.change("DELETE FROM ledger_uses WHERE posting_id = ?", (posting_id,))
    tx.change("DELETE FROM ledger_evidence WHERE posting_id = ?", (posting_id,))


def used_by(tx: Tx, proof: str) -> str | None:
    """Return the posting that evidence proved, None where it proved none yet."""
    rows = tx.rows("SELECT posting_id FROM ledger_evidence WHERE evidence = ?", (proof,))
    return str(rows[0][0]) if rows else None


def insert_evidence(tx: Tx, proof: str, posting_id: str) -> None:
    """Keep evidence to the posting that it proves. Refused by the table itself where it proves another."""
    tx.change("INSERT INTO ledger_evidence (evidence, posting_id) VALUES (?, ?)", (proof, posting_id))


def list_postings(tx: Tx, *, before: tuple[int, str] | None, limit: int) -> Sequence[PostingView]:
    """Return postings, newest first; `before` is time and id of the last one that was seen."""
    at, posting_id = before if before is not None else (2**62, "")
    rows = tx.rows(
        "SELECT id, at, template, code, about, request FROM ledger_postings WHERE at < ? OR (at = ? AND id < ?) "
        "ORDER BY at DESC, id DESC LIMIT ?",
        (at, at, posting_id, limit),
    )
    return [
        PostingView(
            id=row[0],
            at=Instant(row[1]),
            template=row[2],
            code=row[3],
            about=row[4],
            request=msgspec.json.decode(row[5]),
        )
        for row in rows
    ]
