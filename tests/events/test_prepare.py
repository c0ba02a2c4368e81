"""From envelopes to prepared events: types, personal fields, what was not declared."""

import hashlib
from collections.abc import Mapping

import msgspec
import pytest

from koban.base import MINUTE, Instant
from koban.events import Envelope, Fault, Flag, Prepared, make_preparer, prepare, read_row
from koban.packs import EventType, Field, FieldType, Source, SubjectRole

AT = Instant(1_795_260_600_000_000)


def field(path: str, kind: FieldType, personal: str | None = None, *, joined: bool = False) -> Field:
    return Field(path=path, type=kind, personal=personal, joined=joined)


FIELDS = (
    field("sender.id", "text"),
    field("sender.created_at", "timestamp"),
    field("text", "text", "sender.id"),
    field("device.id", "text", "sender.id", joined=True),
    field("price_minor", "int"),
    field("share", "decimal"),
    field("first", "bool"),
    field("tags", "text[]"),
)
MESSAGE = EventType(
    name="message.sent",
    fields={each.path: each for each in FIELDS},
    subjects={
        "sender.id": SubjectRole(path="sender.id", kind="account"),
        "device.id": SubjectRole(path="device.id", kind="device"),
    },
    acting="sender.id",
    recipient=None,
    content=None,
    within_ms=200,
    fallback="allow",
    retention_days=365,
    texts=("text",),
    about={"en": "x", "ja": "x"},
    source=Source(file="events.yaml", line=1),
)
PREPARER = make_preparer(MESSAGE)


def pseudonym(kind: str, value: str) -> str:
    return f"{kind}~{hashlib.sha256(value.encode()).hexdigest()[:8]}"


def digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()[:16]


def made(data: Mapping[str, object], *, event_at: int = AT, strict: bool = False) -> Prepared | Fault:
    envelope = Envelope(
        id="e1",
        source="shop",
        type="message.sent",
        event_at=Instant(event_at),
        subject=None,
        data=dict(data),
        damaged=False,
    )
    return prepare(PREPARER, envelope, AT, pseudonym, digest, strict=strict)


def prepared(data: Mapping[str, object], *, event_at: int = AT) -> Prepared:
    found = made(data, event_at=event_at)
    assert isinstance(found, Prepared)
    return found


def test_values_get_their_declared_types() -> None:
    data = msgspec.json.decode(
        b'{"sender":{"id":"a1","created_at":"2026-11-21T20:30:00+09:00"},"price_minor":1200,"first":true,"tags":["x","y"]}'
    )
    assert prepared(data).row == {
        "sender.id": "a1",
        "sender.created_at": 1_795_260_600_000_000,
        "price_minor": 1200,
        "first": True,
        "tags": ("x", "y"),
    }


@pytest.mark.parametrize(
    ("sent", "scaled"),
    [
        ("0.5", 500_000),
        ("1", 1_000_000),
        ("-2.0000005", -2_000_001),
        ("0.0000004", 0),
        ("999999999999", 999999999999000000),
    ],
)
def test_fractions_are_scaled_to_millionths(sent: str, scaled: int) -> None:
    import decimal

    assert prepared({"share": decimal.Decimal(sent)}).row == {"share": scaled}


@pytest.mark.parametrize(
    ("data", "path"),
    [
        ({"price_minor": "1200"}, "/data/price_minor"),
        ({"price_minor": True}, "/data/price_minor"),
        ({"price_minor": 1 << 63}, "/data/price_minor"),
        ({"price_minor": 10**30}, "/data/price_minor"),
        ({"share": "0.5"}, "/data/share"),
        ({"share": 10**18}, "/data/share"),
        ({"first": 1}, "/data/first"),
        ({"tags": "x"}, "/data/tags"),
        ({"tags": ["x", 1]}, "/data/tags"),
        ({"text": {"a": 1}}, "/data/text"),
        ({"sender": {"id": 7}}, "/data/sender/id"),
        ({"sender": {"id": "x" * 300}}, "/data/sender/id"),
        ({"sender": {"created_at": "today"}}, "/data/sender/created_at"),
    ],
)
def test_a_declared_field_of_another_type_is_a_fault_that_points_at_it(data: dict[str, object], path: str) -> None:
    found = made(data)
    assert isinstance(found, Fault)
    assert [problem.path for problem in found.problems] == [path]


def test_nothing_personal_stays_in_the_stored_data() -> None:
    found = prepared(
        {"sender": {"id": "a1"}, "text": "私の番号は", "device": {"id": "phone-7"}, "secret": {"mail": "a@example.com"}}
    )
    assert found.personal == {"a1": {"text": "私の番号は", "secret": {"mail": "a@example.com"}}}
    stored = found.data.decode()
    assert "番号" not in stored
    assert "phone-7" not in stored
    assert "example" not in stored
    assert found.row["device.id"] == pseudonym("device", "phone-7")
    assert msgspec.json.decode(found.data) == {"sender": {"id": "a1"}, "device": {"id": pseudonym("device", "phone-7")}}


def test_the_row_read_back_is_the_row_that_was_decided_on() -> None:
    found = prepared({"sender": {"id": "a1"}, "text": "やあ", "device": {"id": "d"}, "price_minor": 3})
    again = read_row(PREPARER, msgspec.json.decode(found.data), found.personal["a1"])
    assert again == found.row
    erased = read_row(PREPARER, msgspec.json.decode(found.data), {})
    assert erased == {name: value for name, value in found.row.items() if name != "text"}


def test_undeclared_fields_are_kept_unread_and_reported_or_refused_when_strict() -> None:
    data = {"sender": {"id": "a1", "rank": 3}, "extra": [1]}
    assert prepared(data).unread == ("/data/sender/rank", "/data/extra")
    refused = made(data, strict=True)
    assert isinstance(refused, Fault)
    assert [problem.path for problem in refused.problems] == ["/data/sender/rank", "/data/extra"]


@pytest.mark.parametrize(
    ("event_at", "flags"),
    [
        (AT - 10 * MINUTE, Flag.NONE),
        (AT - 10 * MINUTE - 1, Flag.LATE),
        (AT + 10 * MINUTE, Flag.NONE),
        (AT + 10 * MINUTE + 1, Flag.AHEAD),
    ],
)
def test_an_event_is_late_after_ten_minutes_and_ahead_before(event_at: int, flags: Flag) -> None:
    assert prepared({}, event_at=event_at).flags == flags


def test_null_is_as_if_it_was_not_sent() -> None:
    assert prepared({"price_minor": None, "sender": None}).row == {}


def test_a_text_that_is_too_long_is_read_at_both_ends_kept_whole_and_reported() -> None:
    text = "あ" * 30_000 + "直取引しませんか"
    found = prepared({"sender": {"id": "a1"}, "text": text})
    read = found.row["text"]
    assert isinstance(read, str)
    assert read.endswith("直取引しませんか")
    assert len(read) == 20_001
    assert found.personal["a1"]["text"] == text
    assert found.unread == ("/data/text",)
    assert read_row(PREPARER, msgspec.json.decode(found.data), found.personal["a1"]) == found.row


@pytest.mark.parametrize("path", ["sender.id", "device.id"])
def test_a_damaged_id_in_the_data_is_a_fault_because_two_people_or_devices_must_not_become_one(path: str) -> None:
    data = {part.split(".")[0]: {"id": "a�"} for part in ("sender.id", "device.id")}
    envelope = Envelope(
        id="e1", source="shop", type="message.sent", event_at=AT, subject=None, data={**data, "text": "�"},
        damaged=True, damaged_at=frozenset({path, "text"}), raw=b"as it was sent",
    )  # fmt: skip
    found = prepare(PREPARER, envelope, AT, pseudonym, digest)
    assert isinstance(found, Fault)
    assert [each.path for each in found.problems] == ["/data/" + path.replace(".", "/")]
    assert found.raw == b"as it was sent"
    whole = msgspec.structs.replace(envelope, damaged_at=frozenset({"text"}))
    assert isinstance(read := prepare(PREPARER, whole, AT, pseudonym, digest), Prepared)
    assert read.row["sender.id"] == "a�"
