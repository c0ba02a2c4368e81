"""From bytes to envelopes: what is read, what is set aside, what is refused."""

import json

import pytest

from koban.base import Instant, limits
from koban.events import BodyUnreadable, Envelope, Fault, TooManyEvents, decode

EVENT = {"specversion": "1.0", "id": "e1", "source": "shop", "type": "message.sent", "data": {"text": "こんにちは"}}


def one(body: bytes, media: str = "application/cloudevents+json") -> Envelope | Fault:
    items = decode(body, media)
    assert len(items) == 1
    return items[0]


def written(**changes: object) -> bytes:
    event = {**EVENT, **changes}
    return json.dumps({name: value for name, value in event.items() if value is not ...}, ensure_ascii=False).encode()


def test_a_whole_event_is_read() -> None:
    found = one(written(time="2026-11-21T20:30:00+09:00", subject="m1"))
    assert found == Envelope(
        id="e1",
        source="shop",
        type="message.sent",
        event_at=Instant(1_795_260_600_000_000),
        subject="m1",
        data={"text": "こんにちは"},
        damaged=False,
    )


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"id": ...}, "/id"),
        ({"id": ""}, "/id"),
        ({"id": 7}, "/id"),
        ({"id": "x" * 257}, "/id"),
        ({"id": "a\x00b"}, "/id"),
        ({"source": None}, "/source"),
        ({"source": "koban:log"}, "/source"),
        ({"type": ["a"]}, "/type"),
        ({"specversion": "0.3"}, "/specversion"),
        ({"time": "yesterday"}, "/time"),
        ({"time": "2026-11-21T20:30:00"}, "/time"),
        ({"time": 17}, "/time"),
        ({"subject": 3}, "/subject"),
        ({"data": [1]}, "/data"),
        ({"data": "text"}, "/data"),
        ({"data_base64": "AA=="}, "/data_base64"),
    ],
)
def test_an_attribute_that_cannot_be_read_is_a_fault_that_points_at_it(changes: dict[str, object], path: str) -> None:
    found = one(written(**changes))
    assert isinstance(found, Fault)
    assert [problem.path for problem in found.problems] == [path]


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b'{"id":"1"', b"nope", b"3", b'"x"', b"null", b"[]", b'{"a":NaN}', b"[" * 100_000, b'{"a":1}{"b":2}'],
)
def test_a_body_that_is_no_json_event_is_refused(body: bytes) -> None:
    with pytest.raises(BodyUnreadable):
        decode(body, "application/json")


def test_a_member_named_twice_is_refused_because_readers_disagree_about_it() -> None:
    body = b'{"id":"e1","source":"s","type":"t","data":{"price": 1, "price" :2}}'
    with pytest.raises(BodyUnreadable, match="'price' stands twice"):
        decode(body, "application/json")
    lines = decode(body + b"\n" + written(), "application/x-ndjson")
    assert [type(item) for item in lines] == [Fault, Envelope]


def test_text_that_looks_like_a_member_is_not_taken_for_one() -> None:
    assert isinstance(one(written(data={"text": 'a":"b" : "c'})), Envelope)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"\\ud800 half", "� half"),
        (b"half \\udc00", "half �"),
        (b"\\ud83d\\ude00 whole", "😀 whole"),
        (b"\\\\ud800 escaped", "\\ud800 escaped"),
        (b"\\ud800\\ud83d\\ude00", "�😀"),
        (b"nul \\u0000", "nul �"),
        (b"\xff\xfe", "��"),
    ],
)
def test_damaged_text_is_repaired_and_marked(raw: bytes, text: str) -> None:
    found = one(b'{"id":"e1","source":"s","type":"t","data":{"text":"' + raw + b'"}}')
    assert isinstance(found, Envelope)
    assert found.data["text"] == text
    assert found.damaged is ("�" in text)


def test_each_line_answers_for_itself() -> None:
    body = written() + b"\n\n" + b"{broken\n" + written(id="e2")
    assert [type(item) for item in decode(body, "application/x-ndjson; charset=utf-8")] == [Envelope, Fault, Envelope]


def test_deep_data_is_a_fault_and_very_deep_json_a_refusal() -> None:
    nested: object = "x"
    for _ in range(limits.JSON_DEPTH_MAX + 2):
        nested = {"a": nested}
    found = one(written(data=nested))
    assert isinstance(found, Fault)
    assert found.problems[0].path == "/data"


def test_more_events_than_fit_are_refused() -> None:
    body = b"[" + b",".join([b"{}"] * (limits.BATCH_EVENTS_MAX + 1)) + b"]"
    with pytest.raises(TooManyEvents):
        decode(body, "application/json")


def test_numbers_beyond_sixty_four_bits_and_long_fractions_survive() -> None:
    found = one(
        b'{"id":"e","source":"s","type":"t","data":{"a":123456789012345678901234567890,"b":0.1000000000000000055}}'
    )
    assert isinstance(found, Envelope)
    assert found.data["a"] == 123456789012345678901234567890
    assert str(found.data["b"]) == "0.1000000000000000055"
