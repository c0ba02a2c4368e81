"""The short way of a request that waits for one thread's result and nothing else: no task, no messages, one write.

Why: what a server wraps around each request costs more than the request. At 1,000 events a second it was half of what
the event loop did, and the decider waited for the interpreter meanwhile. Whatever is out of the ordinary takes the way
of every other request (`koban.access.web`), before anything was counted or taken; what comes out is the same.
"""

import asyncio
import concurrent.futures
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from koban.access import logic
from koban.access.answering import Sent, refusal_answer, refusal_of, rendered
from koban.access.types import Endpoint, Shortcut
from koban.access.web import Caller, Edge, Gate, Guarded

_SCHEME: Final = b"bearer"

Headers = Sequence[tuple[bytes, bytes]]  # names in lower case
Serve = Callable[[bytes, Callable[[Sent], None]], bool]  # body, what is called with the answer -> whether it is served


class ShortWay:
    """The short way of one endpoint; the event loop's own, like the rate limiter that it shares with the long one."""

    def __init__(
        self,
        endpoint: Endpoint,
        shortcut: Shortcut,
        gate: Gate,
        *,
        limiter: logic.RateLimiter,
        name: Callable[[Headers], str],
    ) -> None:
        """Serve what fits `shortcut`; `limiter` is the one of those who are known, `name` gives a request its id."""
        self._endpoint = endpoint
        self._shortcut = shortcut
        self._gate = gate
        self._limiter = limiter
        self._name = name

    def __call__(self, headers: Headers) -> Serve | None:
        """Return what serves a request of this head once its body is there; nothing, where that is for the long way.

        A caller whose token is not remembered, or a body that is encoded, is not served here. Why by the head: whoever
        is not known is refused before a body is waited for and held.
        """
        named = dict(headers)
        scheme, _, secret = named.get(b"authorization", b"").partition(b" ")
        if scheme.lower() != _SCHEME or b"content-encoding" in named:
            return None
        caller = self._gate.directory.recall("bearer", secret.decode("latin-1").strip(), self._gate.clock.now())
        if caller is None:
            return None
        return functools.partial(self._serve, caller, headers, named.get(b"content-type", b""))

    def _serve(
        self,
        caller: Caller,
        headers: Headers,
        media_type: bytes,
        body: bytes,
        answered: Callable[[Sent], None],
    ) -> bool:
        """Serve a whole request, and tell whether it is served here; if it is, `answered` is called once, later.

        Call it on the event loop. A body that does not fit is not served here, and nothing was taken.
        """
        if not self._shortcut.fits(media_type, body):
            return False
        at = self._gate.clock.now()
        request_id = self._name(headers)

        def told(done: "concurrent.futures.Future[Any]") -> None:  # Any: what the endpoint's shortcut waits for
            answered(self._sent(done, request_id))

        try:
            self._limiter.take(caller.principal.id, at)
            logic.authorise(caller.principal, self._endpoint.permission)
            self._shortcut.relay.tell(self._shortcut.begin(body, at), told)
        except Exception as error:  # noqa: BLE001 — the edge of the program, as in `web`
            # Not at once: what is sent behind it must find it unanswered, as it finds every other request.
            asyncio.get_running_loop().call_soon(answered, self._refused(error, request_id))
        return True

    def _sent(self, done: "concurrent.futures.Future[Any]", request_id: str) -> Sent:
        try:
            answer = self._shortcut.end(done.result())
            return rendered(answer, request_id, secure=self._gate.secure_cookies)
        except Exception as error:  # noqa: BLE001 — the edge of the program, as in `web`
            return self._refused(error, request_id)

    def _refused(self, error: Exception, request_id: str) -> Sent:
        refusal = refusal_of(error, request_id, method=self._endpoint.method, path=self._endpoint.path)
        return rendered(refusal_answer(refusal, request_id), request_id, secure=self._gate.secure_cookies)


def short_ways(app: Guarded) -> Mapping[tuple[bytes, bytes], ShortWay]:
    """Return the short ways of an application's endpoints, by method and address as they stand in a request."""
    return {
        (endpoint.method.encode(), route.path.encode()): ShortWay(
            endpoint, endpoint.shortcut, app.gate, limiter=route.app.limiter, name=app.name_request
        )
        for route in app.routes
        if isinstance(route.app, Edge)
        for endpoint in route.app.endpoints.values()
        if endpoint.shortcut is not None
    }
