"""Nearly the same text: a person looks at a campaign once, not at each copy of it.

A sketch is the smallest few keyed hashes of a text's runs of characters (a bottom-k sketch), so two texts that share
most runs share most of the sketch, whatever was put between. The key keeps the sketch from being tried out.
Source: Broder, "On the resemblance and containment of documents" (1997).
"""

import hashlib
import heapq
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Final

RUN: Final = 3  # characters: Japanese words are short
SKETCH: Final = 24  # hashes kept
CHARS_MIN: Final = 16  # shorter texts are alike by chance
CHARS_READ: Final = 2_000
ALIKE_OF_SKETCH: Final = 17  # hashes that two sketches of full length share when about six runs of ten are the same
DOORS: Final = 6  # smallest hashes under which a sketch is found again

Sketch = tuple[int, ...]


def sketch_of(text: str, key: bytes) -> Sketch:
    """Return the sketch of a text, smallest hash first; empty where it is too short to say anything."""
    plain = "".join(
        "0" if character.isdecimal() else character
        for character in unicodedata.normalize("NFKC", text[:CHARS_READ]).casefold()
        if character.isalnum()
    )
    if len(plain) < CHARS_MIN:
        return ()
    runs = {plain[start : start + RUN] for start in range(len(plain) - RUN + 1)}
    hashes = (
        int.from_bytes(hashlib.blake2b(run.encode("utf-8", "surrogatepass"), key=key, digest_size=6).digest(), "big")
        for run in runs
    )
    return tuple(heapq.nsmallest(SKETCH, hashes))


def is_alike(one: Sketch, other: Sketch) -> bool:
    """Return whether two texts are nearly the same, by the part that they share of the smallest hashes of both."""
    if not one or not other:
        return False
    both = set(heapq.nsmallest(SKETCH, {*one, *other}))
    shared = len(both & set(one) & set(other))
    return shared * SKETCH >= ALIKE_OF_SKETCH * len(both)


def doors(sketch: Sketch) -> Sequence[int]:
    """Return the hashes under which a sketch is kept and looked for."""
    return sketch[:DOORS]


def text_of(texts: Sequence[str], row: Mapping[str, object]) -> str:
    """Join what people wrote in an event, in the order of its type's texts."""
    return "\n".join(value for path in texts if isinstance(value := row.get(path), str))
