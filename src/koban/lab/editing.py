"""One item of a pack as text: cut out of its file, put back changed, and its faults told by its own lines."""

import re
from collections.abc import Mapping
from typing import ClassVar, Final, Literal

import msgspec

from koban.base import Refusal
from koban.packs import Fault, PackDef, PackInvalid, Source, parse_files
from koban.packs import faults as pack_faults
from koban.rules import check_pack

Section = Literal["rules", "features", "policies", "lists", "queues"]
SECTIONS: Final[tuple[Section, ...]] = ("rules", "features", "policies", "lists", "queues")
BLOCK_CHARS_MAX: Final = 50_000
NEW_FILE: Final = "console"

_TOKEN: Final = re.compile(
    r"(?P<comment>#[^\n]*)|(?P<text>'(?:[^'\n]|'')*'|\"(?:[^\"\\\n]|\\.)*\")"
    r"|(?P<word>\b(?:AND|OR|NOT|IS|NULL|TRUE|FALSE|IN|BETWEEN|LIKE|ILIKE|CASE|WHEN|THEN|ELSE|END|CAST|AS|DISTINCT)\b)"
    r"|(?P<key>^(?:- | {2})[a-z_]+(?=:))|(?P<call>\b[a-z_]+(?=\())|(?P<number>\b\d[\d_.]*\b)",
    re.MULTILINE,
)


class ItemMissing(Refusal):
    """An item that the pack in force does not have."""

    code: ClassVar[str] = "item_missing"
    status: ClassVar[int] = 404
    title: ClassVar[str] = "The pack has no such item."


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """An item of a pack as it is written; `first` counts from 1."""

    file: str
    first: int
    text: str


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """One thing wrong with an item; `line` counts within the item, 0 where it stands elsewhere."""

    line: int
    column: int
    detail: str
    hint: str
    place: str


def block_of(pack: PackDef, section: Section, name: str) -> Block:
    """Cut an item out of its file, with the comments right above it left where they are.

    Refuses: ItemMissing.
    """
    found = getattr(pack, section).get(name)
    if found is None:
        raise ItemMissing(f"There is nothing called {name[:80]!r} among the {section}.")
    source: Source = found.source
    lines = pack.files[source.file].split("\n")
    first = source.line - 1
    while first > 0 and not lines[first].startswith("- "):
        first -= 1
    last = first + 1
    while last < len(lines) and not lines[last].startswith(("- ", "#")):
        last += 1
    while last > first + 1 and not lines[last - 1].strip():
        last -= 1
    return Block(file=source.file, first=first + 1, text="\n".join(lines[first:last]) + "\n")


def with_block(
    files: Mapping[str, str], block: Block | None, text: str, section: Section
) -> tuple[dict[str, str], Block]:
    """Put an item back in place of what was cut out, or append it to a file of the console's own."""
    changed = dict(files)
    text = text.replace("\r\n", "\n").rstrip() + "\n"
    if block is None:
        name = f"{section}/{NEW_FILE}.yaml"
        before = changed.get(name, "").rstrip("\n")
        before = f"{before}\n\n" if before else ""
        changed[name] = before + text
        return changed, Block(file=name, first=before.count("\n") + 1, text=text)
    lines = changed[block.file].split("\n")
    start, length = block.first - 1, block.text.count("\n")
    changed[block.file] = "\n".join([*lines[:start], *text.rstrip("\n").split("\n"), *lines[start + length :]])
    return changed, Block(file=block.file, first=block.first, text=text)


def check_block(
    files: Mapping[str, str], block: Block, language: str = "en"
) -> tuple[PackDef | None, tuple[Mark, ...]]:
    """Check a pack with a changed item: the pack, if nothing is wrong, and what is wrong by the item's own lines."""
    if len(block.text) > BLOCK_CHARS_MAX:
        long = Fault(
            source=Source(file=block.file, line=block.first),
            detail=f"the item has {len(block.text):,} characters, and {BLOCK_CHARS_MAX:,} is the most here",
            hint="edit its file, and bring it with koban pack push",
        )
        return None, _marks(pack_faults.said_in(language, [long]), block)
    try:
        pack = parse_files(files)
    except PackInvalid as invalid:
        return None, _marks(pack_faults.said_in(language, invalid.faults), block)
    faults = check_pack(pack)
    return (None if faults else pack), _marks(pack_faults.said_in(language, faults), block)


def _marks(faults: tuple[Fault, ...] | list[Fault], block: Block) -> tuple[Mark, ...]:
    last = block.first + block.text.count("\n")
    marks = []
    for fault in faults:
        own = fault.source.file == block.file and block.first <= fault.source.line <= last
        marks.append(
            Mark(
                line=fault.source.line - block.first + 1 if own else 0,
                column=fault.source.column if own else 0,
                detail=fault.detail,
                hint=fault.hint,
                place=f"{fault.source.file}:{fault.source.line}:{fault.source.column}",
            )
        )
    return tuple(sorted(marks, key=lambda mark: (mark.line == 0, mark.line, mark.column)))


def tokens(text: str) -> list[list[tuple[str, str]]]:
    """Split a text into lines of (kind, piece) for colouring; the kind of plain text is empty."""
    pieces: list[tuple[str, str]] = []
    at = 0
    for found in _TOKEN.finditer(text):
        pieces.append(("", text[at : found.start()]))
        pieces.append((str(found.lastgroup), found.group()))
        at = found.end()
    pieces.append(("", text[at:]))
    lines: list[list[tuple[str, str]]] = [[]]
    for kind, piece in pieces:
        first, *further = piece.split("\n")
        lines[-1].append((kind, first))
        lines.extend([(kind, each)] for each in further)
    return [[(kind, piece) for kind, piece in line if piece] for line in lines]
