"""Payments over HTTP with the starter pack, and a provider on the other side of real sockets."""

import base64
import contextlib
import json
import pathlib
import time
from collections.abc import Iterator

import httpx
import pytest
from tests.conftest import fresh_address
from tests.server.conftest import Server, free_port, start_server

from koban.base import SystemClock
from koban.payments.server import ProviderServer
from koban.payments.simulated import SimulatedProvider

STARTER = pathlib.Path(__file__).parents[2] / "packs" / "starter"
SECRET = b"0123456789abcdef0123456789abcdef"


@contextlib.contextmanager
def both(folder: pathlib.Path, address: str) -> Iterator[tuple[Server, SimulatedProvider]]:
    """Start a provider server and a Koban that speaks to it, each knowing where the other is."""
    (folder / "key").write_text("provider-key")
    (folder / "hook").write_text("whsec_" + base64.b64encode(SECRET).decode())
    hook_port = free_port()
    clock = SystemClock()
    sim = SimulatedProvider("psp", clock.now)
    provider = ProviderServer(
        sim, "provider-key", clock.now, webhook_url=f"http://127.0.0.1:{hook_port}/payment-notices/psp", secret=SECRET
    )
    entry = {
        "name": "psp", "kind": "http", "url": provider.url, "key_file": str(folder / "key"),
        "webhook_secret_file": str(folder / "hook"),
    }  # fmt: skip
    (folder / "providers.json").write_text(json.dumps([entry]))
    try:
        with start_server(
            folder / "data", KOBAN_DATABASE_URL=address, KOBAN_PACK=str(STARTER), KOBAN_LOG_LEVEL="error",
            KOBAN_PAYMENT_PROVIDERS=str(folder / "providers.json"), KOBAN_PORT=str(hook_port),
        ) as server:  # fmt: skip
            yield server, sim
    finally:
        provider.close()


def until(server: Server, payment_id: str, *statuses: str) -> dict[str, object]:
    for _ in range(1_200):
        found: dict[str, object] = server.client.get(f"/v1/payments/{payment_id}").json()
        payment = found["payment"]
        assert isinstance(payment, dict)
        if payment["status"] in statuses:
            return found
        time.sleep(0.1)
    raise AssertionError(found)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_payment_from_request_to_chargeback_over_real_sockets(
    request: pytest.FixtureRequest, tmp_path: pathlib.Path, kind: str
) -> None:
    (tmp_path / "data").mkdir()
    with fresh_address(request, kind, tmp_path / "data") as address, both(tmp_path, address) as (server, sim):
        body = {
            "id": "p1", "order": "o1", "account": "b1", "seller": "s1", "level": "identity",
            "parts": [{"method": "card", "amount_minor": 3_000, "token": "challenge"}],
            "context": {"device": {"id": "d1"}, "card": {"id": "c1"}},
        }  # fmt: skip
        begun = server.command("/v1/payments", body)
        assert begun.status_code == 200, begun.text
        assert server.command("/v1/payments", body).json()["id"] == "p1"
        changed = server.command("/v1/payments", {**body, "order": "o2"})
        assert (changed.status_code, changed.json()["code"]) == (409, "payment_conflict")
        waiting = until(server, "p1", "challenged")
        assert str(waiting["payment"]["buyer_goes_to"]).startswith("https://psp.example/challenges/")  # type: ignore[index]
        sim.buyer_answers("p1-1")
        until(server, "p1", "captured")
        evidence = server.client.get("/v1/payments/p1/parts/0/evidence").json()
        assert (evidence["flow"], evidence["trans_status"]) == ("challenge", "Y")
        assert server.client.get("/v1/payments/p1/parts/1/evidence").status_code == 404
        refunded = server.command("/v1/payments/p1/refunds", {"id": "r1", "amount_minor": 1_000})
        assert refunded.status_code == 200, refunded.text
        until(server, "p1", "partly_refunded")
        sim.charge_back("p1-2")
        detail = until(server, "p1", "charged_back")
        assert [each["status"] for each in detail["notices"]] == ["done"] * len(detail["notices"])  # type: ignore[attr-defined, arg-type]
        day = sim.report_days()[0].isoformat()
        rows = server.client.get("/v1/payment-providers/psp/report", params={"day": day}).json()
        assert [each["kind"] for each in rows] == ["capture", "refund", "chargeback"]
        assert {each["provider"] for each in rows} == {"psp"}
        assert server.client.get("/v1/payment-providers/psp/report", params={"day": "soon"}).status_code == 400
        [provider] = server.client.get("/v1/payment-providers").json()
        assert (provider["name"], provider["is_out"]) == ("psp", False)
        listed = server.client.get("/v1/payments", params={"order": "o1"}).json()
        assert [each["id"] for each in listed["items"]] == ["p1"]
        forged = httpx.post(f"http://127.0.0.1:{server.port}/payment-notices/psp", content=b"{}", trust_env=False)
        assert (forged.status_code, forged.json()["code"]) == (401, "notice_forged")
        proof = server.command("/v1/ledger/verify", {}).json()
        assert proof["broken"] is None
