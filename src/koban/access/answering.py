"""From what a handler gives to what goes out: status, headers and bytes of an answer, and of a refusal as problem+json."""

from collections.abc import AsyncIterator, Iterator
from typing import Final

import msgspec
import structlog

from koban.access.types import Answer, BodyTooLarge, Cookie, MethodNotKnown, NotSignedIn, TooManyRequests
from koban.base import Problem, Refusal, Unavailable

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; report-uri /csp"
)
GUARDS: Final = (
    (b"content-security-policy", CONTENT_SECURITY_POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
)
_ON_ALL: Final = ((b"cache-control", b"no-store"), *GUARDS)
_HEADER_BREAKERS: Final = frozenset(b"\r\n\0")

_log: Final = structlog.get_logger("koban.access")


class ProblemBody(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An error as every address gives it (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str = ""
    errors: tuple[Problem, ...] = ()


class Bug(Refusal):
    """Something that we did not expect; the log has the trace under the request id."""

    code = "internal"
    status = 500
    title = "Something went wrong on our side."


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """An answer as it goes out."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes
    parts: AsyncIterator[bytes] | Iterator[bytes] | None = None


def refusal_of(error: Exception, request_id: str, *, method: str, path: str) -> Refusal | Unavailable:
    """Return what the caller is told: a refusal as it is; a bug as a bug, and its trace goes to the log.

    Call it where the error is being handled.
    """
    if isinstance(error, Refusal | Unavailable):
        return error
    _log.exception("a handler failed", request_id=request_id, path=path, method=method)
    return Bug("something went wrong on our side")


def problem_of(error: Refusal | Unavailable, request_id: str = "") -> ProblemBody:
    """Describe a refusal."""
    if isinstance(error, Unavailable):
        return ProblemBody(
            type="urn:koban:problem:unavailable",
            title="Something that this needs is not available right now.",
            status=503,
            detail=error.detail,
            code="unavailable",
            request_id=request_id,
        )
    return ProblemBody(
        type=f"urn:koban:problem:{error.code}",
        title=error.title,
        status=error.status,
        detail=error.detail,
        code=error.code,
        request_id=request_id,
        errors=error.problems,
    )


def refusal_headers(error: Refusal | Unavailable, *, allow: str = "") -> dict[str, str]:
    """Return the headers that go with a refusal on pages and elsewhere; `allow` names the methods of the address."""
    headers: dict[str, str] = {}
    if isinstance(error, Unavailable | TooManyRequests):
        headers["retry-after"] = str(error.retry_after_s)
    if isinstance(error, MethodNotKnown):
        headers["allow"] = allow
    if isinstance(error, BodyTooLarge):
        headers["connection"] = "close"  # the rest of the body is not read
    return headers


def refusal_answer(error: Refusal | Unavailable, request_id: str, *, allow: str = "") -> Answer:
    """Answer a call of the API with its refusal."""
    headers = refusal_headers(error, allow=allow)
    if isinstance(error, NotSignedIn):
        headers["www-authenticate"] = 'Bearer realm="koban"'
    sent = problem_of(error, request_id)
    return Answer(body=sent, status=sent.status, media_type="application/problem+json", headers=headers)


def rendered(answer: Answer, request_id: str, *, secure: bool) -> Sent:
    """Make of an answer what goes out; `secure` marks cookies for TLS alone.

    Raises ValueError where a header of the handler's holds a line break.
    """
    body, media_type = _encoded(answer)
    headers: list[tuple[bytes, bytes]] = [(b"x-request-id", request_id.encode()), *_ON_ALL]
    if media_type:
        headers.append((b"content-type", _whole_line("content-type", media_type.encode())))
    if answer.status not in (204, 304) and answer.parts is None:
        headers.append((b"content-length", str(len(body)).encode()))
    if answer.headers or answer.cookies:
        given = {name.lower(): value for name, value in answer.headers.items()}
        headers = [pair for pair in headers if pair[0].decode() not in given]
        headers.extend((name.encode(), _whole_line(name, value.encode("latin-1"))) for name, value in given.items())
        headers.extend(
            (b"set-cookie", _whole_line("set-cookie", _cookie_line(cookie, secure=secure))) for cookie in answer.cookies
        )
    return Sent(status=answer.status, headers=headers, body=body, parts=answer.parts)


def _whole_line(name: str, value: bytes) -> bytes:
    if not _HEADER_BREAKERS.isdisjoint(value):
        raise ValueError(f"the header {name} holds a line break")
    return value


def _cookie_line(cookie: Cookie, *, secure: bool) -> bytes:
    if not cookie.value:
        life = "; Max-Age=0"
    elif cookie.max_age_s is None:
        life = ""
    else:
        life = f"; Max-Age={cookie.max_age_s}"
    mark = "; Secure" if secure else ""
    return f"{cookie.name}={cookie.value}; Path=/; HttpOnly; SameSite=Lax{life}{mark}".encode("latin-1")


def _encoded(answer: Answer) -> tuple[bytes, str]:
    match answer.body:
        case None:
            return b"", answer.media_type
        case bytes():
            return answer.body, answer.media_type or "application/octet-stream"
        case str():
            return answer.body.encode(), answer.media_type or "text/html; charset=utf-8"
        case _:
            return msgspec.json.encode(answer.body), answer.media_type or "application/json"
