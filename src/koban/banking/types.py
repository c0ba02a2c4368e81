"""What banks say and are told: frozen data. Amounts are `int` minor units, days are YYYY-MM-DD of the bank."""

from typing import Literal

import msgspec

# What a line is by the bank's own coding: `return` is money of ours that came back (組戻し, 振込不能), `fee` the bank's own.
RowKind = Literal["transfer", "return", "fee", "other"]


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
