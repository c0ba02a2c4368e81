"""From the bytes of a request to envelopes and faults. User content is never a reason to refuse an event."""

import decimal
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec

from koban.base import Instant, Problem, from_rfc3339, limits
from koban.base.characters import NO_CHARACTER, REPLACEMENT
from koban.events.types import BodyUnreadable, Envelope, Fault, TooManyEvents

_DECODER: Final = msgspec.json.Decoder(float_hook=decimal.Decimal)
_ITEMS: Final = msgspec.json.Decoder(list[msgspec.Raw])
_PIECE: Final = 50  # events of a batch that are decoded at a time: what is made of them stays in the core's cache
_PIECEWISE_BYTES: Final = 65_536  # a smaller body is decoded as a whole
_ENCODER: Final = msgspec.json.Encoder(decimal_format="number")
_SORTED: Final = msgspec.json.Encoder(decimal_format="number", order="deterministic")
_CONTAINERS: Final = frozenset((dict, list))
_WHITESPACE: Final = b" \t\r\n"
_COLON, _QUOTE, _SPACE = b':" '
_MANY_BYTES: Final = 8_192  # from here on numpy is quicker, four times with a whole piece
_ESCAPED_SURROGATES: Final = re.compile(
    rb"(?<!\\)((?:\\\\)*)(\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
)
_NUL: Final = b"\\u0000"
_BAD_BYTES: Final = re.compile("[\udc80-\udcff]")  # as `surrogateescape` keeps bytes that are no UTF-8
_BETWEEN_ITEMS: Final = re.compile(r"[ \t\r\n,]*")


def decode(body: bytes, content_type: str) -> list[Envelope | Fault]:
    """Read one event, a batch or NDJSON, by content type; each event answers for itself.

    Refuses: BodyUnreadable (no JSON, empty, not an object or array), TooManyEvents.
    """
    return [item for piece in decode_pieces(body, content_type) for item in piece]


def decode_pieces(body: bytes, content_type: str) -> Iterator[list[Envelope | Fault]]:
    """Read the same, a piece at a time. Until the last one is there nothing is taken: the body may yet be refused.

    Whoever goes on with a piece before asking for the next has a sixth less to pay than with all events at once.
    """
    media = content_type.split(";", 1)[0].strip().lower()
    if media in {"application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines"}:
        lines = [line for line in body.split(b"\n") if line.strip()]
        _check_count(len(lines))
        if not lines:
            raise BodyUnreadable("The body holds no line. Send one JSON event per line.")
        for start in range(0, len(lines), _PIECE):
            yield [_line(line) for line in lines[start : start + _PIECE]]
        return
    items = _cut(body) if len(body) > _PIECEWISE_BYTES else ()
    if len(items) > _PIECE:
        _check_count(len(items))
        for start in range(0, len(items), _PIECE):
            yield _piece(body, items[start : start + _PIECE])
    else:
        yield _whole(body)


def _cut(body: bytes) -> Sequence[msgspec.Raw]:
    """Cut a batch into its events; into none where that cannot be: whoever reads it as a whole says why."""
    try:
        return _ITEMS.decode(body)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return ()


def _piece(body: bytes, items: Sequence[msgspec.Raw]) -> list[Envelope | Fault]:
    try:
        document, read, marks = _parse(b"[" + b",".join(items) + b"]")
    except BodyUnreadable:
        _parse(body)  # says where in the body
        raise
    if marks:
        # What is damaged in one event says nothing about the others, and each is kept as it was sent.
        return [_line(bytes(item)) for item in items]
    assert isinstance(document, list)
    deep = _check_keys(read, document) > limits.JSON_DEPTH_MAX
    return [_envelope(item, None, marks="", deep=deep) for item in document]


def _whole(body: bytes) -> list[Envelope | Fault]:
    document, read, marks = _parse(body)
    if isinstance(document, dict):
        deep = _check_keys(read, document) > limits.JSON_DEPTH_MAX
        return [_envelope(document, body, marks=marks, deep=deep)]
    if isinstance(document, list):
        _check_count(len(document))
        if not document:
            raise BodyUnreadable("The batch is empty. Send at least one event.")
        if marks:
            return [_line(item) for item in _items(body)]
        deep = _check_keys(read, document) > limits.JSON_DEPTH_MAX
        return [_envelope(item, None, marks="", deep=deep) for item in document]
    raise BodyUnreadable("The body is JSON, but neither an event (an object) nor a batch of events (an array).")


def encode(document: object) -> bytes:
    """Write JSON as Koban stores it; decimals keep every digit."""
    return _ENCODER.encode(document)


def encode_sorted(document: object) -> bytes:
    """Write JSON that is the same whatever the order of an object's members, to compare what was sent."""
    return _SORTED.encode(document)


def decode_document(raw: bytes) -> dict[str, object]:
    """Read a JSON object that Koban wrote itself."""
    document = _DECODER.decode(raw)
    assert isinstance(document, dict)
    return document


def damaged_name(path: str, what: str) -> Problem:
    """Say that an id or name cannot be taken because another one could become the same."""
    return Problem(
        path=path,
        detail=f"{what} holds a damaged character (half a surrogate pair, or bytes that are no UTF-8).",
        hint="Another one could become the same. Send it as UTF-8; what was sent is kept in quarantine.",
    )


def _check_count(count: int) -> None:
    if count > limits.BATCH_EVENTS_MAX:
        raise TooManyEvents(
            f"The request holds {count:,} events; at most {limits.BATCH_EVENTS_MAX:,} fit in one. Split it."
        )


def _line(line: bytes) -> Envelope | Fault:
    try:
        document, read, marks = _parse(line)
        deep = _check_keys(read, document) > limits.JSON_DEPTH_MAX
    except BodyUnreadable as refusal:
        return Fault(raw=line, problems=refusal.problems or (Problem(path="", detail=refusal.detail),))
    return _envelope(document, line, marks=marks, deep=deep)


def _items(body: bytes) -> Iterator[bytes]:
    """Cut a batch that could be read into its items, as they were sent."""
    import json

    text = body.decode("utf-8", "surrogateescape")
    decoder, place = json.JSONDecoder(), text.index("[") + 1
    try:
        while True:
            found = _BETWEEN_ITEMS.match(text, place)
            begin = place if found is None else found.end()
            if text[begin] == "]":
                return
            _, place = decoder.raw_decode(text, begin)
            yield text[begin:place].encode("utf-8", "surrogateescape")
    except (RecursionError, ValueError):
        raise _unreadable("The batch is damaged, and nested too deeply to be read event by event.") from None


def _parse(raw: bytes) -> tuple[object, bytes, str]:
    """Decode JSON; return it, the bytes that it was read from, and the characters in it that stand for damage.

    Bytes that are no UTF-8 and escapes of half a surrogate pair become U+FFFD, or another character where the sender
    wrote that one; NUL stays until it is known where it stands.
    """
    try:
        return _DECODER.decode(raw), raw, "\x00" if b"\\" in raw and _NUL in raw else ""
    except RecursionError:
        raise _unreadable("The JSON is nested too deeply.") from None
    except (msgspec.DecodeError, ValueError) as error:
        if b"\\ud" not in raw and b"\\uD" not in raw and _is_text(raw):
            raise _unreadable(f"The body is no valid JSON: {error}.") from None
    mark, text = _marked(raw)
    mark_bytes = mark.encode()
    repaired = _ESCAPED_SURROGATES.sub(lambda m: m[1] + (m[2] if len(m[2]) == 12 else mark_bytes), text.encode())
    try:
        return _DECODER.decode(repaired), repaired, mark + "\x00"
    except RecursionError:
        raise _unreadable("The JSON is nested too deeply.") from None
    except (msgspec.DecodeError, ValueError) as error:
        raise _unreadable(f"The body is no valid JSON: {error}.") from None


def _is_text(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


def _marked(raw: bytes) -> tuple[str, str]:
    """Return the character that stands for damage, and the text with it in place of what is no UTF-8.

    It is one that the sender did not write: an id that holds U+FFFD is an id, one that holds a damaged place is none.
    """
    folded = raw.lower()

    def is_free(mark: str) -> bool:
        return mark.encode() not in raw and f"\\u{ord(mark):04x}".encode() not in folded

    if is_free(REPLACEMENT):
        return REPLACEMENT, raw.decode("utf-8", "replace")
    mark = next((each for each in map(chr, range(0xFDD1, 0xFDF0)) if is_free(each)), REPLACEMENT)
    return mark, _BAD_BYTES.sub(mark, raw.decode("utf-8", "surrogateescape"))


def _unreadable(detail: str) -> BodyUnreadable:
    return BodyUnreadable(detail, problems=(Problem(path="", detail=detail, hint="Send JSON as RFC 8259 defines it."),))


def _check_keys(raw: bytes, document: object) -> int:
    """Refuse an object that names a member twice; return how deep the document is nested.

    Decoders disagree about which of the two counts, and a rule must not read one thing and the marketplace
    another. Counting key-like places is cheap and never too low; only where it differs is the body read again.
    """
    keys, depth = _measure(document, 1)
    if _names_at_most(raw) == keys:
        return depth
    import json

    def pairs(items: list[tuple[str, object]]) -> dict[str, object]:
        seen = dict(items)
        if len(seen) != len(items):
            names = [name for name, _ in items]
            twice = next(name for name in names if names.count(name) > 1)
            raise _unreadable(f"The member {twice!r} stands twice in one object.")
        return seen

    json.loads(raw.decode("utf-8", errors="replace"), object_pairs_hook=pairs)
    return depth


def _names_at_most(raw: bytes) -> int:
    """Count the places in JSON that look like the end of a member's name; some of them may stand within texts."""
    if len(raw) >= _MANY_BYTES:
        import numpy

        read = numpy.frombuffer(raw, numpy.uint8)
        before = read[numpy.flatnonzero(read == _COLON) - 1]
        # Almost everybody writes a name and its colon together; with white space between them it has to be taken out.
        if len(before) and before.min() > _SPACE:
            return int(numpy.count_nonzero(before == _QUOTE))
    return raw.translate(None, _WHITESPACE).count(b'":')


def _measure(node: object, depth: int) -> tuple[int, int]:
    """Count the members of all objects in a document, and say how deep it is nested; `depth` is that of `node`."""
    if depth > limits.JSON_DEPTH_MAX + 8:
        raise _unreadable("The JSON is nested too deeply.")
    if type(node) is dict:
        keys: int = len(node)
        items: Iterable[object] = node.values()
    elif type(node) is list:
        keys, items = 0, node
    else:
        return 0, depth
    deepest = depth
    if not _CONTAINERS.isdisjoint(map(type, items)):  # most objects hold nothing but values
        for item in items:
            if type(item) is dict or type(item) is list:
                more, reached = _measure(item, depth + 1)
                keys += more
                deepest = max(deepest, reached)
    return keys, deepest


def _depth(node: object) -> int:
    level, deepest = [node], 0
    while level:
        deepest += 1
        if deepest > limits.JSON_DEPTH_MAX + 1:
            return deepest
        level = [
            child
            for item in level
            if isinstance(item, dict | list)
            for child in (item.values() if isinstance(item, dict) else item)
            if isinstance(child, dict | list)
        ]
    return deepest


def _envelope(document: object, raw: bytes | None, *, marks: str, deep: bool) -> Envelope | Fault:
    """Check one item; `deep`: the request holds something that is nested deeper than an event may be.

    `marks`: what stands for damaged places in it; `raw` is given where there are any.
    """
    if not isinstance(document, dict):
        return Fault(
            raw=raw if raw is not None else _ENCODER.encode(document),
            problems=(Problem(path="", detail="An event is a JSON object; this item is not one."),),
        )
    problems = [] if _is_plain(document) and not marks else list(_attribute_problems(document, marks))
    at: Instant | None = None
    time = document.get("time")
    if isinstance(time, str):
        at = from_rfc3339(time)
        if at is None:
            problems.append(
                Problem(
                    path="/time", detail=f"{time[:40]!r} is no RFC 3339 time.", hint="Write 2026-11-21T20:30:00+09:00."
                )
            )
    data = document.get("data", {})
    if not isinstance(data, dict):
        problems.append(Problem(path="/data", detail="The data of an event must be a JSON object."))
        data = {}
    elif deep and _depth(data) > limits.JSON_DEPTH_MAX:
        problems.append(Problem(path="/data", detail=f"The data is nested deeper than {limits.JSON_DEPTH_MAX} levels."))
    damaged_at: set[str] = set()
    if marks and not problems:
        try:
            data = _clean(data, marks, damaged_at)
        except BodyUnreadable as refusal:
            problems.extend(refusal.problems)
    if problems:
        return _fault(document, raw, tuple(problems), marks)
    return Envelope(
        id=document["id"],
        source=document["source"],
        type=document["type"],
        event_at=at,
        subject=document.get("subject"),
        data=data,
        damaged=bool(damaged_at),
        damaged_at=frozenset(damaged_at),
        raw=raw if damaged_at and raw is not None else b"",
    )


def _fault(document: dict[str, object], raw: bytes | None, problems: tuple[Problem, ...], marks: str) -> Fault:
    def text(name: str) -> str | None:
        value = document.get(name)
        if not isinstance(value, str) or NO_CHARACTER.search(value) or _holds(value, marks):
            return None
        return value[: limits.ID_CHARS_MAX]

    if raw is None:
        try:
            raw = _ENCODER.encode(document)
        except RecursionError:
            raw = b"(nested too deeply to be written again)"
    return Fault(raw=raw, problems=problems, id=text("id"), source=text("source"), type=text("type"))


def _is_plain(document: dict[str, object]) -> bool:
    """Tell at a glance that the attributes are as almost all events have them."""
    get = document.get
    named, kind, source = get("id"), get("type"), get("source")
    if not (type(named) is str and type(kind) is str and type(source) is str):
        return False
    subject, time = get("subject"), get("time")
    return (
        0 < len(named) <= limits.ID_CHARS_MAX
        and 0 < len(kind) <= limits.ID_CHARS_MAX
        and 0 < len(source) <= limits.ID_CHARS_MAX
        and f"{named}{kind}{source}".isprintable()
        and not source.startswith("koban:")
        and (subject is None or _is_name(subject))
        and (time is None or _is_name(time))
        and get("specversion", "1.0") == "1.0"
        and "data_base64" not in document
    )


def _is_name(value: object) -> bool:
    return type(value) is str and 0 < len(value) <= limits.ID_CHARS_MAX and value.isprintable()


def _holds(value: str, marks: str) -> bool:
    return any(mark in value for mark in marks)


def _attribute_problems(document: dict[str, object], marks: str) -> Iterator[Problem]:
    for name in ("id", "source", "type"):
        value = document.get(name)
        if isinstance(value, str) and _holds(value, marks.replace("\x00", "")):
            yield damaged_name(f"/{name}", f"The attribute {name!r}")
            continue
        if isinstance(value, str) and 0 < len(value) <= limits.ID_CHARS_MAX and value.isprintable():
            continue
        if value is None:
            yield Problem(
                path=f"/{name}", detail=f"The attribute {name!r} is missing.", hint="CloudEvents 1.0 asks for it."
            )
        elif not isinstance(value, str) or not value:
            yield Problem(path=f"/{name}", detail=f"The attribute {name!r} must be a text that is not empty.")
        elif len(value) > limits.ID_CHARS_MAX:
            yield Problem(
                path=f"/{name}", detail=f"The attribute {name!r} is longer than {limits.ID_CHARS_MAX} characters."
            )
        elif NO_CHARACTER.search(value):
            yield Problem(path=f"/{name}", detail=f"The attribute {name!r} holds a character that is none.")
    source = document.get("source")
    if isinstance(source, str) and source.startswith("koban:"):
        yield Problem(path="/source", detail="Sources that begin with 'koban:' are Koban's own.")
    version = document.get("specversion", "1.0")
    if version != "1.0":
        yield Problem(path="/specversion", detail=f"CloudEvents {str(version)[:20]!r} is not read.", hint="Send 1.0.")
    for name in ("subject", "time"):
        value = document.get(name)
        if value is not None and (not isinstance(value, str) or len(value) > limits.ID_CHARS_MAX):
            yield Problem(
                path=f"/{name}",
                detail=f"The attribute {name!r} must be a text of at most {limits.ID_CHARS_MAX} characters.",
            )
        elif isinstance(value, str) and _holds(value, marks.replace("\x00", "")):
            yield damaged_name(f"/{name}", f"The attribute {name!r}")
        elif isinstance(value, str) and NO_CHARACTER.search(value):
            yield Problem(path=f"/{name}", detail=f"The attribute {name!r} holds a character that is none.")
    if "data_base64" in document:
        yield Problem(path="/data_base64", detail="Binary data is not read.", hint="Send a JSON object in 'data'.")


def _clean(data: dict[str, object], marks: str, damaged_at: set[str]) -> dict[str, object]:
    """Replace damaged places and NUL in every text and name by U+FFFD, and note at which paths they stood.

    Why NUL: PostgreSQL cannot hold it. Refuses: BodyUnreadable, where two names of one object become the same.
    """
    table = dict.fromkeys(map(ord, marks), REPLACEMENT)

    def clean(node: object, path: str) -> object:
        if isinstance(node, str):
            if _holds(node, marks):
                damaged_at.add(path)
                return node.translate(table)
            return node
        if isinstance(node, dict):
            found: dict[str, object] = {}
            for name, value in node.items():
                kept = clean(name, path)
                assert isinstance(kept, str), "a text stays one"
                if kept in found:
                    raise _unreadable(f"The member {kept!r} stands twice in one object once its damage is replaced.")
                found[kept] = clean(value, f"{path}.{kept}" if path else kept)
            return found
        if isinstance(node, list):
            return [clean(item, path) for item in node]
        return node

    cleaned = clean(data, "")
    assert isinstance(cleaned, dict)
    return cleaned
