"""What can be counted of a text: disguise, shouting, likeness. Each takes time linear in the text.

rapidfuzz is imported here and in `lookalike` alone. Texts longer than `LIKENESS_CHARS` are compared by their beginnings, so
that two long texts cost a millisecond at most.
"""

import re
import unicodedata
from typing import Final

from koban.text.normalise import Normalised, fold
from koban.text.patterns import fold_pattern, pattern_options
from koban.text.urls import find_hosts

LIKENESS_CHARS: Final = 1_000  # of each text that are compared by edit distance
MILLION: Final = 1_000_000
WORDS_MAX: Final = 1_000  # words of a text that `words` returns
_WORD: Final = re.compile(r"\w+")
_DIGITS: Final = re.compile(r"[0-9]+")
_KANJI_DIGITS: Final = str.maketrans("〇零一二三四五六七八九", "00123456789")
_EMAIL_HOST: Final = re.compile(r"[a-z0-9._%+-]{1,64}@([a-z0-9.-]{1,253}\.[a-z]{2,24})(?![a-z0-9-])")
_PATTERN_MEMORY: Final = 8 << 20
_HIDDEN: Final = frozenset({"Cf", "Mn", "Me"})
_SIGNS_DEEP: Final = 5  # labels of a host from which it counts as deep


def edit_distance(one: str, two: str) -> int:
    """Return how many characters must be inserted, deleted or replaced to make one text of the other."""
    from rapidfuzz.distance import Levenshtein

    return int(Levenshtein.distance(one[:LIKENESS_CHARS], two[:LIKENESS_CHARS]))


def likeness(one: str, two: str) -> int:
    """Return 1 - edit distance / length of the longer text, in millionths; two empty texts are alike."""
    longest = max(len(one[:LIKENESS_CHARS]), len(two[:LIKENESS_CHARS]))
    return MILLION if longest == 0 else (longest - edit_distance(one, two)) * MILLION // longest


def upper_share(text: str) -> int:
    """Return the share of cased letters that are upper case, in millionths; 0 where there is none."""
    upper = sum(1 for each in text if each.isupper())
    cased = upper + sum(1 for each in text if each.islower())
    return 0 if cased == 0 else upper * MILLION // cased


def longest_run(text: str) -> int:
    """Return how often the most repeated character stands in a row."""
    longest = run = 0
    last = ""
    for each in text:
        run = run + 1 if each == last else 1
        last = each
        longest = max(longest, run)
    return longest


def hidden_characters(text: str) -> int:
    """Count characters that nobody sees, and marks drawn over others, that composition does not need."""
    if text.isascii():
        return 0
    return sum(1 for each in unicodedata.normalize("NFC", text) if unicodedata.category(each) in _HIDDEN)


def mixes_scripts(text: str) -> bool:
    """Say whether a word mixes Latin with Cyrillic or Greek letters, as disguised words do."""
    if text.isascii():
        return False
    for word in _WORD.findall(text):
        if word.isascii():
            continue
        scripts = {name for each in word if each.isalpha() and (name := _script(each))}
        if len(scripts) > 1:
            return True
    return False


def _script(letter: str) -> str:
    first = unicodedata.name(letter, "").partition(" ")[0]
    return first if first in {"LATIN", "CYRILLIC", "GREEK", "CHEROKEE", "ARMENIAN"} else ""


def words(text: Normalised) -> tuple[str, ...]:
    """Return the words of a normalised text; a run of Japanese letters is one word."""
    return tuple(_WORD.findall(text.plain)[:WORDS_MAX])


def digits(text: Normalised) -> str:
    """Return the digits of a text, full-width and kanji numerals included, one after the other."""
    return "".join(_DIGITS.findall(text.base.translate(_KANJI_DIGITS)))


def hosts(text: Normalised) -> tuple[str, ...]:
    """Return all host names in a text, hidden ones too, each once, in order of appearance."""
    return tuple(dict.fromkeys(host for host, _ in find_hosts(text.base)))


def email_hosts(text: Normalised) -> tuple[str, ...]:
    """Return the host names behind the @ of all e-mail addresses in a text."""
    return tuple(dict.fromkeys(_EMAIL_HOST.findall(text.base)))


def url_signs(text: Normalised) -> tuple[str, ...]:
    """Return what is suspicious in the form of a text's addresses, sorted: deep, digits, hyphens, ip, long, punycode."""
    found: set[str] = set()
    for host in hosts(text):
        labels = host.split(".")
        plain = "".join(labels[:-1])
        if all(label.isdigit() for label in labels):
            found.add("ip")
            continue
        if any(label.startswith("xn--") for label in labels):
            found.add("punycode")
        if len(labels) >= _SIGNS_DEEP:
            found.add("deep")
        if max(len(label) for label in labels) >= 25:
            found.add("long")
        if host.count("-") >= 3:
            found.add("hyphens")
        if sum(each.isdigit() for each in plain) * 3 >= len(plain) > 0:
            found.add("digits")
    return tuple(sorted(found))


class Finder:
    """One RE2 pattern that shows what it found, over the `plain` form. `check_pattern` has taken it."""

    def __init__(self, pattern: str) -> None:
        """Compile the pattern, with captures."""
        import re2

        options = pattern_options(_PATTERN_MEMORY)
        options.never_capture = False
        self._found = re2.compile(fold_pattern(pattern), options)

    def first(self, plain: str) -> str | None:
        """Return the first group of the first match, or the whole match of a pattern without groups."""
        match = self._found.search(plain)
        if match is None:
            return None
        shown: str | None = match.group(1 if self._found.groups else 0)
        return shown

    def count(self, plain: str) -> int:
        """Count the matches that do not overlap; the empty ones are none."""
        return sum(1 for match in self._found.finditer(plain) if match.group(0))


def folded(text: str) -> str:
    """Return a text as readers see it: width, case, accents and look-alikes folded."""
    return fold(text)
