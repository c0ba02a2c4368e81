"""The board: what happens now in numbers, an hour of them kept by the minute, and the money that waits.

Owns `board_minutes`. Publishes nothing.
Guarantees: every number is counted from rows that a page can show; amounts are never added across currencies; what is
asked costs the database one snapshot and the decider nothing.
"""

from koban.board.money import HeldMoney, sums_of
from koban.board.now import Now, Series, read_now, read_series, sample
from koban.board.routes import BoardDesk, choose, endpoints
from koban.board.tally import NO_ACTIVITY, Activity, RuleTally
from koban.board.types import Numbers, Waiting

__all__ = [
    "NO_ACTIVITY",
    "Activity",
    "BoardDesk",
    "HeldMoney",
    "Now",
    "Numbers",
    "RuleTally",
    "Series",
    "Waiting",
    "choose",
    "endpoints",
    "read_now",
    "read_series",
    "sample",
    "sums_of",
]
