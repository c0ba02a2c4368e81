"""An event's data as a person reads it: flat, in the order declared, each value in its own form."""

from collections.abc import Iterator, Mapping

import msgspec

from koban.base import Instant, from_rfc3339
from koban.console.formats import Formats
from koban.packs import EventType

VALUE_CHARS_SHOWN = 2_000


class FieldLine(msgspec.Struct, frozen=True, kw_only=True):
    """One field: `kind` says how to show `value`."""

    path: str
    kind: str  # text, sealed, opened, pseudonym, subject, empty
    value: str
    subject_kind: str = ""
    declared: bool = True
    until_at: Instant | None = None  # of what is open for a while


def field_lines(
    data: bytes,
    event_type: EventType | None,
    formats: Formats,
    *,
    sealed: bool,
    opened: Mapping[str, tuple[str | None, Instant]] | None = None,
) -> list[FieldLine]:
    """Return every field of an event. What is sealed is listed by name only, but for what is open for the reader now."""
    flat = dict(flatten(msgspec.json.decode(data)))
    lines: list[FieldLine] = []
    if event_type is not None:
        for path, field in event_type.fields.items():
            if field.personal is not None and not field.joined:
                if opened is not None and path in opened:
                    value, until_at = opened[path]
                    lines.append(FieldLine(path=path, kind="opened", value=value or "", until_at=until_at))
                elif sealed:
                    lines.append(FieldLine(path=path, kind="sealed", value=""))
                flat.pop(path, None)
            elif path in flat:
                lines.append(_line(path, flat.pop(path), event_type, formats, flat))
    lines.extend(FieldLine(path=path, kind="text", value=_text(value), declared=False) for path, value in flat.items())
    return lines


def _line(path: str, value: object, event_type: EventType, formats: Formats, others: Mapping[str, object]) -> FieldLine:
    field = event_type.fields[path]
    role = event_type.subjects.get(path)
    if field.personal is not None:
        return FieldLine(path=path, kind="pseudonym", value=_text(value))
    if role is not None:
        return FieldLine(path=path, kind="subject", value=_text(value), subject_kind=role.kind)
    if field.unit == "minor" and isinstance(value, int):
        currency = others.get("currency", "JPY")
        return FieldLine(path=path, kind="text", value=formats.money(value, str(currency)))
    if field.type == "timestamp":
        at = from_rfc3339(value) if isinstance(value, str) else Instant(value) if isinstance(value, int) else None
        if at is not None:
            return FieldLine(path=path, kind="text", value=formats.full(at))
    return FieldLine(path=path, kind="text", value=_text(value))


def flatten(value: object, prefix: str = "") -> Iterator[tuple[str, object]]:
    """Walk nested objects as dotted paths; lists stay whole."""
    if isinstance(value, dict) and (value or prefix):
        for name, inner in value.items():
            yield from flatten(inner, f"{prefix}.{name}" if prefix else str(name))
    elif prefix:
        yield prefix, value


def _text(value: object) -> str:
    if isinstance(value, str):
        text = value
    elif isinstance(value, bool):
        text = "true" if value else "false"
    elif isinstance(value, list) and all(isinstance(each, str) for each in value):
        text = ", ".join(value)
    else:
        text = msgspec.json.encode(value).decode()
    return text if len(text) <= VALUE_CHARS_SHOWN else text[:VALUE_CHARS_SHOWN] + "…"
