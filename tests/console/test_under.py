"""A decision under another version of the pack: its rules, why not, and the events that its features count."""

import re

from tests.console.conftest import Visitor
from tests.console.scene import Scene

import koban.decisions.store as decision_store
from koban.app.archiving import KEPT_CHANGES
from koban.base import DAY, MINUTE, Instant
from koban.events.archive import Archiving, run
from koban.features import stored_watermark
from koban.lab.drafts import propose
from koban.packs import draft_store
from koban.vault import held_people

FEATURE = """- feature: sender_first_people_1h
  by: {message.sent: sender.id}
  value: count(distinct recipient.id)
  where: first_message
  bound: 40
  within: 1 hour
"""
OLD = "    (mentions(text, 'off_platform')\n      OR (mentions(text, 'payment_apps')"


def wrote(scene: Scene, name: str, *, first: bool) -> int:
    """Write from one sender to somebody new; return the place in the log."""
    sender = {"id": "s-under", "created_at": "2026-10-01T00:00:00Z", "verified": False, "trades": 0}
    return scene.message(name, "こんにちは", sender=sender, first_message=first).seq


def proposed(scene: Scene, old: str, new: str) -> draft_store.Draft:
    files = dict(scene.pack.files)
    assert old in files["features.yaml"]
    files["features.yaml"] = files["features.yaml"].replace(old, new)
    return propose(scene.kit.versions, files, Instant(scene.clock.now()), by="staff_one", reason="other people")


def listed(page: str) -> list[str]:
    """The ids of the events in the tables of a page, as they stand."""
    return re.findall(r'<span class="id" translate="no">(u-[a-z0-9-]+|under-[a-z]+)</span>', page)


def test_a_features_page_lists_what_its_where_lets_count_under_each_version(scene: Scene, admin: Visitor) -> None:
    wrote(scene, "u-first-1", first=True)
    wrote(scene, "u-known-1", first=False)
    wrote(scene, "u-first-2", first=True)
    wrote(scene, "u-known-2", first=False)
    seq = wrote(scene, "u-first-3", first=True)
    path = f"/decisions/{seq}/features/sender_first_people_1h"
    assert listed(admin.get(path).text) == ["u-first-3", "u-first-2", "u-first-1"]

    known = proposed(scene, FEATURE, FEATURE.replace("where: first_message", "where: NOT first_message"))
    assert listed(admin.get(f"{path}?pack={known.digest}").text) == ["u-known-2", "u-known-1"]
    every = proposed(scene, FEATURE, FEATURE.replace("  where: first_message\n", ""))
    assert len(listed(admin.get(f"{path}?pack={every.digest[:12]}").text)) == 5
    short = proposed(scene, FEATURE, FEATURE.replace("1 hour", "1 minute"))
    scene.clock.advance(2 * MINUTE)
    later = wrote(scene, "u-first-4", first=True)
    path = f"/decisions/{later}/features/sender_first_people_1h"
    assert listed(admin.get(path).text) == ["u-first-4", "u-first-3", "u-first-2", "u-first-1"]
    page = admin.get(f"{path}?pack={short.digest}").text
    assert listed(page) == ["u-first-4"]
    assert "Under this version" in page
    assert "Value read" in page


def test_a_decimal_has_its_point_and_both_of_a_pair_have_their_page(scene: Scene, admin: Visitor) -> None:
    people = {"sender": {"id": "s-pair"}, "recipient": {"id": "hana"}}
    sent = [scene.message(f"pair-{number}", "こんにちは", first_message=number == 0, **people) for number in range(3)]
    on = "  about: {en: e, ja: j}\n  on: message.sent\n"
    pair = f"{on}  by: [sender.id, recipient.id]\n  value: count(*)\n  within: 1 hour\n"
    added = (
        f"- feature: pair_1h\n{pair}"
        f"- feature: pair_first_1h\n{pair}  where: first_message\n"
        "- feature: pair_share\n  about: {en: e, ja: j}\n  value: ratio(pair_first_1h, pair_1h)\n"
    )
    draft = proposed(scene, FEATURE, added + FEATURE)
    page = admin.get(f"/decisions/{sent[-1].seq}/features/pair_share?pack={draft.digest}").text
    assert '<dd class="id" translate="no">0.333333</dd>' in page
    for person in ("s-pair", "hana"):
        assert f'href="/subjects/account/{person}">{person}</a>' in page


def test_a_decision_is_explained_under_a_version_that_is_chosen(scene: Scene, admin: Visitor) -> None:
    lure = scene.message("under-lure", "直取引しませんか")
    files = dict(scene.pack.files)
    name = next(name for name in files if OLD in files[name])
    files[name] = files[name].replace(
        OLD, OLD.replace("mentions(text, 'off_platform')", "of(sender_messages_1h, sender.id) >= 3"), 1
    )
    draft = propose(scene.kit.versions, files, Instant(scene.clock.now()), by="staff_one", reason="only who repeats it")

    decision = admin.get(f"/decisions/{lure.seq}").text
    assert f'value="{draft.digest}"' in decision
    assert "only who repeats it" in decision
    english = admin.get(f"/decisions/{lure.seq}/under?pack={draft.digest}").text
    assert "Matched when it was decided, not here" in english
    assert re.search(
        r"<code translate=\"no\">of\(sender_messages_1h, sender.id\) &gt;= 3</code> would have to hold \(off by \+2\)",
        english,
    )
    behind = f"/decisions/{lure.seq}/features/sender_messages_1h%40sender.id?pack={draft.digest}"
    assert behind in english
    assert listed(admin.get(behind).text) == ["under-lure"]
    assert "直取引しませんか" not in english, "what people wrote is told to nobody here"

    own = admin.get(f"/decisions/{lure.seq}/under").text
    assert "decided it" in own
    assert "Matched when it was decided, not here" not in own
    japanese = Visitor(scene, "ja").sign_in().get(f"/decisions/{lure.seq}/under?pack={draft.digest}").text
    assert "判定時は該当し、この版では該当しないルール" in japanese


def test_a_version_that_nobody_knows_is_refused_and_one_without_the_feature_says_so(
    scene: Scene, admin: Visitor
) -> None:
    seq = wrote(scene, "u-refused", first=True)
    assert admin.get(f"/decisions/{seq}/under?pack=0123456789ab").status_code == 404
    assert admin.get(f"/decisions/{seq}/under?pack=%25").status_code == 404
    assert admin.get(f"/decisions/{seq}/features/no_such_feature").status_code == 404
    assert admin.get(f"/decisions/{seq}/features/seller_listings_1h").status_code == 200
    assert "no such feature for this type of event" in admin.get(f"/decisions/{seq}/features/seller_listings_1h").text
    assert admin.get("/decisions/999999999/under").status_code == 404


def test_a_decision_in_the_archive_is_explained_from_there(scene: Scene, admin: Visitor) -> None:
    scene.clock.advance(61 * MINUTE)  # what others wrote in this scene is out of the window
    seq = wrote(scene, "u-archived", first=True)
    before = admin.get(f"/decisions/{seq}/under").text
    assert "in the archive" not in before
    scene.clock.advance(40 * DAY)
    scene.desk.command(lambda memory, tx: memory.features.write_slice(tx, memory.last_seq, 100_000))
    run(
        Archiving(
            database=scene.database, clock=scene.clock, places=scene.archive.places, event_types=scene.pack.events,
            answers=decision_store.read_whole, forget_answers=decision_store.delete_decisions,
            derived_seq=stored_watermark, is_held=lambda tx: held_people(tx, scene.desk.memory.vault),
            kept_changes=KEPT_CHANGES, pause=lambda _seconds: None,
        )
    )  # fmt: skip
    with scene.database.read() as tx:
        assert tx.rows("SELECT count(*) FROM decisions WHERE seq = ?", (seq,))[0][0] == 0

    later = Visitor(scene).sign_in()  # the session of forty days ago is over
    sent = later.get(f"/decisions/{seq}")
    assert sent.status_code == 303
    assert sent.headers["location"].startswith(f"/decisions/{seq}/under?pack=")
    page = later.get(sent.headers["location"])
    assert page.status_code == 200
    assert "This decision is in the archive." in page.text
    assert "decided it" in page.text
    feature = later.get(f"/decisions/{seq}/features/sender_first_people_1h")
    assert listed(feature.text) == ["u-archived"]
    none = later.get("/decisions/99999999")
    assert none.status_code == 404
    assert "deleted with its event when that had been kept for as long as it may" in none.text
    assert "try again" not in none.text, "it would not come back"
