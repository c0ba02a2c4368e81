"""Take events in, make them ready, put them in order, keep them. Owns the log, the inbox and quarantine.

Guarantees: an answered event is in the log, once (law 1); entries have one order and a log time that rises; what cannot
be read is kept, sealed, and can be sent again.
"""

from koban.events.decider import LEASE_NAME, Decider, LogTime, Steps, take_log
from koban.events.decode import decode, decode_document, decode_pieces, encode
from koban.events.prepare import Preparer, accounts_of, joined_kind, make_preparer, prepare, read_row
from koban.events.types import (
    Accepted,
    BodyUnreadable,
    Entry,
    Envelope,
    EventConflict,
    EventMissing,
    Fault,
    Fenced,
    Flag,
    Kind,
    LogTaken,
    Prepared,
    Row,
    TooManyEvents,
    Value,
)

__all__ = [
    "LEASE_NAME",
    "Accepted",
    "BodyUnreadable",
    "Decider",
    "Entry",
    "Envelope",
    "EventConflict",
    "EventMissing",
    "Fault",
    "Fenced",
    "Flag",
    "Kind",
    "LogTaken",
    "LogTime",
    "Prepared",
    "Preparer",
    "Row",
    "Steps",
    "TooManyEvents",
    "Value",
    "accounts_of",
    "decode",
    "decode_document",
    "decode_pieces",
    "encode",
    "joined_kind",
    "make_preparer",
    "prepare",
    "read_row",
    "take_log",
]
