"""What is wrong with a pack, said like a good compiler: file, line, column, the line itself, a caret and a hint."""

import difflib
import unicodedata
from collections.abc import Iterable, Mapping
from typing import ClassVar, Final

import msgspec

from koban.base import Problem, Refusal
from koban.language import in_japanese
from koban.packs.types import PackDef, Source

_SHOWN_COLUMNS: Final = 100
_KNOWN_SHOWN: Final = 12


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """One thing wrong with a pack, where it was written, and what to do about it."""

    source: Source
    detail: str
    hint: str = ""


class PackInvalid(Refusal):
    """A pack that cannot be used. `faults` holds every error found, in the order of files and lines."""

    code: ClassVar[str] = "pack_invalid"
    status: ClassVar[int] = 422
    title: ClassVar[str] = "The pack has errors."

    def __init__(self, faults: Iterable[Fault], files: Mapping[str, str]) -> None:
        self.faults = tuple(sorted(faults, key=lambda fault: _order(fault.source)))
        self.files = files
        self.rendered = "\n".join(render_fault(fault, files) for fault in self.faults)
        count = f"{len(self.faults)} error" + ("" if len(self.faults) == 1 else "s")
        super().__init__(
            f"The pack has {count}.",
            problems=problems_of(self.faults),
        )

    def __str__(self) -> str:
        return f"{self.detail}\n{self.rendered}"


class PackMissing(Refusal):
    """There is no pack in a folder: nothing was looked at."""

    code: ClassVar[str] = "pack_missing"
    status: ClassVar[int] = 404
    title: ClassVar[str] = "There is no such pack."


def said_in(language: str, faults: Iterable[Fault]) -> tuple[Fault, ...]:
    """Say faults in `ja`, or as they are; what has no Japanese sentence yet stays English."""
    if language != "ja":
        return tuple(faults)
    return tuple(
        msgspec.structs.replace(fault, detail=in_japanese(fault.detail), hint=in_japanese(fault.hint))
        for fault in faults
    )


def place(source: Source) -> str:
    """Write a position as editors read it: `rules/scams.yaml:12:9`."""
    return f"{source.file}:{source.line}:{source.column}"


def problems_of(faults: Iterable[Fault]) -> tuple[Problem, ...]:
    """Say faults as answers of the API do, each with its file, line and column as the path."""
    return tuple(Problem(path=place(fault.source), detail=fault.detail, hint=fault.hint) for fault in faults)


def render_fault(fault: Fault, files: Mapping[str, str]) -> str:
    """Write a fault with the line it is about and a caret under the place; the caret allows for wide characters."""
    source = fault.source
    out = [f"{place(source)}: {fault.detail}"]
    lines = files.get(source.file, "").split("\n")
    if 1 <= source.line <= len(lines) and lines[source.line - 1].strip():
        line = lines[source.line - 1].rstrip("\r").replace("\t", " ")
        column = min(source.column - 1, len(line))
        start = max(0, column - _SHOWN_COLUMNS // 2) if len(line) > _SHOWN_COLUMNS else 0
        shown = line[start : start + _SHOWN_COLUMNS]
        number = str(source.line)
        out.append(f"  {number} | {shown}")
        out.append(f"  {' ' * len(number)} | {' ' * _width(line[start:column])}^")
    if fault.hint:
        out.append(f"  hint: {fault.hint}")
    return "\n".join(out)


def nearest(name: str, known: Iterable[str]) -> str:
    """Suggest the known name that is closest, or list a few of them; empty where nothing is known."""
    names = sorted(set(known))
    if (
        "/" in name
    ):  # of one branch of a tree, the leaf is what was mistyped; another branch has leaves of other meanings
        branch, _, leaf = name.rpartition("/")
        leaves = {each.rpartition("/")[2]: each for each in names if each.rpartition("/")[0] == branch}
        alike = difflib.get_close_matches(leaf, leaves, n=1, cutoff=0.6)
        close = [leaves[alike[0]]] if alike else difflib.get_close_matches(name, names, n=1, cutoff=0.8)
    else:
        close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if close:
        return f"did you mean '{close[0]}'?"
    if not names:
        return ""
    return "known: " + ", ".join(names[:_KNOWN_SHOWN]) + (", …" if len(names) > _KNOWN_SHOWN else "")


def locate(pack: PackDef, start: Source | None, text: str, offset: int, *, fallback: Source) -> Source:
    """Find where the character at `offset` of a scalar's value stands in its file; `start` is where the scalar starts.

    Quoting, folding and indentation move characters, but never reorder them: the value's visible characters are
    found one after the other in the file. Where an escape hides one, the start of the scalar is named instead.
    """
    if start is None or start.file not in pack.files:
        return start or fallback
    lines = pack.files[start.file].split("\n")
    line, column = start.line - 1, start.column - 1
    head = lines[line][column : column + 1] if line < len(lines) else ""
    if head in {"|", ">"}:
        line, column = line + 1, 0
    elif head in {"'", '"'}:
        column += 1
    for index, character in enumerate(text[: offset + 1]):
        if character.isspace():
            continue
        while line < len(lines) and lines[line][column : column + 1] != character:
            line, column = (line, column + 1) if column < len(lines[line]) else (line + 1, 0)
        if line >= len(lines):
            return start
        if index == offset:
            break
        doubled = head == "'" and character == "'" and lines[line][column + 1 : column + 2] == "'"
        column += 2 if doubled else 1
    return Source(file=start.file, line=line + 1, column=column + 1)


def _order(source: Source) -> tuple[str, int, int]:
    return (source.file, source.line, source.column)


def _width(text: str) -> int:
    """Count the columns of a text; marks, joiners and selectors stand on the character before them."""
    return sum(
        0
        if unicodedata.category(character) in {"Mn", "Me", "Cf"}
        else 2
        if unicodedata.east_asian_width(character) in "WF"
        else 1
        for character in text
    )
