"""The OpenAPI 3.1 document, made from the endpoint table and the msgspec types that really read and write."""

import re
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from koban.access.answering import ProblemBody
from koban.access.permissions import CATALOGUE, PUBLIC, SIGNED_IN
from koban.access.types import (
    BodyTooLarge,
    Endpoint,
    ForgeryGuardMissing,
    InvalidRequest,
    MalformedRequest,
    MediaTypeUnknown,
    NotAllowed,
    NotSignedIn,
    RouteMissing,
    TooManyRequests,
)
from koban.base import Refusal

Schema = dict[str, object]

_TEMPLATE: Final = "#/components/schemas/{name}"
_PARAMETER: Final = re.compile(r"\{([a-z_]+)(?::path)?\}")
_NO_NUL: Final = "^[^\\u0000]*$"
_INT64: Final = {"minimum": -(2**63), "maximum": 2**63 - 1}
_UNAVAILABLE: Final = "unavailable"
_SAFE: Final = frozenset({"GET"})


def openapi(endpoints: Iterable[Endpoint], version: str) -> dict[str, object]:
    """Describe every endpoint that is not a page of the console."""
    table = [each for each in endpoints if not each.page]
    schemas, components = _schemas(table)
    paths: dict[str, dict[str, object]] = {}
    for each in table:
        path = _PARAMETER.sub(r"{\1}", each.path)
        paths.setdefault(path, {})[each.method.lower()] = _operation(each, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Koban",
            "version": version,
            "description": "Events in, reasons and actions out. Errors are problem+json (RFC 9457).",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": {name: _exact(schema) for name, schema in sorted(components.items())},
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "An API token: `koban_…`"},
                "session": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": "koban_session",
                    "description": "A session of the console; changes also need its CSRF token as X-CSRF-Token",
                },
            },
        },
    }


def _schemas(table: list[Endpoint]) -> tuple[dict[int, object], dict[str, Schema]]:
    """Return the schema of each type by the identity of the type, and the named components."""
    types: list[object] = [ProblemBody]
    for each in table:
        types.extend(kind for kind in (each.body, each.returns, each.query) if kind not in (None, bytes))
    unique = list({id(kind): kind for kind in types}.values())
    made, components = msgspec.json.schema_components(unique, ref_template=_TEMPLATE, schema_hook=_anything)
    return {id(kind): schema for kind, schema in zip(unique, made, strict=True)}, components


def _anything(kind: type) -> Schema:
    """Describe `object`: any JSON at all."""
    if kind is object:
        return {"description": "any JSON"}
    raise NotImplementedError


def _operation(endpoint: Endpoint, schemas: Mapping[int, object]) -> Schema:
    operation: Schema = {
        "operationId": _operation_id(endpoint),
        "summary": endpoint.summary,
        "tags": [_tag(endpoint)],
        "parameters": _parameters(endpoint),
        "responses": _responses(endpoint, schemas),
        "security": [] if endpoint.permission == PUBLIC else [{"token": []}, {"session": []}],
    }
    notes = [endpoint.description] if endpoint.description else []
    if endpoint.permission in CATALOGUE:
        notes.append(f"Needs the permission `{endpoint.permission}`.")
    elif endpoint.permission == SIGNED_IN:
        operation["security"] = [{"session": []}]
        notes.append("For people with a session.")
    if notes:
        operation["description"] = "\n\n".join(notes)
    body = _request_body(endpoint, schemas)
    if body is not None:
        operation["requestBody"] = body
    return operation


def _operation_id(endpoint: Endpoint) -> str:
    words = re.findall(r"[a-z0-9]+", endpoint.path.lower())
    return "_".join([endpoint.method.lower(), *words])


def _tag(endpoint: Endpoint) -> str:
    words = [word for word in endpoint.path.split("/") if word and word != "v1" and not word.startswith("{")]
    return words[0] if words else "koban"


def _parameters(endpoint: Endpoint) -> list[Schema]:
    parameters: list[Schema] = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "string", "minLength": 1, "pattern": "^[^\\u0000/]+$"},
        }
        for name in _PARAMETER.findall(endpoint.path)
    ]
    if endpoint.blocking and endpoint.method != "GET" and not endpoint.page:
        parameters.append(
            {
                "name": "Idempotency-Key",
                "in": "header",
                "required": False,
                "description": "The same key and body gets the first answer again; nothing is done twice.",
                "schema": {"type": "string", "minLength": 1, "maxLength": 200, "pattern": "^[!-~]+$"},
            }
        )
    if endpoint.query is not None:
        _, components = msgspec.json.schema_components([endpoint.query], ref_template=_TEMPLATE)
        described = components[endpoint.query.__name__]
        required = described.get("required", [])
        for name, schema in described["properties"].items():
            exact = _exact(_without_null(schema))
            one: Schema = {"name": name, "in": "query", "required": name in required, "schema": exact}
            if isinstance(exact, dict) and "description" in exact:
                one["description"] = exact["description"]
            parameters.append(one)
    return parameters


def _request_body(endpoint: Endpoint, schemas: Mapping[int, object]) -> Schema | None:
    if endpoint.body is None:
        return None
    if endpoint.body is bytes:
        kinds = endpoint.media_types or ("application/octet-stream",)
        return {"required": True, "content": {kind: {"schema": {}} for kind in kinds}}
    schema = _exact(schemas[id(endpoint.body)])
    content: Schema = {}
    if endpoint.accepts in ("json", "either"):
        content["application/json"] = {"schema": schema}
    if endpoint.accepts in ("form", "either"):
        content["application/x-www-form-urlencoded"] = {"schema": schema}
    return {"required": True, "content": content}


def _responses(endpoint: Endpoint, schemas: Mapping[int, object]) -> Schema:
    success: Schema = {"description": endpoint.summary}
    if endpoint.returns is not None:
        if endpoint.returns is bytes:
            kinds = endpoint.media_types if endpoint.body is None else ()
            success["content"] = {kind: {"schema": {}} for kind in kinds or ("application/octet-stream",)}
        else:
            success["content"] = {"application/json": {"schema": _exact(schemas[id(endpoint.returns)])}}
    responses: Schema = {str(endpoint.status): success}
    if endpoint.accepts in ("form", "either"):
        responses["303"] = {"description": "The answer to a browser's form: on to the next page, or back with `error`."}
    for status, refusals in sorted(_refusals(endpoint).items()):
        codes = ", ".join(f"`{each.code}`: {each.title}" for each in refusals)
        responses[str(status)] = _problem_response(codes)
    unavailable = _problem_response(f"`{_UNAVAILABLE}`: something that this needs is out; see Retry-After.")
    unavailable["headers"] = {"Retry-After": {"schema": {"type": "integer"}}}
    responses["503"] = unavailable
    return responses


def _refusals(endpoint: Endpoint) -> dict[int, list[type[Refusal]]]:
    """Return what the border itself and the handler may refuse, by status."""
    refusals: list[type[Refusal]] = [*endpoint.raises, MalformedRequest, InvalidRequest, TooManyRequests, NotSignedIn]
    if endpoint.permission != PUBLIC:
        refusals.append(NotAllowed)
    if endpoint.method not in _SAFE:
        refusals.extend((ForgeryGuardMissing, BodyTooLarge, MediaTypeUnknown))
    if "{" in endpoint.path:
        refusals.append(RouteMissing)
    by_status: dict[int, list[type[Refusal]]] = {}
    for refusal in dict.fromkeys(refusals):
        by_status.setdefault(refusal.status, []).append(refusal)
    return by_status


def _problem_response(description: str) -> Schema:
    return {
        "description": description,
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemBody"}}},
    }


def _without_null(schema: object) -> object:
    """Take null away: a parameter that may be left out is not sent as null."""
    if not isinstance(schema, dict):
        return schema
    shown = {key: value for key, value in schema.items() if not (key == "default" and value is None)}
    options = shown.get("anyOf")
    if isinstance(options, list):
        left = [option for option in options if option != {"type": "null"}]
        if len(left) == 1 and isinstance(left[0], dict):
            del shown["anyOf"]
            return {**left[0], **shown}
    return shown


def _exact(schema: object) -> object:
    """Add what the border refuses anyway: NUL characters in text, and whole numbers of more than 64 bits."""
    if isinstance(schema, list):
        return [_exact(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    exact = {key: _exact_value(key, value) for key, value in schema.items()}
    if exact.get("type") == "string" and not exact.keys() & {"pattern", "enum", "const", "format", "contentEncoding"}:
        exact["pattern"] = _NO_NUL
    if exact.get("type") == "integer" and not exact.keys() & {"enum", "const"}:
        low = not exact.keys() & {"minimum", "exclusiveMinimum"}
        high = not exact.keys() & {"maximum", "exclusiveMaximum"}
        exact.update({key: bound for key, bound in _INT64.items() if (low if key == "minimum" else high)})
        exact["format"] = "int64"
    return exact


def _exact_value(key: str, value: object) -> object:
    if key == "properties" and isinstance(value, dict):
        return {name: _exact(inner) for name, inner in value.items()}
    if key in ("default", "enum", "const", "required", "examples", "mapping", "title", "description"):
        return value
    return _exact(value)
