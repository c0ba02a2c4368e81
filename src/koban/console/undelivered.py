"""Why a webhook or a page was not delivered, in the reader's language: the sender writes it in English, for the log."""

import re
from typing import Final

from koban.console.words import Words, retold

_KNOWN: Final = (
    ("answered", re.compile(r"the receiver answered (?P<status>\d{3})")),
    ("no_answer", re.compile(r"no answer within (?P<seconds>[\d.]+) s")),
    ("private", re.compile(r"(?P<host>\S+) leads into a private network")),
    ("no_such_name", re.compile(r"the name cannot be looked up: .*", re.DOTALL)),
    ("refused", re.compile(r"ConnectError: .*", re.DOTALL)),
    ("contact_removed", re.compile(r"the contact was removed")),
)


def undelivered(words: Words, error: str) -> str:
    """Return the reason in the reader's words; nothing where it is one that only its own words can tell."""
    return retold(words, "undelivered", _KNOWN, error)
