import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Protocol

import httpx
import msgspec
import pytest
from starlette.applications import Starlette
from starlette.types import ASGIApp, Message

from koban.access import (
    PUBLIC,
    SIGNED_IN,
    Answer,
    Call,
    Cookie,
    Gate,
    Guarded,
    Page,
    PageQuery,
    Principal,
    ProblemBody,
    Rate,
    build_routes,
    endpoint,
    logic,
    problem_handlers,
    redirect,
)
from koban.access.answering import CONTENT_SECURITY_POLICY
from koban.access.permissions import grants_of, grants_of_scopes
from koban.access.web import Caller
from koban.base import Instant, ManualClock, Refusal, Unavailable


class Browser(Protocol):
    """What `browse` of conftest.py makes."""

    def request(self, method: str, path: str, **options: object) -> httpx.Response: ...
    def get(self, path: str, **options: object) -> httpx.Response: ...
    def post(self, path: str, **options: object) -> httpx.Response: ...


START = Instant(1_800_000_000_000_000)


class Reading(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: str
    size: Annotated[int, msgspec.Meta(ge=0)]
    tags: list[str] = []
    inner: dict[str, int] = {}


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    what: str
    by: str
    language: str


class Filter(PageQuery, frozen=True, kw_only=True):
    state: str | None = None
    open: bool | None = None
    kinds: tuple[str, ...] = ()


class Nothing(Refusal):
    code = "nothing"
    status = 404
    title = "There is nothing."


class People:
    """A directory of two: a lead with a session, a token that may send events."""

    def __init__(self) -> None:
        self.looked_up = 0
        self._callers = {
            ("bearer", "koban_good"): Caller(
                principal=Principal(
                    kind="token", id="token_1", name="shop", grants=grants_of_scopes(("events.write", "lists.read"))
                )
            ),
            ("session", "s3cret"): Caller(
                principal=Principal(
                    kind="staff", id="staff_1", name="Aoi", roles=("lead",), grants=grants_of(("lead",))
                ),
                session_id="session_1",
            ),
        }

    def recall(self, kind: str, secret: str, at: Instant) -> Caller | None:  # noqa: ARG002
        return None

    def look_up(self, kind: str, secret: str, at: Instant) -> Caller | None:  # noqa: ARG002
        self.looked_up += 1
        return self._callers.get((kind, secret))


def write(call: Call) -> object:
    body = call.body_as(Reading)
    return Seen(what=body.name, by=call.grant.by, language=call.language)


async def write_later(call: Call) -> object:
    await asyncio.sleep(0)
    return Seen(what=str(len(call.raw)), by=call.principal.id, language=call.language)


def read_list(call: Call) -> object:
    wanted = call.params_as(Filter)
    return Page(items=[wanted.state or "all", *wanted.kinds, str(wanted.limit)], next_cursor=wanted.cursor)


def refuse(call: Call) -> object:
    raise Nothing(f"no {call.path['id']} here")


def be_out(_call: Call) -> object:
    raise Unavailable("model", 7)


def fail(_call: Call) -> object:
    raise ZeroDivisionError("secret detail")


def show_page(call: Call) -> object:
    return Answer(body=f"<p>{call.csrf}</p>")


def post_page(_call: Call) -> object:
    return redirect("/", cookies=(Cookie(name="seen", value="1", max_age_s=60),))


ENDPOINTS = (
    endpoint("POST", "/v1/things", "lists.write", write, summary="Write", body=Reading, returns=Seen, status=201),
    endpoint("GET", "/v1/things", "lists.read", read_list, summary="List", query=Filter, returns=Page[str]),
    endpoint("GET", "/v1/things/{id}", "lists.read", refuse, summary="Read", raises=(Nothing,)),
    endpoint("GET", "/v1/things/mine", SIGNED_IN, write_later, summary="Mine", returns=Seen, blocking=False),
    endpoint(
        "POST", "/v1/raw", "events.write", write_later, summary="Raw", body=bytes, blocking=False, max_bytes=1_000
    ),
    endpoint("POST", "/v1/either", PUBLIC, write, summary="Either", body=Reading, accepts="either"),
    endpoint("GET", "/v1/out", PUBLIC, be_out, summary="Out"),
    endpoint("GET", "/v1/fail", PUBLIC, fail, summary="Fail"),
    endpoint("GET", "/v1/broken-header", PUBLIC, lambda _: Answer(headers={"x": "a\r\nset-cookie: b=c"}), summary="X"),
    endpoint("GET", "/v1/wide-header", PUBLIC, lambda _: Answer(headers={"x": "山"}), summary="X"),
    endpoint("GET", "/v1/broken-body", PUBLIC, lambda _: Answer(body=object()), summary="X"),
    endpoint("GET", "/lists", "lists.read", show_page, summary="Page", page=True),
    endpoint("POST", "/lists", "lists.write", post_page, summary="Post", accepts="form", page=True),
)
TOKEN = {"authorization": "Bearer koban_good"}
SESSION = {"cookie": "koban_session=s3cret"}
LEAD = SESSION | {"x-csrf-token": logic.csrf_token("s3cret")}


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START)


@pytest.fixture
def client(clock: ManualClock, browse: Callable[[ASGIApp], Browser]) -> Iterator[Browser]:
    with ThreadPoolExecutor(2) as pool:
        gate = Gate(
            clock=clock,
            randomness=random.Random(1),
            directory=People(),
            pool=pool,
            unknown_rate=Rate(per_s=20, burst=30),
        )
        app = Starlette(routes=build_routes(ENDPOINTS, gate), exception_handlers=problem_handlers(gate))
        yield browse(Guarded(app, gate))


def test_a_route_needs_a_permission_of_the_catalogue() -> None:
    with pytest.raises(ValueError, match="no permission"):
        endpoint("GET", "/v1/x", "whatever", write, summary="X")


def test_a_blocking_handler_is_no_coroutine() -> None:
    with pytest.raises(ValueError, match="plain function"):
        endpoint("GET", "/v1/x", PUBLIC, write_later, summary="X")


def test_a_path_is_described_once_per_method(clock: ManualClock) -> None:
    with ThreadPoolExecutor(1) as pool, pytest.raises(ValueError, match="twice"):
        build_routes(
            [ENDPOINTS[0], ENDPOINTS[0]],
            Gate(clock=clock, randomness=random.Random(1), directory=People(), pool=pool),
        )


def test_a_handler_gets_the_decoded_body_and_the_grant(client: Browser) -> None:
    answer = client.post("/v1/things", headers=LEAD, json={"name": "x", "size": 1})
    assert answer.status_code == 201
    assert answer.json() == {"what": "x", "by": "role lead", "language": "en"}
    assert answer.headers["content-type"] == "application/json"


def test_every_answer_is_guarded(client: Browser) -> None:
    for path in ("/v1/things", "/v1/none", "/lists"):
        answer = client.get(path)
        assert answer.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-request-id"].startswith("request_")
        assert answer.headers.get_list("x-request-id") == [answer.headers["x-request-id"]]
    assert "unsafe" not in CONTENT_SECURITY_POLICY


def test_a_request_id_is_taken_over_when_it_is_harmless(client: Browser) -> None:
    assert client.get("/v1/none", headers={"x-request-id": "abc-1"}).headers["x-request-id"] == "abc-1"
    assert client.get("/v1/none", headers={"x-request-id": "a<b>"}).headers["x-request-id"].startswith("request_")


@pytest.mark.parametrize(
    ("headers", "body", "status", "code", "place"),
    [
        ({}, b'{"name":"x","size":1}', 401, "not_signed_in", None),
        ({"authorization": "Bearer nope"}, b'{"name":"x","size":1}', 401, "not_signed_in", None),
        ({"authorization": "Basic eDp5"}, b'{"name":"x","size":1}', 401, "not_signed_in", None),
        (TOKEN, b'{"name":"x","size":1}', 403, "not_allowed", None),
        (SESSION, b'{"name":"x","size":1}', 403, "csrf", None),
        (SESSION | {"x-csrf-token": "0"}, b'{"name":"x","size":1}', 403, "csrf", None),
        (LEAD | {"sec-fetch-site": "cross-site"}, b'{"name":"x","size":1}', 403, "csrf", None),
        (LEAD | {"origin": "https://evil.example"}, b'{"name":"x","size":1}', 403, "csrf", None),
        (LEAD, b"", 400, "malformed_request", None),
        (LEAD, b'{"name":"x"', 400, "malformed_request", None),
        (LEAD, b'{"name":"\xff","size":1}', 400, "malformed_request", None),
        (LEAD, b'{"name":"\\ud800","size":1}', 400, "malformed_request", None),
        (LEAD, b'{"name":"x","size":NaN}', 400, "malformed_request", None),
        (LEAD, b'{"name":"x","size":1,"tags":' + b"[" * 90_000, 422, "invalid_request", "/tags/0"),
        (LEAD, b'{"name":"x","size":"1"}', 422, "invalid_request", "/size"),
        (LEAD, b'{"name":"x","size":-1}', 422, "invalid_request", "/size"),
        (LEAD, b'{"name":"x","size":1e400}', 422, "invalid_request", "/size"),
        (LEAD, b'{"name":"x","size":' + b"9" * 25 + b"}", 422, "invalid_request", "/size"),
        (LEAD, b'{"name":"x","size":' + b"9" * 5_000 + b"}", 422, "invalid_request", "/size"),
        (LEAD, b'{"name":"x","size":1,"tags":["a",2]}', 422, "invalid_request", "/tags/1"),
        (LEAD, b'{"name":"x","size":1,"inner":{"a":""}}', 422, "invalid_request", "/inner/..."),
        (LEAD, b'{"name":"x","size":1,"tags":["\\u0000"]}', 422, "invalid_request", "/tags/0"),
        (LEAD, b'{"name":"x","size":1,"extra":1}', 422, "invalid_request", ""),
        (LEAD, b"[1]", 422, "invalid_request", ""),
        (LEAD, b" " * 1_100_000, 413, "body_too_large", None),
        (LEAD | {"content-type": "text/plain"}, b'{"name":"x","size":1}', 415, "media_type_unknown", None),
        (
            LEAD | {"content-type": "application/json; charset=shift_jis"},
            b'{"name":"x","size":1}',
            415,
            "media_type_unknown",
            None,
        ),
        (LEAD | {"content-encoding": "gzip"}, b'{"name":"x","size":1}', 415, "media_type_unknown", None),
    ],
)
def test_bad_requests_are_named(
    client: Browser, headers: dict[str, str], body: bytes, status: int, code: str, place: str | None
) -> None:
    answer = client.post("/v1/things", headers={"content-type": "application/json"} | headers, content=body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
    if place is not None:
        assert [each["path"] for each in answer.json()["errors"]] == [place]


def test_whoever_misspells_a_field_is_told_those_that_there_are(client: Browser) -> None:
    answer = client.post(
        "/v1/things", headers=LEAD | {"content-type": "application/json"}, content=b'{"nome":"x","size":1}'
    )
    (error,) = answer.json()["errors"]
    assert "`nome`" in error["detail"]
    assert error["hint"] == "Known here: name, size, tags, inner."


@pytest.mark.parametrize("declared", ["charset=utf-8", "charset=UTF-8", 'Charset="Utf-8"', "charset=us-ascii", "v=1"])
def test_a_body_may_say_that_it_is_utf_8(client: Browser, declared: str) -> None:
    headers = LEAD | {"content-type": f"application/json; {declared}"}
    answer = client.post("/v1/things", headers=headers, content='{"name":"品","size":1}'.encode())
    assert answer.status_code == 201


@pytest.mark.parametrize(
    "declared", ["charset=shift_jis", 'charset="Shift_JIS"', "a=b; charset=windows-31j", "charset=utf-16", "charset="]
)
def test_a_body_in_another_charset_is_refused_with_what_to_do(client: Browser, declared: str) -> None:
    headers = LEAD | {"content-type": f"application/json; {declared}"}
    answer = client.post("/v1/things", headers=headers, content='{"name":"品","size":1}'.encode("shift_jis"))
    assert (answer.status_code, answer.json()["code"]) == (415, "media_type_unknown")
    assert "send it as UTF-8, with charset=utf-8 or without charset" in answer.json()["detail"]


def test_a_body_may_come_in_pieces_up_to_the_limit_up_to_the_limit(client: Browser) -> None:
    assert client.post("/v1/raw", headers=TOKEN, content=[b"a" * 500, b"b" * 500]).json()["what"] == "1000"
    assert client.post("/v1/raw", headers=TOKEN, content=[b"a" * 500, b"b" * 501]).status_code == 413


@pytest.mark.parametrize(
    ("query", "status", "items"),
    [
        ("", 200, ["all", "50"]),
        ("?state=open&kinds=a&kinds=b&limit=3", 200, ["open", "a", "b", "3"]),
        ("?state=null", 200, ["null", "50"]),
        ("?open=true", 200, ["all", "50"]),
        ("?open=null", 422, None),
        ("?open=maybe", 422, None),
        ("?limit=0", 422, None),
        ("?limit=x", 422, None),
        ("?limit=201", 422, None),
        ("?limit=1&limit=2", 422, None),
        ("?statee=open", 422, None),
        ("?state=%00", 400, None),
        ("?state=%ff", 400, None),
        ("?cursor=" + "x" * 201, 422, None),
        ("?" + "&".join("kinds=a" for _ in range(101)), 400, None),
    ],
)
def test_query_parameters_are_checked(client: Browser, query: str, status: int, items: list[str] | None) -> None:
    answer = client.get("/v1/things" + query, headers=TOKEN)
    assert answer.status_code == status
    if items is not None:
        assert answer.json()["items"] == items


@pytest.mark.parametrize(("size", "status"), [("7.0", 201), ("7e0", 201), ("7.5", 422), ("1e300", 422), ("-1.0", 422)])
def test_a_whole_number_may_be_written_with_a_point(client: Browser, size: str, status: int) -> None:
    body = f'{{"name":"x","size":{size}}}'.encode()
    assert client.post("/v1/things", headers=LEAD, content=body).status_code == status


def test_a_raw_body_must_be_there(client: Browser) -> None:
    assert client.post("/v1/raw", headers=TOKEN).json()["code"] == "malformed_request"


def test_a_refusal_of_a_handler_is_a_problem(client: Browser) -> None:
    answer = client.get("/v1/things/7", headers=TOKEN)
    assert answer.status_code == 404
    assert answer.json() | {"request_id": ""} == {
        "type": "urn:koban:problem:nothing",
        "title": "There is nothing.",
        "status": 404,
        "detail": "no 7 here",
        "code": "nothing",
        "request_id": "",
    }


def test_a_path_parameter_with_nul_is_malformed(client: Browser) -> None:
    assert client.get("/v1/things/%00", headers=TOKEN).status_code == 400


@pytest.mark.parametrize("written", ["a%2Fb", "a%2fb"])
def test_a_slash_in_an_id_is_part_of_the_id(client: Browser, written: str) -> None:
    assert "no a/b here" in client.get(f"/v1/things/{written}", headers=TOKEN).text


def test_the_longer_name_wins_over_a_parameter(client: Browser) -> None:
    assert client.get("/v1/things/mine", headers=LEAD).json()["by"] == "staff_1"


def test_a_token_has_no_session_of_its_own(client: Browser) -> None:
    assert client.get("/v1/things/mine", headers=TOKEN).status_code == 403


def test_an_outage_says_when_to_come_back(client: Browser) -> None:
    answer = client.get("/v1/out")
    assert (answer.status_code, answer.headers["retry-after"], answer.json()["code"]) == (503, "7", "unavailable")


def test_a_header_is_never_broken_in_two() -> None:
    assert redirect("/lists/ブランド?x=1\r\nset-cookie: a=b").headers["location"] == (
        "/lists/%E3%83%96%E3%83%A9%E3%83%B3%E3%83%89?x=1%0D%0Aset-cookie:%20a=b"
    )


@pytest.mark.parametrize("path", ["/v1/broken-header", "/v1/broken-body", "/v1/wide-header"])
def test_an_answer_that_cannot_be_sent_is_a_bug(client: Browser, path: str) -> None:
    answer = client.get(path)
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert "set-cookie" not in answer.headers


def test_a_refusal_whose_page_fails_is_still_told(clock: ManualClock, browse: Callable[[ASGIApp], Browser]) -> None:
    def broken_page(_problem: ProblemBody, _who: Principal, _language: str) -> str:
        raise ZeroDivisionError

    with ThreadPoolExecutor(1) as pool:
        gate = Gate(clock=clock, randomness=random.Random(1), directory=People(), pool=pool, problem_page=broken_page)
        answer = browse(Starlette(routes=build_routes(ENDPOINTS, gate))).post("/lists", headers=SESSION, data={})
    assert (answer.status_code, answer.json()["code"]) == (403, "csrf")


def test_a_refusal_of_a_page_is_a_page(clock: ManualClock, browse: Callable[[ASGIApp], Browser]) -> None:
    def page(problem: ProblemBody, who: Principal, language: str) -> str:
        return f"<h1>{problem.code} {who.name} {language}"

    with ThreadPoolExecutor(1) as pool:
        gate = Gate(clock=clock, randomness=random.Random(1), directory=People(), pool=pool, problem_page=page)
        app = Starlette(routes=build_routes(ENDPOINTS, gate), exception_handlers=problem_handlers(gate))
        answer = browse(app).post("/lists", headers=SESSION | {"accept-language": "ja"}, data={})
        assert (answer.status_code, answer.text) == (403, "<h1>csrf Aoi ja")
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        missing = browse(app).get("/nowhere", headers={"accept": "text/html"})
        assert (missing.status_code, missing.text) == (404, "<h1>route_missing  en")


def test_a_bug_answers_500_without_its_detail(client: Browser) -> None:
    answer = client.get("/v1/fail")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert "secret" not in answer.text


def test_unknown_addresses_and_methods(client: Browser) -> None:
    assert client.get("/v1/none").json()["code"] == "route_missing"
    answer = client.request("DELETE", "/v1/things")
    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
    assert answer.headers["allow"] == "GET, HEAD, POST"
    assert client.request("TRACE", "/v1/things").status_code == 405


def test_head_is_get_without_the_body(client: Browser) -> None:
    answer = client.request("HEAD", "/v1/things", headers=TOKEN)
    assert (answer.status_code, answer.text) == (200, "")
    assert int(answer.headers["content-length"]) > 0


def test_an_unknown_caller_is_slowed_by_address(client: Browser, clock: ManualClock) -> None:
    statuses = [client.get("/v1/things").status_code for _ in range(32)]
    assert statuses == [401] * 30 + [429] * 2
    refused = client.get("/v1/things")
    assert (refused.headers["retry-after"], refused.json()["code"]) == ("1", "too_many_requests")
    clock.advance(50_000)
    assert client.get("/v1/things").status_code == 401


def test_many_requests_with_one_token_look_it_up_once(clock: ManualClock, browse: Callable[[ASGIApp], Browser]) -> None:
    people = People()
    with ThreadPoolExecutor(2) as pool:
        gate = Gate(
            clock=clock, randomness=random.Random(1), directory=people, pool=pool, unknown_rate=Rate(per_s=1, burst=2)
        )
        app = Guarded(Starlette(routes=build_routes(ENDPOINTS, gate)), gate)

        async def call_at_once() -> list[int]:
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://koban.test", headers=TOKEN) as client:
                answers = await asyncio.gather(*(client.get("/v1/things") for _ in range(50)))
                return [answer.status_code for answer in answers]

        assert asyncio.run(call_at_once()) == [200] * 50
        assert people.looked_up == 1
        assert browse(app).get("/v1/things", headers=TOKEN).status_code == 200
        assert browse(app).get("/v1/things", headers=TOKEN).status_code == 429


def test_at_a_public_address_a_token_that_is_not_valid_is_nobodys(client: Browser) -> None:
    form = {"name": "x", "size": "1"}
    for headers in ({}, {"authorization": "Bearer revoked"}, TOKEN, SESSION):
        answer = client.post("/v1/either", data=form | {"csrf": logic.csrf_token("s3cret")}, headers=headers)
        assert answer.status_code == 200, headers
    answers = [client.post("/v1/either", data=form, headers={"authorization": f"Bearer {n}"}) for n in range(40)]
    assert {each.status_code for each in answers} == {200, 429}, "guessing stays slow there too"


def test_a_page_without_a_session_leads_to_signing_in(client: Browser) -> None:
    answer = client.get("/lists?state=open&x=1")
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in?next=%2Flists%3Fstate%3Dopen%26x%3D1")


def test_a_form_carries_the_token_that_its_page_showed(client: Browser) -> None:
    token = client.get("/lists", headers=SESSION).text.removeprefix("<p>").removesuffix("</p>")
    assert client.post("/lists", headers=SESSION, data={"csrf": "wrong"}).status_code == 403
    answer = client.post("/lists", headers=SESSION, data={"csrf": token})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert answer.headers["set-cookie"] == "seen=1; Path=/; HttpOnly; SameSite=Lax; Max-Age=60"


def test_a_form_and_json_fill_the_same_struct(client: Browser) -> None:
    by_form = client.post("/v1/either", data={"name": "x", "size": "1", "tags": ["a", "b"]})
    by_json = client.post("/v1/either", json={"name": "x", "size": 1, "tags": ["a", "b"]})
    assert by_form.status_code == by_json.status_code == 200
    assert by_form.json() == by_json.json()
    wrong = client.post("/v1/either", data={"name": "x", "size": "many"})
    assert (wrong.status_code, wrong.json()["errors"][0]["path"]) == (422, "size")


@pytest.mark.parametrize(
    ("cookie", "accept", "language"),
    [
        (None, None, "en"),
        (None, "ja", "ja"),
        (None, "en-US,en;q=0.9,ja;q=0.8", "en"),
        (None, "ja-JP,ja;q=0.9,en;q=0.8", "ja"),
        (None, "en;q=0.3,ja;q=0.7", "ja"),
        (None, "fr, ja;q=0.5", "ja"),
        (None, "ja;q=x", "en"),
        ("en", "ja", "en"),
        ("xx", "ja", "ja"),
    ],
)
def test_the_language_is_the_readers(cookie: str | None, accept: str | None, language: str) -> None:
    assert logic.choose_language(cookie, accept) == language


def pour(
    answer: Callable[[list[str]], Answer], *, leave_after: int | None = None, blocking: bool
) -> tuple[list[bytes], list[str]]:
    """Serve one streamed answer straight over ASGI; the reader hangs up after some parts. Return parts and what closed."""
    closed: list[str] = []

    async def later(_call: Call) -> object:
        return answer(closed)

    handler = (lambda _call: answer(closed)) if blocking else later
    table = (endpoint("GET", "/poured", PUBLIC, handler, summary="Poured", blocking=blocking),)
    gate = Gate(clock=ManualClock(START), randomness=random.Random(1), directory=People(), pool=ThreadPoolExecutor(2))
    app = Starlette(routes=build_routes(table, gate))
    sent: list[bytes] = []
    gone = asyncio.Event()

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            sent.append(message["body"])
            if leave_after is not None and len(sent) >= leave_after:
                gone.set()
                await asyncio.sleep(0)

    async def receive() -> Message:
        await gone.wait()
        return {"type": "http.disconnect"}

    scope = {"type": "http", "method": "GET", "path": "/poured", "headers": [], "query_string": b"", "client": ("x", 1)}
    asyncio.run(asyncio.wait_for(app(scope, receive, send), 60))
    return sent, closed


def test_a_streamed_answer_is_sent_part_by_part() -> None:
    def answer(closed: list[str]) -> Answer:
        def parts() -> Iterator[bytes]:
            yield b"a,b\n"
            yield b"1,2\n"
            closed.append("ended")

        return Answer(parts=parts(), media_type="text/csv")

    assert pour(answer, blocking=True) == ([b"a,b\n", b"1,2\n", b""], ["ended"])


def test_whoever_hangs_up_ends_a_stream_that_has_no_end() -> None:
    def answer(closed: list[str]) -> Answer:
        async def parts() -> AsyncIterator[bytes]:
            try:
                while True:
                    yield b"data: 1\n\n"
                    await asyncio.sleep(0.001)
            finally:
                closed.append("closed")

        return Answer(parts=parts(), media_type="text/event-stream")

    parts, closed = pour(answer, leave_after=3, blocking=False)
    assert parts[:3] == [b"data: 1\n\n"] * 3
    assert closed == ["closed"]


def test_a_stream_that_fails_half_way_is_cut_off_and_not_ended() -> None:
    def answer(closed: list[str]) -> Answer:
        def parts() -> Iterator[bytes]:
            yield b"half"
            closed.append("failing")
            raise ValueError("half-way")

        return Answer(parts=parts())

    with pytest.raises(ValueError, match="half-way"):
        pour(answer, blocking=True)
