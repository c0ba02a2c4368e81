"""The shape of the catalogue's rows: functions with their parameters, and operators."""

from typing import Literal

import msgspec

from koban.language.types import Type

Role = Literal[
    "",
    "constant",
    "values",
    "phrases",
    "label",
    "pattern",
    "zone",
    "kind",
    "feature",
    "path",
    "json",
    "currency",
    "score",
]


class Param(msgspec.Struct, frozen=True):
    """One argument: its name, the types it may have (none: any one type), and what a constant in it means."""

    name: str
    types: tuple[Type, ...] = ()
    role: Role = ""
    optional: bool = False
    many: bool = False  # the last parameter may be given again and again
    empty: bool = False  # a constant text may be empty
    low: int | None = None  # bounds of a constant integer
    high: int | None = None


class Function(msgspec.Struct, frozen=True, kw_only=True):
    """One function. `result` None means the type of its arguments."""

    name: str
    params: tuple[Param, ...]
    result: Type | None
    en: str
    ja: str
    cost: int = 4
    null: Literal["strict", "own"] = "strict"  # strict: NULL in any argument gives NULL
    low: int | None = None  # what its result is never below or above
    high: int | None = None
    unit: str = ""  # what its result is measured in: values of different units are not compared

    @property
    def signature(self) -> str:
        """Return the signature as the reference shows it."""
        parts: list[str] = []
        for param in self.params:
            shown = param.name if not param.types else f"{param.name} {' | '.join(param.types)}"
            shown = f"{shown}, …" if param.many else shown
            parts.append(f"[{shown}]" if param.optional else shown)
        result = self.result.value if self.result is not None else "the same type"
        return f"{self.name}({', '.join(parts)}) -> {result}"


class Operator(msgspec.Struct, frozen=True, kw_only=True):
    """One operator, keyed by the `op` of its nodes."""

    op: str
    symbol: str
    en: str
    ja: str
    cost: int = 1

    @property
    def signature(self) -> str:
        """Return how it is written."""
        return self.symbol
