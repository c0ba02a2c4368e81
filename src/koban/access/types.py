"""Who calls, what they may do, and what a route is: frozen data, and every refusal at the border."""

import concurrent.futures
import inspect
import re
import urllib.parse
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from typing import Annotated, Any, Final, Generic, Literal, TypeVar

import msgspec

from koban.access.permissions import CATALOGUE, PUBLIC, SIGNED_IN
from koban.base import Instant, Refusal, Relay, limits

T = TypeVar("T")

BODY_MAX_BYTES: Final = 1024 * 1024
PAGE_DEFAULT_ITEMS: Final = limits.PAGE_DEFAULT
PAGE_MAX_ITEMS: Final = limits.PAGE_MAX

Language = Literal["ja", "en"]
Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
Accepts = Literal["json", "form", "either", "raw", "upload"]


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody or something that acts. `grants` says for each permission which role or scope gives it."""

    kind: Literal["staff", "token", "system", "anonymous"]
    id: str
    name: str
    roles: tuple[str, ...] = ()
    grants: Mapping[str, str] = {}  # permission -> what gives it: "role lead", "scope events.write"

    @property
    def actor(self) -> str:
        """Return who it was, as audit rows and decisions name it."""
        return self.id


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of the permission check: what allowed it, and whom."""

    permission: str
    by: str
    principal_id: str


class Upload(msgspec.Struct, frozen=True, kw_only=True):
    """A file that a browser's form sent."""

    name: str
    content: bytes


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One request that passed the permission check, with everything a handler may read."""

    principal: Principal
    grant: Grant
    at: Instant
    request_id: str
    method: str
    url_path: str
    path: Mapping[str, str]  # parameters in the path
    query: Mapping[str, str]  # parameters behind the question mark, as text
    params: object  # the same, checked and typed as the endpoint's `query` says; None where it says nothing
    headers: Mapping[str, str]  # names in lower case
    body: object  # decoded as the endpoint's `body` says; None where it says nothing
    raw: bytes  # the body as it came
    form: Mapping[str, str]  # fields of a posted form, without the CSRF token
    language: Language
    csrf: str  # to be put into forms as `csrf`, or sent as X-CSRF-Token; empty without a session
    session_id: str  # names the session for signing out; empty without one
    address: str  # where the call came from

    @property
    def is_form(self) -> bool:
        """Tell whether a browser's form was posted, so that the answer is a redirect."""
        return self.headers.get("content-type", "").startswith("application/x-www-form-urlencoded")

    def body_as(self, kind: type[T]) -> T:
        """Return the body with its type; a wrong `kind` is a bug in the endpoint table."""
        if not isinstance(self.body, kind):
            raise TypeError(f"{self.url_path} declares another body than {kind.__name__}")
        return self.body

    def params_as(self, kind: type[T]) -> T:
        """Return the query parameters with their type; a wrong `kind` is a bug in the endpoint table."""
        if not isinstance(self.params, kind):
            raise TypeError(f"{self.url_path} declares other query parameters than {kind.__name__}")
        return self.params


class Cookie(msgspec.Struct, frozen=True, kw_only=True):
    """A cookie to set: always http-only and same-site lax. An empty value takes it back."""

    name: str
    value: str
    max_age_s: int | None = None  # None: until the browser closes


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """An answer that is more than a JSON body: another status, headers, cookies, a page, a file, a redirect.

    `parts` stands for a body that is sent as it is made: a plain iterator is walked in the thread pool, one part at a
    time, an async one on the event loop. Whoever hangs up ends it; its `finally` runs.
    """

    body: object = None  # bytes and str go out as they are, None as nothing, anything else as JSON
    status: int = 200
    media_type: str = ""  # empty: JSON for data, HTML for str, octets for bytes
    headers: Mapping[str, str] = {}
    cookies: tuple[Cookie, ...] = ()
    parts: AsyncIterator[bytes] | Iterator[bytes] | None = None


def redirect(to: str, *, cookies: tuple[Cookie, ...] = ()) -> Answer:
    """Send the browser to another page of ours after a form was handled (303); characters of any script may be in it."""
    location = urllib.parse.quote(to, safe="/?&=%+:;,@!$'()*~-._#[]")
    return Answer(status=303, headers={"location": location}, cookies=cookies)


class PageQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The query parameters of every list; lists with filters extend it."""

    cursor: Annotated[str, msgspec.Meta(max_length=200, description="`next_cursor` of the page before")] | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=PAGE_MAX_ITEMS, description="Items on a page")] = PAGE_DEFAULT_ITEMS


class Page(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """A page of a list; `next_cursor` is null on the last one."""

    items: list[T]
    next_cursor: str | None = None


Handler = Callable[[Call], object] | Callable[[Call], Awaitable[object]]


class Shortcut(msgspec.Struct, frozen=True, kw_only=True):
    """What an endpoint says of its usual request, which waits for one thread's result and nothing else.

    `fits(media type, body)` tells whether a body is such a request; the handler takes all others, and gives the same
    answers. `begin(body, at)` queues it, `end(result)` makes the answer; what either refuses is answered as ever.
    Results come by `relay`.
    """

    fits: Callable[[bytes, bytes], bool]
    begin: (
        "Callable[[bytes, Instant], concurrent.futures.Future[Any]]"  # Any: what is waited for is the endpoint's affair
    )
    end: Callable[[Any], Answer]
    relay: Relay


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A route as data; made by `endpoint`, served by `build_routes`, described by `openapi`."""

    method: str
    path: str
    permission: str
    handler: Handler
    summary: str
    description: str
    body: type | None  # a msgspec type; bytes where the room reads the body itself
    query: type | None  # a msgspec struct of scalars, optional ones with defaults
    returns: object  # a msgspec type; None for no body
    status: int
    raises: tuple[type[Refusal], ...]
    accepts: Accepts
    blocking: bool
    page: bool
    max_bytes: int
    media_types: tuple[str, ...]  # of a raw body, or of the bytes returned where there is no body: for the document
    shortcut: Shortcut | None = None


_PATH: Final = re.compile(r"(/([a-z0-9_.-]+|\{[a-z_]+(:path)?\}))+/?|/")


def endpoint(
    method: Method,
    path: str,
    permission: str,
    handler: Handler,
    *,
    summary: str,
    description: str = "",
    body: type | None = None,
    query: type | None = None,
    returns: object = None,
    status: int = 200,
    raises: tuple[type[Refusal], ...] = (),
    accepts: Accepts = "json",
    blocking: bool = True,
    page: bool = False,
    max_bytes: int = BODY_MAX_BYTES,
    media_types: tuple[str, ...] = (),
    shortcut: Shortcut | None = None,
) -> Endpoint:
    """Describe a route. Without a permission of the catalogue (or PUBLIC, or SIGNED_IN) it cannot be built.

    `blocking` handlers are plain functions and run in the bounded thread pool; the others are async functions.
    `page` marks HTML of the console: no session leads to the sign-in page, refusals are shown as pages, and the
    OpenAPI document leaves it out. `shortcut` serves the usual request where many come.
    """
    if permission not in CATALOGUE and permission not in (PUBLIC, SIGNED_IN):
        raise ValueError(f"{method} {path} names no permission of the catalogue: {permission!r}")
    if inspect.iscoroutinefunction(handler) is blocking:
        raise ValueError(f"{method} {path}: a blocking handler is a plain function, the others are async functions")
    if not _PATH.fullmatch(path):
        raise ValueError(f"{method} {path} is not a path that the OpenAPI document can describe")
    return Endpoint(
        method=method,
        path=path,
        permission=permission,
        handler=handler,
        summary=summary,
        description=description,
        body=body,
        query=query,
        returns=returns,
        status=status,
        raises=raises,
        accepts="raw" if body is bytes else accepts,
        blocking=blocking,
        page=page,
        max_bytes=max_bytes,
        media_types=media_types,
        shortcut=shortcut,
    )


class NotSignedIn(Refusal):
    """Nobody, or nobody we know, is calling."""

    code = "not_signed_in"
    status = 401
    title = "Sign in, or send a valid token."


class NotAllowed(Refusal):
    """The caller is known and has no grant for this."""

    code = "not_allowed"
    status = 403
    title = "This needs a permission that you do not have."


class ForgeryGuardMissing(Refusal):
    """A cookie-authenticated change came without the session's CSRF token, or from another site."""

    code = "csrf"
    status = 403
    title = "The request did not come from this console."


class RouteMissing(Refusal):
    """There is no such address."""

    code = "route_missing"
    status = 404
    title = "There is nothing at this address."


class MethodNotKnown(Refusal):
    """The address exists and does not take this method."""

    code = "method_not_allowed"
    status = 405
    title = "This address does not take this method."


class MalformedRequest(Refusal):
    """The request cannot be read at all."""

    code = "malformed_request"
    status = 400
    title = "The request cannot be read."


class InvalidRequest(Refusal):
    """The request can be read and something in it is not as described."""

    code = "invalid_request"
    status = 422
    title = "Something in the request is not as described."


class BodyTooLarge(Refusal):
    """The body is over the limit of this address."""

    code = "body_too_large"
    status = 413
    title = "The body is too large."


class MediaTypeUnknown(Refusal):
    """The body is of a kind that this address does not read."""

    code = "media_type_unknown"
    status = 415
    title = "This kind of body is not read here."


class TooManyRequests(Refusal):
    """The caller is over its rate."""

    code = "too_many_requests"
    status = 429
    title = "Too many requests; slow down."

    def __init__(self, detail: str, *, retry_after_s: int) -> None:
        """Say when to come back."""
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class Staff(msgspec.Struct, frozen=True, kw_only=True):
    """A member of staff."""

    id: str
    email: str
    name: str
    roles: tuple[str, ...]
    has_password: bool
    created_at: Instant
    disabled_at: Instant | None


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """An API token, without its secret."""

    id: str
    name: str
    scopes: tuple[str, ...]
    created_by: str
    created_at: Instant
    expires_at: Instant
    revoked_at: Instant | None
    used_day: int | None


class OpenedSession(msgspec.Struct, frozen=True, kw_only=True):
    """A session that was just opened. `secret` goes into the cookie and is stored nowhere."""

    secret: str
    session_id: str
    staff: Staff
    expires_at: Instant


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """An open session, without its secret."""

    id: str
    staff_id: str
    created_at: Instant
    seen_at: Instant
    expires_at: Instant


class OneTimeLink(msgspec.Struct, frozen=True, kw_only=True):
    """A link that signs somebody in once. `secret` goes into its address and is stored nowhere."""

    secret: str
    staff_id: str
    expires_at: Instant

    @property
    def path(self) -> str:
        """Return the path to visit."""
        return f"/sign-in/link/{self.secret}"


class SessionMissing(Refusal):
    """There is no such session, or it belongs to somebody else and the caller may not manage staff."""

    code = "session_missing"
    status = 404
    title = "There is no such session."


class SignInRefused(Refusal):
    """The e-mail or the password is wrong; which of them is not told."""

    code = "sign_in_refused"
    status = 401
    title = "The e-mail or the password is wrong."


class SignInSlowed(TooManyRequests):
    """Too many failures in a row for this account or from this address."""

    code = "sign_in_slowed"
    title = "Too many failed attempts; wait a little."


class LinkInvalid(Refusal):
    """The one-time link was used, has expired, or never was."""

    code = "link_invalid"
    status = 410
    title = "This link was used already, or has expired."


class PasswordWeak(Refusal):
    """The password would be guessed."""

    code = "password_weak"
    status = 422
    title = "This password is too easy to guess."


class EmailTaken(Refusal):
    """Somebody signs in with this e-mail already."""

    code = "email_taken"
    status = 409
    title = "Somebody uses this e-mail already."


class StaffMissing(Refusal):
    """There is no such member of staff."""

    code = "staff_missing"
    status = 404
    title = "There is no such member of staff."


class RoleUnknown(Refusal):
    """A role or scope that does not exist."""

    code = "role_unknown"
    status = 422
    title = "There is no such role or scope."


class BeyondOwnGrants(Refusal):
    """Nobody can give what they do not have themselves."""

    code = "beyond_own_grants"
    status = 403
    title = "You cannot give a permission that you do not have."


class LastAdmin(Refusal):
    """The change would leave nobody who can manage staff."""

    code = "last_admin"
    status = 409
    title = "Somebody must be able to manage staff."


class TokenMissing(Refusal):
    """There is no such token."""

    code = "token_missing"
    status = 404
    title = "There is no such token."
