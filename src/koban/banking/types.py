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
