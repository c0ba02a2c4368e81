"""Which addresses webhooks reach: never one inside a private network, unless the endpoint may."""

import http.server
import socket
import threading
from collections.abc import Sequence

import pytest

from koban.webhooks import HttpSender, Outgoing, Sent, check_url
from koban.webhooks.sender import is_public
from koban.webhooks.types import WebhookEndpointUnfit


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1:248:1893:25c8:1946", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),  # noqa: S104 — an address to refuse, not one to bind
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::1", False),
        ("::", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:93.184.216.34", True),
        ("64:ff9b::7f00:1", False),
        ("64:ff9b::5db8:d822", True),
        ("2002:7f00:1::", False),
        ("2001:0:4136:e378:8000:63bf:3fff:fdd2", False),
        ("no address", False),
    ],
)
def test_an_address_is_public_only_when_what_it_wraps_is(address: str, *, expected: bool) -> None:
    assert is_public(address) is expected


@pytest.mark.parametrize(
    ("url", "allow_private"),
    [
        ("https://market.example/koban", False),
        ("https://market.example:8443/koban?a=b", False),
        ("http://127.0.0.1:9000/koban", True),
        ("https://[::1]/koban", True),
    ],
)
def test_an_address_that_fits_is_taken(url: str, *, allow_private: bool) -> None:
    check_url(url, allow_private=allow_private)


@pytest.mark.parametrize(
    ("url", "allow_private"),
    [
        ("http://market.example/koban", False),
        ("https://127.0.0.1/koban", False),
        ("https://[::1]/koban", False),
        ("https://169.254.169.254/latest/meta-data", False),
        ("https://2130706433/", False),
        ("https://0x7f000001/", False),
        ("https://127.1/", False),
        ("https://0177.0.0.1/", True),
        ("https://localhost/", False),
        ("https://koban.localhost/", False),
        ("ftp://market.example/koban", True),
        ("https:///koban", True),
        ("https://user:word@market.example/", True),
        ("https://market.example/#part", True),
        ("https://market.example:99999/", True),
        ("https://market.example:0/", True),
        ("https://市場.example/", True),
        ("https://market.example/a b", True),
        ("https://market.example/\r\nx", True),
        ("https://" + "a" * 2_000, True),
        ("nonsense", True),
    ],
)
def test_an_address_that_does_not_fit_is_refused(url: str, *, allow_private: bool) -> None:
    with pytest.raises(WebhookEndpointUnfit):
        check_url(url, allow_private=allow_private)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "127.1", "2130706433", "0x7f000001"])
def test_a_name_that_leads_into_a_private_network_is_never_connected_to(host: str) -> None:
    sender = HttpSender(timeout_s=5.0)
    try:
        sent = sender(Outgoing(url=f"https://{host}:9/koban", body=b"{}", headers={}, allow_private=False))
    finally:
        sender.close()
    assert sent == Sent(error=f"{host.strip('[]')} leads into a private network")


def test_a_name_that_nobody_knows_is_a_failure_not_a_crash() -> None:
    sender = HttpSender(timeout_s=20.0)
    try:
        sent = sender(Outgoing(url="https://no-such-host.invalid/", body=b"{}", headers={}, allow_private=False))
    finally:
        sender.close()
    assert sent.error.startswith(("the name cannot be looked up", "no answer within"))


def test_a_name_with_an_address_that_takes_no_connection_is_reached_by_its_next_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[str, str]] = []

    class Receiver(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append((self.headers["host"], self.rfile.read(int(self.headers["content-length"])).decode()))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    def look_up(_host: str, port: int, *_: object, **__: object) -> Sequence[tuple[object, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in ("127.0.0.2", "127.0.0.1")]

    server = http.server.HTTPServer(("127.0.0.1", 0), Receiver)  # nobody listens at 127.0.0.2
    port = server.server_address[1]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sender = HttpSender(timeout_s=20.0)
    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    try:
        url = f"http://market.example:{port}/koban"
        reached = sender(Outgoing(url=url, body=b"{}", headers={}, allow_private=True))
        server.shutdown()
        server.server_close()
        unreached = sender(Outgoing(url=url, body=b"{}", headers={}, allow_private=True))
    finally:
        monkeypatch.undo()
        sender.close()
    assert reached == Sent()
    assert asked == [(f"market.example:{port}", "{}")]
    assert unreached.error.startswith("ConnectError")
