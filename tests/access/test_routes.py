import pathlib
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import httpx
import pytest
from starlette.applications import Starlette
from starlette.types import ASGIApp

from koban.access import (
    CATALOGUE,
    MACHINES,
    AccessKit,
    Gate,
    Guarded,
    StaffDirectory,
    build_routes,
    create_first_admin,
    endpoints,
    openapi,
    problem_handlers,
)
from koban.access.routes import safe_next
from koban.audit import SeededSecrets, SigningKey, checkpoint, seal
from koban.base import HOUR, SECOND, ManualClock
from koban.db import Database

PASSWORD = "correct horse battery"


class Browser(Protocol):
    """What `browse` of conftest.py makes."""

    def request(self, method: str, path: str, **options: object) -> httpx.Response: ...
    def get(self, path: str, **options: object) -> httpx.Response: ...
    def post(self, path: str, **options: object) -> httpx.Response: ...


class Site:
    """The routes of this room on a database, with an administrator signed in."""

    def __init__(self, kit: AccessKit, browser: Browser, clock: ManualClock, link: str, key: SigningKey) -> None:
        self.kit = kit
        self.browser = browser
        self.clock = clock
        self.link = link
        self.key = key

    def headers(self, cookie: str) -> dict[str, str]:
        sent = {"cookie": cookie}
        csrf = self.browser.get("/v1/me", headers=sent).json()["csrf"]
        return sent | {"x-csrf-token": csrf}

    def admin(self) -> dict[str, str]:
        answer = self.browser.get(self.link)
        return self.headers(answer.headers["set-cookie"].partition(";")[0])


@pytest.fixture
def site(
    database: Database, clock: ManualClock, tmp_path: pathlib.Path, browse: Callable[[ASGIApp], Browser]
) -> Iterator[Site]:
    randomness, secrets = random.Random(1), SeededSecrets(1)
    key = SigningKey.open(tmp_path / "audit.key", secrets)
    kit = AccessKit(
        database=database,
        directory=StaffDirectory(database),
        randomness=randomness,
        secrets=secrets,
        checkpoint_file=tmp_path / "checkpoints.jsonl",
        audit_key=key.public,
    )
    with database.write() as tx:
        link = create_first_admin(tx, clock.now(), randomness, secrets)
    assert link is not None
    with ThreadPoolExecutor(2) as pool:
        gate = Gate(clock=clock, randomness=randomness, directory=kit.directory, pool=pool)
        app = Starlette(routes=build_routes(endpoints(kit), gate), exception_handlers=problem_handlers(gate))
        yield Site(kit, browse(Guarded(app, gate)), clock, link.path, key)


def test_a_visit_to_the_first_link_opens_a_session_once(site: Site) -> None:
    answer = site.browser.get(site.link)
    assert (answer.status_code, answer.headers["location"]) == (303, "/account/password")
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("koban_session=")
    assert cookie.endswith("; Path=/; HttpOnly; SameSite=Lax; Max-Age=43200")
    me = site.browser.get("/v1/me", headers={"cookie": cookie.partition(";")[0]}).json()
    assert me["staff"]["email"] == "admin@localhost"
    assert me["staff"]["has_password"] is False
    assert me["grants"] == dict.fromkeys(sorted(set(CATALOGUE) - MACHINES), "role admin")
    again = site.browser.get(site.link)
    assert (again.status_code, again.json()["code"]) == (410, "link_invalid")


def test_a_password_is_chosen_and_signs_in_by_form_and_by_json(site: Site) -> None:
    admin = site.admin()
    weak = site.browser.post("/v1/me/password", headers=admin, json={"password": "short"})
    assert (weak.status_code, weak.json()["code"]) == (422, "password_weak")
    weak = site.browser.post("/v1/me/password", headers=admin, data={"password": "short", "next": "/lists"})
    assert weak.headers["location"] == "/account/password?error=password_weak&next=%2Flists"
    chosen = site.browser.post("/v1/me/password", headers=admin, data={"password": PASSWORD, "next": "/lists"})
    assert (chosen.status_code, chosen.headers["location"]) == (303, "/lists")

    form = {"email": "admin@localhost", "password": PASSWORD, "next": "/cases?state=open"}
    answer = site.browser.post("/v1/sign-in", data=form)
    assert (answer.status_code, answer.headers["location"]) == (303, "/cases?state=open")
    wrong = site.browser.post("/v1/sign-in", data=form | {"password": "x"})
    assert wrong.headers["location"] == "/sign-in?error=sign_in_refused&next=%2Fcases%3Fstate%3Dopen"
    assert "set-cookie" not in wrong.headers
    evil = site.browser.post("/v1/sign-in", data=form, headers={"sec-fetch-site": "cross-site"})
    assert (evil.status_code, evil.json()["code"]) == (403, "csrf")

    by_json = site.browser.post("/v1/sign-in", json={"email": "admin@localhost", "password": PASSWORD})
    assert by_json.json()["staff"]["name"] == "Administrator"
    assert by_json.json()["expires_at"] == "2026-10-22T00:00:00.000000Z"
    refused = site.browser.post("/v1/sign-in", json={"email": "admin@localhost", "password": "x"})
    assert (refused.status_code, refused.json()["code"]) == (401, "sign_in_refused")


def test_signing_out_ends_the_session(site: Site) -> None:
    admin = site.admin()
    assert site.browser.post("/v1/sign-out", headers={"cookie": admin["cookie"]}).status_code == 403
    answer = site.browser.post("/v1/sign-out", headers=admin)
    assert answer.status_code == 204
    assert answer.headers["set-cookie"] == "koban_session=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0"
    assert site.browser.get("/v1/me", headers=admin).status_code == 401


def test_signing_in_too_often_says_when_to_come_back(site: Site) -> None:
    wrong = {"email": "admin@localhost", "password": "x"}
    answers = [site.browser.post("/v1/sign-in", json=wrong) for _ in range(6)]
    assert [answer.status_code for answer in answers] == [401] * 5 + [429]
    assert (answers[-1].json()["code"], answers[-1].headers["retry-after"]) == ("sign_in_slowed", "30")


def test_staff_are_invited_listed_changed_and_disabled(site: Site) -> None:
    admin = site.admin()
    site.clock.advance(SECOND)
    new = {"email": "Aoi@example.com", "name": "Aoi", "roles": ["reviewer"]}
    invited = site.browser.post("/v1/staff", headers=admin, json=new)
    assert invited.status_code == 201
    staff_id = invited.json()["staff"]["id"]
    assert site.browser.post("/v1/staff", headers=admin, json=new).json()["code"] == "email_taken"
    bad = site.browser.post("/v1/staff", headers=admin, json=new | {"email": "nonsense"})
    assert (bad.status_code, bad.json()["errors"][0]["path"]) == (422, "/email")

    page = site.browser.get("/v1/staff?limit=1", headers=admin).json()
    rest = site.browser.get(f"/v1/staff?limit=1&cursor={page['next_cursor']}", headers=admin).json()
    assert [one["email"] for one in page["items"] + rest["items"]] == ["admin@localhost", "aoi@example.com"]
    assert rest["next_cursor"] is None

    opened = site.browser.get(invited.json()["link"]["path"])
    aoi = site.headers(opened.headers["set-cookie"].partition(";")[0])
    assert site.browser.get("/v1/staff", headers=aoi).json()["code"] == "not_allowed"
    changed = site.browser.request("PUT", f"/v1/staff/{staff_id}/roles", headers=admin, json={"roles": ["lead"]})
    assert changed.json()["roles"] == ["lead"]
    assert site.browser.get("/v1/staff", headers=aoi).status_code == 200
    assert site.browser.post(f"/v1/staff/{staff_id}/disable", headers=admin).json()["disabled_at"] is not None
    assert site.browser.get("/v1/me", headers=aoi).status_code == 401
    assert site.browser.post(f"/v1/staff/{staff_id}/revoke-tokens", headers=admin).json() == {"revoked": 0}
    assert site.browser.post("/v1/staff/staff_x/revoke-tokens", headers=admin).json()["code"] == "staff_missing"
    assert site.browser.post(f"/v1/staff/{staff_id}/enable", headers=admin).json()["disabled_at"] is None
    link = site.browser.post(f"/v1/staff/{staff_id}/link", headers=admin)
    assert (link.status_code, site.browser.get(link.json()["path"]).status_code) == (201, 303)
    assert site.browser.get(f"/v1/staff/{staff_id}", headers=admin).json()["name"] == "Aoi"
    assert site.browser.get("/v1/staff/staff_x", headers=admin).json()["code"] == "staff_missing"
    own_id = site.browser.get("/v1/me", headers=admin).json()["staff"]["id"]
    assert site.browser.post(f"/v1/staff/{own_id}/disable", headers=admin).json()["code"] == "last_admin"


def test_a_profile_is_ones_own(site: Site) -> None:
    admin = site.admin()
    changed = site.browser.post("/v1/me", headers=admin, json={"email": "Ren@example.com", "name": "Ren"})
    assert (changed.json()["email"], changed.json()["name"]) == ("ren@example.com", "Ren")
    by_form = site.browser.post("/v1/me", headers=admin, data={"email": "ren@example.com", "name": "蓮"})
    assert (by_form.status_code, by_form.headers["location"]) == (303, "/")
    assert site.browser.get("/v1/me", headers=admin).json()["staff"]["name"] == "蓮"


def test_tokens_are_issued_used_and_revoked(site: Site) -> None:
    admin = site.admin()
    wanted = {"name": "shop", "scopes": ["staff.read"], "days": 7}
    issued = site.browser.post("/v1/tokens", headers=admin, json=wanted).json()
    bearer = {"authorization": f"Bearer {issued['secret']}"}
    assert site.browser.get("/v1/staff", headers=bearer).status_code == 200
    assert site.browser.get("/v1/tokens", headers=bearer).status_code == 403
    assert site.browser.get("/v1/me", headers=bearer).status_code == 403
    listed = site.browser.get("/v1/tokens", headers=admin).json()["items"]
    assert [(one["name"], one["used_day"], one["expires_at"]) for one in listed] == [
        ("shop", "2026-10-21", "2026-10-28T12:00:00.000000Z")
    ]
    assert issued["secret"] not in str(listed)
    revoked = site.browser.request("DELETE", f"/v1/tokens/{issued['token']['id']}", headers=admin)
    assert revoked.json()["revoked_at"] == "2026-10-21T12:00:00.000000Z"
    assert site.browser.get("/v1/staff", headers=bearer).status_code == 401
    assert site.browser.request("DELETE", "/v1/tokens/token_x", headers=admin).json()["code"] == "token_missing"
    for wrong in (wanted | {"days": 0}, wanted | {"days": 401}, wanted | {"scopes": []}, wanted | {"scopes": ["all"]}):
        assert site.browser.post("/v1/tokens", headers=admin, json=wrong).status_code == 422


def test_the_audit_trail_is_listed_and_checked(site: Site) -> None:
    admin = site.admin()
    site.browser.post("/v1/tokens", headers=admin, json={"name": "shop", "scopes": ["staff.read"]})
    page = site.browser.get("/v1/audit?limit=2", headers=admin).json()
    assert [one["action"] for one in page["items"]] == ["token.issued", "session.opened"]
    rest = site.browser.get(f"/v1/audit?limit=2&cursor={page['next_cursor']}", headers=admin).json()
    assert [one["action"] for one in rest["items"]] == ["staff.created"]
    only = site.browser.get("/v1/audit?action=token.issued", headers=admin).json()
    assert only["items"][0]["details"] == {"scopes": 1, "days": 90}
    assert site.browser.get("/v1/audit?cursor=x", headers=admin).status_code == 422

    with site.kit.database.write() as tx:
        seal(tx, site.clock.now())
    with site.kit.database.read() as tx:
        checkpoint(tx, site.clock.now(), site.key, site.kit.checkpoint_file)
    report = site.browser.post("/v1/audit/verify", headers=admin).json()
    assert report == {
        "whole": True, "sealed": 3, "unsealed": 0, "oldest_unsealed_at": None, "checkpoints": 1, "broken": None,
    }  # fmt: skip
    with site.kit.database.write() as tx:
        tx.many("UPDATE audit_entries SET actor = ? WHERE position = ?", [("nobody", 2)])
    broken = site.browser.post("/v1/audit/verify", headers=admin).json()
    assert (broken["whole"], broken["broken"]["what"], broken["broken"]["position"]) == (False, "altered", 2)


def test_a_session_that_expired_is_nobody(site: Site) -> None:
    admin = site.admin()
    site.clock.advance(13 * HOUR)
    assert site.browser.get("/v1/me", headers=admin).status_code == 401


def test_roles_and_permissions_are_listed(site: Site) -> None:
    admin = site.admin()
    roles = {one["role"]: one for one in site.browser.get("/v1/roles", headers=admin).json()}
    assert roles["reviewer"]["title"] == {"en": "Reviewer", "ja": "審査担当"}
    listed = site.browser.get("/v1/permissions", headers=admin).json()
    assert [one["permission"] for one in listed] == list(CATALOGUE)


def test_a_policy_report_is_taken_from_anyone(site: Site) -> None:
    report = {"content-type": "application/csp-report"}
    assert site.browser.post("/csp", headers=report, content=b'{"csp-report":{}}').status_code == 204
    assert site.browser.post("/csp", headers=report, content=b"x" * 20_000).status_code == 413


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ("/", "/"),
        ("/cases?state=open&q=%E3%81%82", "/cases?state=open&q=%E3%81%82"),
        ("/検索", "/%E6%A4%9C%E7%B4%A2"),
        ("", "/"),
        ("cases", "/"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("https://evil.example", "/"),
        ("/a\r\nset-cookie: x=1", "/"),
        ("/\t/evil.example", "/"),
    ],
)
def test_the_way_back_stays_on_this_site(given: str, path: str) -> None:
    assert safe_next(given) == path


def test_the_document_describes_every_route(site: Site) -> None:
    document = openapi(endpoints(site.kit), "1.2.3")
    described = {
        (method.upper(), path) for path, item in document["paths"].items() for method in item  # type: ignore[attr-defined] # JSON
    }  # fmt: skip
    assert described == {(one.method, one.path) for one in endpoints(site.kit) if not one.page}
    issue = document["paths"]["/v1/tokens"]["post"]  # type: ignore[index] # JSON
    assert issue["security"] == [{"token": []}, {"session": []}]
    assert set(issue["responses"]) == {"201", "400", "401", "403", "413", "415", "422", "429", "503"}
    assert issue["requestBody"]["content"]["application/json"]["schema"] == {
        "$ref": "#/components/schemas/TokenRequest"
    }
    asked = document["components"]["schemas"]["TokenRequest"]  # type: ignore[index] # JSON
    assert asked["properties"]["days"] == {
        "type": "integer", "minimum": 1, "maximum": 400, "default": 90, "format": "int64",
    }  # fmt: skip
    assert asked["properties"]["name"]["pattern"] == "^[^\\u0000]*$"
    assert asked["additionalProperties"] is False
    parameters = document["paths"]["/v1/audit"]["get"]["parameters"]  # type: ignore[index] # JSON
    assert [(one["name"], one["required"]) for one in parameters] == [
        ("cursor", False), ("limit", False), ("actor", False), ("action", False), ("object_id", False),
    ]  # fmt: skip
    assert document["paths"]["/v1/sign-in"]["post"]["security"] == []  # type: ignore[index] # JSON
