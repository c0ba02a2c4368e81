"""The mode of a severe rule in the console: said before, proposed, agreed to by somebody else, or withdrawn."""

from tests.console.conftest import Visitor
from tests.console.scene import Scene

from koban.packs import ModeName
from koban.rules import mode_drafts


def severe_rule(scene: Scene) -> str:
    pack = scene.desk.memory.compiled.pack
    return next(
        name
        for name, rule in pack.rules.items()
        if pack.policies[rule.policy].severity == "severe" and scene.desk.memory.modes.mode(rule).name is ModeName.LIVE
    )


def mode_of(scene: Scene, name: str) -> str:
    rule = scene.desk.memory.compiled.pack.rules[name]
    return scene.desk.memory.modes.mode(rule).name.value


def waiting(scene: Scene, name: str) -> list[mode_drafts.ModeDraft]:
    with scene.database.read() as tx:
        return mode_drafts.open_mode_drafts(tx, rule=name)


def test_a_severe_rule_goes_live_with_two_people_and_down_with_one(scene: Scene, admin: Visitor) -> None:
    name = severe_rule(scene)
    form = f"/rules/{name}/mode"
    down = admin.get(f"{form}?to=shadow").text
    assert "A second person is needed" not in down
    assert (
        admin.send(f"{form}?to=shadow", form, to="shadow", reason="too eager").headers["location"].endswith("mode_set")
    )
    assert mode_of(scene, name) == "shadow"

    up = admin.get(f"{form}?to=live").text
    assert "A second person is needed" in up
    assert "Switch now" not in up
    done = admin.send(f"{form}?to=live", form, to="live", reason="mended")
    assert done.headers["location"] == f"/rules/{name}?done=mode_proposed"
    assert mode_of(scene, name) == "shadow"
    draft = waiting(scene, name)[0]
    page = admin.get(f"/rules/{name}").text
    assert "You proposed it. Somebody else must agree." in page
    assert "Agree and switch" not in page
    assert name in admin.get("/rules").text.split("Changes that wait for a second person")[1][:400]
    refused = admin.send(f"/rules/{name}", f"{form}/decide", draft=draft.id, do="approve")
    assert refused.status_code == 422
    assert mode_of(scene, name) == "shadow"

    other = Visitor(scene).sign_in("specialist")
    assert "Agree and switch" in other.get(f"/rules/{name}").text
    assert "承認して切り替える" in Visitor(scene, "ja").sign_in("specialist").get(f"/rules/{name}").text
    done = other.send(f"/rules/{name}", f"{form}/decide", draft=draft.id, do="approve")
    assert done.headers["location"] == f"/rules/{name}?done=mode_set"
    assert (mode_of(scene, name), waiting(scene, name)) == ("live", [])


def test_a_proposed_mode_is_withdrawn(scene: Scene, admin: Visitor) -> None:
    name = severe_rule(scene)
    form = f"/rules/{name}/mode"
    admin.send(f"{form}?to=25%25", form, to="25%", reason="carefully")
    admin.send(f"{form}?to=live", form, to="live", reason="mended")
    draft = waiting(scene, name)[0]
    done = admin.send(f"/rules/{name}", f"{form}/decide", draft=draft.id, do="withdraw")
    assert done.headers["location"] == f"/rules/{name}?done=mode_withdrawn"
    assert waiting(scene, name) == []
    assert admin.send(f"/rules/{name}", f"{form}/decide", draft=draft.id, do="approve").status_code == 404
