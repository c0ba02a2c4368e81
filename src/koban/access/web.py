"""The border: every request passes here once, is read, limited, authenticated, authorised, handled and answered."""

import asyncio
import dataclasses
import itertools
import random
import re
import urllib.parse
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Generator,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from concurrent.futures import ThreadPoolExecutor
from typing import Final, ParamSpec, Protocol, TypeVar, cast

import msgspec
import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, ExceptionHandler, Message, Receive, Scope, Send

from koban.access import logic, reading
from koban.access.answering import (
    GUARDS,
    ProblemBody,
    Sent,
    problem_of,
    refusal_answer,
    refusal_headers,
    refusal_of,
    rendered,
)
from koban.access.once import Once
from koban.access.permissions import PUBLIC
from koban.access.types import (
    Answer,
    BodyTooLarge,
    Call,
    Endpoint,
    ForgeryGuardMissing,
    MediaTypeUnknown,
    MethodNotKnown,
    NotSignedIn,
    Principal,
    RouteMissing,
)
from koban.base import Clock, Instant, Refusal, Unavailable, random_id

P = ParamSpec("P")
R = TypeVar("R")

WAITING_MAX: Final = 256  # requests that wait for a thread; past it we say 503 at once rather than late
RETRY_WHEN_BUSY_S: Final = 1
KNOWN_RATE: Final = logic.Rate(per_s=5_000, burst=10_000)
UNKNOWN_RATE: Final = logic.Rate(per_s=20, burst=100)
REQUEST_ID_MAX_CHARS: Final = 64
SIGN_IN_PATH: Final = "/sign-in"
LANGUAGE_COOKIE: Final = "koban_language"

_SAFE: Final = frozenset({"GET", "HEAD"})
_REQUEST_ID_CHARS: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:")

_log: Final = structlog.get_logger("koban.access")


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Whom a credential belongs to; `session_id` is empty for tokens."""

    principal: Principal
    session_id: str = ""


class Directory(Protocol):
    """Who is behind a bearer token or a session cookie."""

    def recall(self, kind: str, secret: str, at: Instant) -> Caller | None:
        """Answer from memory, or not at all; never blocks."""
        ...

    def look_up(self, kind: str, secret: str, at: Instant) -> Caller | None:
        """Answer from the database."""
        ...


class NobodyKnown:
    """A directory without anybody, for servers that only have public routes."""

    def recall(self, kind: str, secret: str, at: Instant) -> Caller | None:  # noqa: ARG002 — the protocol's names
        """Know nobody."""
        return None

    def look_up(self, kind: str, secret: str, at: Instant) -> Caller | None:  # noqa: ARG002 — the protocol's names
        """Know nobody."""
        return None


ProblemPage = Callable[[ProblemBody, Principal, str], str]  # problem, who sees it, language -> HTML


@dataclasses.dataclass(frozen=True, kw_only=True)
class Gate:
    """What the border works with; made once by the application."""

    clock: Clock
    randomness: random.Random  # for request ids only
    directory: Directory
    pool: ThreadPoolExecutor
    known_rate: logic.Rate = KNOWN_RATE  # per token or member of staff
    unknown_rate: logic.Rate = UNKNOWN_RATE  # per address, for whoever is not signed in
    secure_cookies: bool = False  # on behind TLS: cookies get the Secure mark and the __Host- prefix
    problem_page: ProblemPage | None = None
    once: Once | None = None  # remembers commands that carry an Idempotency-Key

    @property
    def session_cookie(self) -> str:
        """Return the name of the session cookie."""
        return session_cookie_name(secure=self.secure_cookies)


def session_cookie_name(*, secure: bool) -> str:
    """Return the name of the session cookie; behind TLS it has the prefix that ties it to this host."""
    return "__Host-koban_session" if secure else "koban_session"


def build_routes(endpoints: Iterable[Endpoint], gate: Gate) -> list[Route]:
    """Make one Starlette route per path, those without parameters first, so that `/me` wins over `/{id}`."""
    by_path: dict[str, dict[str, Endpoint]] = {}
    for each in endpoints:
        methods = by_path.setdefault(each.path, {})
        if each.method in methods:
            raise ValueError(f"{each.method} {each.path} is described twice")
        methods[each.method] = each
    shared = _Shared(gate)
    return [
        Route(path, Edge(methods, gate, shared), methods=None, name=path)
        for path, methods in sorted(by_path.items(), key=lambda item: _specificity(item[0]))
    ]


def problem_handlers(gate: Gate) -> Mapping[int | type[Exception], ExceptionHandler]:
    """Return Starlette's exception handlers for what no route of ours answers: unknown addresses, above all."""

    async def answer(request: Request, error: Exception) -> Response:
        if isinstance(error, HTTPException) and error.status_code == 405:
            refusal: Refusal = MethodNotKnown(f"{request.method} is not for {_as_written(request.url.path)}")
        else:
            refusal = RouteMissing(f"there is nothing at {_as_written(request.url.path)}")
        sent = problem_of(refusal, request.scope.get(_REQUEST_ID, ""))
        page = None
        if gate.problem_page is not None and "text/html" in request.headers.get("accept", ""):
            language = logic.choose_language(
                request.cookies.get(LANGUAGE_COOKIE), request.headers.get("accept-language")
            )
            page = gate.problem_page(sent, logic.ANONYMOUS, language)
        if page is not None:
            return Response(page, sent.status, media_type="text/html")
        return Response(msgspec.json.encode(sent), sent.status, media_type="application/problem+json")

    return {HTTPException: answer}


class Guarded:
    """The ASGI application: a request id and the security headers on every answer.

    An address without parameters goes straight to its route: trying a hundred patterns took a fifth of a request, and
    what Starlette wraps around each a tenth. A route of ours answers for its own failures.
    """

    def __init__(self, app: ASGIApp, gate: Gate, routes: Sequence[Route] = ()) -> None:
        """Stand before `app`, whose routes are `routes`."""
        self._app = app
        self.gate = gate
        self.routes = routes
        self.name_request = _RequestIds(gate)
        self._direct = {route.path: route.app for route in routes if "{" not in route.path}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = self.name_request(scope["headers"])
        scope[_REQUEST_ID] = request_id
        raw: bytes = scope.get("raw_path") or b""
        if b"%2f" in raw.lower():
            # An id may hold a slash. Written %2F it is part of the id, and no border between two parts of an address.
            held = _ESCAPED_SLASH.sub(_SLASH_IN_ID, raw.decode("ascii", "replace"))
            scope["path"] = urllib.parse.unquote(held)
        direct = self._direct.get(scope["path"])
        if direct is not None:
            await direct(scope, receive, send)  # a route of ours sends the headers itself
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                present = {name.lower() for name, _ in message["headers"]}
                message["headers"] = [
                    *message["headers"],
                    *((name, value) for name, value in GUARDS if name not in present),
                    *(() if b"x-request-id" in present else ((b"x-request-id", request_id.encode()),)),
                ]
            await send(message)

        await self._app(scope, receive, send_guarded)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Pouring:
    """A body that is sent part by part, until it ends or nobody reads it any more."""

    parts: AsyncIterator[bytes] | Iterator[bytes]
    pool: ThreadPoolExecutor

    async def run(self, receive: Receive, send: Send, request_id: str) -> None:
        """Send until the end. A body that fails half-way is cut off, so that nobody takes it for whole."""
        pouring = asyncio.ensure_future(self._pour(send))
        leaving = asyncio.ensure_future(_until_gone(receive))
        try:
            await asyncio.wait((pouring, leaving), return_when=asyncio.FIRST_COMPLETED)
            if pouring.done() and pouring.exception() is not None:
                _log.error("a streamed answer failed", request_id=request_id, error=repr(pouring.exception()))
                raise pouring.exception() or AssertionError
        finally:
            for task in (pouring, leaving):
                task.cancel()
            await asyncio.gather(pouring, leaving, return_exceptions=True)
            await self._close()

    async def _pour(self, send: Send) -> None:
        if isinstance(self.parts, AsyncIterator):
            async for part in self.parts:
                await send({"type": "http.response.body", "body": part, "more_body": True})
        else:
            loop = asyncio.get_running_loop()
            while (more := await loop.run_in_executor(self.pool, _next_part, self.parts)) is not None:
                await send({"type": "http.response.body", "body": more, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def _close(self) -> None:
        if isinstance(self.parts, AsyncGenerator):
            await self.parts.aclose()
        elif isinstance(self.parts, Generator):
            await asyncio.get_running_loop().run_in_executor(self.pool, self.parts.close)


def _next_part(parts: Iterator[bytes]) -> bytes | None:
    return next(parts, None)


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class _Shared:
    """What all routes of one gate share; touched by the event loop only, so it needs no lock."""

    def __init__(self, gate: Gate) -> None:
        self.known = logic.RateLimiter(gate.known_rate)
        self.unknown = logic.RateLimiter(gate.unknown_rate)
        self.waiting = 0  # requests that wait for a thread
        self.look_ups: dict[tuple[str, str], asyncio.Task[Caller | None]] = {}


class _Gone(Exception):  # not a refusal: nobody is left to read it
    """The client hung up before its request was whole."""


_REQUEST_ID: Final = "koban.request_id"
_ESCAPED_SLASH: Final = re.compile("%2[fF]")
_SLASH_IN_ID: Final = "\ufdd0"  # stands for it while routes are matched: a code point that is no character and in no id


def _as_written(path: str) -> str:
    return path.replace(_SLASH_IN_ID, "%2F")


class Edge:
    """The routes of one path; `endpoints` by method, `limiter` of those who are known."""

    def __init__(
        self,
        methods: Mapping[str, Endpoint],
        gate: Gate,
        shared: _Shared,
    ) -> None:
        self.endpoints = dict(methods)
        self.limiter = shared.known
        self._methods = dict(methods)
        if "GET" in methods:
            self._methods.setdefault("HEAD", methods["GET"])
        self._allow = ", ".join(sorted(self._methods))
        self._readers = {method: reading.Reader(each) for method, each in self._methods.items()}
        self._gate = gate
        self._shared = shared

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        request_id: str = scope.get(_REQUEST_ID, "")
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        context = _Context(request_id=request_id, headers=headers, cookies=_cookies(headers.get("cookie", "")))
        page = next(iter(self._methods.values())).page
        try:
            sent = self._rendered(await self._answer(scope, receive, context), request_id)
        except _Gone:
            return
        except Exception as error:  # noqa: BLE001 — the edge of the program: a bug must answer 500 and be logged, not hang
            refusal = refusal_of(error, request_id, method=scope["method"], path=scope["path"])
            sent = self._rendered_refusal(refusal, context, scope, page=page)
        await send({"type": "http.response.start", "status": sent.status, "headers": sent.headers})
        if sent.parts is not None and scope["method"] != "HEAD":
            await _Pouring(parts=sent.parts, pool=self._gate.pool).run(receive, send, request_id)
            return
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else sent.body})

    async def _answer(self, scope: Scope, receive: Receive, context: "_Context") -> Answer:
        method: str = scope["method"]
        at = self._gate.clock.now()
        endpoint = self._methods.get(method)
        if endpoint is None:
            raise MethodNotKnown(f"this address takes {self._allow}")
        caller, secret = await self._identify(scope, context, at, is_public=endpoint.permission == PUBLIC)
        context.principal = caller.principal
        grant = logic.authorise(caller.principal, endpoint.permission)
        reader = self._readers[method]
        path = reader.path(
            {name: str(value).replace(_SLASH_IN_ID, "/") for name, value in scope.get("path_params", {}).items()}
        )
        query, params = reader.query(scope.get("query_string", b""))
        raw = b"" if method in _SAFE else await _body(receive, context.headers, endpoint)
        body, form = reader.body(raw, context.headers)
        if method not in _SAFE:
            _check_forgery(context, secret, form)
        call = Call(
            principal=caller.principal,
            grant=grant,
            at=at,
            request_id=context.request_id,
            method=method,
            url_path=_as_written(scope["path"]),
            path=path,
            query=query,
            params=params,
            headers=context.headers,
            body=body,
            raw=raw,
            form={name: value for name, value in form.items() if name != "csrf"},
            language=logic.choose_language(
                context.cookies.get(LANGUAGE_COOKIE), context.headers.get("accept-language")
            ),
            csrf=logic.csrf_token(secret) if secret else "",
            session_id=caller.session_id,
            address=_address(scope),
        )
        result = await self._handle(endpoint, call)
        if isinstance(result, Answer):
            return result
        return Answer(body=result, status=endpoint.status)

    async def _identify(self, scope: Scope, context: "_Context", at: Instant, *, is_public: bool) -> tuple[Caller, str]:
        """Return who calls, and the session's secret (empty for tokens), after taking from the right bucket.

        Why a token that is not valid is nobody's at a public address: what everybody may read is no secret from its
        former holder, and a monitor whose token was revoked must not report an installation that decides as down.
        """
        kind, secret = _credential(context, self._gate.session_cookie)
        caller = self._gate.directory.recall(kind, secret, at) if secret else None
        if caller is not None:
            self._shared.known.take(caller.principal.id, at)
        elif secret:
            caller = await self._look_up(kind, secret, at, _address(scope))
        else:
            self._shared.unknown.take(_address(scope), at)
        if caller is None and kind == "bearer" and not is_public:
            raise NotSignedIn("the token is unknown, expired or revoked")
        if caller is None:
            return Caller(principal=logic.ANONYMOUS), ""
        return caller, secret if kind == "session" else ""

    async def _look_up(self, kind: str, secret: str, at: Instant, address: str) -> Caller | None:
        """Ask the database once for all requests that carry this credential at this moment.

        Whoever asks pays from the bucket of its address, so guessing tokens is slow; those who only wait do not, or a
        busy integrator would be refused each time its token has to be looked up again.
        """
        asked = self._shared.look_ups.get((kind, secret))
        if asked is None:
            self._shared.unknown.take(address, at)
            asked = asyncio.create_task(self._run(self._gate.directory.look_up, kind, secret, at))
            self._shared.look_ups[kind, secret] = asked
            asked.add_done_callback(lambda _: self._shared.look_ups.pop((kind, secret), None))
        return await asyncio.shield(asked)

    async def _handle(self, endpoint: Endpoint, call: Call) -> object:
        if endpoint.blocking:
            once = self._gate.once
            if once is not None and not endpoint.page:
                return await self._run(once.run, endpoint, call, endpoint.handler)
            return await self._run(endpoint.handler, call)
        # cast: `endpoint` has checked that a handler that does not block is an async function
        return await cast(Awaitable[object], endpoint.handler(call))

    async def _run(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run in the pool; fails closed when too many wait, because a late answer helps nobody."""
        if self._shared.waiting >= WAITING_MAX:
            raise Unavailable("server", RETRY_WHEN_BUSY_S, "too many requests are waiting")
        self._shared.waiting += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._gate.pool, lambda: function(*args, **kwargs))
        finally:
            self._shared.waiting -= 1

    def _rendered(self, answer: Answer, request_id: str) -> Sent:
        return rendered(answer, request_id, secure=self._gate.secure_cookies)

    def _rendered_refusal(self, error: Refusal | Unavailable, context: "_Context", scope: Scope, *, page: bool) -> Sent:
        if page:
            try:
                return self._rendered(self._refused_page(error, context, scope), context.request_id)
            except Exception:  # noqa: BLE001 — the edge of the program: a bug in the page that shows an error must not hide it
                _log.exception("the page for a refusal failed", request_id=context.request_id, path=scope["path"])
        return self._rendered(refusal_answer(error, context.request_id, allow=self._allow), context.request_id)

    def _refused_page(self, error: Refusal | Unavailable, context: "_Context", scope: Scope) -> Answer:
        sent, headers = problem_of(error, context.request_id), refusal_headers(error, allow=self._allow)
        # A form of a page comes back to that page, which still has what was typed; what has no page says what is wrong.
        if isinstance(error, NotSignedIn) and (scope["method"] in _SAFE or "GET" in self._methods):
            return Answer(status=303, headers={"location": f"{SIGN_IN_PATH}?next={_here(scope)}"})
        if self._gate.problem_page is None:
            return Answer(body=sent, status=sent.status, media_type="application/problem+json", headers=headers)
        language = logic.choose_language(context.cookies.get(LANGUAGE_COOKIE), context.headers.get("accept-language"))
        return Answer(
            body=self._gate.problem_page(sent, context.principal, language), status=sent.status, headers=headers
        )


@dataclasses.dataclass(kw_only=True)
class _Context:
    """What is known of a request so far; `principal` grows from nobody to somebody."""

    request_id: str
    headers: Mapping[str, str]
    cookies: Mapping[str, str]
    principal: Principal = logic.ANONYMOUS


def _specificity(path: str) -> tuple[tuple[bool, str], ...]:
    return tuple((part.startswith("{"), part) for part in path.split("/"))


class _RequestIds:
    """Names requests: as they name themselves, else by one random id of this server's and their number."""

    def __init__(self, gate: Gate) -> None:
        self._server = random_id("request", gate.clock.now(), gate.randomness)
        self._numbers = itertools.count(1)

    def __call__(self, headers: Iterable[tuple[bytes, bytes]]) -> str:
        for name, value in headers:
            if name == b"x-request-id":
                given = value.decode("latin-1")
                if 0 < len(given) <= REQUEST_ID_MAX_CHARS and _REQUEST_ID_CHARS.issuperset(given):
                    return given
        return f"{self._server}-{next(self._numbers)}"


def _cookies(header: str) -> dict[str, str]:
    cookies: dict[str, str] = {}
    for part in header.split(";"):
        name, found, value = part.strip().partition("=")
        if found:
            cookies.setdefault(name, value.strip('"'))
    return cookies


def _credential(context: _Context, session_cookie: str) -> tuple[str, str]:
    authorization = context.headers.get("authorization")
    if authorization is not None:
        scheme, _, secret = authorization.partition(" ")
        if scheme.lower() != "bearer" or not secret.strip():
            raise NotSignedIn("the Authorization header must read: Bearer TOKEN")
        return "bearer", secret.strip()
    return "session", context.cookies.get(session_cookie, "")


def _address(scope: Scope) -> str:
    client = scope.get("client")
    return client[0] if client else "unknown"


def _here(scope: Scope) -> str:
    query = scope.get("query_string", b"").decode("latin-1")
    return urllib.parse.quote(scope["path"] + (f"?{query}" if query else ""), safe="")


async def _body(receive: Receive, headers: Mapping[str, str], endpoint: Endpoint) -> bytes:
    too_large = BodyTooLarge(f"a body here may have {endpoint.max_bytes} bytes at most")
    declared = headers.get("content-length", "")
    if declared.isdigit() and int(declared) > endpoint.max_bytes:
        raise too_large
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise MediaTypeUnknown("compressed bodies are not read; send it plain")
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _Gone
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size > endpoint.max_bytes:
            raise too_large
        chunks.append(chunk)
        if not message.get("more_body", False):
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _check_forgery(context: _Context, session_secret: str, form: Mapping[str, str]) -> None:
    """Refuse a change that another site made the browser send.

    A token in a header cannot be sent by another site, so calls with one pass. Without a session (signing in) the
    browser's own word on where the form stood has to do.
    """
    if "authorization" in context.headers:
        return
    site = context.headers.get("sec-fetch-site")
    origin = context.headers.get("origin")
    # Older browsers name only the origin; the newer header is also right behind a proxy that changes the host.
    ours = (
        site in ("same-origin", "none")
        if site is not None
        else origin is None or _host_of(origin) == context.headers.get("host")
    )
    if not ours:
        raise ForgeryGuardMissing("the form was sent from another site")
    if session_secret:
        given = context.headers.get("x-csrf-token") or form.get("csrf", "")
        if not logic.csrf_matches(session_secret, given):
            raise ForgeryGuardMissing("the form has no valid CSRF token; load the page again")


def _host_of(origin: str) -> str:
    try:
        return urllib.parse.urlsplit(origin).netloc
    except ValueError:
        return ""
