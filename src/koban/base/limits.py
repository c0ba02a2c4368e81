"""Every bound of the system in one place, with the relations between them asserted."""

from typing import Final

from koban.base.clock import DAY, HOUR, MINUTE, SECOND

# Bodies and documents.
BODY_BYTES_MAX: Final = 8 * 1024 * 1024  # one HTTP request
EVENT_BYTES_MAX: Final = 256 * 1024  # one event in it
BATCH_EVENTS_MAX: Final = 5_000  # events in one request
JSON_DEPTH_MAX: Final = 32  # nesting of one event
ID_CHARS_MAX: Final = 256  # an event's id, source, subject, or a subject's id
TEXT_CHARS_MAX: Final = 20_000  # one text field; the rest is kept but not read by rules
HEAD_BYTES_MAX: Final = 64 * 1024  # request line and headers of one request
CHUNK_OVERHEAD_MAX: Final = 8  # bytes around a byte of a body that is sent in chunks
CONNECTIONS_MAX: Final = 10_000  # open at a time, where the system allows so many descriptors
SENDER_LOOK_EVERY_S: Final = 15  # a head has to be there by then, and from look to look
SENDER_BYTES_MIN: Final = 8 * 1024  # so much of a body

# The decider.
DECIDER_BATCH_MAX: Final = 256  # entries in one commit
DECIDER_QUEUE_MAX: Final = 20_000  # events waiting in memory; past it callers are asked to come back
INBOX_BATCH_MAX: Final = 128  # events taken from the durable inbox between two looks at the synchronous queue
INBOX_BESIDE_MAX: Final = 16  # and taken in every batch of events that somebody waits for
LATE_AFTER: Final = 10 * MINUTE  # an event older than this at arrival is late
CLOCK_STEP_MAX: Final = 5 * SECOND  # a wall-clock step larger than this is not followed
LEASE_FOR: Final = 15 * SECOND
LEASE_RENEW_EVERY: Final = 4 * SECOND
FEATURES_BEHIND_MAX: Final = 8_000  # entries whose changes of features may wait to be written; a start replays them
FEATURES_TOGETHER: Final = 32  # entries whose changes of features are written in one go, where they may wait
FEATURE_SLICE_MAX: Final = 500  # feature records written back in one commit, beside four for each of its entries or, if more, what they changed
FEATURE_SLICE_IDLE_MAX: Final = 500  # and in one commit made for nothing else
FEATURES_IN_SLICES_MAX: Final = 50_000  # records that wait in slices; past it the oldest go into the table of records
REST_AFTER_FAILURE: Final = SECOND  # before the decider tries again what failed without anybody waiting for it
WRITE_BACK_AFTER: Final = 200_000  # microseconds without work after which feature records are written back
TIMERS_PER_BATCH_MAX: Final = 64
CAUSE_CHAIN_MAX: Final = 3  # facts of Koban's own in one chain of causes; a further one is stopped with an alert

# Pages and queries.
PAGE_DEFAULT: Final = 50
PAGE_MAX: Final = 200

# The ledger.
AMOUNT_MINOR_MAX: Final = 2**63 - 1  # one amount, and every sum of a book
BOOK_LIMIT_MINOR_MAX: Final = 2**62  # a limit of a book, so that no sum with it leaves 64 bits by far
TRANSFERS_PER_BATCH_MAX: Final = 5_000  # in one call
BOOKS_PER_BATCH_MAX: Final = 5_000  # opened in one call
CONDITIONS_PER_TRANSFER_MAX: Final = 8  # on balances
PENDING_TIMEOUT_S_MAX: Final = 3_153_600_000  # a hundred years
EXPIRIES_PER_BATCH_MAX: Final = 1_000  # pending transfers freed before one batch
STATEMENT_MARK_EVERY: Final = 64  # lines of a book between two places from which a statement can start

# People's reasons.
PURPOSE_CHARS_MIN: Final = 8  # why somebody reads what is kept from others: a message, a personal field
PURPOSE_CHARS_MAX: Final = 500  # the longest such reason

# Retention.
DATABASE_DAYS: Final = 30  # events leave the database for the archive after this
QUARANTINE_FOR: Final = 30 * DAY
VOUCHERS_FOR: Final = (
    3_653 * DAY
)  # files to and from banks: books are kept ten years (Companies Act of Japan, article 432)

# Law 8.
HARM_WINDOW: Final = HOUR
SNOOZE_MAX: Final = 366 * DAY  # the longest that a rule is mute for somebody: a pardon for good would be seen by nobody

SEQ_EPOCH_SHIFT: Final = 40  # a sequence number is epoch << 40 | counter

assert BOOK_LIMIT_MINOR_MAX * 2 - 1 == AMOUNT_MINOR_MAX
assert EVENT_BYTES_MAX < BODY_BYTES_MAX
assert LEASE_RENEW_EVERY * 3 < LEASE_FOR, "a lease survives two missed renewals"
assert PAGE_DEFAULT <= PAGE_MAX
assert INBOX_BESIDE_MAX < INBOX_BATCH_MAX
assert INBOX_BATCH_MAX <= DECIDER_BATCH_MAX <= DECIDER_QUEUE_MAX
assert BATCH_EVENTS_MAX <= DECIDER_QUEUE_MAX
