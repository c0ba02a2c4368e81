"""From bytes to envelopes: what is read, what is set aside, what is refused."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from koban.base import Instant, limits
from koban.events import BodyUnreadable, Envelope, Fault, TooManyEvents, decode, decode_pieces

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


@pytest.mark.parametrize("beside", [0, 40, 400])
@pytest.mark.parametrize("between", ["", " ", "\n", "\r\n\t "])
@pytest.mark.parametrize("text", ["直取引はできますか", "LINE : koban", '"id":"e1"'])
def test_a_member_named_twice_is_found_in_a_batch_of_any_size(text: str, between: str, beside: int) -> None:
    others = [written(id=f"o{number}", data={"text": text}) for number in range(beside)]
    twice = f'{{"id":"e1","source":"s","type":"t","data":{{"price"{between}:1,"price":2}}}}'.encode()
    once = twice.replace(b',"price"', b',"cost"')
    assert len(decode(b"[" + b",".join([*others, once]) + b"]", "application/json")) == beside + 1
    with pytest.raises(BodyUnreadable, match="'price' stands twice"):
        decode(b"[" + b",".join([*others, twice]) + b"]", "application/json")


@pytest.mark.parametrize("size", [1, 10_000])
def test_text_that_looks_like_a_member_is_not_taken_for_one(size: int) -> None:
    assert isinstance(one(written(data={"text": 'a":"b" : "c' + "字" * size})), Envelope)
    assert isinstance(one(written(data={"text": 'a":"b"' + "字" * size})), Envelope)


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


def compact(**changes: object) -> bytes:
    return json.dumps(json.loads(written(**changes)), ensure_ascii=False, separators=(",", ":")).encode()


@pytest.mark.parametrize("damage", [b"", b"\xff\xfe", b"half \\ud800"])
def test_a_large_batch_is_read_in_pieces_as_each_event_by_itself(damage: bytes) -> None:
    nested: object = "x"
    for _ in range(limits.JSON_DEPTH_MAX + 2):
        nested = {"a": nested}
    odd = {
        3: b"3", 49: b"null", 50: b"[1]", 170: compact(id=""), 171: compact(source=7), 333: compact(data=nested),
        421: compact(type=None),
        999: compact(id="\x00"), 1_099: compact(time="?"),
    }  # fmt: skip
    if damage:
        odd[520] = compact(data={"text": "..."}).replace(b"...", damage)
    items = [odd.get(number, compact(id=f"e{number}", data={"text": "あ" * 20})) for number in range(1_100)]
    body = b"[" + b" ,\n".join(items) + b"]"
    pieces = list(decode_pieces(body, "application/json"))
    assert (len(pieces) > 10) is (b"ud800" not in damage)  # half a character keeps it from being cut
    assert [found for piece in pieces for found in piece] == [
        decode(b"[" + item + b"]", "application/json")[0] for item in items
    ]
    lines = decode(b"\n".join(items), "application/x-ndjson")
    assert [type(found) for piece in pieces for found in piece] == [type(found) for found in lines]


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (b'{"id":nope}', r"no valid JSON: .*byte 7\d\d\d\d"),
        (b'{"id":"e1","source":"s","type":"t","data":{"n":01}}', "no valid JSON"),
        (b'{"id":"e1","source":"s","type":"t","data":{"price":1,"price":2}}', "'price' stands twice"),
        (b"[" * 3_000 + b"]" * 3_000, "nested too deeply"),
    ],
)
def test_a_large_batch_that_is_broken_is_refused_as_a_whole_and_says_where(broken: bytes, message: str) -> None:
    items = [compact(id=f"e{number}", data={"text": "あ" * 20}) for number in range(1_000)]
    items[500] = broken
    body = b"[" + b",".join(items) + b"]"
    with pytest.raises(BodyUnreadable, match=message):
        decode(body, "application/json")


def test_too_many_events_are_refused_before_any_is_read() -> None:
    body = b"[" + b",".join([written()] * (limits.BATCH_EVENTS_MAX + 1)) + b"]"
    with pytest.raises(TooManyEvents):
        next(iter(decode_pieces(body, "application/json")))


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


DAMAGED = [b"a\\ud800", b"a\\uDFFF", b"a\xff", b"a\xe3\x81", b"\\udc00\\ud800"]


@pytest.mark.parametrize("bad", DAMAGED)
@pytest.mark.parametrize("name", ["id", "source", "type", "subject"])
def test_a_name_that_is_damaged_is_a_fault_because_another_one_could_become_the_same(name: str, bad: bytes) -> None:
    body = written(**{"subject": "m1", name: "@"}).replace(b'"@"', b'"' + bad + b'"')
    found = one(body)
    assert isinstance(found, Fault)
    assert [(each.path, "damaged character" in each.detail) for each in found.problems] == [(f"/{name}", True)]
    assert found.raw == body, "what was sent is kept as it was"
    assert getattr(found, name, None) is None


@pytest.mark.parametrize("bad", DAMAGED)
def test_a_replacement_character_that_was_sent_is_no_damage(bad: bytes) -> None:
    for whole in ("�", "\\ufffd", "\\uFFFD"):
        body = b'{"id":"a%s","source":"s","type":"t","data":{"text":"%s %s"}}' % (whole.encode(), bad, whole.encode())
        found = one(body)
        assert isinstance(found, Envelope)
        assert (found.id, found.damaged, found.damaged_at, found.raw) == ("a�", True, frozenset({"text"}), body)
        assert isinstance(text := found.data["text"], str)
        assert text.isprintable()
        assert text.endswith(" �")


def test_a_damaged_event_of_a_batch_leaves_the_others_as_they_are() -> None:
    items = [
        b'{"id":"a\\ud800","source":"s","type":"t"}',
        b'{"id":"b\xef\xbf\xbd","source":"s","type":"t","data":{"text":"[,] \\" whole"}}',
        b'{"id":"c","source":"s","type":"t","data":{"text":"half \\udc00","ids":["x\\u0000"]}}',
        b'{"id":"d","source":"s","type":"t","data":{"n":1,"n":2}}',
        b"3",
    ]
    first, second, third, fourth, fifth = decode(b" [ " + b" ,\n".join(items) + b" ] ", "application/json")
    assert isinstance(first, Fault)
    assert first.raw == items[0]
    assert isinstance(second, Envelope)
    assert (second.id, second.damaged, second.raw) == ("b�", False, b"")
    assert isinstance(third, Envelope)
    assert (third.data, third.raw) == ({"text": "half �", "ids": ["x�"]}, items[2])
    assert third.damaged_at == {"text", "ids"}
    assert [type(fourth), type(fifth)] == [Fault, Fault]


@pytest.mark.parametrize(
    "data",
    [
        rb'{"a\ud800":1,"a\ud801":2}',
        rb'{"a\u0000":1,"a\ufffd":2}',
        b'{"a\xff":1,"a\xfe":2}',
        rb'{"x":{"\ud800":1,"\udc00":2}}',
    ],
)
def test_two_members_that_would_become_one_are_not_read(data: bytes) -> None:
    body = b'{"id":"e1","source":"s","type":"t","data":' + data + b"}"
    [found] = decode(body, "application/x-ndjson")
    assert isinstance(found, Fault)
    assert "stands twice" in found.problems[0].detail
    assert found.raw == body


CHARACTERS = st.one_of(st.sampled_from("a�\x00﷑\ud800\udc00\ud801\udbff"), st.characters())


@settings(deadline=None)
@given(st.text(CHARACTERS, min_size=1, max_size=4), st.text(CHARACTERS, min_size=1, max_size=4))
def test_two_ids_never_become_one(first: str, second: str) -> None:
    events = [{**EVENT, "id": each} for each in (first, second)]
    for body in (json.dumps(events).encode(), b"\n".join(json.dumps(each).encode() for each in events)):
        read = decode(body, "application/json" if body.startswith(b"[") else "application/x-ndjson")
        for sent, found in zip((first, second), read, strict=True):
            # Two escapes in a row may be one character: that is what JSON says, and no damage.
            whole = json.loads(json.dumps(sent))
            assert isinstance(found, Fault) or found.id == whole
