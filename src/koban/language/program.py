"""Compile conditions to one Python function, and single expressions to small ones."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias, cast

import msgspec

from koban.language.emit import RUNTIME, Emitter, key_of
from koban.language.nodes import walk
from koban.language.types import Checked, Environment, Node, Type, Value
from koban.text import Normalised

Run: TypeAlias = Callable[
    [Mapping[str, Value], Mapping[str, Value], int, Environment, dict[str, Normalised] | None], tuple[int, ...]
]
ValueOf: TypeAlias = Callable[..., Value]

_NO_LISTS = Environment()
_EVENT_ARGUMENTS = "row, values, at, env, texts=None"


class Program(msgspec.Struct, frozen=True, kw_only=True):
    """Many conditions as one function.

    `run(row, values, at, env, texts)` returns the indexes of the conditions that are TRUE, rising. `row` holds the event's
    fields, `values` its features (of() under `of_key`), `at` the log time. `texts` may hold fields already normalised, and
    is filled with those that were needed.
    """

    run: Run
    checks: tuple[Checked, ...]
    source: str


def compile_program(checks: Sequence[Checked]) -> Program:
    """Compile conditions that are asked of the same events."""
    assert all(each.type == Type.BOOL for each in checks), "a program is made of conditions"
    names = Names([each.core for each in checks])
    emitter = Emitter(names.load, nan=names.nan, texts="texts")
    for each in checks:
        emitter.count(each.core)
    tests = [f"if {emitter.true(each.core)}: hit({index})" for index, each in enumerate(checks)]
    emitted = emitter.finish("")
    lines = [
        "if texts is None: texts = {}",
        "get = row.get; got = values.get",
        *names.lines,
        *emitted.prologue,
        "fired = []; hit = fired.append",
        *tests,
        "return tuple(fired)",
    ]
    source = function_source("program", _EVENT_ARGUMENTS, lines)
    # exec gives back an object; the source above is what makes it a Run.
    run = cast("Run", load_function("program", source, emitted.constants))
    return Program(run=run, checks=tuple(checks), source=source)


def compile_value(checked: Checked) -> ValueOf:
    """Compile one expression to `value(row, at, env=…, texts=None)`; `row` holds fields and features alike."""
    names = Names([checked.core], features="get")
    emitter = Emitter(names.load, nan=names.nan, texts="texts")
    code = emitter.value(checked.core)
    emitted = emitter.finish(code)
    lines = ["if texts is None: texts = {}", "get = row.get", *names.lines, *emitted.prologue, f"return {code}"]
    source = function_source("value", "row, at, env=NO_LISTS, texts=None", lines)
    # exec gives back an object; the source above is what makes it a ValueOf.
    return cast("ValueOf", load_function("value", source, {**emitted.constants, "NO_LISTS": _NO_LISTS}))


class Names:
    """The locals that hold what a function reads, each read once."""

    def __init__(self, roots: Sequence[Node], *, features: str = "got") -> None:
        """Find what the expressions read; features are read from `got` (values) or `get` (row)."""
        self._features = features
        self._owner = {key_of(node): node for root in roots for node in walk(root) if node.op in {"name", "feature"}}
        self._locals: dict[str, str] = {}
        self._nans: dict[str, str] = {}
        self.lines: list[str] = []

    def load(self, key: str) -> str:
        """Return the local that holds a name's value, None for NULL."""
        if key not in self._locals:
            local = f"v{len(self._locals)}"
            reader = self._features if self._owner[key].op == "feature" else "get"
            self.lines.append(f"{local} = {reader}({key!r})")
            self._locals[key] = local
        return self._locals[key]

    def nan(self, key: str) -> str:
        """Return the local that holds a name's value, NaN for NULL."""
        if key not in self._nans:
            value = self.load(key)
            local = f"q{value[1:]}"
            self.lines.append(f"{local} = NAN if {value} is None else {value}")
            self._nans[key] = local
        return self._nans[key]


def function_source(name: str, arguments: str, lines: Sequence[str]) -> str:
    """Return the source of a function with these lines."""
    return f"def {name}({arguments}):\n" + "".join(f"    {line}\n" for line in lines)


def load_function(name: str, source: str, constants: Mapping[str, object]) -> object:
    """Return the function that generated source defines."""
    scope: dict[str, object] = {**RUNTIME, **constants}
    # The source is written by `emit` from checked trees; what people typed enters it only as repr() of constants.
    exec(compile(source, f"<koban {name}>", "exec"), scope)  # noqa: S102
    return scope[name]
