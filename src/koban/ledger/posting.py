"""Post a template: from parameters to one linked chain of transfers, within the limits of whoever does it."""

import hashlib
import urllib.parse
from collections.abc import Mapping
from typing import Final

import msgspec

from koban.base import Instant
from koban.db import Tx
from koban.ledger import posting_store, store
from koban.ledger.actions import balances, create_books, create_transfers, expire_due
from koban.ledger.codes import TRANSIENT, PostingCode, TransferCode
from koban.ledger.logic import ID
from koban.ledger.templates import EntryDef, LedgerDef, Leg, LimitDef, Linear, Parameter, Template, legs_of
from koban.ledger.types import Flag, NewBook, Transfer, TransferResult

POSTING_ID_CHARS_MAX: Final = 80  # a transfer's id is the posting's with its number behind it
OWNER_CHARS_MAX: Final = 56

TRANSIENT_POSTINGS: Final = frozenset(
    {
        PostingCode.EVIDENCE_USED,
        PostingCode.NEED_UNMET,
        PostingCode.LIMIT_COUNT_EXCEEDED,
        PostingCode.LIMIT_AMOUNT_EXCEEDED,
        PostingCode.TRANSFER_REFUSED,
    }
)


_NO_CAUSE: Final = frozenset({TransferCode.CREATED, TransferCode.LINKED_EVENT_FAILED})


class Posting(msgspec.Struct, frozen=True, kw_only=True):
    """A posting to be made. The id is the client's, stored by it before it is sent."""

    id: str
    template: str
    currency: str
    parameters: Mapping[str, str | int]
    level: str | None = None
    booking_date: str | None = None
    effective_date: str | None = None


class PostingResult(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a posting. `about` names the parameter, limit or transfer code behind a refusal."""

    id: str
    code: PostingCode
    about: str = ""
    first: PostingCode | None = None
    transfers: tuple[TransferResult, ...] = ()

    @property
    def stands(self) -> bool:
        """Tell whether the posting is in the ledger, now or since an earlier attempt."""
        return self.code in {PostingCode.POSTED, PostingCode.EXISTS}

    @property
    def is_recorded(self) -> bool:
        """Tell whether this answer wrote something: the posting, or that its id is burned."""
        return self.code is PostingCode.POSTED or self.code in TRANSIENT_POSTINGS


def book_id(code: str, currency: str, owner: str | None = None) -> str:
    """Return the id of the book of a code: `wallet.JPY:a1`; an owner's id may have any characters."""
    if owner is None:
        return f"{code}.{currency}"
    written = urllib.parse.quote(owner, safe="")
    if len(written) > OWNER_CHARS_MAX:
        written = f"h~{hashlib.sha256(owner.encode()).hexdigest()[:40]}"
    return f"{code}.{currency}:{written}"


def post(tx: Tx, at: Instant, ledger: LedgerDef, posting: Posting, *, approved: bool = False) -> PostingResult:
    """Make a posting: all of its transfers or none, in the caller's transaction.

    A refusal is a result code, never raised; one that depends on the moment burns the id. Books are opened as they are
    needed, with the chart's limits. A template that adjusts is only posted where two people said so (`approved`).
    """
    if not ID(posting.id) or len(posting.id) > POSTING_ID_CHARS_MAX:
        return PostingResult(id=posting.id, code=PostingCode.ID_INVALID)
    at = max(at, store.lock_head(tx).last_at)
    earlier = posting_store.find(tx, posting.id)
    if earlier is not None:
        return _again(tx, earlier, posting)
    template = ledger.templates.get(posting.template)
    if template is None:
        return PostingResult(id=posting.id, code=PostingCode.TEMPLATE_UNKNOWN, about=posting.template[:80])
    refused = _parameter_fault(template, posting)
    if refused is None and template.adjusts and not approved:
        refused = PostingResult(id=posting.id, code=PostingCode.APPROVAL_MISSING)
    refused = refused or _level_fault(ledger, posting)
    if refused is not None:
        return refused
    # Outside of what a refusal takes back: time that ran out stays so.
    expire_due(tx, at, ledger.chart)
    proof = _proof(template, posting)
    unfit = _evidence_fault(tx, proof, posting) or _need_fault(tx, ledger, template, posting)
    unfit = unfit or _limit_fault(tx, at, ledger, posting)
    result = unfit if unfit is not None else _transfer(tx, at, ledger, template, posting)
    if result.is_recorded:
        posting_store.insert(tx, at, posting, result)
    if result.code is PostingCode.POSTED:
        if proof is not None:
            posting_store.insert_evidence(tx, proof, posting.id)
        _count_uses(tx, at, ledger, template, posting)
    return result


def _again(tx: Tx, earlier: posting_store.Earlier, posting: Posting) -> PostingResult:
    if earlier.template != posting.template:
        return PostingResult(id=posting.id, code=PostingCode.EXISTS_WITH_DIFFERENT_TEMPLATE)
    if earlier.request != posting_store.request_of(posting):
        return PostingResult(id=posting.id, code=PostingCode.EXISTS_WITH_DIFFERENT_PARAMETERS)
    if earlier.code is not PostingCode.POSTED:
        return PostingResult(id=posting.id, code=PostingCode.ID_ALREADY_FAILED, about=earlier.about, first=earlier.code)
    known = store.load_known(tx, list(earlier.transfers))
    again = tuple(
        TransferResult(
            id=each, code=TransferCode.EXISTS, position=known[each].position, amount_minor=known[each].amount
        )
        for each in earlier.transfers
    )
    return PostingResult(id=posting.id, code=PostingCode.EXISTS, transfers=again)


def _parameter_fault(template: Template, posting: Posting) -> PostingResult | None:
    def refuse(code: PostingCode, about: str) -> PostingResult:
        return PostingResult(id=posting.id, code=code, about=about[:80])

    if posting.currency not in template.currencies:
        return refuse(PostingCode.CURRENCY_NOT_IN_TEMPLATE, posting.currency)
    for name in template.parameters:
        if name not in posting.parameters:
            return refuse(PostingCode.PARAMETER_MISSING, name)
    for name in posting.parameters:
        if name not in template.parameters:
            return refuse(PostingCode.PARAMETER_UNKNOWN, name)
    for name, parameter in template.parameters.items():
        if not _fits(parameter, posting.parameters[name]):
            return refuse(PostingCode.PARAMETER_INVALID, name)
    amounts = _amounts(template, posting)
    for name, parameter in template.parameters.items():
        if parameter.at_most is not None and amounts[name] > parameter.at_most.value(amounts):
            return refuse(PostingCode.PARAMETER_INVALID, name)
    return None


def _fits(parameter: Parameter, value: object) -> bool:
    if parameter.type == "amount":
        least = 0 if parameter.zero else 1
        return isinstance(value, int) and not isinstance(value, bool) and least <= value < 2**62
    if (
        not isinstance(value, str)
        or not 1 <= len(value) <= 128
        or any(ord(each) < 32 or ord(each) == 127 for each in value)
    ):
        return False
    return parameter.type != "posting" or (ID(value) is not None and len(value) <= POSTING_ID_CHARS_MAX)


def _amounts(template: Template, posting: Posting) -> dict[str, int]:
    return {name: int(posting.parameters[name]) for name, each in template.parameters.items() if each.type == "amount"}


def _level_fault(ledger: LedgerDef, posting: Posting) -> PostingResult | None:
    if posting.level is None and _limits_on(ledger, posting):
        return PostingResult(id=posting.id, code=PostingCode.LEVEL_MISSING)
    if posting.level is not None and posting.level not in ledger.levels:
        return PostingResult(id=posting.id, code=PostingCode.LEVEL_UNKNOWN, about=posting.level[:80])
    return None


def _proof(template: Template, posting: Posting) -> str | None:
    """Write what proves this posting and no other; None where the template asks for no such thing."""
    if not template.once:
        return None
    return msgspec.json.encode({name: posting.parameters[name] for name in template.once}).decode()


def _evidence_fault(tx: Tx, proof: str | None, posting: Posting) -> PostingResult | None:
    """Ask whether what proves this posting proved another; `about` names that one."""
    used_by = None if proof is None else posting_store.used_by(tx, proof)
    return None if used_by is None else PostingResult(id=posting.id, code=PostingCode.EVIDENCE_USED, about=used_by)


def _need_fault(tx: Tx, ledger: LedgerDef, template: Template, posting: Posting) -> PostingResult | None:
    """Look at the books that the template asks about; why here: the ledger's head is locked, so nothing comes between."""
    for need in template.needs:
        owner = None if need.of is None else str(posting.parameters[need.of])
        (book,) = balances(tx, [book_id(need.code, posting.currency, owner)])
        if book is None:
            continue
        held = book.credits_pending_minor + book.net_credit_minor
        if ledger.chart.kinds[need.code].grows == "debit":
            held = book.debits_pending_minor - book.net_credit_minor
        if held > need.amount.value(_amounts(template, posting)):
            return PostingResult(id=posting.id, code=PostingCode.NEED_UNMET, about=need.code)
    return None


def _limits_on(ledger: LedgerDef, posting: Posting) -> list[tuple[LimitDef, int]]:
    """Return the limits that a posting uses and how much of each; a part of a mixed payment that is nothing uses none."""
    return [
        (each, amount)
        for each in ledger.limits.values()
        if posting.template in each.on
        and each.currency == posting.currency
        and (amount := int(posting.parameters[each.amount_of(posting.template)]))
    ]


def _limit_fault(tx: Tx, at: Instant, ledger: LedgerDef, posting: Posting) -> PostingResult | None:
    """Look at what the same one did within each limit's time; why inside the transaction: two at once cannot both pass."""
    too_much: str | None = None
    for limit, wanted in _limits_on(ledger, posting):
        cap = limit.levels[posting.level or ""]
        count, amount = posting_store.used(tx, limit.name, str(posting.parameters[limit.of]), at - limit.within_us)
        if cap.count is not None and count + 1 > cap.count:
            return PostingResult(id=posting.id, code=PostingCode.LIMIT_COUNT_EXCEEDED, about=limit.name)
        if too_much is None and cap.amount_minor is not None and amount + wanted > cap.amount_minor:
            too_much = limit.name  # told only where no limit's count is passed: the order of codes is over all limits
    if too_much is None:
        return None
    return PostingResult(id=posting.id, code=PostingCode.LIMIT_AMOUNT_EXCEEDED, about=too_much)


def _count_uses(tx: Tx, at: Instant, ledger: LedgerDef, template: Template, posting: Posting) -> None:
    for limit, amount in _limits_on(ledger, posting):
        posting_store.insert_use(
            tx,
            at,
            limit.name,
            str(posting.parameters[limit.of]),
            amount=amount,
            posting_id=posting.id,
        )
    for entry in template.entries:
        if entry.kind == "release" and entry.held is not None:
            # What was given back in full was never used: limit and evidence are free again.
            posting_store.free(tx, str(posting.parameters[entry.held]))


class _Refused(Exception):
    """Takes back what a refused posting had begun."""

    def __init__(self, result: PostingResult) -> None:
        super().__init__(result.code)
        self.result = result


def _transfer(tx: Tx, at: Instant, ledger: LedgerDef, template: Template, posting: Posting) -> PostingResult:
    """Open the books that are missing and make the transfers; of a refused posting not even an empty book stays."""
    try:
        with tx.savepoint():
            return _made(tx, at, ledger, template, posting)
    except _Refused as refused:
        return refused.result


def _made(tx: Tx, at: Instant, ledger: LedgerDef, template: Template, posting: Posting) -> PostingResult:
    books, transfers = compile_posting(template, posting)
    if not transfers:
        return PostingResult(id=posting.id, code=PostingCode.NOTHING_TO_MOVE)
    opened = create_books(tx, at, ledger.chart, books)
    wrong = next((each for each in opened if not each.is_there), None)
    if wrong is not None:
        raise _Refused(PostingResult(id=posting.id, code=PostingCode.BOOK_REFUSED, about=wrong.code.value))
    results = tuple(create_transfers(tx, at, ledger.chart, transfers))
    refusal = next((each for each in results if each.code not in _NO_CAUSE), None)
    if refusal is None:
        return PostingResult(id=posting.id, code=PostingCode.POSTED, transfers=results)
    told = PostingCode.TRANSFER_REFUSED if refusal.code in TRANSIENT else PostingCode.TRANSFER_IMPOSSIBLE
    raise _Refused(PostingResult(id=posting.id, code=told, about=refusal.code.value, transfers=results))


def compile_posting(template: Template, posting: Posting) -> tuple[list[NewBook], list[Transfer]]:
    """Turn a template and its parameters into books and one linked chain of transfers; legs of nothing are left out."""
    amounts = _amounts(template, posting)
    books: dict[str, NewBook] = {}
    transfers: list[Transfer] = []

    def book(leg: Leg, currency: str) -> str:
        owner = None if leg.of is None else str(posting.parameters[leg.of])
        made = NewBook(id=book_id(leg.code, currency, owner), currency=currency, code=leg.code, owner=owner)
        return books.setdefault(made.id, made).id

    planned = {number: (entry, debit, credit, amount) for number, entry, debit, credit, amount in legs_of(template)}
    number = 0
    for entry in template.entries:
        for _ in range(_count(entry)):
            number += 1
            shared = _shared(template, posting, number)
            if number not in planned:
                transfers.append(_resolving(entry, posting, amounts, shared))
                continue
            _, debit, credit, amount = planned[number]
            moved = amount.value(amounts)
            if moved:
                currency = entry.currency or posting.currency
                moving = msgspec.structs.replace(
                    shared,
                    debit_book=book(debit, currency),
                    credit_book=book(credit, currency),
                    amount_minor=moved,
                    currency=currency,
                    flags=int(Flag.PENDING) if entry.kind == "hold" else 0,
                    timeout_s=entry.timeout_s if entry.kind == "hold" else 0,
                )
                transfers.append(moving)
    linked = [msgspec.structs.replace(each, flags=each.flags | Flag.LINKED) for each in transfers[:-1]]
    return list(books.values()), [*linked, *transfers[-1:]]


def _count(entry: EntryDef) -> int:
    return 1 if entry.kind in {"settle", "release"} else max(len(entry.debits), len(entry.credits))


def _shared(template: Template, posting: Posting, number: int) -> Transfer:
    def reference(name: str | None) -> str | None:
        return None if name is None else str(posting.parameters[name])

    return Transfer(
        id=f"{posting.id}.{number}",
        reason=template.name,
        order=reference(template.order),
        payment=reference(template.payment),
        cause=reference(template.cause or template.evidence),
        booking_date=posting.booking_date,
        effective_date=posting.effective_date,
    )


def _resolving(entry: EntryDef, posting: Posting, amounts: Mapping[str, int], shared: Transfer) -> Transfer:
    held = str(posting.parameters[entry.held or ""])
    amount: Linear | None = entry.amount
    return msgspec.structs.replace(
        shared,
        pending_id=f"{held}.{entry.nth}",
        amount_minor=None if amount is None else amount.value(amounts),
        flags=int(Flag.POST_PENDING if entry.kind == "settle" else Flag.VOID_PENDING),
    )
