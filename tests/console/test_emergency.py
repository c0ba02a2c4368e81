"""The emergency pages: typed, previewed, started, ended, undone; and on-call beside them, through forms alone."""

import re

import pytest
from tests.console.conftest import Visitor
from tests.console.scene import Scene

from koban.base import HOUR, MINUTE
from koban.emergency import store as emergency_store
from koban.oncall import link_of, open_page
from koban.oncall import store as oncall_store

TYPED = {
    "on.message.sent": "1",
    "when": "text ILIKE '%zzlure%'",
    "policy": "fraud/off_platform_payment",
    "hide": "1",
    "cap": "20",
    "minutes": "60",
    "reason": "a wave of lures",
}


def preview_of(text: str) -> str:
    found = re.search(r'name="preview" value="([0-9a-f]+)"', text)
    assert found is not None
    return found[1]


def test_a_rule_is_typed_previewed_and_started_and_ends_by_hand(admin: Visitor, scene: Scene) -> None:
    scene.message("em-1", "zzlure here")
    name = f"console_{scene.database.dialect}"
    looked = admin.send("/emergency/new", "/emergency/new", **TYPED, name=name, do="preview")
    assert looked.status_code == 200
    assert "em-1" in looked.text
    started = admin.send(
        "/emergency/new", "/emergency/new", **TYPED, name=name, do="start", preview=preview_of(looked.text)
    )
    assert started.headers["location"] == "/emergency?done=emergency_started"
    assert scene.message("em-2", "zzlure again").verdict == "block"
    home = admin.get("/emergency").text
    assert f"emergency.{name}" in home
    assert "Only a second person can extend it." in home
    ended = admin.send("/emergency", "/emergency/rule", name=f"emergency.{name}", do="end", reason="over")
    assert ended.headers["location"] == "/emergency?done=emergency_ended"
    assert scene.message("em-3", "zzlure once more").verdict == "allow"


def test_a_reason_that_is_too_long_is_told_and_stays_as_it_was_typed(admin: Visitor) -> None:
    long = "a wave of lures " * 63
    refused = admin.send("/emergency/new", "/emergency/new", **{**TYPED, "reason": long}, name="long", do="preview")
    assert refused.status_code == 422
    assert "1,007 / 1,000" in refused.text
    assert long.strip() in refused.text


def test_without_its_preview_a_rule_does_not_start(admin: Visitor, scene: Scene) -> None:
    refused = admin.send("/emergency/new", "/emergency/new", **TYPED, name="unseen", do="start", preview="0" * 24)
    assert refused.status_code == 422
    assert "Look at the preview again" in refused.text
    with scene.database.read() as tx:
        assert emergency_store.read_one(tx, "emergency.unseen") is None


def test_a_mistake_in_the_condition_is_shown_where_it_was_typed(admin: Visitor) -> None:
    refused = admin.send("/emergency/new", "/emergency/new", **{**TYPED, "when": "txet ILIKE '%x%'"}, do="preview")
    assert refused.status_code == 422
    assert "condition:1:1" in refused.text
    assert "txet" in refused.text


def test_the_undo_list_shows_and_takes_back_single_lines(admin: Visitor, scene: Scene) -> None:
    record = scene.message("undo-1", "直取引しませんか？振込で")
    assert record.verdict == "block"
    page = admin.get("/emergency/undo?account=s-undo-1").text
    lines = re.findall(r'name="(line\.sanction/[^"]+)"', page)
    assert lines
    since = re.search(r'type="hidden" name="since" value="([^"]+)"', page)
    assert since is not None
    done = admin.send(
        "/emergency/undo?account=s-undo-1", "/emergency/undo", account="s-undo-1", since=since[1], reason="honest",
        do="chosen", **{lines[0]: "1"},
    )  # fmt: skip
    assert done.status_code == 303
    after = admin.get("/emergency/undo?account=s-undo-1").text
    assert "Taken back" in after
    assert lines[0] not in after


def test_nobody_without_the_grant_starts_or_undoes(scene: Scene) -> None:
    reviewer = Visitor(scene).sign_in("reviewer")
    assert reviewer.get("/emergency").status_code == 200
    assert reviewer.get("/emergency/new").status_code == 403
    assert "Undo all of it" not in reviewer.get("/emergency/undo").text


def test_the_rota_and_ones_own_contacts_are_kept_on_the_page(admin: Visitor, scene: Scene) -> None:
    with scene.database.read() as tx:
        mika = next(row[0] for row in tx.rows("SELECT id, email FROM staff") if row[1] == "specialist@koban.test")
    added = admin.send(
        "/on-call", "/on-call", do="shift", staff=mika, level="1", **{"from": "18:00", "until": "09:00", "day.2": "1"}
    )
    assert added.headers["location"] == "/on-call?done=rota_changed"
    page = admin.get("/on-call").text
    assert "18:00 – 09:00" in page
    assert "Mika Sato" in page
    contact = admin.send("/on-call", "/on-call", do="contact", kind="webhook", address="https://pager.example/x")
    assert "whsec_" in contact.text
    private = admin.send("/on-call", "/on-call", do="contact", kind="webhook", address="http://127.0.0.1/x")
    assert private.status_code == 422


@pytest.mark.parametrize("language", ["en", "ja"])
def test_a_signed_link_takes_a_page_only_by_its_button(scene: Scene, language: str) -> None:
    with scene.database.write() as tx:
        called = open_page(
            scene.kit.oncall,
            tx,
            scene.clock.now(),
            kind="called",
            about=f"{language} {scene.database.dialect}",
            detail="help",
        )
        staff = str(tx.rows("SELECT id FROM staff ORDER BY id")[0][0])
    path = link_of(scene.kit.oncall, called.id, staff).removeprefix("http://koban.test")
    visitor = Visitor(scene, language)
    assert visitor.get(path).status_code == 200
    with scene.database.read() as tx:
        assert [each.status for each in [oncall_store.read_page(tx, called.id)] if each is not None] == ["open"]
    assert visitor.request("POST", path, {}).status_code == 200
    with scene.database.read() as tx:
        taken = oncall_store.read_page(tx, called.id)
    assert taken is not None
    assert (taken.status, taken.acknowledged_by, taken.acknowledged_how) == ("acknowledged", staff, "link")
    assert visitor.get(path[:-2] + "xx").status_code == 410


def test_the_hour_is_over_by_itself(admin: Visitor, scene: Scene) -> None:
    name = f"hour_{scene.database.dialect}"
    looked = admin.send("/emergency/new", "/emergency/new", **TYPED, name=name, do="preview")
    admin.send("/emergency/new", "/emergency/new", **TYPED, name=name, do="start", preview=preview_of(looked.text))
    scene.clock.advance(HOUR + MINUTE)
    assert scene.message(f"hour-{scene.database.dialect}", "zzlure late").verdict == "allow"
    assert "Its time was over" in Visitor(scene).sign_in().get("/emergency").text
