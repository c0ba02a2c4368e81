"""Ground: time, ids, money, limits, settings and refusals. Knows no domain and imports nothing of ours."""

from koban.base.children import child_command
from koban.base.clock import (
    DAY,
    HOUR,
    MINUTE,
    SECOND,
    Clock,
    Instant,
    ManualClock,
    SystemClock,
    from_rfc3339,
    instant_of,
    to_rfc3339,
)
from koban.base.cores import roam, share_core
from koban.base.ids import random_id, sequence_id
from koban.base.keyset import keyset, keyset_of
from koban.base.lookout import Lookout
from koban.base.money import MINOR_DIGITS, Money, format_money
from koban.base.refusals import Problem, Refusal, Unavailable
from koban.base.relay import Relay
from koban.base.shares import Share, wilson

__all__ = [
    "DAY",
    "HOUR",
    "MINOR_DIGITS",
    "MINUTE",
    "SECOND",
    "Clock",
    "Instant",
    "Lookout",
    "ManualClock",
    "Money",
    "Problem",
    "Refusal",
    "Relay",
    "Share",
    "SystemClock",
    "Unavailable",
    "child_command",
    "format_money",
    "from_rfc3339",
    "instant_of",
    "keyset",
    "keyset_of",
    "random_id",
    "roam",
    "sequence_id",
    "share_core",
    "to_rfc3339",
    "wilson",
]
