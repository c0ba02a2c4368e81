"""Every answer that the ledger can give, in the fixed order in which it looks: the first one that holds is returned.

Source: TigerBeetle 0.17, create_accounts and create_transfers; what Koban adds is marked in `docs/decisions`.
"""

import enum
from typing import Final


class BookCode(enum.StrEnum):
    """What became of a book that was to be created. In order of precedence, `created` when none holds."""

    CREATED = "created"
    ID_INVALID = "id_invalid"
    EXISTS_WITH_DIFFERENT_CURRENCY = "exists_with_different_currency"
    EXISTS_WITH_DIFFERENT_CODE = "exists_with_different_code"
    EXISTS_WITH_DIFFERENT_OWNER = "exists_with_different_owner"
    EXISTS_WITH_DIFFERENT_LIMITS = "exists_with_different_limits"
    EXISTS = "exists"
    CURRENCY_INVALID = "currency_invalid"
    CODE_NOT_IN_CHART = "code_not_in_chart"
    CURRENCY_NOT_IN_CHART = "currency_not_in_chart"
    OWNER_MISSING = "owner_missing"
    OWNER_NOT_ALLOWED = "owner_not_allowed"
    LIMIT_OUT_OF_RANGE = "limit_out_of_range"


class LimitCode(enum.StrEnum):
    """What became of a change of a book's limits."""

    CHANGED = "changed"
    UNCHANGED = "unchanged"
    BOOK_NOT_FOUND = "book_not_found"
    LIMIT_OUT_OF_RANGE = "limit_out_of_range"


class TransferCode(enum.StrEnum):
    """What became of a transfer. In order of precedence, `created` when none holds."""

    CREATED = "created"
    LINKED_EVENT_FAILED = "linked_event_failed"
    LINKED_EVENT_CHAIN_OPEN = "linked_event_chain_open"
    ID_INVALID = "id_invalid"
    EXISTS_WITH_DIFFERENT_FLAGS = "exists_with_different_flags"
    EXISTS_WITH_DIFFERENT_PENDING_ID = "exists_with_different_pending_id"
    EXISTS_WITH_DIFFERENT_TIMEOUT = "exists_with_different_timeout"
    EXISTS_WITH_DIFFERENT_DEBIT_BOOK = "exists_with_different_debit_book"
    EXISTS_WITH_DIFFERENT_CREDIT_BOOK = "exists_with_different_credit_book"
    EXISTS_WITH_DIFFERENT_AMOUNT = "exists_with_different_amount"
    EXISTS_WITH_DIFFERENT_CURRENCY = "exists_with_different_currency"
    EXISTS_WITH_DIFFERENT_REASON = "exists_with_different_reason"
    EXISTS_WITH_DIFFERENT_REFERENCES = "exists_with_different_references"
    EXISTS_WITH_DIFFERENT_DATES = "exists_with_different_dates"
    EXISTS = "exists"
    ID_ALREADY_FAILED = "id_already_failed"
    FLAGS_ARE_MUTUALLY_EXCLUSIVE = "flags_are_mutually_exclusive"
    DEBIT_BOOK_MISSING = "debit_book_missing"
    CREDIT_BOOK_MISSING = "credit_book_missing"
    BOOKS_MUST_BE_DIFFERENT = "books_must_be_different"
    PENDING_ID_MUST_BE_EMPTY = "pending_id_must_be_empty"
    PENDING_ID_MISSING = "pending_id_missing"
    PENDING_ID_MUST_BE_DIFFERENT = "pending_id_must_be_different"
    TIMEOUT_RESERVED_FOR_PENDING_TRANSFER = "timeout_reserved_for_pending_transfer"
    TIMEOUT_OUT_OF_RANGE = "timeout_out_of_range"
    CLOSING_TRANSFER_MUST_BE_PENDING = "closing_transfer_must_be_pending"
    AMOUNT_MUST_NOT_BE_NEGATIVE = "amount_must_not_be_negative"
    AMOUNT_MUST_NOT_BE_ZERO = "amount_must_not_be_zero"
    AMOUNT_OUT_OF_RANGE = "amount_out_of_range"
    CURRENCY_MISSING = "currency_missing"
    REASON_INVALID = "reason_invalid"
    REFERENCE_INVALID = "reference_invalid"
    DATE_INVALID = "date_invalid"
    DEBIT_BOOK_NOT_FOUND = "debit_book_not_found"
    CREDIT_BOOK_NOT_FOUND = "credit_book_not_found"
    BOOKS_MUST_HAVE_THE_SAME_CURRENCY = "books_must_have_the_same_currency"
    TRANSFER_MUST_HAVE_THE_CURRENCY_OF_ITS_BOOKS = "transfer_must_have_the_currency_of_its_books"
    PENDING_TRANSFER_NOT_FOUND = "pending_transfer_not_found"
    PENDING_TRANSFER_NOT_PENDING = "pending_transfer_not_pending"
    PENDING_TRANSFER_HAS_DIFFERENT_DEBIT_BOOK = "pending_transfer_has_different_debit_book"
    PENDING_TRANSFER_HAS_DIFFERENT_CREDIT_BOOK = "pending_transfer_has_different_credit_book"
    PENDING_TRANSFER_HAS_DIFFERENT_CURRENCY = "pending_transfer_has_different_currency"
    EXCEEDS_PENDING_TRANSFER_AMOUNT = "exceeds_pending_transfer_amount"
    PENDING_TRANSFER_HAS_DIFFERENT_AMOUNT = "pending_transfer_has_different_amount"
    PENDING_TRANSFER_ALREADY_POSTED = "pending_transfer_already_posted"
    PENDING_TRANSFER_ALREADY_VOIDED = "pending_transfer_already_voided"
    PENDING_TRANSFER_EXPIRED = "pending_transfer_expired"
    BOOKING_PERIOD_CLOSED = "booking_period_closed"
    DEBIT_BOOK_ALREADY_CLOSED = "debit_book_already_closed"
    CREDIT_BOOK_ALREADY_CLOSED = "credit_book_already_closed"
    PRECONDITION_BOOK_NOT_FOUND = "precondition_book_not_found"
    PRECONDITION_FAILED = "precondition_failed"
    OVERFLOWS_DEBITS_PENDING = "overflows_debits_pending"
    OVERFLOWS_CREDITS_PENDING = "overflows_credits_pending"
    OVERFLOWS_DEBITS_POSTED = "overflows_debits_posted"
    OVERFLOWS_CREDITS_POSTED = "overflows_credits_posted"
    OVERFLOWS_DEBITS = "overflows_debits"
    OVERFLOWS_CREDITS = "overflows_credits"
    EXCEEDS_CREDITS = "exceeds_credits"
    EXCEEDS_DEBITS = "exceeds_debits"


class PostingCode(enum.StrEnum):
    """What became of a posting from a template. In order of precedence, `posted` when none holds."""

    POSTED = "posted"
    ID_INVALID = "id_invalid"
    EXISTS_WITH_DIFFERENT_TEMPLATE = "exists_with_different_template"
    EXISTS_WITH_DIFFERENT_PARAMETERS = "exists_with_different_parameters"
    EXISTS = "exists"
    ID_ALREADY_FAILED = "id_already_failed"
    TEMPLATE_UNKNOWN = "template_unknown"
    CURRENCY_NOT_IN_TEMPLATE = "currency_not_in_template"
    PARAMETER_MISSING = "parameter_missing"
    PARAMETER_UNKNOWN = "parameter_unknown"
    PARAMETER_INVALID = "parameter_invalid"
    APPROVAL_MISSING = "approval_missing"
    LEVEL_MISSING = "level_missing"
    LEVEL_UNKNOWN = "level_unknown"
    EVIDENCE_USED = "evidence_used"
    NEED_UNMET = "need_unmet"
    LIMIT_COUNT_EXCEEDED = "limit_count_exceeded"
    LIMIT_AMOUNT_EXCEEDED = "limit_amount_exceeded"
    NOTHING_TO_MOVE = "nothing_to_move"
    BOOK_REFUSED = "book_refused"
    TRANSFER_IMPOSSIBLE = "transfer_impossible"
    TRANSFER_REFUSED = "transfer_refused"


TRANSIENT: Final = frozenset(
    {
        TransferCode.DEBIT_BOOK_NOT_FOUND,
        TransferCode.CREDIT_BOOK_NOT_FOUND,
        TransferCode.PENDING_TRANSFER_NOT_FOUND,
        TransferCode.BOOKING_PERIOD_CLOSED,
        TransferCode.DEBIT_BOOK_ALREADY_CLOSED,
        TransferCode.CREDIT_BOOK_ALREADY_CLOSED,
        TransferCode.PRECONDITION_BOOK_NOT_FOUND,
        TransferCode.PRECONDITION_FAILED,
        TransferCode.EXCEEDS_CREDITS,
        TransferCode.EXCEEDS_DEBITS,
        TransferCode.OVERFLOWS_DEBITS_PENDING,
        TransferCode.OVERFLOWS_CREDITS_PENDING,
        TransferCode.OVERFLOWS_DEBITS_POSTED,
        TransferCode.OVERFLOWS_CREDITS_POSTED,
        TransferCode.OVERFLOWS_DEBITS,
        TransferCode.OVERFLOWS_CREDITS,
    }
)
"""Refusals that depend on the state of the ledger: the same transfer might pass a moment later, so its id is burned and
answers `id_already_failed` for ever, with the first answer beside it. A retry can never turn a failure into a success."""

MEANING: Final[dict[BookCode | LimitCode | PostingCode | TransferCode, str]] = {
    BookCode.CREATED: "The book exists from now on.",
    BookCode.ID_INVALID: "An id has 1 to 96 letters, digits and `_ . : ~ % -`.",
    BookCode.EXISTS_WITH_DIFFERENT_CURRENCY: "A book with this id exists, in another currency.",
    BookCode.EXISTS_WITH_DIFFERENT_CODE: "A book with this id exists, under another code.",
    BookCode.EXISTS_WITH_DIFFERENT_OWNER: "A book with this id exists, of another owner.",
    BookCode.EXISTS_WITH_DIFFERENT_LIMITS: "A book with this id was opened with other limits.",
    BookCode.EXISTS: "This very book exists already: a retry, and nothing to do.",
    BookCode.CURRENCY_INVALID: "A currency is three capital letters (ISO 4217).",
    BookCode.CODE_NOT_IN_CHART: "The chart of books has no such code.",
    BookCode.CURRENCY_NOT_IN_CHART: "The chart does not keep this code in this currency.",
    BookCode.OWNER_MISSING: "Books of this code belong to somebody or something; the owner is missing.",
    BookCode.OWNER_NOT_ALLOWED: "There is one book of this code in each currency; it has no owner.",
    BookCode.LIMIT_OUT_OF_RANGE: "A limit is a whole number from -(2^62) to 2^62, or none.",
    LimitCode.CHANGED: "The new limits hold from the next transfer on; what stands stays as it is.",
    LimitCode.UNCHANGED: "The book has these limits already: a retry, and nothing to do.",
    LimitCode.BOOK_NOT_FOUND: "There is no book with this id.",
    LimitCode.LIMIT_OUT_OF_RANGE: "A limit is a whole number from -(2^62) to 2^62, or none.",
    TransferCode.CREATED: "The transfer stands, for ever.",
    TransferCode.LINKED_EVENT_FAILED: "Another transfer of its chain failed, so this one changed nothing either.",
    TransferCode.LINKED_EVENT_CHAIN_OPEN: "The last transfer of the batch is linked to one that does not come.",
    TransferCode.ID_INVALID: "An id has 1 to 96 letters, digits and `_ . : ~ % -`.",
    TransferCode.EXISTS_WITH_DIFFERENT_FLAGS: "A transfer with this id exists, with other flags.",
    TransferCode.EXISTS_WITH_DIFFERENT_PENDING_ID: "A transfer with this id exists, for another pending transfer.",
    TransferCode.EXISTS_WITH_DIFFERENT_TIMEOUT: "A transfer with this id exists, with another timeout.",
    TransferCode.EXISTS_WITH_DIFFERENT_DEBIT_BOOK: "A transfer with this id exists, debiting another book.",
    TransferCode.EXISTS_WITH_DIFFERENT_CREDIT_BOOK: "A transfer with this id exists, crediting another book.",
    TransferCode.EXISTS_WITH_DIFFERENT_AMOUNT: "A transfer with this id exists, over another amount.",
    TransferCode.EXISTS_WITH_DIFFERENT_CURRENCY: "A transfer with this id exists, in another currency.",
    TransferCode.EXISTS_WITH_DIFFERENT_REASON: "A transfer with this id exists, for another reason.",
    TransferCode.EXISTS_WITH_DIFFERENT_REFERENCES: "A transfer with this id exists, with other references.",
    TransferCode.EXISTS_WITH_DIFFERENT_DATES: "A transfer with this id exists, with other dates or conditions.",
    TransferCode.EXISTS: "This very transfer exists already: a retry, and nothing to do.",
    TransferCode.ID_ALREADY_FAILED: "A transfer with this id was refused before; a new attempt needs a new id.",
    TransferCode.FLAGS_ARE_MUTUALLY_EXCLUSIVE: "These flags cannot go together.",
    TransferCode.DEBIT_BOOK_MISSING: "No debit book is named.",
    TransferCode.CREDIT_BOOK_MISSING: "No credit book is named.",
    TransferCode.BOOKS_MUST_BE_DIFFERENT: "Debit and credit book are the same.",
    TransferCode.PENDING_ID_MUST_BE_EMPTY: "Only a post or a void names a pending transfer.",
    TransferCode.PENDING_ID_MISSING: "A post or a void must name the pending transfer that it resolves.",
    TransferCode.PENDING_ID_MUST_BE_DIFFERENT: "A transfer cannot resolve itself.",
    TransferCode.TIMEOUT_RESERVED_FOR_PENDING_TRANSFER: "Only a pending transfer has a timeout.",
    TransferCode.TIMEOUT_OUT_OF_RANGE: "A timeout is 0 (never) to 3,153,600,000 seconds (a hundred years).",
    TransferCode.CLOSING_TRANSFER_MUST_BE_PENDING: "A book is closed by a pending transfer, so that voiding it reopens it.",
    TransferCode.AMOUNT_MUST_NOT_BE_NEGATIVE: "An amount is never below zero: exchange debit and credit instead.",
    TransferCode.AMOUNT_MUST_NOT_BE_ZERO: "Only a closing transfer may move nothing.",
    TransferCode.AMOUNT_OUT_OF_RANGE: "An amount fits into 63 bits.",
    TransferCode.CURRENCY_MISSING: "The currency is missing.",
    TransferCode.REASON_INVALID: "The reason is a short name: letters, digits, `_` and `.`.",
    TransferCode.REFERENCE_INVALID: "A reference (order, payment, cause) has 1 to 128 printable characters.",
    TransferCode.DATE_INVALID: "Booking and effective date are written YYYY-MM-DD.",
    TransferCode.DEBIT_BOOK_NOT_FOUND: "There is no debit book with this id. Burns the id.",
    TransferCode.CREDIT_BOOK_NOT_FOUND: "There is no credit book with this id. Burns the id.",
    TransferCode.BOOKS_MUST_HAVE_THE_SAME_CURRENCY: "The two books are kept in different currencies.",
    TransferCode.TRANSFER_MUST_HAVE_THE_CURRENCY_OF_ITS_BOOKS: "The books are kept in another currency.",
    TransferCode.PENDING_TRANSFER_NOT_FOUND: "There is no transfer to resolve with this id. Burns the id.",
    TransferCode.PENDING_TRANSFER_NOT_PENDING: "The transfer to resolve is not a pending one.",
    TransferCode.PENDING_TRANSFER_HAS_DIFFERENT_DEBIT_BOOK: "The pending transfer debits another book.",
    TransferCode.PENDING_TRANSFER_HAS_DIFFERENT_CREDIT_BOOK: "The pending transfer credits another book.",
    TransferCode.PENDING_TRANSFER_HAS_DIFFERENT_CURRENCY: "The pending transfer is in another currency.",
    TransferCode.EXCEEDS_PENDING_TRANSFER_AMOUNT: "More than what was reserved cannot be posted.",
    TransferCode.PENDING_TRANSFER_HAS_DIFFERENT_AMOUNT: "A void gives back the whole amount; leave it out or name it all.",
    TransferCode.PENDING_TRANSFER_ALREADY_POSTED: "The pending transfer was posted before.",
    TransferCode.PENDING_TRANSFER_ALREADY_VOIDED: "The pending transfer was voided before.",
    TransferCode.PENDING_TRANSFER_EXPIRED: "The pending transfer's time ran out.",
    TransferCode.BOOKING_PERIOD_CLOSED: "The books are closed up to this booking date. Burns the id.",
    TransferCode.DEBIT_BOOK_ALREADY_CLOSED: "The debit book is closed. Burns the id.",
    TransferCode.CREDIT_BOOK_ALREADY_CLOSED: "The credit book is closed. Burns the id.",
    TransferCode.PRECONDITION_BOOK_NOT_FOUND: "A condition names a book that does not exist. Burns the id.",
    TransferCode.PRECONDITION_FAILED: "A balance is not within what the transfer asked for. Burns the id.",
    TransferCode.OVERFLOWS_DEBITS_PENDING: "Pending debits of the book would pass 2^63 - 1. Burns the id.",
    TransferCode.OVERFLOWS_CREDITS_PENDING: "Pending credits of the book would pass 2^63 - 1. Burns the id.",
    TransferCode.OVERFLOWS_DEBITS_POSTED: "Posted debits of the book would pass 2^63 - 1. Burns the id.",
    TransferCode.OVERFLOWS_CREDITS_POSTED: "Posted credits of the book would pass 2^63 - 1. Burns the id.",
    TransferCode.OVERFLOWS_DEBITS: "Pending and posted debits together would pass 2^63 - 1. Burns the id.",
    TransferCode.OVERFLOWS_CREDITS: "Pending and posted credits together would pass 2^63 - 1. Burns the id.",
    TransferCode.EXCEEDS_CREDITS: "The debit book would go below what its limit allows. Burns the id.",
    TransferCode.EXCEEDS_DEBITS: "The credit book would go above what its limit allows. Burns the id.",
    PostingCode.POSTED: "All of its transfers stand.",
    PostingCode.ID_INVALID: "A posting's id has 1 to 80 letters, digits and `_ . : ~ % -`.",
    PostingCode.EXISTS_WITH_DIFFERENT_TEMPLATE: "A posting with this id was made from another template.",
    PostingCode.EXISTS_WITH_DIFFERENT_PARAMETERS: "A posting with this id was made with other parameters.",
    PostingCode.EXISTS: "This very posting exists already: a retry, and nothing to do.",
    PostingCode.ID_ALREADY_FAILED: "A posting with this id was refused before; a new attempt needs a new id.",
    PostingCode.TEMPLATE_UNKNOWN: "The active pack has no such posting template.",
    PostingCode.CURRENCY_NOT_IN_TEMPLATE: "The template is not for this currency.",
    PostingCode.PARAMETER_MISSING: "A parameter of the template is missing.",
    PostingCode.PARAMETER_UNKNOWN: "The template has no such parameter.",
    PostingCode.PARAMETER_INVALID: "A parameter is of another type, empty, negative, or past what bounds it.",
    PostingCode.APPROVAL_MISSING: "The template adjusts: one person proposes it for an exception, another approves it.",
    PostingCode.LEVEL_MISSING: "The posting is limited by verification level, and none is said.",
    PostingCode.LEVEL_UNKNOWN: "The active pack has no such verification level.",
    PostingCode.EVIDENCE_USED: "Another posting used what proves this one, and it proves only one. Burns the id.",
    PostingCode.NEED_UNMET: "A book that the template asks about holds more than it may. Burns the id.",
    PostingCode.LIMIT_COUNT_EXCEEDED: "Done more often than the level allows within the limit's time. Burns the id.",
    PostingCode.LIMIT_AMOUNT_EXCEEDED: "More than the level allows within the limit's time. Burns the id.",
    PostingCode.NOTHING_TO_MOVE: "Every amount comes to nothing.",
    PostingCode.BOOK_REFUSED: "A book that it needs cannot be opened as the chart says.",
    PostingCode.TRANSFER_IMPOSSIBLE: "A transfer of it was refused whatever the moment; `about` says why.",
    PostingCode.TRANSFER_REFUSED: "A transfer of it was refused because of the moment; `about` says why. Burns the id.",
}
