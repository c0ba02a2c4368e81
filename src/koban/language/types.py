"""What Koban SQL is made of: types, what a condition may name, checked expressions, and the errors people read."""

import enum
from collections.abc import Mapping
from typing import Any, Literal, Protocol, TypeAlias

import msgspec

from koban.base import Problem, Refusal
from koban.text import BrandIndex, Likeness, Normalised, PhraseMatcher

Value: TypeAlias = bool | int | str | tuple[str, ...] | None
"""A value at run time. Decimals are integers scaled by 10**6; timestamps and intervals are integer microseconds."""

SCALE = 1_000_000
INT_MAX = 2**63 - 1
INT_MIN = -(2**63)
DECIMAL_MAX = 10**18 - 1  # decimal(18,6), scaled
NEVER = INT_MAX  # the expiry of an entry or label that does not expire

TEXT_LIMIT = 10_000  # characters of one expression
DEPTH_LIMIT = 40  # how deep an expression may nest
_SHOWN = 120  # characters of a line that an error shows
NODE_LIMIT = 2_000  # parts of one expression
SCORE = "score:"  # before the name of a score, among features


class Type(enum.StrEnum):
    """The types of Koban SQL. There are no implicit casts between them."""

    BOOL = "bool"
    INT = "int"
    DECIMAL = "decimal"
    TEXT = "text"
    TIMESTAMP = "timestamp"
    INTERVAL = "interval"
    TEXTS = "text[]"


class Origin(Protocol):
    """Where an expression was written; `koban.packs.Source` is one."""

    @property
    def file(self) -> str:
        """Return the file's name."""

    @property
    def line(self) -> int:
        """Return the line, from 1."""

    @property
    def column(self) -> int:
        """Return the column, from 1."""


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """A plain `Origin`, for expressions that stand in no file."""

    file: str = "expression"
    line: int = 1
    column: int = 1


class ListInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A list that an expression may ask: `values` with in_list, `phrases` with mentions."""

    kind: Literal["values", "phrases"]


class FeatureInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A feature that an expression may read: by its bare name if `bare`, and as of(feature, path) if `kind` is known."""

    type: Type
    kind: str = ""  # the kind of subject it belongs to; of() takes only paths that name such a subject
    bare: bool = True
    bound: int | None = None  # a distinct count is exact up to this number: comparing it with more is an error
    counts: bool = False  # it is never below zero: comparing it with less is never, or always, true
    unit: str = ""  # of what it adds up or keeps


class ScoreInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A score that an expression may ask, and the subject that score('name') alone means; None where it is not clear."""

    kind: str
    path: str | None = None


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """What an expression may name. `time`, the log time, is always there."""

    names: Mapping[str, Type]  # fields of the event, by dotted path
    features: Mapping[str, FeatureInfo] = {}
    subjects: Mapping[str, str] = {}  # path -> kind of subject, for of()
    lists: Mapping[str, ListInfo] = {}
    labels: frozenset[str] | None = None  # the labels that exist; None: any
    units: Mapping[str, str] = {}  # path -> unit: values of different units are not compared
    scores: Mapping[str, ScoreInfo] = {}
    definitions: Mapping[str, str] = {}  # name -> the expression that it stands for


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """One typed part of an expression. `op` is a row of the catalogue, or `const`, `name`, `feature`, `define`.

    A `define` stands where a definition is named: its one argument is what it stands for, with places in the
    definition's own text, which is `value[1]`. A score is a `feature` named by `score_key`.
    """

    op: str
    type: Type
    args: tuple["Node", ...] = ()
    value: object = None  # const: its value; name: its path; feature: (name, path or None); else as its row says
    start: int = 0  # where it stands in the expression's text
    end: int = 0
    key: str = ""  # equal for parts that mean the same, wherever they stand
    cost: int = 0  # rough nanoseconds / 10, to ask the cheap things first
    size: int = 1  # how many parts it has, itself included


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """An expression that parses and types in its scope."""

    text: str
    type: Type
    root: Node  # as written: with definitions where they are named
    core: Node  # what runs: definitions put in place, with the places of their names
    reads: frozenset[str]  # fields, without `time`
    features: frozenset[str]  # features read by their bare name
    features_of: frozenset[tuple[str, str]]  # (feature, path) of each of() call
    lists: frozenset[str]
    labels: frozenset[str]
    calls: frozenset[str]  # functions called
    texts: frozenset[str]  # fields that are read in normalised form
    scores: frozenset[tuple[str, str]] = frozenset()  # (score, path of its subject)
    definitions: frozenset[str] = frozenset()  # named, directly or by another one

    def __repr__(self) -> str:
        """Show what was written; its tree would fill pages of a logged traceback."""
        return f"Checked({self.text!r})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:  # Any: as msgspec says
        """Show the same where a traceback is drawn."""
        return [("text", self.text)]


class LanguageError(msgspec.Struct, frozen=True, kw_only=True):
    """One thing wrong with an expression, and where."""

    detail: str
    file: str
    line: int
    column: int
    length: int
    text_line: str  # the line of the expression in which it stands
    text_column: int  # the column within that line, from 1
    hint: str = ""

    def render(self) -> str:
        """Return the error as people read it: position, the line, a caret below, a hint."""
        place = f"{self.file}:{self.line}:{self.column}"
        cut = max(0, self.text_column - 1 - _SHOWN // 2)
        shown = self.text_line[cut : cut + _SHOWN]
        start = self.text_column - 1 - cut
        caret = " " * _width(shown[:start]) + "^" * max(1, _width(shown[start : start + self.length]))
        more = "…" if cut else ""
        lines = [f"{place}: {self.detail}", f"    {more}{shown}", f"    {' ' * len(more)}{caret}"]
        if self.hint:
            lines.append(f"    {self.hint}")
        return "\n".join(lines)


def _width(text: str) -> int:
    """Return how many columns a terminal gives a text: Japanese characters take two."""
    return sum(2 if ord(each) >= 0x1100 and not 0xFF61 <= ord(each) <= 0xFFDC else 1 for each in text)


class LanguageErrors(Refusal):
    """An expression was refused; `errors` says everything that is wrong with it, in the order of the text."""

    code = "expression_refused"
    status = 422
    title = "The expression is not valid Koban SQL."

    def __init__(self, errors: tuple[LanguageError, ...]) -> None:
        """Gather the errors of one expression."""
        problems = tuple(
            Problem(path=f"{error.file}:{error.line}:{error.column}", detail=error.detail, hint=error.hint)
            for error in errors
        )
        super().__init__("\n".join(error.render() for error in errors), problems=problems)
        self.errors = errors


class Environment:
    """The live lists and labels that programs ask, in one place; programs read it anew at each event.

    The owner of the lists changes `values` and `labels` in place and puts a new `phrases` when a phrase list changed.
    """

    __slots__ = ("_brands", "labels", "phrases", "values")

    def __init__(
        self,
        *,
        values: Mapping[str, Mapping[str, int]] | None = None,
        phrases: PhraseMatcher | None = None,
        labels: Mapping[tuple[str, str], int] | None = None,
    ) -> None:
        """Take lists as value -> expiry, phrase lists as a matcher, labels as (subject, label) -> expiry (or NEVER)."""
        self.values: Mapping[str, Mapping[str, int]] = {} if values is None else values
        self.phrases = PhraseMatcher() if phrases is None else phrases
        self.labels: Mapping[tuple[str, str], int] = {} if labels is None else labels
        self._brands: dict[str, BrandIndex] = {}

    def likeness(self, text: Normalised, sent: str, name: str, at: int) -> Likeness:
        """Return the brand of a list that a text's addresses imitate most; the score 0 where they imitate none."""
        entries = self.values.get(name, {})
        index = self._brands.get(name)
        if index is None:
            index = self._brands[name] = BrandIndex(entries)
        return index.likeness(text, sent, entries, at) or _UNLIKE

    def beside(self, labels: Mapping[tuple[str, str], int]) -> "Environment":
        """Return the lists as they stand now beside other labels; what was made from their entries is shared."""
        other = Environment(values=self.values, phrases=self.phrases, labels=labels)
        other._brands = self._brands
        return other

    def lists_changed(self) -> None:
        """Forget what was made from the entries of lists; the owner calls it after any change of `values`."""
        self._brands.clear()


_UNLIKE = Likeness(brand="", score=0)


def score_key(name: str) -> str:
    """Return the name under which scores stand beside features; its subject follows as in `of_key`."""
    return f"{SCORE}{name}"


def of_key(feature: str, path: str) -> str:
    """Return the key under which `values` holds of(feature, path)."""
    return f"{feature}@{path}"
