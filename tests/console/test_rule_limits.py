"""A rule's ceiling and its snoozes in the console: the consequence first, a reason always, two people where it is severe."""

import pytest
from tests.console.conftest import Visitor
from tests.console.scene import Scene
from tests.console.test_severe_modes import severe_rule, waiting

from koban.base import DAY, Instant, to_rfc3339
from koban.packs import Mode, ModeName
from koban.rules import ceiling_of
from koban.rules.logic import kinds_of_rule
from koban.rules.store import expectations, snoozes


def milder_rule(scene: Scene) -> str:
    pack = scene.desk.memory.compiled.pack
    return next(name for name, rule in pack.rules.items() if pack.policies[rule.policy].severity != "severe")


def test_a_severe_ceiling_is_proposed_and_raised_by_somebody_else(scene: Scene, admin: Visitor) -> None:
    name = severe_rule(scene)
    form = f"/rules/{name}/ceiling"
    assert "only its cap" in admin.get(form).text.lower() or "Stops at" in admin.get(form).text
    shown = admin.get(f"{form}?people=90000&hours=10").text
    assert f"{ceiling_of(90_000, 10):,}" in shown
    assert "A second person is needed" in shown
    assert "Set the ceiling" not in shown
    sent = admin.send(f"{form}?people=90000&hours=10", form, people="90000", hours="10", reason="October")
    assert sent.headers["location"] == f"/rules/{name}?done=ceiling_proposed"
    draft = waiting(scene, name)[0]
    page = admin.get(f"/rules/{name}").text
    assert f"Stops at {ceiling_of(90_000, 10):,} people in an hour" in page
    assert "Agree and raise" not in page
    other = Visitor(scene, "ja").sign_in("specialist")
    assert "承認して上げる" in other.get(f"/rules/{name}").text
    done = other.send(f"/rules/{name}", f"/rules/{name}/mode/decide", draft=draft.id, do="approve")
    assert done.headers["location"] == f"/rules/{name}?done=mode_set"
    with scene.database.read() as tx:
        assert {each.rule: each.people for each in expectations(tx)}[name] == 90_000


def test_a_ceiling_that_is_not_severe_is_set_at_once_and_bad_figures_are_said(scene: Scene, admin: Visitor) -> None:
    name = milder_rule(scene)
    form = f"/rules/{name}/ceiling"
    assert "Set the ceiling" in admin.get(f"{form}?people=30&hours=10").text
    assert admin.send(form, form, people="-3", hours="10", reason="x").status_code == 422
    assert admin.send(form, form, people="3", hours="10", reason="  ").status_code == 422
    bad = admin.get(f"{form}?people=x&hours=1")
    assert (bad.status_code, "Give whole numbers" in bad.text) == (422, True)
    assert (
        admin.send(form, form, people="30", hours="10", reason="September").headers["location"].endswith("ceiling_set")
    )


def test_a_rule_is_muted_for_an_account_and_speaks_again(scene: Scene, admin: Visitor) -> None:
    name = severe_rule(scene)  # to mute one is to step down
    form = f"/rules/{name}/snooze"
    assert "The rule is mute for nobody" in admin.get(form).text
    for until, account, reason in (("2020-01-01T00:00", "a1", "x"), ("", "a1", "x"), ("2027-10-01T00:00", "", "x")):
        refused = admin.send(form, form, do="set", subject=account, until=until, reason=reason)
        assert refused.status_code == 422
    for silent in ("", "\u200b\u3164"):
        assert (
            admin.send(form, form, do="set", subject="a1", until="2027-10-01T00:00", reason=silent).status_code == 422
        )
    far = admin.send(form, form, do="set", subject="a1", until="2099-01-01T00:00", reason="for good")
    assert (far.status_code, "The end must lie at most 366 days ahead." in far.text) == (422, True)
    done = admin.send(form, form, do="set", subject="a1", until="2027-10-01T00:00", reason="a shop of ours")
    assert done.headers["location"] == f"/rules/{name}/snooze?done=snooze_set"
    with scene.database.read() as tx:
        assert [(row.subject, to_rfc3339(row.until_at)) for row in snoozes(tx) if row.rule == name] == [
            ("a1", "2027-09-30T15:00:00.000000Z")  # midnight in Tokyo
        ]
    assert scene.desk.memory.modes.snoozed(name, "a1", int(Instant(scene.clock.now() + DAY)))
    assert "a shop of ours" in admin.get(form).text
    assert "Mute for: 1" in admin.get(form).text
    assert "a1" in admin.get(f"/rules/{name}").text
    done = admin.send(form, form, do="end", subject="a1", reason="sold")
    assert done.headers["location"] == f"/rules/{name}/snooze?done=snooze_ended"
    assert not scene.desk.memory.modes.snoozed(name, "a1", int(scene.clock.now()))


def test_a_rule_is_muted_for_a_listing_or_device_but_only_for_what_its_events_name(
    scene: Scene, admin: Visitor
) -> None:
    pack = scene.desk.memory.compiled.pack
    name = next(
        name for name, rule in pack.rules.items()
        if {"device", "listing"} & {role.kind for on in rule.on for role in pack.events[on].subjects.values()}
    )  # fmt: skip
    kind = next(kind for kind in kinds_of_rule(pack, pack.rules[name]) if kind in {"device", "listing"})
    form = f"/rules/{name}/snooze"
    assert f'<option value="{kind}">' in admin.get(form).text
    until = "2027-10-01T00:00"
    refused = admin.send(form, form, do="set", kind="nonsense", subject="x", until=until, reason="ours")
    assert refused.status_code == 422
    assert "The events of this rule name account" in refused.text
    done = admin.send(form, form, do="set", kind=kind, subject="thing_1", until=until, reason="a test shop of ours")
    assert done.headers["location"] == f"/rules/{name}/snooze?done=snooze_set"
    with scene.database.read() as tx:
        (row,) = [row for row in snoozes(tx) if row.rule == name]
    assert row.kind == kind
    assert row.subject == "thing_1" if kind == "listing" else row.subject.startswith("device~")
    now = int(scene.clock.now())
    assert scene.desk.memory.modes.snoozed(name, row.subject, now, kind)
    assert not scene.desk.memory.modes.snoozed(name, row.subject, now)
    admin.send(form, form, do="end", kind=kind, subject=row.subject, reason="sold")
    assert not scene.desk.memory.modes.snoozed(name, row.subject, now, kind)


@pytest.mark.parametrize(("share", "points"), [("7.5", 750), ("0.01", 1), ("99", 9_900), ("33.33", 3_333)])
def test_any_share_of_accounts_can_be_given(scene: Scene, admin: Visitor, share: str, points: int) -> None:
    name = milder_rule(scene)
    form = f"/rules/{name}/mode"
    assert "Switch</button>" in admin.get(f"{form}?to=off&share={share}").text
    done = admin.send(f"{form}?share={share}", form, to=f"{share}%", reason="carefully")
    assert done.headers["location"].endswith("mode_set")
    rule = scene.desk.memory.compiled.pack.rules[name]
    assert scene.desk.memory.modes.mode(rule) == Mode(name=ModeName.LIVE, basis_points=points)


@pytest.mark.parametrize("share", ["0", "100.5", "0.001", "-5", "ten", "0.00"])
def test_a_share_that_is_none_is_not_taken(scene: Scene, admin: Visitor, share: str) -> None:
    form = f"/rules/{milder_rule(scene)}/mode"
    assert admin.send(form, form, to=f"{share}%", reason="carefully").status_code == 422
