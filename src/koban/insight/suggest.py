"""Guess a first map for a file that nobody has described: a start to be read and mended, never to be trusted."""

import pathlib
import tempfile
from collections.abc import Sequence

from koban.insight.columns import ID, TIME, TRUTH, Column, look
from koban.insight.mapping import literal
from koban.insight.reading import FileUnreadable, written
from koban.packs import PackDef


def suggest_map(file: pathlib.Path, pack: PackDef) -> str:
    """Return a first map for a file, as YAML with the file's columns in a comment.

    Refuses: FileUnreadable, MapInvalid.
    """
    if not file.is_file():
        raise FileUnreadable(f"{file} is no file.")
    with tempfile.TemporaryDirectory(prefix="koban-suggest-") as spool:
        found = look(file, pack, pathlib.Path(spool))
    columns, event_type = found.columns, pack.events[found.event]
    text, time, key, truth = (_meaning(columns, each) for each in ("text", TIME, ID, TRUTH))
    person = _meaning(columns, event_type.acting) if event_type.acting is not None else None
    money = next((each.name for each in columns if each.meaning.endswith("_minor")), None)
    data = {event_type.acting or "": written(person) if person is not None else "'s' || row"}
    if found.event == "message.sent":
        data |= {"recipient.id": "'r' || row", "message.id": "'m-' || row"}
    if text is not None:
        data["text"] = written(text)
    if money is not None:
        data |= {"payment.id": "'p-' || row", "amount_minor": f"CAST({written(money)} AS DOUBLE) * 100"}
    lines = [
        "# A first guess: read it against the file, and mend it.",
        f"# Columns: {', '.join(f'{each.name} ({each.kind})' for each in columns)}",
        f"about: {file.name}",
        "source: where it comes from, under which licence",
        f"event: {found.event}",
        *([] if found.encoding == "utf-8" else [f"encoding: {found.encoding}"]),
        *([] if key is None else [f"id: {literal(written(key))}"]),
        *([] if time is None else [f"time: {literal(written(time))}"]),
        "data:",
        *(f"  {path}: {literal(sql)}" for path, sql in data.items() if path in event_type.fields),
    ]
    if truth is not None:
        listed = ", ".join(literal(value) for value in found.harmful)
        lines += [
            "truth:",
            f"  what: {truth} is one of {' '.join(found.harmful)}",
            f"  harmful: {literal(f'CAST({written(truth)} AS VARCHAR) IN ({listed})')}",
            f"  kind: {literal(f'CAST({written(truth)} AS VARCHAR)')}",
        ]
    if text is not None:
        lines.append(f"group: {literal(written(text))}")
    return "\n".join(lines) + "\n"


def _meaning(columns: Sequence[Column], meaning: str) -> str | None:
    return next((each.name for each in columns if each.meaning == meaning), None)
