"""What to do about an error: the name that was meant, and what people write who come from another language or keyboard."""

import difflib
import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Final

from koban.language.catalogue import FUNCTIONS
from koban.language.syntax import parse
from koban.language.tables import CASTS, NUMERIC
from koban.language.types import SCALE, Node, Type
from koban.language.values import parse_timestamp

_SIGNS: Final = {
    "&&": "write AND", "&": "write AND", "|": "write OR", "!": "write NOT", "=>": "write >=",
    "=<": "write <=", "~": "write matches(text, 'pattern')", "≥": "write >=", "≤": "write <=", "≠": "write <>",
}  # fmt: skip
_WORDS: Final = {
    "rlike": "write matches(text, 'pattern')", "regexp": "write matches(text, 'pattern')",
    "similar": "write matches(text, 'pattern')", "glob": "write LIKE, with % for any part",
    "starts": "write starts_with(text, part)", "ends": "write ends_with(text, part)",
    "equals": "write =", "than": "write < or >", "xor": "write a <> b",
}  # fmt: skip
_ZONES: Final = {
    "JST": "Asia/Tokyo", "PST": "America/Los_Angeles", "PDT": "America/Los_Angeles", "EDT": "America/New_York",
    "BST": "Europe/London", "IST": "Asia/Kolkata", "KST": "Asia/Seoul", "CST": "America/Chicago",
}  # fmt: skip
_QUOTES: Final = "’‘“”「」『』`´"
_NUMBER: Final = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?\Z")
_COMMA: Final = re.compile(r"[0-9]{1,3}(,[0-9]{3})+")


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a hint with the name that was probably meant, or nothing."""
    names = list(known)
    lower = {each.lower(): each for each in reversed(names)}
    wanted = name.lower()
    close = difflib.get_close_matches(wanted, lower, n=1, cutoff=0.75)
    if close:
        return f"did you mean '{lower[close[0]]}'?"
    ends = [each for each in names if each.lower().endswith((f".{wanted}", f"/{wanted}"))]
    if len(ends) > 2:
        return f"one of {', '.join(ends[:3])}"
    if len(ends) == 2:
        return f"did you mean '{ends[0]}' or '{ends[1]}'?"
    if ends:
        return f"did you mean '{ends[0]}'?"
    # `message_text` for text, `price` for price_minor: one name is a whole part of the other.
    parts = [
        each
        for each in lower
        if min(len(each), len(wanted)) > 2 and (f"_{each}_" in f"_{wanted}_" or f"_{wanted}_" in f"_{each}_")
    ]
    close = [max(parts, key=len)] if parts else difflib.get_close_matches(wanted, lower, n=1, cutoff=0.6)
    return f"did you mean '{lower[close[0]]}'?" if close else ""


def of_unreadable(text: str, start: int, end: int) -> str:
    """Say what was probably meant where an expression cannot be read; empty where nobody can know."""
    part = text[start:end]
    word = part.lower()
    if part in _SIGNS:
        return _SIGNS[part]
    if part == "<" and text[:start].rstrip().endswith("="):
        return "write <="
    if part == "," and (grouped := _COMMA.search(text, max(0, start - 3))) and grouped.start() < start < grouped.end():
        return f"a number has no commas: write {grouped[0].replace(',', '')}"
    if any(character in _QUOTES for character in part):
        return "a text stands in straight single quotes: 'text'"
    plain = unicodedata.normalize("NFKC", part.replace("、", ","))
    if plain != part and plain.isascii() and plain:
        return f"these are full-width characters: write {plain}"
    if part == "*" and re.search(r"(?i)\bcount\s*\(\s*\Z", text[:start]):
        return "counts are features: declare one in features.yaml"
    if part == "%" and text[:start].rstrip()[-1:].isdigit():
        return "a share is a number from 0 to 1: 10 % is 0.1"
    if re.search(r"(?i)\bin\s+\Z", text[:start]) and part != "(":
        return f"write IN ('a', 'b'), or in_list(value, '{part}') for a list"
    if re.search(r"(?i)\bis\s+(not\s+)?\Z", text[:start]):
        return "write = or <> to compare with a value"
    if word in FUNCTIONS:
        return f"write {_call_of(word)}"
    return _WORDS.get(word, "")


def of_name(name: str, *, quoted: bool, kind_of_list: str) -> str:
    """Say what a name that means nothing here was probably meant for, besides another name; empty where none is seen."""
    if quoted:
        return f"a text stands in single quotes: '{name}'"
    if kind_of_list == "values":
        return f"it is a list: write in_list(value, '{name}')"
    return f"it is a list: write mentions(text, '{name}')" if kind_of_list else ""


def of_case(node: Node, written: str) -> str:
    """Say why a text whose letters were all made small, or large, never equals what is written; empty where it may."""
    if node.op == "lower" and any("A" <= character <= "Z" for character in written):
        return "lower() leaves no capital letters: write the text in small ones"
    if node.op == "upper" and any("a" <= character <= "z" for character in written):
        return "upper() leaves no small letters: write the text in capital ones"
    return ""


def of_zone(name: str, zones: Iterable[str]) -> str:
    """Say which time zone was probably meant."""
    known = _ZONES.get(name.upper())
    return f"write {known}" if known else nearest(name, zones)


def of_mismatch(left: Node, right: Node) -> str:
    """Say how two parts of different types can be compared."""
    for one, two in ((left, right), (right, left)):
        if two.op == "const":
            said = _of_constant(one, two)
            if said:
                return said
    return of_cast(right, left.type)


def _of_constant(part: Node, given: Node) -> str:
    """Say how a constant is written that a part can be compared with."""
    written = given.value
    if isinstance(written, str):
        if part.type in NUMERIC and _NUMBER.match(written):
            return f"a number stands without quotes: {written}"
        if part.type == Type.BOOL and written.lower() in {"true", "false"}:
            return f"write {written.upper()} without quotes"
        if part.type == Type.TIMESTAMP and parse_timestamp(written) is not None:
            return f"write TIMESTAMP '{written}'"
    if part.type == Type.TEXT and given.type == Type.INT:
        return "a text stands in single quotes; length(…) says how long one is"
    if part.type == Type.INT and given.type == Type.DECIMAL and isinstance(written, int):
        return f"compare it with a whole number, as in {written // SCALE}"
    if part.type == Type.BOOL and given.type == Type.INT and written in {0, 1}:
        return f"write {'TRUE' if written else 'FALSE'}"
    if part.type == Type.INTERVAL and given.type == Type.INT:
        return f"write INTERVAL '{written} days', or another unit"
    return ""


def of_cast(node: Node, kind: Type) -> str:
    """Say how a part can be given the type that is needed."""
    if node.op == "const" and kind == Type.TEXT:
        return "a text stands in single quotes"
    if node.op == "const":
        return f"convert the other side with CAST(… AS {node.type})" if (kind, node.type) in CASTS else ""
    if (node.type, kind) in CASTS:
        return f"convert it with CAST(… AS {kind})"
    return ""


def of_pattern(pattern: str) -> str:
    """Say which part of a pattern other engines know."""
    if re.search(r"\(\?<?[=!]", pattern):
        return "RE2 knows no look-around"
    if re.search(r"\\[1-9]", pattern):
        return "RE2 knows no back-references"
    return ""


def of_condition(kind: Type, text: str) -> str:
    """Say how a value that is no condition becomes one."""
    if not re.fullmatch(r"[\w.]+", text):
        return ""
    if kind in NUMERIC:
        return f"compare it, as in {text} > 0"
    return f"compare it, as in {text} = 'text'" if kind == Type.TEXT else ""


def whole_likes(text: str) -> Iterator[tuple[int, str]]:
    """Find every LIKE and ILIKE of an expression whose pattern has no % and no _: where the pattern starts, and the pattern.

    Invariant: the expression can be read.
    """
    parts = [parse(text)]
    while parts:
        part = parts.pop()
        parts.extend(part.args)
        if part.op in ("like", "ilike") and part.args[1].op == "string":
            pattern = part.args[1]
            if not {"%", "_"} & set(pattern.value):
                yield pattern.start, pattern.value


def _call_of(name: str) -> str:
    return FUNCTIONS[name].signature.split(" ->")[0]
