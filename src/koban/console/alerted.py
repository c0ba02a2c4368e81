"""What an alert says, in the reader's language: it is raised in English, with the log's own names and figures."""

import functools
import re
from collections.abc import Callable
from typing import Final

from koban.base import from_rfc3339
from koban.console.formats import Formats
from koban.console.tripped import trip_said
from koban.console.undelivered import undelivered
from koban.console.words import Words, as_it_is, retold

KNOWN: Final = tuple(
    (name, re.compile(pattern, re.DOTALL))
    for name, pattern in (
        ("unconfirmed", r"(?P<count>\d+) actions unconfirmed, the oldest requested at (?P<at>\S+)"),
        ("dead", r"(?P<action>\S+) was given up after (?P<count>\d+) attempts: (?P<error>.*)"),
        ("less_precise", r"(?P<found>\S+) of the judged cases were right, (?P<expected>\S+) before \(evidence .*\)\."),
        ("more", r"It matched (?P<found>[\d,]+) people where (?P<expected>[\d,]+) were expected \(evidence .*\)\."),
        (
            "fewer",
            r"It matched only (?P<found>[\d,]+) people where (?P<expected>[\d,]+) were expected \(evidence .*\)\.",
        ),
        ("nothing_matched", r"Nothing matched for 30 days: (?P<rules>.*)"),
        ("breached", r"A case was not decided in its time: (?P<queue>.*), (?P<case>case_\S+)\."),
        (
            "pack_another",
            (
                r"(?P<digest>\S+) is in force, which a person brought\."
                r" The pack given at start is another, and is proposed\."
            ),
        ),
        (
            "pack_outdated_silent",
            (
                r"This release would refuse (?P<digest>\S+), which is in force: (?P<faults>.*)\."
                r" These rules do not run: (?P<rules>.*)\."
            ),
        ),
        (
            "pack_outdated",
            r"This release would refuse (?P<digest>\S+), which is in force: (?P<faults>.*)\. Its rules run as before\.",
        ),
        ("pack_severe", r"The pack given at start needs a second person: (?P<needs>.*)\."),
        ("clock", r"The wall clock jumped by (?P<seconds>\S+) s and is not followed\."),
        (
            "archive",
            (
                r"(?P<file>archive/entries/\S+) cannot be read: (?P<count>\d+) events of (?P<day>\S+) are missing from"
                r" (?P<features>.*)\. Put the file back from a backup, take the features out of the pack and bring them"
                r" back\."
            ),
        ),
        (
            "archive_over",
            (
                r"(?P<file>archive/entries/\S+) is past its retention and cannot be read\. It stays, because only the file"
                r" says whose data is in it\. Put it back from a backup: then it goes by itself\."
            ),
        ),
        ("chain", r"(?P<type>\S+) would be the fact number (?P<count>\d+) of one chain of causes; it was stopped\."),
        ("fact", r"The pack declares fields that the fact has otherwise\."),
        (
            "stopped_deciding",
            r"This process has stopped deciding\. Events are refused until it, or another one, decides again\.",
        ),
        ("trail", r"The audit trail was changed: (?P<what>.*)"),
        ("ledger", r"The ledger does not hold at position (?P<position>\d+): (?P<what>.*)"),
        (
            "paid_twice",
            r"Paid by (?P<first>.*), and again by (?P<again>.*)\. All of it is held; give back what is too much\.",
        ),
        ("payment", r"A payment needs a person: (?P<why>.*)"),
        ("provider_out", r"(?P<provider>\S+) gave no answer (?P<count>\d+) times: (?P<error>.*)"),
        (
            "person_erased",
            r"(?P<kind>\S+) (?P<step>\S+) was sent to (?P<provider>\S+), and its person erased before the answer came",
        ),
        ("not_ours", r"(?P<provider>\S+): (?P<message>.*) is about nothing of ours"),
        (
            "emergency_started",
            r"(?P<by>\S+) started (?P<rule>\S+) until (?P<at>\S+), at most (?P<cap>\d+) people an hour: (?P<reason>.*)",
        ),
        ("emergency_ended", r"(?P<rule>\S+) ended: (?P<reason>.*)\."),
    )
)
_AND_MORE: Final = re.compile(r" and (\d+) more$")


def alert_said(words: Words, formats: Formats, name_of: Callable[[str], str], said: str) -> str:
    """Return the alert in the reader's words; nothing where only its own words can tell it.

    `name_of` gives the name of whoever has an id, and nothing where nobody has.
    """
    value = functools.partial(_told, words, formats, name_of)
    return retold(words, "alert_said", KNOWN, said, value) or trip_said(words, said)


def _told(words: Words, formats: Formats, name_of: Callable[[str], str], key: str, value: str) -> str:
    """Return a value as the reader is told it: in their words where it has any, else marked as nobody's language."""
    match key:
        case "count" | "found" | "expected" | "position" | "cap" | "seconds":
            return value
        case "at":
            at = from_rfc3339(value)
            return value if at is None else formats.full(at)
        case "error":
            return undelivered(words, value) or as_it_is(value)
        case "queue":
            return _in_language(words, value)
        case "by":
            return as_it_is(name_of(value) or value)
        case "first":
            more = _AND_MORE.search(value)
            return as_it_is(_AND_MORE.sub("", value)) + (words("alert_said.and_more", count=more[1]) if more else "")
        case _:
            return as_it_is(value)


def _in_language(words: Words, titles: str) -> str:
    """Return one of two titles, which an alert names as `English / 日本語`."""
    english, between, japanese = titles.partition(" / ")
    return japanese if between and words.language == "ja" else english
