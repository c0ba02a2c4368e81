"""Precision, recall and false alarms with honest intervals."""

import hashlib
import unicodedata

import msgspec

from koban.base import Share, wilson


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """How something that flags did on labelled rows."""

    name: str
    flagged: int
    true: int
    false: int
    unknown: int  # flagged rows that the file says nothing about
    precision: Share
    recall: Share
    false_alarms: Share  # of all honest rows


def measure(name: str, *, true: int, false: int, unknown: int, harmful: int, honest: int) -> Measured:
    """Measure something that flagged `true` harmful and `false` honest rows of `harmful` and `honest` in all."""
    return Measured(
        name=name,
        flagged=true + false + unknown,
        true=true,
        false=false,
        unknown=unknown,
        precision=wilson(true, true + false),
        recall=wilson(true, harmful),
        false_alarms=wilson(false, honest),
    )


def is_test(group: str) -> bool:
    """Tell whether a group belongs to the test part: when the first hex digit of its SHA-1 is d, e or f.

    The group is normalised by NFKC and lower case first, so that copies of a text fall on one side.
    """
    normal = unicodedata.normalize("NFKC", group).lower()
    return hashlib.sha1(normal.encode(), usedforsecurity=False).hexdigest()[0] in "def"
