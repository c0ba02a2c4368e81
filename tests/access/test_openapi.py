from typing import Literal

import msgspec
import pytest

from koban.access import PUBLIC, Call, Endpoint, PageQuery, endpoint, openapi
from koban.base import Refusal


class Busy(Refusal):
    code = "busy"
    status = 409
    title = "It is busy."


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    size: int
    text: str
    kind: Literal["a", "b"] | None = None


class Filter(PageQuery, frozen=True, kw_only=True):
    kind: Literal["a", "b"] | None = None
    only: bool = False


def handler(_call: Call) -> object:
    return None


def at(value: object, *path: str) -> object:
    """Walk down a JSON document."""
    for step in path:
        assert isinstance(value, dict)
        value = value[step]
    return value


def names(value: object) -> list[str]:
    assert isinstance(value, dict)
    return list(value)


def described(one: Endpoint) -> object:
    return at(openapi([one], "0"), "paths", one.path.replace(":path", ""), one.method.lower())


def test_a_route_says_what_it_takes_gives_and_refuses() -> None:
    operation = described(
        endpoint("POST", "/v1/things/{id:path}", "lists.write", handler, summary="Do", body=Asked, status=204,
                 raises=(Busy,), accepts="either")
    )  # fmt: skip
    assert at(operation, "operationId") == "post_v1_things_id_path"
    assert at(operation, "description") == "Needs the permission `lists.write`."
    parameters = msgspec.convert(at(operation, "parameters"), list[dict[str, object]])
    assert [(one["name"], one["in"], one["required"]) for one in parameters[1:]] == [
        ("Idempotency-Key", "header", False)
    ]
    assert parameters[:1] == [
        {"name": "id", "in": "path", "required": True,
         "schema": {"type": "string", "minLength": 1, "pattern": "^[^\\u0000/]+$"}},
    ]  # fmt: skip
    statuses = ["204", "303", "400", "401", "403", "404", "409", "413", "415", "422", "429", "503"]
    assert names(at(operation, "responses")) == statuses
    assert at(operation, "responses", "409", "description") == "`busy`: It is busy."
    assert at(operation, "responses", "204") == {"description": "Do"}
    assert names(at(operation, "requestBody", "content")) == ["application/json", "application/x-www-form-urlencoded"]


def test_optional_parameters_are_left_out_and_never_null() -> None:
    operation = described(endpoint("GET", "/v1/things", PUBLIC, handler, summary="List", query=Filter))
    assert at(operation, "security") == []
    parameters = {one["name"]: one for one in msgspec.convert(at(operation, "parameters"), list[dict[str, object]])}
    assert parameters["kind"]["schema"] == {"enum": ["a", "b"]}
    assert parameters["only"]["schema"] == {"type": "boolean", "default": False}
    assert parameters["limit"]["schema"] == {
        "type": "integer", "minimum": 1, "maximum": 200, "default": 50, "format": "int64",
        "description": "Items on a page",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("media_types", "content"),
    [((), ["application/octet-stream"]), (("text/plain", "text/csv"), ["text/plain", "text/csv"])],
)
def test_bytes_are_described_by_their_media_types(media_types: tuple[str, ...], content: list[str]) -> None:
    taken = endpoint("POST", "/v1/x", PUBLIC, handler, summary="X", body=bytes, media_types=media_types)
    assert names(at(described(taken), "requestBody", "content")) == content
    given = endpoint("GET", "/v1/x", PUBLIC, handler, summary="X", returns=bytes, media_types=media_types)
    assert names(at(described(given), "responses", "200", "content")) == content


def test_text_and_numbers_have_the_bounds_that_hold() -> None:
    document = openapi([endpoint("POST", "/v1/x", PUBLIC, handler, summary="X", body=Asked)], "0")
    properties = at(document, "components", "schemas", "Asked", "properties")
    assert at(properties, "size") == {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1, "format": "int64"}
    assert at(properties, "text") == {"type": "string", "pattern": "^[^\\u0000]*$"}
    assert "ProblemBody" in names(at(document, "components", "schemas"))


def test_pages_of_the_console_are_left_out() -> None:
    page = endpoint("GET", "/lists", "lists.read", handler, summary="Page", page=True)
    assert openapi([page], "0")["paths"] == {}
