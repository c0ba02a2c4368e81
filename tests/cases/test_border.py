"""Sanctions, webhooks, alerts and cases through the real border: permissions, bodies, refusals, pages."""

import asyncio
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from starlette.applications import Starlette

from koban.access import Endpoint, Gate, Principal, build_routes, openapi
from koban.access.permissions import grants_of_scopes
from koban.access.web import Caller
from koban.audit import SeededSecrets
from koban.base import DAY, HOUR, MINUTE, Instant, ManualClock
from koban.cases import CaseClosed, CloseCase, LiveCases, close_case
from koban.cases import endpoints as case_endpoints
from koban.cases import write as write_cases
from koban.db import Database
from koban.enforcement import (
    Applied,
    Command,
    LiveSanctions,
    Occasion,
    Outcome,
    Plan,
    Recorded,
    SubjectRef,
    carry_out,
    plan_actions,
    write,
)
from koban.enforcement import endpoints as sanction_endpoints
from koban.packs import Hide, LadderStep, PolicyDef, QueueDef, Restrict, Review, Source, Strike, Suspend
from koban.webhooks import Desk as WebhookDesk
from koban.webhooks import (
    EndpointBook,
    SecretBox,
    actions_for,
    build_endpoints,
    insert_actions,
    request_for,
    watch_unconfirmed,
)

GOOD = "koban_good"
TEXT = {"en": "text", "ja": "文"}
SOURCE = Source(file="pack.yaml", line=1)
POLICIES = {
    "spam": PolicyDef(
        name="spam",
        title=TEXT,
        text=TEXT,
        severity="low",
        ladder=(LadderStep(action=Restrict(scope="messaging", for_us=DAY)), LadderStep(action=Suspend(for_us=None))),
        strikes_within_us=None,
        source=SOURCE,
    )
}
SCOPES = (
    "sanctions.read", "sanctions.impose", "sanctions.overturn", "rules.undo", "subjects.read", "webhooks.read",
    "webhooks.manage", "webhooks.replay", "actions.confirm", "alerts.read", "alerts.acknowledge", "cases.read",
    "cases.work",
)  # fmt: skip


class OneToken:
    """A directory of one token."""

    def recall(self, kind: str, secret: str, at: Instant) -> Caller | None:  # noqa: ARG002 — the protocol's names
        if (kind, secret) != ("bearer", GOOD):
            return None
        return Caller(principal=Principal(kind="token", id="token_1", name="desk", grants=grants_of_scopes(SCOPES)))

    def look_up(self, kind: str, secret: str, at: Instant) -> Caller | None:
        return self.recall(kind, secret, at)


class Koban:
    """The decider's part and the application's, as small as they can be."""

    def __init__(self, database: Database, clock: ManualClock) -> None:
        self.database = database
        self.clock = clock
        self.randomness = random.Random(3)
        self.live = LiveSanctions()
        self.cases = LiveCases()
        self.book = EndpointBook()
        self.seq = 1 << 40
        self.pool = ThreadPoolExecutor(2)
        self.endpoints: tuple[Endpoint, ...] = (
            *sanction_endpoints(database, self.submit, lambda _: self.seq),
            *build_endpoints(
                WebhookDesk(
                    database=database,
                    book=self.book,
                    box=SecretBox(b"k" * 32, SeededSecrets(1)),
                    randomness=self.randomness,
                    may_allow_private=True,
                )
            ),
            *case_endpoints(database, self.close_case),
        )
        gate = Gate(clock=clock, randomness=self.randomness, directory=OneToken(), pool=self.pool)
        self.app = Starlette(routes=build_routes(self.endpoints, gate))

    def fire(self, *actions: Hide | Suspend | Strike | Review, who: str = "a1", content: str = "m1") -> None:
        self.seq += 1
        occasion = Occasion(
            event_id=f"e{self.seq}",
            event_type="message.sent",
            acting=SubjectRef(kind="account", id=who),
            recipient=None,
            content=SubjectRef(kind="message", id=content),
        )
        one = Applied(rule="flood", policy="spam", because=TEXT, actions=actions)
        at = self.clock.now()
        plan = plan_actions([one], occasion, POLICIES, self.live.of_subject, at=at, seq=self.seq)
        queue = QueueDef(name="scams", title=TEXT, due_in_s=60, source=SOURCE)
        steps = [self.cases.open(each, queue, at=at, seq=self.seq)[0] for each in plan.reviews]
        with self.database.write() as tx:
            write_cases(tx, steps)
        self.enter(plan)

    def submit(self, command: Command) -> Outcome:
        self.seq += 1
        with self.database.write() as tx:
            outcome = carry_out(self.live, tx, command, POLICIES, at=self.clock.now(), seq=self.seq)
        self.enter(outcome.plan)
        return outcome

    def enter(self, plan: Plan) -> None:
        at = self.clock.now()
        recorded = []
        for change in plan.changes:
            self.seq += 1
            step = self.live.apply(change)
            recorded.append(Recorded(step=step, seq=self.seq, at=at, state=self.live.state(step.after.subject, at)))
        requests = [asked for each in recorded if (asked := request_for(each)) is not None]
        with self.database.write() as tx:
            write(tx, recorded)
            insert_actions(tx, actions_for(requests, self.book.current))

    def close_case(self, command: CloseCase) -> CaseClosed:
        with self.database.write() as tx:
            closed = close_case(tx, self.clock.now(), command)
        self.cases.apply(closed.change)
        return closed.change

    def ask(self, method: str, path: str, json: object = None, *, bearer: str = GOOD) -> httpx.Response:
        async def call() -> httpx.Response:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://koban.test") as client:
                return await client.request(method, path, json=json, headers={"authorization": f"Bearer {bearer}"})

        return asyncio.run(call())

    def got(self, method: str, path: str, json: object = None, *, status: int = 200) -> dict[str, object]:
        answer = self.ask(method, path, json)
        assert answer.status_code == status, answer.text
        found: dict[str, object] = answer.json() if answer.content else {}
        return found


@pytest.fixture
def koban(database: Database, clock: ManualClock) -> Iterator[Koban]:
    made = Koban(database, clock)
    yield made
    made.pool.shutdown()


def items(page: dict[str, object]) -> list[dict[str, object]]:
    found = page["items"]
    assert isinstance(found, list)
    return found


def test_every_route_can_be_described_and_needs_a_permission(koban: Koban) -> None:
    described = openapi(koban.endpoints, "1")
    assert isinstance(described["paths"], dict)
    assert len(described["paths"]) == 22
    for each in koban.endpoints:
        path = each.path.replace("{id:path}", "x").replace("{id}", "x").replace("{kind}", "x").replace("{name}", "x")
        answer = koban.ask(each.method, path, {} if each.method != "GET" else None, bearer="nobody")
        assert (answer.status_code, answer.json()["code"]) == (401, "not_signed_in")


def test_a_sanction_is_imposed_seen_overturned_and_the_state_follows(koban: Koban) -> None:
    body = {"subject_kind": "account", "subject_id": "a/1", "kind": "suspend", "policy": "spam", "because": "because"}
    done = koban.got("POST", "/v1/sanctions", body, status=201)
    assert isinstance(done["sanction_ids"], list)
    sanction_id: str = done["sanction_ids"][0]
    state = koban.got("GET", "/v1/subjects/account/a/1/state")
    assert state["state"] == {
        "hidden": False,
        "suspended": True,
        "suspended_until": None,
        "payout_frozen": False,
        "payout_frozen_until": None,
        "restrictions": [],
        "strikes": {},
    }
    assert state["state_version"] == koban.seq
    (listed,) = items(koban.got("GET", "/v1/sanctions?subject_id=a/1&status=in_force"))
    assert (listed["id"], listed["actors"], listed["rules"]) == (sanction_id, ["token_1"], [])
    assert koban.got("POST", f"/v1/sanctions/{sanction_id}/overturn", {"reason": "wrong person"}) == done
    assert koban.got("POST", f"/v1/sanctions/{sanction_id}/overturn", {"reason": "again"}) == {"sanction_ids": []}
    detail = koban.got("GET", f"/v1/sanctions/{sanction_id}")
    assert [each["kind"] for each in detail["changes"]] == ["sanction.imposed", "sanction.overturned"]  # type: ignore[attr-defined]  # a list
    assert detail["sanction"]["closing"] == {  # type: ignore[index]  # an object
        "at": "2026-10-21T12:00:00.000000Z",
        "how": "overturned",
        "by": "token_1",
        "reason": "wrong person",
    }
    after = koban.got("GET", "/v1/subjects/account/a/1/state")
    assert (after["state"]["suspended"], after["in_force"]) == (False, [])  # type: ignore[index]  # an object


def test_a_subject_that_nobody_heard_of_has_a_free_state(koban: Koban) -> None:
    state = koban.got("GET", "/v1/subjects/account/nobody/state")
    assert (state["changed_at"], state["in_force"]) == (None, [])


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/v1/sanctions/sanction_no/overturn", {"reason": "r"}, 404, "sanction_missing"),
        ("/v1/sanctions/sanction_no/lift", {"reason": "r"}, 404, "sanction_missing"),
        ("/v1/sanctions/sanction_no/lift", {"reason": ""}, 422, "invalid_request"),
        ("/v1/rules/flood/undo", {"since": "yesterday", "reason": "r"}, 422, "invalid_request"),
        ("/v1/rules/flood/undo", {"since": "2026-10-21T12:00:00", "reason": "r"}, 422, "invalid_request"),
        ("/v1/actions/action_no/confirm", None, 404, "action_missing"),
        ("/v1/actions/action_no/replay", None, 404, "action_missing"),
        ("/v1/webhooks/endpoint_no/replay", None, 404, "webhook_endpoint_missing"),
        ("/v1/webhooks/endpoint_no/rotate", None, 404, "webhook_endpoint_missing"),
        ("/v1/webhooks", {"url": "https://127.0.0.1/"}, 422, "webhook_endpoint_unfit"),
        ("/v1/webhooks", {"url": "http://market.example/"}, 422, "webhook_endpoint_unfit"),
        ("/v1/alerts/alert_no/acknowledge", None, 404, "alert_missing"),
        ("/v1/cases/case_no/claim", None, 404, "case_missing"),
        ("/v1/cases/case_no/close", {"outcome": "honest", "fence": 1}, 404, "case_missing"),
        ("/v1/cases/case_no/close", {"outcome": "guilty", "fence": 1}, 422, "invalid_request"),
        ("/v1/queues/none/claim", None, 404, "queue_empty"),
    ],
)
def test_what_cannot_be_done_is_refused_with_its_code(
    koban: Koban, path: str, body: object, status: int, code: str
) -> None:
    answer = koban.ask("POST", path, body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"policy": "no/such"}, "policy_unknown"),
        ({"kind": "restrict"}, "sanction_unfit"),
        ({"for_s": 0}, "sanction_unfit"),
        ({"for_s": 10**17}, "sanction_unfit"),
        ({"kind": "exile"}, "invalid_request"),
        ({"because": ""}, "invalid_request"),
        ({"extra": 1}, "invalid_request"),
    ],
)
def test_a_sanction_that_does_not_fit_is_refused_and_none_is_imposed(
    koban: Koban, change: dict[str, object], code: str
) -> None:
    body = {"subject_kind": "account", "subject_id": "a1", "kind": "suspend", "policy": "spam", "because": "b"} | change
    answer = koban.ask("POST", "/v1/sanctions", body)
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert items(koban.got("GET", "/v1/sanctions")) == []


def test_one_call_undoes_a_rule(koban: Koban) -> None:
    for index in range(60):
        koban.fire(Suspend(for_us=None), Hide(), who=f"a{index}", content=f"m{index}")
    body = {"since": "2026-10-21T21:00:00+09:00", "reason": "bad rule"}
    done = koban.got("POST", "/v1/rules/flood/undo", body)
    assert len(done["sanction_ids"]) == 120  # type: ignore[arg-type]  # a list
    assert items(koban.got("GET", "/v1/sanctions?status=in_force")) == []
    assert koban.got("POST", "/v1/rules/flood/undo", body) == {"sanction_ids": []}


def test_lists_go_on_where_a_page_ended(koban: Koban) -> None:
    for index in range(5):
        koban.fire(Suspend(for_us=None), Review(queue="scams"), who=f"a{index}", content=f"m{index}")
    for path in ("/v1/sanctions?limit=2", "/v1/cases?limit=2"):
        seen: list[object] = []
        cursor: object = None
        while True:
            page = koban.got("GET", path + (f"&cursor={cursor}" if cursor else ""))
            seen += [each["id"] for each in items(page)]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert len(seen) == len(set(seen)) == 5
    assert len(items(koban.got("GET", "/v1/cases?cursor=nonsense"))) == 5


def test_an_endpoint_shows_its_secret_once_and_its_actions_are_confirmed(koban: Koban) -> None:
    added = koban.got("POST", "/v1/webhooks", {"url": "http://127.0.0.1:9/koban", "allow_private": True}, status=201)
    assert str(added["secret"]).startswith("whsec_")
    endpoint_id = added["endpoint"]["id"]  # type: ignore[index]  # an object
    assert "secret" not in koban.ask("GET", "/v1/webhooks").text
    rotated = koban.got("POST", f"/v1/webhooks/{endpoint_id}/rotate")
    assert rotated["secret"] != added["secret"]
    koban.fire(Suspend(for_us=None), Hide())
    koban.fire(Suspend(for_us=HOUR), who="a2")
    first = items(koban.got("GET", "/v1/actions?subject_id=a1"))[0]
    assert (first["status"], first["kind"]) == ("requested", "sanction.imposed")
    detail = koban.got("GET", f"/v1/actions/{first['id']}")
    assert detail["payload"]["data"]["action"] == first["id"]  # type: ignore[index]  # an object
    confirmed = koban.got("POST", f"/v1/actions/{first['id']}/confirm")
    assert (confirmed["status"], confirmed["confirmed_by"]) == ("confirmed", "token_1")
    koban.clock.advance(MINUTE)
    assert koban.got("POST", f"/v1/actions/{first['id']}/confirm") == confirmed
    assert koban.ask("POST", f"/v1/actions/{first['id']}/replay").json()["code"] == "action_not_dead"
    assert koban.got("PATCH", f"/v1/webhooks/{endpoint_id}", {"enabled": False})["enabled"] is False
    assert koban.ask("DELETE", f"/v1/webhooks/{endpoint_id}").status_code == 204
    assert koban.book.current == ()
    assert sorted(str(each["status"]) for each in items(koban.got("GET", "/v1/actions"))) == [
        "confirmed",
        "dead",
        "dead",
    ]


def test_an_alert_is_taken_note_of_once(koban: Koban) -> None:
    koban.got("POST", "/v1/webhooks", {"url": "http://127.0.0.1:9/", "allow_private": True}, status=201)
    koban.fire(Suspend(for_us=None))
    with koban.database.write() as tx:
        watch_unconfirmed(tx, koban.clock.advance(HOUR), koban.randomness, after_us=MINUTE)
    (alert,) = items(koban.got("GET", "/v1/alerts?open=true"))
    assert (alert["kind"], alert["times"]) == ("actions.unconfirmed", 1)
    noted = koban.got("POST", f"/v1/alerts/{alert['id']}/acknowledge")
    assert noted["acknowledged_by"] == "token_1"
    koban.clock.advance(HOUR)
    assert koban.got("POST", f"/v1/alerts/{alert['id']}/acknowledge") == noted
    assert items(koban.got("GET", "/v1/alerts?open=true")) == []


def test_a_case_is_claimed_and_closed(koban: Koban) -> None:
    koban.fire(Review(queue="scams"))
    (waiting,) = items(koban.got("GET", "/v1/cases?queue=scams"))
    assert (waiting["subject"], waiting["overdue"]) == ({"kind": "message", "id": "m1"}, False)
    koban.clock.advance(2 * MINUTE)
    held = koban.got("POST", "/v1/queues/scams/claim")
    assert (held["id"], held["claimed_by"], held["overdue"]) == (waiting["id"], "token_1", True)
    closing = {"outcome": "honest", "fence": 0, "note": "a regular customer"}
    assert koban.ask("POST", f"/v1/cases/{held['id']}/close", closing).json()["code"] == "claim_lost"
    closed = koban.got("POST", f"/v1/cases/{held['id']}/close", closing | {"fence": held["fence"]})
    assert (closed["status"], closed["outcome"], closed["note"]) == ("closed", "honest", "a regular customer")
    assert items(koban.got("GET", "/v1/cases")) == []
    detail = koban.got("GET", f"/v1/cases/{held['id']}")
    assert [each["rule"] for each in detail["signals"]] == ["flood"]  # type: ignore[attr-defined]  # a list
