"""Why a webhook or a page was not delivered, in the reader's language: the sender writes it in English, for the log."""

import re
from collections.abc import Sequence
from typing import Final

from koban.console.words import Words

_KNOWN: Final = (
    ("answered", re.compile(r"the receiver answered (?P<status>\d{3})")),
    ("no_answer", re.compile(r"no answer within (?P<seconds>[\d.]+) s")),
    ("private", re.compile(r"(?P<host>\S+) leads into a private network")),
    ("no_such_name", re.compile(r"the name cannot be looked up: .*", re.DOTALL)),
    ("refused", re.compile(r"ConnectError: .*", re.DOTALL)),
    ("contact_removed", re.compile(r"the contact was removed")),
)


def recognised(known: Sequence[tuple[str, re.Pattern[str]]], said: str) -> tuple[str, dict[str, str]] | None:
    """Return the name of the first pattern that fits all of what was said, and what it names; None where none does."""
    for name, pattern in known:
        found = pattern.fullmatch(said)
        if found is not None:
            return name, found.groupdict()
    return None


def undelivered(words: Words, error: str) -> str:
    """Return the reason in the reader's words; nothing where it is one that only its own words can tell."""
    found = recognised(_KNOWN, error)
    return "" if found is None else words(f"undelivered.{found[0]}", **found[1])
