"""Why something was refused, in the reader's language: a refusal says it in English, far from whoever reads it.

The sentences are the texts of the section `refused`. The English one is looked for word for word, and what stands at its
named places is taken over; the place `why` is a sentence itself. A place at the beginning takes a name, names with commas
or something in quotes, so that no sentence of other words is taken for this one. A sentence that is not there stays English, marked as no
language's, rather than being guessed at. What is wrong with a pack has its own table (`language.in_japanese`).
"""

import functools
import re
import string
from typing import Final

from markupsafe import Markup

from koban.base import Refusal
from koban.console.words import Words, as_it_is, catalogue, language_of, retold
from koban.language import in_japanese

SECTION: Final = "refused"
_SENTENCE: Final = "why"
_NAMED: Final = r"""'.*?'|".*?"|\S+?(?:, \S+?)*"""


def refusal_said(language: str, refusal: Refusal) -> str:
    """Return a refusal's problems, or where it names none its detail, in the reader's language."""
    said = [detail_said(language, each.detail) for each in refusal.problems] or [detail_said(language, refusal.detail)]
    return Markup(" ").join(said)


def detail_said(language: str, detail: str) -> str:
    """Return one sentence of a refusal in the reader's language."""
    spoken = language_of(language)
    if spoken == "en" or not detail:
        return detail
    told = retold(Words(spoken), SECTION, _known(), detail, functools.partial(_value, language))
    if told:
        return told
    japanese = in_japanese(detail)
    return japanese if japanese != detail else as_it_is(detail)


def _value(language: str, name: str, value: str) -> str:
    return detail_said(language, value) if name == _SENTENCE else as_it_is(value)


@functools.cache
def _known() -> tuple[tuple[str, re.Pattern[str]], ...]:
    """Return the sentences as patterns; the one that says most in words of its own comes first."""
    found = []
    for name, text in catalogue("en").items():
        if not name.startswith(f"{SECTION}."):
            continue
        pattern, own = "", 0
        for literal, place, _, _ in string.Formatter().parse(text):
            pattern += re.escape(literal)
            if place is not None:
                pattern += f"(?P<{place}>{'.+?' if pattern else _NAMED})"
            own += len(literal)
        found.append((-own, name.removeprefix(f"{SECTION}."), re.compile(pattern, re.DOTALL)))
    return tuple((key, pattern) for _, key, pattern in sorted(found, key=lambda each: each[:2]))
