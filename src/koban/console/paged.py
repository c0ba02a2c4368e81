"""What a page's steps wrote for the log, in the reader's language and with people by name."""

import functools
import re
from collections.abc import Callable
from typing import Final

from markupsafe import Markup

from koban.console.undelivered import undelivered
from koban.console.words import Words, as_it_is, retold

_NOBODY_REACHED: Final = "nobody there can be reached"
_SAID: Final = (
    ("again", re.compile(r"(?P<times>\d+) times by now")),
    ("level", re.compile(r"level (?P<level>\d)")),
    ("everybody", re.compile(r"level (?P<level>\d): every lead and administrator is told")),
    ("told", re.compile(r"level (?P<level>\d): (?P<count>\d+) messages")),
    ("not_taken", re.compile(r"level (?P<level>\d): nobody acknowledged")),
    ("empty", re.compile(r"level (?P<level>\d): nobody is on call at level (?P<before>\d)")),
    ("not_reached", re.compile(rf"level (?P<level>\d): {_NOBODY_REACHED}")),
    ("not_sent", re.compile(r"level (?P<level>\d): no message of this level was taken")),
    ("no_contact", re.compile(r"no contact of (?P<people>.+)")),
    ("by_console", re.compile(r"console")),
    ("by_link", re.compile(r"link")),
    ("by_api", re.compile(r"api")),
)


def step_said(words: Words, name_of: Callable[[str], str], what: str, detail: str) -> str:
    """Return what a step says beside its kind; nothing where only its own words can tell it."""
    if what == "failed":
        return undelivered(words, detail)
    if what == "opened":
        told = words.named("alert", detail)
        return "" if told == detail else told
    return retold(words, "page_said", _SAID, detail, functools.partial(_told, name_of))


def _told(name_of: Callable[[str], str], name: str, value: str) -> str:
    if name != "people":
        return value
    return Markup(", ").join(as_it_is(name_of(each) or each) for each in value.split(", "))
