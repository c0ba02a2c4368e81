"""Whatever is sent: a clear answer or quarantine, the process lives, nothing that was answered is lost."""

import contextlib
import json
import time

import pytest
from tests.server.conftest import Server

from koban.base import HOUR, Instant, SystemClock, to_rfc3339

AT = to_rfc3339(SystemClock().now())


def event(event_id: str, **data: object) -> dict[str, object]:
    return {
        "specversion": "1.0",
        "id": event_id,
        "source": "shop",
        "type": "message.sent",
        "time": AT,
        "data": {"sender": {"id": "a1"}, "message": {"id": event_id}, "text": "こんにちは", **data},
    }


@pytest.mark.parametrize(
    ("body", "media", "status", "code"),
    [
        (b'{"id": "x", "source"', "application/json", 400, "body_unreadable"),
        (b"", "application/json", 400, "malformed_request"),
        (b"[]", "application/json", 400, "body_unreadable"),
        (b"\xff\xfe\x00", "application/json", 400, "body_unreadable"),
        (
            b'{"id":"n","source":"s","type":"message.sent","data":{"price_minor":NaN}}',
            "application/json",
            400,
            "body_unreadable",
        ),
        (b'{"id":"n","id":"m","source":"s","type":"message.sent"}', "application/json", 400, "body_unreadable"),
        (b"[" * 200_000, "application/json", 400, "body_unreadable"),
        (b'{"a":' * 50_000 + b"1" + b"}" * 50_000, "application/json", 400, "body_unreadable"),
        (b"x" * (10 * 1024 * 1024), "application/json", 413, "body_too_large"),
        (b"[" + b"{}," * 6_000 + b"{}]", "application/json", 413, "too_many_events"),
        (b'{"specversion":"1.0"}', "application/json", 422, "event_quarantined"),
        (b'{"id":"t","source":"s","type":"no.such","data":{}}', "application/json", 422, "event_quarantined"),
        (
            b'{"id":"w","source":"s","type":"message.sent","data":{"price_minor":"x"}}',
            "application/json",
            422,
            "event_quarantined",
        ),
        (
            b'{"id":"h","source":"s","type":"message.sent","data":{"price_minor":99999999999999999999}}',
            "application/json",
            422,
            "event_quarantined",
        ),
        (
            b'{"id":"b","source":"s","type":"message.sent","data_base64":"AAAA"}',
            "application/json",
            422,
            "event_quarantined",
        ),
    ],
)
def test_a_body_that_cannot_be_read_gets_a_clear_problem(
    server: Server, body: bytes, media: str, status: int, code: str
) -> None:
    answer = server.post(body, media)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"]
    assert server.alive()


@pytest.mark.parametrize(
    "text",
    [
        "\ud800",
        "a\x00b",
        "\u202e\u200b\ufeff",
        "x" * 200_000,
        "🏴󠁧󠁢󠁥󠁮󠁧󠁿" * 500,
        "ﾁｮｸﾄﾘﾋｷ" * 300,
        "\u0301" * 10_000,
        "((((a+)+)+)+)+" * 200,
    ],
    ids=["half surrogate", "nul", "invisible", "long", "flags", "half-width", "combining", "brackets"],
)
def test_no_text_of_a_person_is_a_reason_to_refuse(server: Server, text: str) -> None:
    body = json.dumps(event(f"text-{hash(text)}", text=text)).encode()
    answer = server.post(body)
    assert answer.status_code == 200
    assert answer.json()["verdict"] in {"allow", "block"}
    assert server.alive()


def test_a_damaged_id_is_quarantined_and_what_was_sent_is_kept(server: Server) -> None:
    damaged = json.dumps(event("half\ud800")).encode()
    answer = server.post(damaged)
    assert (answer.status_code, answer.json()["code"]) == (422, "event_quarantined")
    assert answer.json()["errors"][0]["path"] == "/id"
    whole = [event("whole-1"), event("whole-2", sender={"id": "mallory\udfff"}), event("whole-3", text="\ud800")]
    items = server.post(json.dumps(whole).encode()).json()["items"]
    assert [item["status"] for item in items] == [200, 422, 200]
    assert [each["path"] for each in items[1]["problem"]["errors"]] == ["/data/sender/id"]
    listed = server.client.get("/v1/quarantine?limit=200").json()["items"]
    [kept] = [each for each in listed if each["event_id"] == "whole-2"]
    again = server.command(f"/v1/quarantine/{kept['id']}/replay", {})
    assert (again.status_code, again.json()["code"]) == (422, "event_quarantined")


@pytest.mark.parametrize(("hours", "late"), [(-48, True), (48, False)])
def test_clocks_that_disagree_are_decided_and_marked(server: Server, hours: int, late: bool) -> None:  # noqa: FBT001
    at = to_rfc3339(Instant(SystemClock().now() + hours * HOUR))
    answer = server.post({**event(f"skew{hours}"), "time": at})
    assert answer.status_code == 200
    assert answer.json().get("late", False) is late


def test_a_head_that_does_not_end_is_cut_off_and_keeps_nothing(server: Server) -> None:
    import socket

    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\nX-Endless: ")
        with contextlib.suppress(ConnectionError):
            for _ in range(64):
                connection.sendall(b"a" * 65_536)
        with contextlib.suppress(
            ConnectionError
        ):  # what was still on its way may reset the connection before it is read
            assert connection.recv(100).startswith(b"HTTP/1.1 431 ")
    assert server.alive()


def test_lines_answer_for_themselves(server: Server) -> None:
    lines = b"\n".join([json.dumps(event("l1")).encode(), b"{oops", b"", json.dumps(event("l2")).encode()])
    items = server.post(lines, "application/x-ndjson").json()["items"]
    assert [item["status"] for item in items] == [200, 422, 200]


def test_an_asynchronous_event_is_accepted_and_decided(server: Server) -> None:
    answer = server.post(event("async1", text="直取引しませんか"), path="/v1/events?mode=async")
    assert (answer.status_code, answer.json()["status"]) == (202, "accepted")
    for _ in range(1_200):
        again = server.post(event("async1", text="直取引しませんか"))
        if again.status_code == 200:
            break
        time.sleep(0.05)
    assert again.json()["verdict"] == "block"


def test_the_same_event_again_gets_the_same_bytes_and_another_content_a_conflict(server: Server) -> None:
    first = server.post(event("twice"))
    assert server.post(event("twice")).content == first.content
    other = server.post(event("twice", text="another"))
    assert (other.status_code, other.json()["errors"][0]["path"]) == (409, "/data")


def test_who_has_no_token_or_too_small_a_one_gets_nothing(server: Server) -> None:
    import httpx

    assert (
        httpx.post(f"http://127.0.0.1:{server.port}/v1/events", json=event("anon"), trust_env=False).status_code == 401
    )
    small = server.command("/v1/tokens", {"name": "small", "scopes": ["lists.read"], "days": 1}).json()["secret"]
    headers = {"authorization": f"Bearer {small}"}
    answer = httpx.post(
        f"http://127.0.0.1:{server.port}/v1/events", json=event("anon"), headers=headers, trust_env=False
    )
    assert (answer.status_code, answer.json()["code"]) == (403, "not_allowed")
    assert server.client.get("/v1/events/anon").status_code == 404
