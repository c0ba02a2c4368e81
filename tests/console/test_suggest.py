"""Rules that are found in labelled events, on their page: drafts with evidence, which open in the rule lab."""

import functools
import html
import re

from tests.console.conftest import Visitor
from tests.console.scene import Scene

from koban.base import to_rfc3339
from koban.labels import LabelSet, LabelSource
from koban.pipeline import commands


def tell(scene: Scene) -> None:
    """Forty people who write the same lure and forty who do not, all of them known."""
    for number in range(80):
        account, lures = f"found-{number}", number % 2 == 0
        text = "earn gems with my side job" if lures else "thank you for sending it"
        sender = {"id": account, "created_at": to_rfc3339(scene.clock.now()), "verified": False, "trades": number % 7}
        for each in range(2):
            scene.message(f"{account}-{each}", text, sender=sender)
        said = LabelSet(
            subject_kind="account", subject_id=account, label="truth", value="fraud" if lures else "honest",
            source=LabelSource.PERSON, by="staff_x", note="",
        )  # fmt: skip
        scene.desk.command(functools.partial(commands.label, change=said))


def test_a_rule_is_found_opened_in_the_lab_and_proposed(scene: Scene, admin: Visitor) -> None:
    tell(scene)
    assert 'href="/lab/suggest"' in admin.get("/rules").text
    asked = {"event": "message.sent", "log": "", "precision": "0.7", "without": ""}
    begun = admin.send("/lab/suggest", "/lab/suggest", **asked)
    assert begun.status_code == 303
    there = begun.headers["location"]
    assert "message.sent" in admin.get(there).text
    result = admin.get(f"/lab/runs/{there.rpartition('run=')[2]}").text
    assert "Held out" in result
    found = re.search(r'name="text" value="([^"]+)"', result)
    assert found is not None
    rule = html.unescape(found[1])
    assert "mode: shadow" in rule
    opened = admin.send("/lab", "/lab", section="rules", name="", text=rule, do="check")
    assert "Nothing to mend" in opened.text
    proposed = admin.send("/lab", "/lab", section="rules", name="", text=rule, do="propose", reason="found in labels")
    assert proposed.headers["location"].startswith("/drafts/draft_")


def test_what_nobody_can_look_for_is_refused_in_the_form(admin: Visitor) -> None:
    asked = {"event": "message.sent", "log": "", "precision": "0.9", "without": "sender.trades"}
    for wrong in ({"event": "no.such"}, {"precision": "2"}, {"log": "no_such_log"}, {"without": "DROP TABLE"}):
        refused = admin.send("/lab/suggest", "/lab/suggest", **{**asked, **wrong})
        assert (refused.status_code, "Please check the event type" in refused.text) == (422, True), wrong
    few = admin.send("/lab/suggest", "/lab/suggest", **{**asked, "event": "listing.created", "without": ""})
    assert few.status_code == 422
    assert "labelled events of listing.created" in few.text
