"""The console's words: a folder of JSON files per language, with the same keys in both, read once."""

import functools
import pathlib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal

import msgspec
from markupsafe import Markup, escape

Language = Literal["ja", "en"]
LANGUAGES: Final[tuple[Language, ...]] = ("ja", "en")

_FOLDER: Final = pathlib.Path(__file__).parent / "texts"


@functools.cache
def catalogue(language: Language) -> Mapping[str, str]:
    """Return every text of a language by its key."""
    found: dict[str, str] = {}
    for file in sorted((_FOLDER / language).glob("*.json")):
        for section, texts in msgspec.json.decode(file.read_bytes(), type=dict[str, dict[str, str]]).items():
            for key, text in texts.items():
                name = f"{section}.{key}"
                assert name not in found, f"{name} stands twice in the texts"
                found[name] = text
    return found


class Words:
    """Texts of one language, called in templates as `t("board.title")`; values go in by name."""

    __slots__ = ("_texts", "language")

    def __init__(self, language: Language) -> None:
        """Speak one language."""
        self.language: Language = language
        self._texts = catalogue(language)

    def __call__(self, key: str, **values: object) -> str:
        """Return a text; a key that is not there is a bug and fails at once.

        A value that is markup (a name of somebody, marked as no language's) stays so, and the rest is escaped.
        """
        text = self._texts[key]
        if any(isinstance(each, Markup) for each in values.values()):
            return escape(text).format(**values)
        return text.format(**values) if values else text

    def named(self, section: str, name: str) -> str:
        """Return the word for a name from outside (a verdict, a mode, a state); an unknown one is shown as it is."""
        return self._texts.get(f"{section}.{name}", name)

    def of(self, texts: Mapping[str, str]) -> str:
        """Choose from a pack's texts: the reader's language, else any."""
        return texts.get(self.language) or next(iter(texts.values()), "")


def as_it_is(value: str) -> Markup:
    """Return a value that is in nobody's language, a name or what another system said, marked so."""
    return Markup('<bdi translate="no">{}</bdi>').format(value)


def language_of(name: str) -> Language:
    """Return a language of ours for a name from outside."""
    return "ja" if name == "ja" else "en"


def retold(
    words: Words,
    section: str,
    known: Sequence[tuple[str, re.Pattern[str]]],
    said: str,
    value: Callable[[str, str], str] = lambda _name, value: value,
) -> str:
    """Return what was said in the reader's words, those of a section; nothing where no known pattern fits all of it.

    `value` makes of each value, by its name, what the reader is told.
    """
    for key, pattern in known:
        found = pattern.fullmatch(said)
        if found is not None:
            values = {name: value(name, each) for name, each in found.groupdict().items() if each is not None}
            return words(f"{section}.{key}", **values)
    return ""
