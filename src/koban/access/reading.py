"""Reading what a request says: path, query, JSON and forms, with every mistake named by its place."""

import functools
import re
import urllib.parse
from collections.abc import Mapping
from typing import Final

import msgspec
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import Field, File, create_form_parser

from koban.access.types import Endpoint, InvalidRequest, MalformedRequest, MediaTypeUnknown, Upload
from koban.base import Problem
from koban.base.characters import NO_CHARACTER, says_something

PARAMETERS_MAX: Final = 100
FORM_FIELDS_MAX: Final = 1_000

_PLACE: Final = re.compile(r" - at `(?P<in_key>key in )?`?\$(?P<path>[^`]*)`$")
_STEP: Final = re.compile(r"\.([^.\[\]]+)|\[(\d+|\.\.\.)\]")
_LONG_NUMBER: Final = re.compile(rb"[0-9]{19}")
_STRICT_UNDER: Final = "/v1"
_CHARSET: Final = re.compile(r";\s*charset\s*=\s*(?:\"([^\"]*)\"|([^;\s]*))", re.IGNORECASE)
_READ_CHARSETS: Final = frozenset({"utf-8", "utf8", "us-ascii", "ascii"})  # ASCII is UTF-8 with less in it


class Reader:
    """Reads the requests of one endpoint; decoders are made once."""

    def __init__(self, endpoint: Endpoint) -> None:
        """Prepare for what the endpoint declares."""
        self._endpoint = endpoint
        self._decoder: msgspec.json.Decoder[object] | None = None
        if endpoint.body is not None and endpoint.body is not bytes:
            self._decoder = msgspec.json.Decoder(endpoint.body)
        self._parameters = parameters(endpoint.query)
        self._body_lists = list_fields(endpoint.body)
        self._strict = endpoint.path.startswith(_STRICT_UNDER)
        self._unasked: object = None  # the parameters of a request that gives none, once there was one

    def path(self, given: Mapping[str, str]) -> dict[str, str]:
        """Refuse path parameters that no database could hold."""
        for name, value in given.items():
            if not _is_storable(value):
                raise MalformedRequest(
                    f"the path parameter {name} holds characters that no id has",
                    problems=(Problem(path=name, detail="NUL or an unpaired surrogate"),),
                )
        return dict(given)

    def query(self, raw: bytes) -> tuple[dict[str, str], object]:
        """Return the parameters as text, and checked and typed where the endpoint declares them."""
        endpoint = self._endpoint
        if not raw and (endpoint.query is None or self._unasked is not None):
            return {}, self._unasked
        values: dict[str, list[str]] = {}
        for name, value in _pairs(raw, PARAMETERS_MAX):
            values.setdefault(name, []).append(value)
        declared = self._parameters
        if self._strict:
            unknown = sorted(set(values) - set(declared))
            if unknown:
                raise InvalidRequest(
                    f"unknown query parameter: {unknown[0]}",
                    problems=tuple(
                        Problem(path=name, detail="unknown", hint=f"known: {', '.join(declared) or 'none'}")
                        for name in unknown
                    ),
                )
        typed: dict[str, object] = {}
        for name, several in values.items():
            if declared.get(name) == "list":
                typed[name] = several
            elif len(several) > 1 and self._strict:
                raise InvalidRequest(
                    f"the query parameter {name} is there {len(several)} times",
                    problems=(Problem(path=name, detail="must be there once"),),
                )
            elif name in declared:
                typed[name] = several[0]
        firsts = {name: several[0] for name, several in values.items()}
        if endpoint.query is None:
            return firsts, None
        converted = _converted(typed, endpoint.query, where="query parameter")
        if not raw:
            self._unasked = converted
        return firsts, converted

    def body(self, raw: bytes, headers: Mapping[str, str]) -> tuple[object, dict[str, str]]:
        """Return the decoded body, and the fields of a posted form."""
        endpoint = self._endpoint
        declared = headers.get("content-type", "")
        if ";" in declared and (endpoint.accepts != "raw" or any("json" in each for each in endpoint.media_types)):
            _check_charset(declared)
        if endpoint.accepts == "raw":
            if not raw:
                raise MalformedRequest("a body is expected and there is none")
            return raw, {}
        media_type = declared.partition(";")[0].strip().lower()
        if endpoint.accepts == "upload":
            return _upload(raw, declared, media_type)
        is_form = media_type == "application/x-www-form-urlencoded"
        if is_form and (endpoint.accepts != "json" or endpoint.body is None):
            return self._form(raw)
        if self._decoder is None:
            return None, {}
        if endpoint.accepts == "form":
            raise MediaTypeUnknown("send a form: application/x-www-form-urlencoded")
        if media_type not in ("", "application/json") and not media_type.endswith("+json"):
            raise MediaTypeUnknown("send JSON: content-type: application/json")
        if not raw:
            raise MalformedRequest("a JSON body is expected and there is none")
        body = _decoded(self._decoder, raw)
        reason = getattr(body, "reason", "")
        if isinstance(reason, str) and reason and not says_something(reason):
            hint = "Say why, for whoever looks at it next."
            problem = Problem(path="/reason", detail="It holds nothing that can be read.", hint=hint)
            raise InvalidRequest("the reason holds nothing that can be read", problems=(problem,))
        return body, {}

    def _form(self, raw: bytes) -> tuple[object, dict[str, str]]:
        fields: dict[str, str] = {}
        several: dict[str, list[str]] = {}
        for name, value in _pairs(raw, FORM_FIELDS_MAX):
            fields[name] = value
            several.setdefault(name, []).append(value)
        if not says_something(fields.get("reason", "-")):
            fields["reason"] = ""  # a page asks for one
        body = self._endpoint.body
        if body is None:
            return None, fields
        typed: dict[str, object] = {
            name: several[name] if name in self._body_lists else value
            for name, value in fields.items()
            if name != "csrf"
        }
        return _converted(typed, body, where="field"), fields


def parameters(query: type | None) -> dict[str, str]:
    """Return the query parameters of a struct, in order, each `list` or `one`."""
    if query is None:
        return {}
    lists = list_fields(query)
    return {field.encode_name: "list" if field.encode_name in lists else "one" for field in _fields(query)}


def list_fields(kind: type | None) -> frozenset[str]:
    """Return the fields of a struct that take several values."""
    return frozenset(
        field.encode_name
        for field in _fields(kind)
        if isinstance(field.type, msgspec.inspect.ListType | msgspec.inspect.VarTupleType | msgspec.inspect.SetType)
    )


def pointer(path: str) -> str:
    """Turn the place that msgspec names (`$.a[0].b`) into a JSON pointer (`/a/0/b`).

    Source: RFC 6901.
    """
    steps = []
    for name, index in _STEP.findall(path):
        steps.append(name.replace("~", "~0").replace("/", "~1") if name else index)
    return "".join(f"/{step}" for step in steps)


@functools.cache
def _fields(kind: object) -> tuple[msgspec.inspect.Field, ...]:
    if not (isinstance(kind, type) and issubclass(kind, msgspec.Struct)):
        return ()
    described = msgspec.inspect.type_info(kind)
    return described.fields if isinstance(described, msgspec.inspect.StructType) else ()


def _check_charset(content_type: str) -> None:
    """Refuse text that says it is not UTF-8: read as UTF-8 it would be damaged without anybody noticing."""
    for quoted, plain in _CHARSET.findall(content_type):
        named = (quoted or plain).strip()
        if named.lower() not in _READ_CHARSETS:
            raise MediaTypeUnknown(
                f"the body is declared as charset={named[:40]}; send it as UTF-8, with charset=utf-8 or without charset"
            )


def _pairs(raw: bytes, most: int) -> list[tuple[str, str]]:
    try:
        pairs = urllib.parse.parse_qsl(
            raw.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=most
        )
    except UnicodeDecodeError:
        raise MalformedRequest("parameters must be UTF-8, percent-encoded") from None
    except ValueError:
        raise MalformedRequest(f"more than {most} parameters") from None
    for name, value in pairs:
        if not _is_storable(name) or not _is_storable(value):
            raise MalformedRequest("parameters may not hold NUL characters", problems=(Problem(path="", detail="NUL"),))
    return pairs


def _upload(raw: bytes, content_type: str, media_type: str) -> tuple[Upload | None, dict[str, str]]:
    """Read a form with one file: its fields, and the file; a form in which no file was chosen has none."""
    if media_type != "multipart/form-data":
        raise MediaTypeUnknown("send a form with a file: multipart/form-data")
    fields: dict[str, str] = {}
    files: list[Upload] = []

    def on_field(field: Field) -> None:
        if len(fields) >= FORM_FIELDS_MAX:
            raise MalformedRequest(f"more than {FORM_FIELDS_MAX} fields")
        fields[(field.field_name or b"").decode("utf-8", "replace")] = (field.value or b"").decode("utf-8", "replace")

    def on_file(file: File) -> None:
        file.file_object.seek(0)
        name = (file.file_name or b"").decode("utf-8", "replace")
        if name:
            files.append(Upload(name=name, content=file.file_object.read()))

    try:
        parser = create_form_parser(
            {"Content-Type": content_type.encode("latin-1")},
            on_field,
            on_file,
            config={"MAX_MEMORY_FILE_SIZE": len(raw) + 1, "UPLOAD_ERROR_ON_BAD_CTE": False},
        )
        parser.write(raw)
        parser.finalize()
    except FormParserError as error:
        raise MalformedRequest("the form cannot be read") from error
    if len(files) > 1:
        raise MalformedRequest("one file at a time")
    if not all(_is_storable(each) for pair in fields.items() for each in pair):
        raise MalformedRequest("fields may not hold NUL characters", problems=(Problem(path="", detail="NUL"),))
    return (files[0] if files else None), fields


def _decoded(decoder: msgspec.json.Decoder[object], raw: bytes) -> object:
    try:
        body = decoder.decode(raw)
    except msgspec.ValidationError as error:
        if "got `float`" not in str(error):
            raise _invalid(error, decoder.type, where="") from None
        # JSON has one kind of number, and some clients write 7 as 7.0.
        body = _converted_body(_with_whole_numbers(msgspec.json.decode(raw)), decoder)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MalformedRequest(f"the body is not JSON: {error}") from None
    except RecursionError:
        raise MalformedRequest("the body is nested too deeply") from None
    except ValueError as error:  # Python reads no number of more than 4,300 digits
        raise MalformedRequest(f"the body cannot be read: {error}") from None
    if b"\\u" in raw or _LONG_NUMBER.search(raw):
        _refuse_unstorable(body)
    return body


def _with_whole_numbers(value: object) -> object:
    match value:
        case float():
            return int(value) if value.is_integer() else value
        case dict():
            return {key: _with_whole_numbers(inner) for key, inner in value.items()}
        case list():
            return [_with_whole_numbers(inner) for inner in value]
        case _:
            return value


def _converted_body(values: object, decoder: msgspec.json.Decoder[object]) -> object:
    try:
        converted: object = msgspec.convert(values, decoder.type)
    except msgspec.ValidationError as error:
        raise _invalid(error, decoder.type, where="") from None
    _refuse_unstorable(converted)
    return converted


def _refuse_unstorable(body: object) -> None:
    place = _unstorable(msgspec.to_builtins(body), "")
    if place is not None:
        raise InvalidRequest(
            "text may not hold NUL characters, and whole numbers have 64 bits",
            problems=(Problem(path=place, detail="holds a NUL character, or a number of more than 64 bits"),),
        )


def _converted(values: dict[str, object], kind: type, *, where: str) -> object:
    try:
        converted: object = msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        raise _invalid(error, kind, where=where) from None
    except ValueError as error:
        raise InvalidRequest(f"{where}: {error}") from None
    # msgspec reads the text `null` as null; whoever means nothing leaves the parameter out.
    for field in _fields(kind):
        if field.encode_name in values and getattr(converted, field.name) is None:
            problem = Problem(path=field.encode_name, detail="null is no value", hint="leave it out")
            raise InvalidRequest(f"{where} {field.encode_name}: null is no value", problems=(problem,))
    if any(isinstance(value, str) and len(value) > 18 for value in values.values()):
        _refuse_unstorable(converted)
    return converted


def _invalid(error: msgspec.ValidationError, kind: object, *, where: str) -> InvalidRequest:
    text = str(error)
    found = _PLACE.search(text)
    place = pointer(found["path"]) if found else ""
    detail = text[: found.start()] if found else text
    named = f"{where} {place.lstrip('/')}: {detail}" if where and place else detail
    known = [each.encode_name for each in _fields(kind)] if "unknown field" in detail and not place else []
    hint = f"Known here: {', '.join(known)}." if known else ""
    return InvalidRequest(
        named, problems=(Problem(path=place.lstrip("/") if where else place, detail=detail, hint=hint),)
    )


def _is_storable(text: str) -> bool:
    return NO_CHARACTER.search(text) is None


def _unstorable(value: object, place: str) -> str | None:
    """Return the place of the first text or number that PostgreSQL could not hold."""
    match value:
        case int():
            return None if -(2**63) <= value < 2**63 else place
        case str():
            return None if _is_storable(value) else place
        case dict():
            for key, inner in value.items():
                if not _is_storable(str(key)):
                    return place
                found = _unstorable(inner, f"{place}/{key}")
                if found is not None:
                    return found
        case list() | tuple():
            for index, inner in enumerate(value):
                found = _unstorable(inner, f"{place}/{index}")
                if found is not None:
                    return found
        case _:
            return None
    return None
