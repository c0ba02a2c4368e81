"""Law 9: every route passes one permission check; without a grant nothing happens; a role reaches what it was given."""

import asyncio
import dataclasses
import pathlib
import random
import re
from collections.abc import Iterator

import httpx
import pytest
import sqlalchemy
from starlette.routing import Route

from koban.access import CATALOGUE, PUBLIC, SIGNED_IN, SYSTEM, Endpoint, Guarded, StaffDirectory, endpoint, issue_token
from koban.access.permissions import ROLES, grants_of
from koban.access.types import Principal
from koban.access.web import Caller
from koban.app import Koban, asgi, open_koban
from koban.audit import SeededSecrets
from koban.base import Instant, ManualClock
from koban.base.settings import read_settings
from koban.db import metadata

START = Instant(1_792_584_000_000_000)
SMALL_PACK = pathlib.Path(__file__).parents[1] / "small_pack"
REFUSED = {401, 403}
# What changes by itself: when a token was last used, a lease renewed, an audit row sealed, memory written back.
BY_ITSELF = {"api_tokens", "audit_entries", "feature_watermark", "leases"}


class RolesAsTokens(StaffDirectory):
    """A directory in which the bearer token `admin` is somebody with the role admin."""

    def recall(self, kind: str, secret: str, at: Instant) -> Caller | None:
        """Answer from memory."""
        return self.look_up(kind, secret, at)

    def look_up(self, kind: str, secret: str, at: Instant) -> Caller | None:
        """Make the person of a role."""
        del at
        if kind != "bearer" or secret not in ROLES:
            return None
        grants = grants_of((secret,))
        return Caller(principal=Principal(kind="staff", id=secret, name=secret, roles=(secret,), grants=grants))


@pytest.fixture
def koban(migrated_data: pathlib.Path) -> Iterator[Koban]:
    settings = read_settings({"KOBAN_DATA": str(migrated_data), "KOBAN_PACK": str(SMALL_PACK)})
    with open_koban(settings, ManualClock(START), random.Random(3), SeededSecrets(3), durable=False) as opened:
        opened.stopping.set()  # a stream ends after its first words; this client reads answers whole
        yield opened


def _endpoints(app: Guarded) -> list[Endpoint]:
    found: list[Endpoint] = []
    for route in app.routes:
        assert isinstance(route, Route), f"{route} is no route of ours"
        methods: dict[str, Endpoint] = vars(route.endpoint)["_methods"]
        found.extend(each for method, each in methods.items() if method == each.method)
    return found


def _ask(app: Guarded, asked: list[tuple[str, str]], token: str | None) -> list[httpx.Response]:
    """Send requests with an empty object as body, one after the other."""

    async def run() -> list[httpx.Response]:
        headers = {} if token is None else {"authorization": f"Bearer {token}"}
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://koban.test", headers=headers) as client:
            return [
                await client.request(method, path, json={} if method in {"POST", "PUT", "PATCH", "DELETE"} else None)
                for method, path in asked
            ]

    return asyncio.run(run())


def _path(each: Endpoint) -> str:
    return re.sub(r"\{[^}]+\}", "nothing", each.path)


def _tables(koban: Koban) -> dict[str, object]:
    """Return every row of every table; of those that change by themselves, how many there are."""
    found: dict[str, object] = {}
    with koban.database.read() as tx:
        for table in metadata.sorted_tables:
            if table.name == "audit_head":
                continue  # made by the first sealing
            rows = sorted(repr(tuple(row)) for row in tx.execute(sqlalchemy.select(table)))
            found[table.name] = len(rows) if table.name in BY_ITSELF else rows
    return found


def test_every_route_names_a_permission_of_the_catalogue(koban: Koban) -> None:
    endpoints = _endpoints(asgi(koban))
    assert len(endpoints) > 50
    assert {each.permission for each in endpoints} <= {*CATALOGUE, PUBLIC, SIGNED_IN}
    public = {f"{each.method} {each.path}" for each in endpoints if each.permission == PUBLIC}
    assert {one for one in public if one.startswith(("POST", "PUT", "PATCH", "DELETE"))} <= {
        # Behind a signed or secret link that is for one thing and one time.
        "POST /appeal/{token}",
        "POST /csp",
        "POST /on-call/receipt/{token}",
        "POST /payment-notices/{provider}",  # signed by the provider
        "POST /preferences",
        "POST /sign-in",
        "POST /sign-in/link/{secret}",
        "POST /v1/sign-in",
    }
    assert {one for one in public if "/v1/" in one} == {"POST /v1/sign-in"}


def test_a_token_without_scopes_is_refused_everywhere_and_changes_nothing(koban: Koban) -> None:
    app = asgi(koban)
    with koban.database.write() as tx:
        _, secret = issue_token(
            tx, koban.clock.now(), koban.randomness, koban.secrets, by=SYSTEM, name="nothing", scopes=(), days=1
        )
    guarded = [each for each in _endpoints(app) if each.permission != PUBLIC]
    asked = [(each.method, _path(each)) for each in guarded]
    before = _tables(koban)
    for name, token, expected in (("no scopes", secret, {403}), ("unknown", "koban_nobody", {401, 303, 429})):
        answers = _ask(app, asked, token)
        wrong = [f"{name}: {one.request.method} {one.request.url.path} {one.status_code}" for one in answers
                 if one.status_code not in expected]  # fmt: skip
        assert wrong == []
    koban.desk.command(lambda _memory, _tx: None)
    assert _tables(koban) == before
    assert koban.memory.last_seq == 1


def test_nobody_reaches_anything_without_signing_in(koban: Koban) -> None:
    app = asgi(dataclasses.replace(koban, directory=RolesAsTokens(koban.database)))
    before = _tables(koban)
    for each in _endpoints(app):
        if each.permission == PUBLIC:
            continue
        answer = _ask(app, [(each.method, _path(each))], None)[0]
        assert isinstance(koban.clock, ManualClock)
        koban.clock.advance(1_000_000)  # whoever is not signed in may only ask so often
        if each.page and answer.status_code == 303:
            assert answer.headers["location"].startswith("/sign-in")
        else:
            assert answer.status_code == 401, f"{each.method} {each.path}"
    assert _tables(koban) == before


@pytest.mark.parametrize("role", sorted(ROLES))
def test_a_role_reaches_what_the_catalogue_gives_it_and_nothing_else(koban: Koban, role: str) -> None:
    app = asgi(dataclasses.replace(koban, directory=RolesAsTokens(koban.database)))
    guarded = [each for each in _endpoints(app) if each.permission not in {PUBLIC, SIGNED_IN}]
    answers = _ask(app, [(each.method, _path(each)) for each in guarded], role)
    for each, answer in zip(guarded, answers, strict=True):
        is_let_in = answer.status_code not in REFUSED
        assert is_let_in == (each.permission in ROLES[role]), f"{role}: {each.method} {each.path} {answer.status_code}"
        assert answer.status_code < 500, f"{role}: {each.method} {each.path} {answer.text[:300]}"


def test_an_unknown_address_answers_404_to_everybody(koban: Koban) -> None:
    app = asgi(dataclasses.replace(koban, directory=RolesAsTokens(koban.database)))
    paths = ("/v1/nothing", "/v2/events", "/v1/events/x/y/z", "/admin", "/v1//events", "/../etc/passwd")
    for token in ("admin", None):
        assert [one.status_code for one in _ask(app, [("GET", path) for path in paths], token)] == [404] * len(paths)


def test_a_route_without_a_permission_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="names no permission"):
        endpoint("GET", "/v1/secret", "nothing.at_all", lambda _call: None, summary="Nothing")
