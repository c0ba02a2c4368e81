"""Score how much a host name imitates a protected brand: confusable letters, edits, brand words, deceptive subdomains.

The score is a fixed table of ways to imitate, the strongest counts; nothing is learned. An index over the brands makes the
time depend on the length of the host alone, so that a list of 10,000 brands costs as much as one.
"""

import contextlib
import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from koban.text.normalise import Normalised, fold
from koban.text.urls import find_hosts, registered_domain

# How sure each way of imitating makes us, in millionths.
DECEPTIVE_SUBDOMAIN: Final = 950_000  # mercari.com.evil.example
SAME_NAME: Final = 900_000  # mercari.shop, rnercari.com, xn--mercar-… : the name itself under another suffix
BRAND_WORD: Final = 850_000  # mercari-login.example
BRAND_LABEL: Final = 800_000  # mercari.evil.example
ONE_EDIT: Final = 750_000  # mercarl, mercarii; a word of five letters or more
BRAND_INSIDE: Final = 700_000  # loginmercari.example; a name of five letters or more
WORD_EDIT: Final = 650_000  # mercar1-login
LONG_EDITS: Final = 600_000  # two edits of a name of nine letters or more

HOSTS_MAX: Final = 10  # addresses of one text that are compared
LABEL_MAX: Final = 63
_SHORT: Final = 5
_LONG: Final = 9
_MERGED: Final = (("rn", "m"), ("vv", "w"), ("cl", "d"), ("nn", "m"))
_DIGIT_LETTERS: Final = str.maketrans("013457$", "oieasts")
_PARTS: Final = re.compile(r"[-_.]+")


class _Brand(msgspec.Struct, frozen=True):
    entry: str  # as it stands in the list
    name: str  # its skeleton: mercari
    domain: str  # mercari.com; "" where the list holds a bare name


class Likeness(msgspec.Struct, frozen=True):
    """The brand that a text's addresses imitate most, and how much in millionths."""

    brand: str
    score: int


class BrandIndex:
    """Protected brands, written as domains (`mercari.com`) or names (`mercari`), ready to be compared with hosts.

    A domain protects its own name and is never a look-alike itself, nor are the domains below it.
    """

    def __init__(self, entries: Iterable[str]) -> None:
        """Index the brands by their skeletons and by what is left of these after one deletion."""
        self._names: dict[str, list[_Brand]] = {}
        self._shortened: dict[str, list[_Brand]] = {}
        self._domains: dict[str, list[_Brand]] = {}
        for entry in sorted(set(entries)):
            brand = _read_brand(entry)
            if brand is None:
                continue
            self._names.setdefault(brand.name, []).append(brand)
            if brand.domain:
                self._domains.setdefault(brand.domain, []).append(brand)
            if len(brand.name) >= _SHORT:
                for rest in _deletions(brand.name):
                    self._shortened.setdefault(rest, []).append(brand)

    def likeness(self, text: Normalised, sent: str, entries: Mapping[str, int], at: int) -> Likeness | None:
        """Return the brand that the text's addresses imitate most; only entries that count at a moment are asked.

        `sent` is the text as it was sent: a brand's own domain in letters that only look like it is no domain of the brand.
        """
        best: tuple[int, str] | None = None
        for host, _ in find_hosts(text.base)[:HOSTS_MAX]:
            for score, brand in self._of_host(host[:253], disguised=not sent.isascii() and _is_disguised(host, sent)):
                if entries.get(brand.entry, 0) > at and (best is None or (-score, brand.entry) < best):
                    best = (-score, brand.entry)
        return None if best is None else Likeness(brand=best[1], score=-best[0])

    def _of_host(self, host: str, *, disguised: bool) -> Iterable[tuple[int, _Brand]]:
        disguised = disguised or "xn--" in host
        host = _decoded(host)
        registered = registered_domain(host) or ".".join(host.split(".")[-2:])
        if registered in self._domains:
            if disguised:
                yield from ((SAME_NAME, brand) for brand in self._domains[registered])
            return
        below = host.removesuffix(registered).strip(".")
        label = registered.split(".")[0][:LABEL_MAX]
        yield from self._of_label(label)
        labels = [each[:LABEL_MAX] for each in below.split(".") if each]
        for place, each in enumerate(labels):
            for skeleton in _skeletons(each):
                for brand in self._names.get(skeleton, ()):
                    rest = ".".join(labels[place:])
                    deceptive = brand.domain and (rest + ".").startswith(brand.domain + ".")
                    yield DECEPTIVE_SUBDOMAIN if deceptive else BRAND_LABEL, brand
            for word in _PARTS.split(each):
                for skeleton in _skeletons(word):
                    for brand in self._names.get(skeleton, ()):
                        yield BRAND_LABEL, brand
        # mercari.com-secure.example: the brand's domain, stretched over labels with hyphens.
        stretched = host.replace("-", ".")
        for domain, brands in self._domains_in(stretched):
            if not registered.startswith(domain):
                yield from ((DECEPTIVE_SUBDOMAIN, brand) for brand in brands)

    def _domains_in(self, dotted: str) -> Iterable[tuple[str, list[_Brand]]]:
        parts = dotted.split(".")
        for start in range(len(parts)):
            for end in range(start + 2, min(start + 4, len(parts)) + 1):
                domain = ".".join(parts[start:end])
                if domain in self._domains and end < len(parts):
                    yield domain, self._domains[domain]

    def _of_label(self, label: str) -> Iterable[tuple[int, _Brand]]:
        words = [word for word in _PARTS.split(label) if word]
        for skeleton in _skeletons(label):
            for brand in self._names.get(skeleton, ()):
                yield SAME_NAME, brand
            for brand in self._near(skeleton):
                yield ONE_EDIT, brand
            for start in range(len(skeleton)):
                for end in range(start + _SHORT, len(skeleton) + 1):
                    for brand in self._names.get(skeleton[start:end], ()):
                        yield BRAND_INSIDE, brand
            yield from ((LONG_EDITS, brand) for brand in self._two_edits(skeleton))
        if len(words) > 1:
            for word in words:
                for skeleton in _skeletons(word):
                    for brand in self._names.get(skeleton, ()):
                        yield BRAND_WORD, brand
                    for brand in self._near(skeleton):
                        yield WORD_EDIT, brand

    def _near(self, skeleton: str) -> Iterable[_Brand]:
        """Return the brands one edit away: a deletion on either side meets in the middle."""
        from rapidfuzz.distance import OSA

        if len(skeleton) < _SHORT - 1:
            return
        for rest in (skeleton, *_deletions(skeleton)):
            for brand in (*self._shortened.get(rest, ()), *self._long_enough(rest)):
                if brand.name != skeleton and OSA.distance(brand.name, skeleton) == 1:
                    yield brand

    def _long_enough(self, name: str) -> Iterable[_Brand]:
        return self._names.get(name, ()) if len(name) >= _SHORT else ()

    def _two_edits(self, skeleton: str) -> Iterable[_Brand]:
        from rapidfuzz.distance import OSA

        if len(skeleton) < _LONG - 1:
            return
        for rest in _deletions(skeleton):
            for brand in self._shortened.get(rest, ()):
                if len(brand.name) >= _LONG and OSA.distance(brand.name, skeleton) == 2:
                    yield brand


def _read_brand(entry: str) -> _Brand | None:
    text = fold(entry.strip()).strip(".")
    domain = registered_domain(text) if "." in text else ""
    name = _skeleton((domain or text).split(".")[0][:LABEL_MAX])
    return _Brand(entry, name, domain) if len(name) >= 3 else None


def _is_disguised(host: str, sent: str) -> bool:
    """Say whether a host stands in the text only in letters of other scripts that look like its own."""
    if host in unicodedata.normalize("NFKC", sent).lower():
        return False
    return any(
        not each.isascii() and each.isalpha() and (seen := fold(each)).isascii() and seen.isalnum()
        for each in unicodedata.normalize("NFKC", sent).lower()
    )


def _decoded(host: str) -> str:
    """Return a host with its punycode read and its letters folded to those they look like."""
    labels = []
    for label in host.lower().split("."):
        if label.startswith("xn--"):
            with contextlib.suppress(UnicodeError):
                label = label[4:].encode("ascii").decode("punycode")
        labels.append(fold(label))
    return ".".join(labels)


def _skeleton(label: str) -> str:
    return label.replace("-", "").replace("_", "").translate(_DIGIT_LETTERS)


def _skeletons(label: str) -> tuple[str, ...]:
    """Return what a reader may take a label for: digits as letters, and pairs of letters as the one they look like."""
    plain = label.replace("-", "").replace("_", "")
    first = plain.translate(_DIGIT_LETTERS)
    found = {first, plain.replace("1", "l").translate(_DIGIT_LETTERS)}
    for pair, one in _MERGED:
        if pair in first:
            found.add(first.replace(pair, one))
    return tuple(sorted(found))


def _deletions(name: str) -> list[str]:
    return [name[:place] + name[place + 1 :] for place in range(len(name))]
