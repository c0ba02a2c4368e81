"""Why a rule stopped by itself, as the log tells it, in the reader's language."""

import re
from typing import Final

from koban.console.words import Words, retold

_ENDS: Final = r"( It only opens cases until a person decides\.)?"
_SAID: Final = (
    ("cap", re.compile(rf"The rule harmed (?P<count>\d+) people within an hour, as many as it may\.{_ENDS}")),
    ("cap", re.compile(r"(?P<count>\d+) people harmed within an hour")),
    ("new", re.compile(rf"The rule is new, and acted (?P<count>\d+) times within an hour\.{_ENDS}")),
    (
        "ceiling",
        re.compile(
            rf"The rule harmed (?P<count>\d+) people within an hour; (?P<people>\d+) in (?P<hours>\d+) hours were"
            rf" expected\.{_ENDS}"
        ),
    ),
    ("above", re.compile(r"(?P<count>\d+) where fewer were expected, within an hour")),
)


def trip_said(words: Words, said: str) -> str:
    """Return in the reader's words why a rule stopped; nothing where only its own words can tell it."""
    return retold(words, "trip", _SAID, said)
