"""What banks say and are told: frozen data. Amounts are `int` minor units, days are YYYY-MM-DD of the bank."""

from typing import Literal

import msgspec

from koban.base import Refusal

# What a line is by the bank's own coding: `return` is money of ours that came back (組戻し, 振込不能), `fee` the bank's own.
RowKind = Literal["transfer", "return", "fee", "other"]
# Statements move money in the ledger; a notice (入金通知, camt.054) says early what a statement will say again.
FileKind = Literal["statement", "notice"]
StatementFormat = Literal["zengin_03", "zengin_01", "camt.053", "camt.054"]
OrderFormat = Literal["zengin", "pain.001"]
AccountType = Literal["ordinary", "current", "savings", "other"]  # 普通, 当座, 貯蓄, その他


class StatementRow(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a statement of one of our accounts, whatever format it came in.

    `amount_minor` is signed: more than zero came in, less than zero went out. `id` is ours and the `bank_line` of
    postings; `bank_id` is the bank's own, empty where it gives none. `counterparty` and `narrative` are personal.
    """

    id: str
    account: str  # which of our accounts at banks, by its id in Koban
    booked_on: str
    value_on: str
    amount_minor: int
    currency: str
    reference: str  # what we gave the payment (EndToEndId, EDI), or what the payer gave it
    counterparty: str
    narrative: str
    bank_id: str
    kind: RowKind


class ReadRow(msgspec.Struct, frozen=True, kw_only=True):
    """A line as it was read, before it is anybody's."""

    line: int  # of the file, from 1: the record, or the entry
    booked_on: str
    value_on: str
    amount_minor: int
    currency: str
    reference: str = ""
    counterparty: str = ""
    narrative: str = ""
    bank_id: str = ""
    kind: RowKind = "other"


class ReadStatement(msgspec.Struct, frozen=True, kw_only=True):
    """One account's part of a file that a bank sent, checked against its own sums and balances.

    `account_number` is what the file names the account by: of a zengin file bank, branch, type and number.
    """

    format: StatementFormat
    kind: FileKind
    bank: str
    branch: str
    account_number: str
    currency: str
    from_on: str
    to_on: str
    rows: tuple[ReadRow, ...]
    opening_minor: int | None = None
    closing_minor: int | None = None


class Payee(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The account at a bank that a cash-out goes to. Personal: it is sealed wherever it rests."""

    bank: str
    branch: str
    type: AccountType
    number: str
    name: str  # as the bank writes it (口座名義カナ)


class Originator(msgspec.Struct, frozen=True, kw_only=True):
    """One of our own accounts at a bank, as files name it."""

    bank: str
    branch: str
    type: AccountType
    number: str
    name: str
    consignor: str  # 振込依頼人コード, ten digits, given by the bank


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """One payment of a file: to whom, how much, and the reference by which it is known again."""

    reference: str
    payee: Payee
    amount_minor: int


class BankFileInvalid(Refusal):
    """A file of a bank that cannot be taken in; the problem names record and field."""

    code = "bank_file_invalid"
    status = 422
    title = "This file cannot be read as what a bank sends."


class PayeeInvalid(Refusal):
    """An account at a bank to which nothing can be sent."""

    code = "payee_invalid"
    status = 422
    title = "Nothing can be sent to this account."


class OrderTooLarge(Refusal):
    """More than a file of a bank can hold."""

    code = "order_too_large"
    status = 422
    title = "A bank file cannot hold this."


CashOutState = Literal["waiting", "drafted", "sent", "paid", "returned", "failed", "cancelled", "lapsed"]
BatchState = Literal["drafting", "proposed", "releasing", "released", "declined", "empty"]
# Why a cash-out is not in the file although it was in the draft.
LeftOut = Literal[
    "payout_frozen", "suspended", "hold_ending", "details_erased", "branch_gone", "ledger_refused", "other_currency"
]
# What is wrong with a line that nothing explains, or that cannot be followed.
ExceptionKind = Literal[
    "unmatched_credit", "unmatched_debit", "ambiguous", "amount_differs", "already_paid", "already_returned",
    "already_received", "partial_return", "ledger_refused",
]  # fmt: skip
LineState = Literal["matched", "exception", "resolved", "noticed", "known"]
# `match`: what a line is; `fail`: a cash-out was not carried out; `account`: one of ours, new or changed; `close`: it.
ProposalKind = Literal["match", "fail", "account", "close"]
ExpectedKind = Literal["order", "wallet"]
ExpectedState = Literal["waiting", "met", "cancelled"]
ProposalState = Literal["waiting", "approved", "declined"]


class BankAccount(msgspec.Struct, frozen=True, kw_only=True):
    """One of our own accounts at a bank: money leaves it in files, and its statements come in.

    `moves_by` says which of the bank's files move money in the ledger: a line that comes twice must move it once.
    """

    id: str
    title: str
    originator: Originator
    currency: str = "JPY"
    format: OrderFormat = "zengin"
    lead_days: int = 1  # banking days between the file and the money
    fee_minor: int = 0  # what the bank charges for each transfer together with its amount; 0: by a line of its own
    gives_fee_back: bool = False  # whether a cash-out that comes back gives its fee back to the account
    moves_by: FileKind = "statement"
    added_by: str = ""  # who proposed it as it stands
    added_at: int = 0
    approved_by: str = ""
    closed_at: int | None = None  # no file leaves for it any more; statements may still come


class CashOut(msgspec.Struct, frozen=True, kw_only=True):
    """A cash-out on its way. `id` is the posting that reserved it; `amount_minor` is what the payee gets."""

    id: str
    number: int
    reference: str
    owner: str
    template: str
    amount_minor: int
    fee_minor: int
    currency: str
    state: CashOutState
    batch: str | None
    left_out: LeftOut | None
    requested_at: int
    holds_until: int
    sent_at: int | None
    paid_line: str | None
    returned_line: str | None
    settled_at: int | None
    reason: str


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """Cash-outs that leave together. `count` and `total_minor` are of the draft until the file left, then of the file."""

    id: str
    number: int
    account: str
    format: OrderFormat
    state: BatchState
    value_on: str
    count: int
    total_minor: int
    proposed_by: str
    proposed_at: int
    decided_by: str | None
    decided_at: int | None
    released_at: int | None
    file_name: str | None
    file_hash: str | None
    reason: str


class StatementFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file that a bank sent, and how far it was followed: `lines` of which `done` are."""

    id: str
    number: int
    hash: str
    name: str
    format: StatementFormat
    kind: FileKind
    account: str
    part: int  # a file may hold several accounts: which of its statements this is
    from_on: str
    to_on: str
    opening_minor: int | None
    closing_minor: int | None
    lines: int
    done: int
    imported_by: str
    imported_at: int


class BankLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line as it is kept, and what became of it. Name and note are sealed and not in it."""

    id: str
    file: str
    account: str
    line: int
    booked_on: str
    value_on: str
    amount_minor: int
    currency: str
    reference: str
    bank_id: str
    kind: RowKind
    state: LineState
    exception: ExceptionKind | None
    detail: str
    matched: str | None  # a cash-out, a batch, or `fee`
    posting: str | None
    attempt: int


class BankProposal(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody wants to be done by hand, and needs a second person for."""

    id: str
    kind: ProposalKind
    about: str  # the line, the cash-out, or the account
    target: str  # of a match: a cash-out, a batch, or `fee`; of an account: `new` or `changed`
    fee_back: bool
    reason: str
    state: ProposalState
    proposed_by: str
    proposed_at: int
    decided_by: str | None
    decided_at: int | None
    body: str = ""  # of an account: JSON of all of it


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """Money that somebody will send to one of our accounts, and by which reference it is known.

    For an order: all of its price, once. For a wallet: any amount unless one is said; `reusable` for a number that is an
    account's own (a virtual account): every line with it.
    """

    id: str
    reference: str
    kind: ExpectedKind
    owner: str  # the order, or the account whose wallet it is
    amount_minor: int | None
    currency: str
    level: str | None
    reusable: bool
    state: ExpectedState
    until: int | None  # not expected any more; in microseconds
    line: str | None  # the one that brought it, the newest of a reusable one
    made_by: str
    made_at: int


class ExpectedMissing(Refusal):
    """Nothing is expected under this id."""

    code = "expected_missing"
    status = 404
    title = "No such money is expected."


class ExpectedUnfit(Refusal):
    """What cannot be expected so."""

    code = "expected_unfit"
    status = 409
    title = "This money cannot be expected so."


class BankAccountMissing(Refusal):
    """None of our accounts has this id, or this number."""

    code = "bank_account_missing"
    status = 404
    title = "This is none of our accounts at a bank."


class BankAccountExists(Refusal):
    """An account of this id says something else."""

    code = "bank_account_exists"
    status = 409
    title = "There is an account of this id already, and it differs."


class CashOutMissing(Refusal):
    """No cash-out has this id."""

    code = "cash_out_missing"
    status = 404
    title = "There is no such cash-out."


class CashOutUnfit(Refusal):
    """A cash-out that is too far for what is asked."""

    code = "cash_out_unfit"
    status = 409
    title = "This cash-out cannot be changed so any more."


class CashOutRefused(Refusal):
    """The ledger did not reserve the money; the detail is its result code."""

    code = "cash_out_refused"
    status = 409
    title = "The money for this cash-out was not reserved."


class BatchMissing(Refusal):
    """No batch has this id."""

    code = "bank_batch_missing"
    status = 404
    title = "There is no such batch."


class BatchDecided(Refusal):
    """Somebody decided about this batch before."""

    code = "bank_batch_decided"
    status = 409
    title = "This batch was decided already."


class BatchEmpty(Refusal):
    """Nothing waits that could be sent."""

    code = "bank_batch_empty"
    status = 409
    title = "No cash-out waits that could be sent."


class BankAccountClosed(Refusal):
    """Nothing leaves from an account that is closed."""

    code = "bank_account_closed"
    status = 409
    title = "This account of ours is closed."


class BankAccountBusy(Refusal):
    """Something leaves for it, or waits to be approved."""

    code = "bank_account_busy"
    status = 409
    title = "Something about this account is under way."


class SecondPersonNeeded(Refusal):
    """Whoever proposed something does not approve it."""

    code = "second_person_needed"
    status = 403
    title = "A second person has to approve this."


class FileNotThere(Refusal):
    """The batch has no file: it was not released yet, or everything was left out."""

    code = "bank_file_missing"
    status = 404
    title = "There is no file to download."


class LineMissing(Refusal):
    """No line of a statement has this id, or it needs nobody."""

    code = "bank_line_missing"
    status = 404
    title = "There is no such line that waits for somebody."


class BankProposalMissing(Refusal):
    """Nothing of this id waits for a second person."""

    code = "bank_proposal_missing"
    status = 404
    title = "Nothing of this id waits for a second person."


class MatchUnfit(Refusal):
    """A line cannot be what somebody says it is."""

    code = "bank_match_unfit"
    status = 409
    title = "This line cannot be that."


class CalendarMissing(Refusal):
    """The pack in force has no calendar of banking days."""

    code = "banking_calendar_missing"
    status = 409
    title = "The pack declares no calendar 'banking'."
