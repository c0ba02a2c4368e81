"""YAML as a tree that remembers where everything was written, read without trust in its author.

Only mappings, lists and plain scalars: anchors, aliases, tags and merge keys are faults, so no document can grow while
it is read (an alias bomb) or name a Python object. Depth and the number of nodes are bounded.
"""

import dataclasses
from collections.abc import Iterator
from typing import Final, TypeAlias

import yaml

from koban.packs.faults import Fault
from koban.packs.types import Source

MAX_DEPTH: Final = 12
MAX_NODES: Final = 200_000
_HINTS: Final = {
    "mapping values are not allowed": "a text with ': ' in it stands in quotes, or under '|' on lines of its own",
    "a tab character": "indent with spaces",
    "cannot start any token": "a text that begins with such a character stands in quotes",
    "while scanning an alias": "a text that begins with * stands in quotes",
    "end of stream": "something was opened and not closed: a quote, [ or {",
}


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Scalar:
    """One value as text; `plain` when it was not quoted, so that `true` and `12` may mean a bool and a number."""

    text: str
    plain: bool
    at: Source


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Items:
    """A list."""

    items: "tuple[Node, ...]"
    at: Source


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Entries:
    """A mapping, in the order written; keys are distinct."""

    pairs: "tuple[tuple[Scalar, Node], ...]"
    at: Source


Node: TypeAlias = Scalar | Items | Entries


@dataclasses.dataclass(kw_only=True, slots=True)
class _Open:
    """A list or mapping that is still being read."""

    mapping: bool
    at: Source
    children: list[Node] = dataclasses.field(default_factory=list)


class _Stop(Exception):
    """The document cannot be read any further."""

    def __init__(self, at: Source, detail: str, hint: str = "") -> None:
        super().__init__(detail)
        self.fault = Fault(source=at, detail=detail, hint=hint)


def parse_document(file: str, text: str, faults: list[Fault]) -> Node | None:
    """Read one YAML document; None when it is empty or cannot be read, with the reason added to `faults`."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return _compose(file, yaml.parse(text, Loader=loader), faults)
    except _Stop as stop:
        faults.append(stop.fault)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = Source(file=file, line=mark.line + 1, column=mark.column + 1) if mark else Source(file=file, line=1)
        said = str(error.problem or error.context)
        hint = next((hint for part, hint in _HINTS.items() if part in said), "")
        faults.append(Fault(source=at, detail=f"not valid YAML: {said}", hint=hint))
    except yaml.YAMLError as error:
        faults.append(Fault(source=Source(file=file, line=1), detail=f"not valid YAML: {error}"))
    return None


def _compose(file: str, events: Iterator[yaml.Event], faults: list[Fault]) -> Node | None:
    stack: list[_Open] = []
    root: Node | None = None
    nodes = documents = 0
    for event in events:
        mark = event.start_mark
        at = Source(file=file, line=mark.line + 1, column=mark.column + 1) if mark else Source(file=file, line=1)
        done: Node | None = None
        match event:
            case yaml.DocumentStartEvent():
                documents += 1
                if documents > 1:
                    raise _Stop(at, "a file holds one document", "split it into two files")
                continue
            case yaml.AliasEvent():
                raise _Stop(at, "aliases are not allowed", "write the value out")
            case yaml.ScalarEvent():
                _check_node(event, at)
                done = Scalar(text=event.value, plain=not event.style, at=at)
            case yaml.SequenceStartEvent() | yaml.MappingStartEvent():
                _check_node(event, at)
                stack.append(_Open(mapping=isinstance(event, yaml.MappingStartEvent), at=at))
                if len(stack) > MAX_DEPTH:
                    raise _Stop(at, f"nested more than {MAX_DEPTH} levels deep")
            case yaml.SequenceEndEvent() | yaml.MappingEndEvent():
                done = _close(stack.pop(), faults)
            case _:
                continue
        if done is None:
            continue
        nodes += 1
        if nodes > MAX_NODES:
            raise _Stop(at, f"more than {MAX_NODES} values in one file", "split the file, or use a .txt list")
        if stack:
            stack[-1].children.append(done)
        else:
            root = done
    return None if isinstance(root, Scalar) and root.plain and root.text in {"", "~", "null"} else root


def _check_node(event: yaml.NodeEvent, at: Source) -> None:
    if event.anchor is not None:
        raise _Stop(at, "anchors are not allowed", "write the value out where it is needed")
    # types-PyYAML leaves `tag` off NodeEvent; scalars, lists and mappings all have it.
    if getattr(event, "tag", None) is not None:
        raise _Stop(at, "tags such as !!python are not allowed")


def _close(opened: _Open, faults: list[Fault]) -> Node:
    if not opened.mapping:
        return Items(items=tuple(opened.children), at=opened.at)
    pairs: list[tuple[Scalar, Node]] = []
    seen: dict[str, int] = {}
    for key, value in zip(opened.children[::2], opened.children[1::2], strict=True):
        if not isinstance(key, Scalar):
            faults.append(Fault(source=key.at, detail="a key must be a plain text"))
        elif key.text in seen:
            detail = f"'{key.text}' is given twice; first on line {seen[key.text]}"
            faults.append(Fault(source=key.at, detail=detail))
        else:
            seen[key.text] = key.at.line
            pairs.append((key, value))
    return Entries(pairs=tuple(pairs), at=opened.at)
