"""The network side of webhooks: which addresses may be reached, and one HTTP request with an end."""

import asyncio
import contextlib
import ipaddress
import socket
import threading
import urllib.parse
from collections.abc import Sequence
from typing import Final

import httpx

from koban.webhooks.types import Outgoing, Sent, WebhookEndpointUnfit

TIMEOUT_S: Final = 10.0  # for a whole attempt: name, connection, answer; a slow drip of bytes does not prolong it
CONNECT_S: Final = 3.0  # for a connection to one of several addresses; the last one has what is left of the attempt
ADDRESSES_MAX: Final = 3  # of a name's, that one attempt tries
URL_CHARS_MAX: Final = 2_000

assert CONNECT_S * (ADDRESSES_MAX - 1) < TIMEOUT_S

_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def is_public(text: str) -> bool:
    """Return whether an IP address lies on the public internet, also where it wraps another address."""
    try:
        address: Address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
        if inner is not None:
            address = inner
        elif address.teredo is not None:
            return False
    return address.is_global and not address.is_multicast


def check_url(url: str, *, allow_private: bool) -> None:
    """Refuse an address that no webhook may go to; a name is looked up again, and checked, at each attempt.

    Refuses: WebhookEndpointUnfit.
    """
    try:
        parts = urllib.parse.urlsplit(url)
        port = parts.port
        httpx.URL(url)  # what cannot be sent later is said now
    except (ValueError, httpx.InvalidURL) as error:
        raise WebhookEndpointUnfit(f"this is no URL: {error}") from None
    if len(url) > URL_CHARS_MAX or not url.isascii() or not url.isprintable() or " " in url:
        raise WebhookEndpointUnfit(f"a URL has at most {URL_CHARS_MAX} characters, all of them ASCII")
    if parts.scheme != "https" and not (allow_private and parts.scheme == "http"):
        raise WebhookEndpointUnfit("a URL begins with https:// (http:// only inside the own network)")
    if not parts.hostname or port == 0:
        raise WebhookEndpointUnfit("the URL names no host")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise WebhookEndpointUnfit("a URL here has no user name, password or fragment")
    literal = _literal(parts.hostname)
    if not allow_private and literal is not None and not is_public(literal):
        raise WebhookEndpointUnfit(f"{parts.hostname} is an address inside a private network")


class HttpSender:
    """Sends attempts from any thread; one event loop in a thread of its own keeps every attempt inside its time.

    Each attempt has a connection of its own: one that was opened for another name must not be used again.
    """

    def __init__(self, *, timeout_s: float = TIMEOUT_S) -> None:
        """Start the loop; `close` ends it."""
        self._timeout_s = timeout_s
        self._loop = asyncio.new_event_loop()
        self._client = httpx.AsyncClient(
            follow_redirects=False,
            trust_env=False,  # a proxy from the environment would look names up itself, past the check
            timeout=timeout_s,
            limits=httpx.Limits(max_keepalive_connections=0),
        )
        self._thread = threading.Thread(target=self._loop.run_forever, name="koban-webhook-sender", daemon=True)
        self._thread.start()

    def __call__(self, outgoing: Outgoing) -> Sent:
        """Send one attempt and wait for how it went."""
        return asyncio.run_coroutine_threadsafe(self._send(outgoing), self._loop).result()

    def close(self) -> None:
        """Close connections and end the loop's thread; no attempt may be under way."""
        asyncio.run_coroutine_threadsafe(self._client.aclose(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    async def _send(self, outgoing: Outgoing) -> Sent:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._post(outgoing)
        except TimeoutError:
            return Sent(error=f"no answer within {self._timeout_s:g} s")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return Sent(error=f"{type(error).__name__}: {error}")
        except (OSError, UnicodeError) as error:  # the name is unknown, or is none
            return Sent(error=f"the name cannot be looked up: {error}")

    async def _post(self, outgoing: Outgoing) -> Sent:
        url = httpx.URL(outgoing.url)
        port = url.port or (443 if url.scheme == "https" else 80)
        found = await self._loop.getaddrinfo(url.host, port, type=1)  # 1: SOCK_STREAM
        addresses = list(dict.fromkeys(str(each[4][0]) for each in found))
        if not outgoing.allow_private and not all(map(is_public, addresses)):
            return Sent(error=f"{url.host} leads into a private network")
        response = await self._first_answer(outgoing, url, addresses[:ADDRESSES_MAX])
        try:
            # Only the status counts; the body is never read, however long it is.
            if response.is_success:
                return Sent()
            retry_after = response.headers.get("retry-after", "")
            return Sent(
                error=f"the receiver answered {response.status_code}",
                retry_after_s=int(retry_after) if retry_after.isdecimal() and len(retry_after) < 6 else 0,
            )
        finally:
            await response.aclose()

    async def _first_answer(self, outgoing: Outgoing, url: httpx.URL, addresses: Sequence[str]) -> httpx.Response:
        """Send to the first of a name's addresses that takes a connection: of two families, often only one is reached.

        Why only a connection that failed leads to the next: nothing was sent, so nobody is asked twice in one attempt.
        """
        *others, last = addresses
        for address in others:
            with contextlib.suppress(httpx.ConnectError, httpx.ConnectTimeout):
                return await self._send_to(outgoing, url, address, min(CONNECT_S, self._timeout_s))
        return await self._send_to(outgoing, url, last, self._timeout_s)

    async def _send_to(self, outgoing: Outgoing, url: httpx.URL, address: str, connect_s: float) -> httpx.Response:
        """Send to the address that was checked, not to whatever the name leads to a moment later."""
        request = self._client.build_request(
            "POST",
            url.copy_with(host=address),
            content=outgoing.body,
            headers={**outgoing.headers, "host": url.netloc.decode("ascii")},
            timeout=httpx.Timeout(self._timeout_s, connect=connect_s),
            extensions={"sni_hostname": url.host},
        )
        return await self._client.send(request, stream=True)


def _literal(host: str) -> str | None:
    """Return the address that a host is, in any form that resolvers take (127.1, 0x7f000001); None for a name."""
    if host == "localhost" or host.endswith(".localhost"):
        return "127.0.0.1"
    try:
        return str(ipaddress.ip_address(host.partition("%")[0]))
    except ValueError:
        pass
    try:
        return socket.inet_ntoa(socket.inet_aton(host))
    except OSError:
        return None
