"""What rules read besides their own text: the definitions and features that they name, and what is behind those.

Pure. What is read is found by the words of the texts, not by their meaning, so it can only be too much.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from koban.packs.types import PackDef, RuleDef

_WORD: Final = re.compile(r"[a-z_][a-z0-9_]*", re.IGNORECASE)
_QUOTED: Final = re.compile(r"'([^']*)'")


def read_by(pack: PackDef, rules: Iterable[RuleDef]) -> set[str]:
    """Return every word that these rules' conditions say, and what is behind those that are names, to the end."""
    return _behind(pack, rules)[0]


def readers_of_lists(pack: PackDef) -> Mapping[str, list[RuleDef]]:
    """Return, per list of the pack, the rules that read it: in their condition, or through what that names."""
    readers: dict[str, list[RuleDef]] = {name: [] for name in pack.lists}
    for rule in pack.rules.values():
        _, texts = _behind(pack, (rule,))
        for name in {quoted for text in texts for quoted in _QUOTED.findall(text)}:
            if name in readers:
                readers[name].append(rule)
    return readers


def _behind(pack: PackDef, rules: Iterable[RuleDef]) -> tuple[set[str], list[str]]:
    """Return the words that rules say, to the end, and the texts that say them."""
    words, texts = set[str](), [rule.when for rule in rules]
    for text in texts:  # which grows by what is behind its words
        further = _words(text) - words
        words |= further
        texts += (behind for word in further for behind in _texts_of(pack, word))
    return words, texts


def _texts_of(pack: PackDef, name: str) -> Iterator[str]:
    if name in pack.definitions:
        yield pack.definitions[name].text
    if name in pack.features:
        feature = pack.features[name]
        yield feature.value
        yield feature.where or ""


def _words(text: str) -> set[str]:
    return {word.lower() for word in _WORD.findall(text)}
