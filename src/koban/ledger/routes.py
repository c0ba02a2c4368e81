"""The border of the ledger: postings, books, transfers, balances, statements, totals, proof."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any

import msgspec

from koban.access import Call, Endpoint, Page, PageQuery, endpoint
from koban.base import Instant, Problem, Refusal, from_rfc3339, keyset, keyset_of, limits, to_rfc3339
from koban.db import Database
from koban.ledger import posting_store, store
from koban.ledger.actions import BatchTooLarge, statement
from koban.ledger.bookings import LimitsByHand
from koban.ledger.codes import PostingCode
from koban.ledger.posting import Posting, PostingResult
from koban.ledger.templates import LedgerDef
from koban.ledger.types import (
    Balance,
    BookMissing,
    BookResult,
    LimitResult,
    Line,
    NewBook,
    StoredTransfer,
    Total,
    Transfer,
    TransferMissing,
    TransferResult,
)
from koban.ledger.verify import LedgerReport

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=80)]
Limit = Annotated[int, msgspec.Meta(ge=-limits.BOOK_LIMIT_MINOR_MAX, le=limits.BOOK_LIMIT_MINOR_MAX)]


class MomentInvalid(Refusal):
    """A time that is none."""

    code = "moment_invalid"
    status = 400
    title = "This is no moment."


class Commands(msgspec.Struct, frozen=True, kw_only=True):
    """What the application has the decider do; each returns once it is durable."""

    post: Callable[[Posting, str], PostingResult]
    open_books: Callable[[list[NewBook], str], list[BookResult]]
    set_limits: Callable[[str, int | None, int | None, str], LimitResult]
    transfer: Callable[[list[Transfer], str], list[TransferResult]]
    definition: Callable[[], LedgerDef]
    prove: Callable[[], LedgerReport]


class PostingBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A posting from a template. Make and store the id before it is sent: the same id again is the same posting."""

    id: Name
    template: Name
    parameters: Mapping[str, int | Text]
    currency: Annotated[str, msgspec.Meta(min_length=3, max_length=3)] = "JPY"
    level: Annotated[Name | None, msgspec.Meta(description="Verification level, where limits ask for it")] = None
    booking_date: Annotated[str, msgspec.Meta(max_length=10)] | None = None
    effective_date: Annotated[str, msgspec.Meta(max_length=10)] | None = None


class PostingAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a posting: a result code (see the reference), with what it is about."""

    id: str
    code: PostingCode
    about: str
    first: PostingCode | None
    transfers: list[TransferResult]


class PostingRow(msgspec.Struct, frozen=True, kw_only=True):
    """A posting as it is listed."""

    id: str
    at: str
    template: str
    code: str
    about: str
    request: dict[str, Any]  # Any: JSON as it was sent


class NewBooks(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Books to open."""

    books: Annotated[list[NewBook], msgspec.Meta(min_length=1, max_length=limits.BOOKS_PER_BATCH_MAX)]


class NewTransfers(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Transfers to make by hand, in order."""

    transfers: Annotated[list[Transfer], msgspec.Meta(min_length=1, max_length=1_000)]


class LimitsBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a book may reach from now on; null: no bound."""

    net_debit_max_minor: Limit | None
    net_credit_max_minor: Limit | None


class BookQuery(PageQuery, frozen=True, kw_only=True):
    """Which books."""

    code: str | None = None
    owner: str | None = None


class TransferQuery(PageQuery, frozen=True, kw_only=True):
    """Which transfers."""

    order: str | None = None
    payment: str | None = None


class StatementQuery(PageQuery, frozen=True, kw_only=True):
    """As of when."""

    at: Annotated[str, msgspec.Meta(max_length=40, description="RFC 3339; null: now")] | None = None


class BalanceView(msgspec.Struct, frozen=True, kw_only=True):
    """A book with what is posted and what is pending, as of one position of the log."""

    book: str
    code: str
    currency: str
    owner: str | None
    debits_pending_minor: int
    debits_posted_minor: int
    credits_pending_minor: int
    credits_posted_minor: int
    balance_minor: int  # posted, counted on the side on which books of the code grow
    net_debit_max_minor: int | None
    net_credit_max_minor: int | None
    closed: bool
    transfers: int
    as_of: int


class LineView(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a statement."""

    position: int
    at: str
    transfer: str
    side: str
    other_book: str
    amount_minor: int
    reason: str
    flags: int
    pending_id: str | None
    order: str | None
    payment: str | None
    cause: str | None
    booking_date: str
    effective_date: str
    debits_pending_minor: int
    debits_posted_minor: int
    credits_pending_minor: int
    credits_posted_minor: int


class StatementView(msgspec.Struct, frozen=True, kw_only=True):
    """A book as it stood, with its lines up to then, newest first."""

    balance: BalanceView
    lines: list[LineView]
    next_cursor: str | None


class TransferView(msgspec.Struct, frozen=True, kw_only=True):
    """A transfer as it stands."""

    position: int
    at: str
    id: str
    debit_book: str
    credit_book: str
    amount_minor: int
    currency: str
    reason: str
    flags: int
    pending_id: str | None
    expires_at: str | None
    order: str | None
    payment: str | None
    cause: str | None
    booking_date: str
    effective_date: str
    state: str | None
    hash: str


def endpoints(database: Database, commands: Commands) -> list[Endpoint]:
    """Describe the routes; `commands` carries changes through the decider."""
    return [*_posting_endpoints(database, commands), *_book_endpoints(database, commands), *_looks(database, commands)]


def _posting_endpoints(database: Database, commands: Commands) -> list[Endpoint]:
    def post(call: Call) -> PostingAnswer:
        body = call.body_as(PostingBody)
        posting = Posting(
            id=body.id,
            template=body.template,
            currency=body.currency,
            parameters=dict(body.parameters),
            level=body.level,
            booking_date=body.booking_date,
            effective_date=body.effective_date,
        )
        result = commands.post(posting, call.principal.actor)
        return PostingAnswer(
            id=result.id, code=result.code, about=result.about, first=result.first, transfers=list(result.transfers)
        )

    def listed(call: Call) -> Page[PostingRow]:
        query = call.params_as(PageQuery)
        with database.read() as tx:
            rows = posting_store.list_postings(tx, before=keyset_of(query.cursor), limit=query.limit + 1)
        shown = rows[: query.limit]
        return Page(
            items=[
                PostingRow(
                    id=each.id,
                    at=to_rfc3339(each.at),
                    template=each.template,
                    code=each.code,
                    about=each.about,
                    request=each.request,
                )
                for each in shown
            ],
            next_cursor=keyset(shown[-1].at, shown[-1].id) if len(rows) > query.limit else None,
        )

    def transfer(call: Call) -> list[TransferResult]:
        return commands.transfer(list(call.body_as(NewTransfers).transfers), call.principal.actor)

    return [
        endpoint(
            "POST", "/v1/ledger/postings", "ledger.post", post, summary="Make a posting from a template",
            body=PostingBody, returns=PostingAnswer,
            description="The answer is a result code, also for a refusal; the id makes it safe to send again. For machines; "
            "a person proposes a posting with `POST /v1/ledger/bookings`.",
        ),
        endpoint(
            "GET", "/v1/ledger/postings", "ledger.read", listed, summary="List postings, newest first",
            query=PageQuery, returns=Page[PostingRow],
        ),
        endpoint(
            "POST", "/v1/ledger/transfers", "ledger.transfer", transfer, summary="Make transfers by hand",
            body=NewTransfers, returns=list[TransferResult], raises=(BatchTooLarge,),
            description="Corrections and recipes that no template has. Each transfer answers for itself. For machines; a "
            "person proposes transfers with `POST /v1/ledger/bookings`.",
        ),
    ]  # fmt: skip


def _book_endpoints(database: Database, commands: Commands) -> list[Endpoint]:
    def opened(call: Call) -> list[BookResult]:
        books = list(call.body_as(NewBooks).books)
        if "ledger.limits" not in call.principal.grants and any(_sets_limits(each) for each in books):
            raise LimitsByHand("Open it without limits; then propose them with POST /v1/ledger/bookings.")
        return commands.open_books(books, call.principal.actor)

    def changed(call: Call) -> LimitResult:
        body = call.body_as(LimitsBody)
        return commands.set_limits(
            call.path["id"], body.net_debit_max_minor, body.net_credit_max_minor, call.principal.actor
        )

    def listed(call: Call) -> Page[BalanceView]:
        query = call.params_as(BookQuery)
        after = place_of(query.cursor) or 0
        with database.read() as tx:
            as_of = store.read_head(tx).position
            rows = store.list_books(tx, code=query.code, owner=query.owner, after_num=after, limit=query.limit + 1)
        shown = rows[: query.limit]
        return Page(
            items=[balance_view(store.balance_of(each, as_of), commands.definition()) for each in shown],
            next_cursor=str(shown[-1].num) if len(rows) > query.limit else None,
        )

    def one(call: Call) -> BalanceView:
        with database.read() as tx:
            found = statement(tx, call.path["id"], limit=1).balance
        return balance_view(found, commands.definition())

    def lines(call: Call) -> StatementView:
        query = call.params_as(StatementQuery)
        before = place_of(query.cursor)
        with database.read() as tx:
            found = statement(tx, call.path["id"], at=moment(query.at), before=before, limit=query.limit)
        return StatementView(
            balance=balance_view(found.balance, commands.definition()),
            lines=[line_view(each) for each in found.lines],
            next_cursor=None if found.next_position is None else str(found.next_position),
        )

    return [
        endpoint(
            "GET", "/v1/ledger/books", "ledger.read", listed, summary="List books with their balances",
            query=BookQuery, returns=Page[BalanceView],
        ),
        endpoint(
            "POST", "/v1/ledger/books", "ledger.manage", opened, summary="Open books", body=NewBooks,
            returns=list[BookResult], raises=(BatchTooLarge, LimitsByHand),
            description="Postings open the books that they need; this is for the others. Limits other than the chart's are "
            "for machines with the scope `ledger.limits`; a person proposes them.",
        ),
        endpoint(
            "GET", "/v1/ledger/books/{id}", "ledger.read", one, summary="Look up a book with balance and pendings",
            returns=BalanceView, raises=(BookMissing,),
        ),
        endpoint(
            "POST", "/v1/ledger/books/{id}/limits", "ledger.limits", changed, summary="Change what a book may reach",
            body=LimitsBody, returns=LimitResult,
            description="A credit line is its book's net_debit_max_minor. What stands past a lowered limit stays. For "
            "machines; a person proposes limits with `POST /v1/ledger/bookings`.",
        ),
        endpoint(
            "GET", "/v1/ledger/books/{id}/statement", "ledger.read", lines,
            summary="See a book as it stood at a moment, with its lines up to then", query=StatementQuery,
            returns=StatementView, raises=(BookMissing, MomentInvalid),
        ),
    ]  # fmt: skip


def _sets_limits(book: NewBook) -> bool:
    return book.net_debit_max_minor is not msgspec.UNSET or book.net_credit_max_minor is not msgspec.UNSET


def _looks(database: Database, commands: Commands) -> list[Endpoint]:
    def transfers(call: Call) -> Page[TransferView]:
        query = call.params_as(TransferQuery)
        before = place_of(query.cursor)
        with database.read() as tx:
            rows = store.list_transfers(
                tx, order=query.order, payment=query.payment, before=before, limit=query.limit + 1
            )
        shown = rows[: query.limit]
        return Page(
            items=[transfer_view(each) for each in shown],
            next_cursor=str(shown[-1].position) if len(rows) > query.limit else None,
        )

    def one(call: Call) -> TransferView:
        with database.read() as tx:
            found = store.find_transfer(tx, call.path["id"])
        if found is None:
            raise TransferMissing(f"There is no transfer {call.path['id'][:96]!r}.")
        return transfer_view(found)

    def totals(_call: Call) -> list[Total]:
        with database.read() as tx:
            return store.read_totals(tx)

    return [
        endpoint(
            "GET", "/v1/ledger", "ledger.read", lambda _call: commands.definition(),
            summary="See the chart of books, posting templates and limits of the active pack", returns=LedgerDef,
        ),
        endpoint(
            "GET", "/v1/ledger/transfers", "ledger.read", transfers, summary="List transfers, newest first",
            query=TransferQuery, returns=Page[TransferView],
        ),
        endpoint(
            "GET", "/v1/ledger/transfers/{id}", "ledger.read", one, summary="Look up a transfer",
            returns=TransferView, raises=(TransferMissing,),
        ),
        endpoint(
            "GET", "/v1/ledger/totals", "ledger.read", totals, summary="See where every yen sits, by code",
            returns=list[Total],
        ),
        endpoint(
            "POST", "/v1/ledger/verify", "ledger.verify", lambda _call: commands.prove(),
            summary="Prove every balance from the log", returns=LedgerReport,
            description="Walks the whole log; `broken` names the first row that does not hold.",
        ),
    ]  # fmt: skip


def moment(text: str | None) -> Instant | None:
    """Read a moment that a statement is asked for. Refuses: MomentInvalid."""
    if text is None:
        return None
    at = from_rfc3339(text)
    if at is None:
        problem = Problem(path="/at", detail=f"{text!r} is no RFC 3339 time with an offset.")
        raise MomentInvalid("Nothing was looked up.", problems=(problem,))
    return at


def place_of(cursor: str | None) -> int | None:
    """Read the place in a cursor; one that is none of ours begins at the start."""
    if cursor is None or not cursor.isascii() or not cursor.isdigit():
        return None
    return min(int(cursor), limits.AMOUNT_MINOR_MAX)


def balance_view(balance: Balance, definition: LedgerDef) -> BalanceView:
    """Return a balance in the form that leaves Koban."""
    kind = definition.chart.kinds.get(balance.code)
    net = balance.net_credit_minor
    fields = {name: getattr(balance, name) for name in Balance.__struct_fields__}
    return BalanceView(balance_minor=-net if kind is not None and kind.grows == "debit" else net, **fields)


def line_view(line: Line) -> LineView:
    """Return a line of a statement in the form that leaves Koban."""
    fields = {name: getattr(line, name) for name in Line.__struct_fields__ if name != "at"}
    return LineView(at=to_rfc3339(line.at), **fields)


def transfer_view(transfer: StoredTransfer) -> TransferView:
    """Return a transfer in the form that leaves Koban."""
    fields = {
        name: getattr(transfer, name) for name in StoredTransfer.__struct_fields__ if name not in {"at", "expires_at"}
    }
    return TransferView(
        at=to_rfc3339(transfer.at),
        expires_at=None if transfer.expires_at is None else to_rfc3339(transfer.expires_at),
        **fields,
    )
