"""Paging over real sockets: told at once, once per trouble, escalated, acknowledged, retried, kept quiet, resolved."""

import datetime
import email
import email.policy

import msgspec
import pytest
import standardwebhooks
from tests.oncall.conftest import Crew

from koban.base import MINUTE, SECOND
from koban.oncall import PageOver, RotaInvalid, acknowledge, add_contact, read_receipt, resolve
from koban.oncall import store as oncall_store
from koban.oncall.types import Page, Step
from koban.webhooks import raise_alert, search_alerts
from koban.webhooks.types import WebhookEndpointUnfit


def trouble(
    crew: Crew, kind: str = "budget.tripped", about: str = "rule:copy", detail: str = "50 people within an hour"
) -> None:
    with crew.database.write() as tx:
        raise_alert(tx, crew.clock.now(), crew.kit.randomness, kind=kind, about=about, detail=detail)


def only_page(crew: Crew) -> Page:
    with crew.database.read() as tx:
        (page,) = oncall_store.search_pages(tx, before=None, limit=10, unresolved=False)
    return page


def steps(crew: Crew) -> list[tuple[str, str]]:
    with crew.database.read() as tx:
        found: list[Step] = oncall_store.read_steps(tx, only_page(crew).id)
    return [(each.what, each.detail) for each in found]


def test_an_alert_reaches_whoever_is_on_call_by_webhook_chat_and_mail(crew: Crew) -> None:
    crew.shift("mika", 1)
    contact, secret = crew.contact("mika", "webhook", crew.web + "/hook")
    crew.contact("mika", "slack", crew.web + "/slack")
    crew.contact("mika", "mail", "mika@koban.test")
    trouble(crew)
    crew.turn()
    bodies = {path: (headers, body) for path, headers, body in crew.received.posts}
    headers, body = bodies["/hook"]
    data = msgspec.json.decode(body)
    moment = datetime.datetime.fromtimestamp(int(headers["webhook-timestamp"]), tz=datetime.UTC)
    signature = standardwebhooks.Webhook(secret).sign(headers["webhook-id"], moment, body.decode())
    assert headers["webhook-signature"] == signature
    assert (data["type"], data["data"]["severity"], data["data"]["object"]) == ("page.opened", "high", "rule:copy")
    assert headers["webhook-id"].startswith("page_")
    link = data["data"]["acknowledge_url"]
    chat = msgspec.json.decode(bodies["/slack"][1])
    assert link in chat["text"]
    assert "50 people within an hour" in chat["text"]
    ((to, text),) = crew.received.mails
    assert to == "mika@koban.test"
    mail = email.message_from_string(text, policy=email.policy.default)
    assert mail["Subject"] == "[Koban] HIGH budget.tripped: rule:copy"
    assert link in mail.get_content()
    assert read_receipt(crew.kit.key, link.rpartition("/")[2]) == (only_page(crew).id, contact.staff_id)


def test_the_same_trouble_calls_once_and_counts_up(crew: Crew) -> None:
    crew.shift("mika", 1)
    crew.contact("mika", "webhook", crew.web + "/hook")
    for _ in range(5):
        trouble(crew)
        crew.turn(SECOND)
    assert len(crew.received.posts) == 1
    assert only_page(crew).times == 5


def test_nobody_who_takes_it_calls_the_next_level_and_taking_it_ends_the_calling(crew: Crew) -> None:
    for who, level in (("mika", 1), ("ken", 2), ("ana", 3)):
        crew.shift(who, level)
        crew.contact(who, "webhook", f"{crew.web}/{who}")
    trouble(crew)
    crew.turn()
    crew.turn(9 * MINUTE)
    assert [path for path, _, _ in crew.received.posts] == ["/mika"]
    crew.turn(MINUTE)
    assert [path for path, _, _ in crew.received.posts] == ["/mika", "/ken"]
    with crew.database.write() as tx:
        acknowledge(tx, crew.clock.now(), only_page(crew).id, by=crew.people["ken"].id, how="link")
    crew.turn(60 * MINUTE)
    assert [path for path, _, _ in crew.received.posts] == ["/mika", "/ken"]
    assert [what for what, _ in steps(crew)] == ["opened", "told", "escalated", "told", "acknowledged"]


def test_a_gap_in_the_rota_goes_up_at_once_and_at_the_end_every_lead_is_told(crew: Crew) -> None:
    crew.contact("ken", "webhook", crew.web + "/ken")
    crew.contact("ana", "webhook", crew.web + "/ana")
    crew.contact("mika", "webhook", crew.web + "/mika")
    trouble(crew)
    crew.turn()
    assert sorted(path for path, _, _ in crew.received.posts) == ["/ana", "/ken"]
    assert [what for what, _ in steps(crew)] == [
        "opened", "nobody", "escalated", "nobody", "escalated", "nobody", "told"
    ]  # fmt: skip


def test_the_lead_hears_of_an_emergency_rule_at_once(crew: Crew) -> None:
    crew.shift("mika", 1)
    crew.shift("ken", 2)
    crew.contact("mika", "webhook", crew.web + "/mika")
    crew.contact("ken", "webhook", crew.web + "/ken")
    trouble(crew, "emergency.started", "rule:emergency.line")
    crew.turn()
    assert [path for path, _, _ in crew.received.posts] == ["/ken"]


def test_what_could_not_be_sent_is_sent_again_and_three_failures_go_up_early(crew: Crew) -> None:
    crew.shift("mika", 1)
    crew.shift("ken", 2)
    crew.contact("mika", "webhook", crew.web + "/mika")
    crew.contact("ken", "webhook", crew.web + "/ken")
    crew.received.answers = [500, 503, 500]
    trouble(crew)
    for _ in range(4):
        crew.turn(11 * SECOND)
    paths = [path for path, _, _ in crew.received.posts]
    assert paths[0] == "/ken"  # level 1 had failed three times, long before ten minutes
    crew.turn(21 * SECOND)
    assert "/mika" in [path for path, _, _ in crew.received.posts]


def test_a_kill_between_sending_and_noting_sends_again(crew: Crew) -> None:
    crew.shift("mika", 1)
    crew.contact("mika", "webhook", crew.web + "/mika")
    trouble(crew)
    crew.turn()
    with crew.database.write() as tx:
        (send,) = oncall_store.read_sends(tx, only_page(crew).id)
        tx.many("UPDATE oncall_sends SET status = 'waiting', sent_at = NULL, next_attempt_at = ? WHERE id = ?",
                [(crew.clock.now() + 30 * SECOND, send.id)])  # fmt: skip
    crew.turn(10 * SECOND)
    assert len(crew.received.posts) == 1
    crew.turn(20 * SECOND)
    assert len(crew.received.posts) == 2


def test_quiet_hours_keep_a_slight_trouble_until_the_morning(crew: Crew) -> None:
    crew.shift("mika", 1)
    crew.contact("mika", "webhook", crew.web + "/mika", quiet=(21 * 60, 7 * 60))  # it is 21:00 in Tokyo
    trouble(crew, "rule.drift", "rule:lure")
    crew.turn()
    crew.turn(9 * 60 * MINUTE)
    assert crew.received.posts == []
    crew.turn(61 * MINUTE)
    assert len(crew.received.posts) == 1


def test_resolving_takes_note_of_the_alert_and_the_same_trouble_later_is_a_new_page(crew: Crew) -> None:
    crew.shift("mika", 1)
    crew.contact("mika", "webhook", crew.web + "/mika")
    trouble(crew)
    crew.turn()
    page = only_page(crew)
    with crew.database.write() as tx:
        resolve(tx, crew.clock.now(), page.id, by=crew.people["mika"].id)
        assert search_alerts(tx, before=None, limit=5, is_open=True) == []
        with pytest.raises(PageOver):
            acknowledge(tx, crew.clock.now(), page.id, by=crew.people["mika"].id, how="api")
    trouble(crew)
    crew.turn(SECOND)
    assert len(crew.received.posts) == 2


def test_a_page_that_was_taken_calls_again_when_its_trouble_goes_on(crew: Crew) -> None:
    crew.shift("mika", 1)
    crew.contact("mika", "webhook", crew.web + "/mika")
    trouble(crew)
    crew.turn()
    with crew.database.write() as tx:
        acknowledge(tx, crew.clock.now(), only_page(crew).id, by=crew.people["mika"].id, how="console")
    trouble(crew)
    crew.turn(5 * MINUTE)
    assert len(crew.received.posts) == 1
    trouble(crew)
    crew.turn(30 * MINUTE)
    assert len(crew.received.posts) == 2
    assert ("again", "3 times by now") in steps(crew)


def test_contacts_keep_the_rules_of_webhooks(crew: Crew) -> None:
    for address in ("http://shop.example/x", "https://user:pass@shop.example/", "https://127.0.0.1/x", "ftp://x/"):
        with crew.database.write() as tx, pytest.raises(WebhookEndpointUnfit):
            add_contact(
                tx, crew.clock.now(), crew.kit.randomness, crew.box, staff_id="s", kind="webhook", address=address,
                allow_private=False, zone="Asia/Tokyo", quiet=None, quiet_least="high", by="admin",
            )  # fmt: skip
    with pytest.raises(RotaInvalid):
        crew.contact("mika", "mail", "a@b\r\nBcc: c@d")
    with crew.database.read() as tx:
        assert oncall_store.read_contacts(tx) == []
