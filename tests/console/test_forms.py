"""What the console's forms do: the consequence first, a reason always, CSRF always, and then it is true."""

import datetime
import html
import re
import zoneinfo

import pytest
from tests.console.conftest import Visitor
from tests.console.scene import PASSWORD, Scene

from koban.base import HOUR, SECOND, Instant
from koban.console import store as console_store
from koban.lists import ENTRIES_ADDED
from koban.rules import store as rule_store

PHISHING = "はじめまして。こちらで本人確認をお願いします http://amazonite.top/pay"


def one(scene: Scene, sql: str, *parameters: object) -> object:
    with scene.database.read() as tx:
        rows = tx.rows(sql, parameters)
    return rows[0][0] if rows else None


def newest(scene: Scene, kind: str) -> str:
    return str(one(scene, "SELECT data FROM log_entries WHERE type = ? ORDER BY seq DESC LIMIT 1", kind))


def acting_rule(scene: Scene) -> str:
    """A rule whose sanctions stand."""
    with scene.database.read() as tx:
        rows = tx.rows(
            "SELECT rule, count(*) FROM sanctions WHERE rule IS NOT NULL AND status = 'in_force' GROUP BY rule"
            " ORDER BY 2 DESC LIMIT 1"
        )
    return str(rows[0][0])


def test_a_wrong_password_leads_back_to_the_form_with_a_word_and_the_way_on(visitor: Visitor) -> None:
    form = {"email": "admin@koban.test", "password": "wrong", "next": "/rules"}
    answer = visitor.request("POST", "/v1/sign-in", form)
    assert answer.headers["location"] == "/sign-in?error=sign_in_refused&next=%2Frules"
    page = visitor.get(answer.headers["location"]).text
    assert "The e-mail or the password is wrong." in page
    assert 'name="next" value="/rules"' in page


def test_a_look_at_the_first_link_does_not_use_it_up(scene: Scene) -> None:
    answer = Visitor(scene).request("HEAD", scene.first_link)
    assert (answer.status_code, dict(answer.cookies)) == (200, {})


def test_the_first_link_asks_for_a_name_and_a_password_and_then_opens_the_board(scene: Scene) -> None:
    newcomer = Visitor(scene)
    answer = newcomer.get(scene.first_link)
    assert answer.headers["location"] == "/account/password"
    page = newcomer.get("/account/password").text
    assert "Welcome to Koban" in page
    assert 'name="present"' not in page
    form = {"name": "Rin Oka", "email": "rin@koban.test"}
    weak = newcomer.send("/account/password", "/account/password", password="short", **form)
    assert weak.status_code == 422
    assert "too easy to guess" in weak.text
    assert 'value="Rin Oka"' in weak.text
    good = newcomer.send("/account/password", "/account/password", password=PASSWORD, **form)
    assert good.headers["location"] == "/board?done=account_saved"
    assert "Saved." in newcomer.get("/board?done=account_saved").text
    again = Visitor(scene).request("POST", "/v1/sign-in", {"email": "rin@koban.test", "password": PASSWORD})
    assert again.headers["location"] == "/"
    assert Visitor(scene).get(scene.first_link).status_code == 410


def test_tokens_of_who_left_are_seen_and_revoked_together(admin: Visitor, scene: Scene) -> None:
    name = "Leaver"
    admin.send("/staff", "/staff", do="invite", name=name, email="leaver@koban.test", role="admin")
    leaver = str(one(scene, "SELECT id FROM staff WHERE name = ?", name))
    admin.send("/tokens", "/tokens", name="shop", days="90", **{"scope.events.write": "1"})
    token = str(one(scene, "SELECT id FROM api_tokens WHERE name = 'shop'"))
    with scene.database.write() as tx:
        tx.change("UPDATE api_tokens SET created_by = ? WHERE id = ?", (leaver, token))
    admin.send("/staff", "/staff", do="disable", id=leaver)
    page = admin.get("/staff").text
    assert "Tokens issued that still hold: 1" in page
    assert f'aria-label="Revoke their tokens {name}"' in page
    assert name in admin.get("/tokens").text, "who issued it"
    admin.send("/staff", "/staff", do="revoke", id=leaver)
    assert "still hold" not in re.sub(r"(?s)<td>.*?admin@koban.test.*?</td>", "", admin.get("/staff").text)
    assert one(scene, "SELECT revoked_at FROM api_tokens WHERE id = ?", token) is not None
    assert "Revoked every token that somebody issued" in admin.get("/audit?action=token.all_revoked").text


def test_guessing_the_present_password_is_slowed(scene: Scene) -> None:
    thief = Visitor(scene).sign_in("auditor")
    form = {"name": "Mine", "email": "mine@koban.test", "password": ""}
    answers = [thief.send("/account/password", "/account/password", present=f"no {n}", **form) for n in range(6)]
    assert [answer.status_code for answer in answers] == [422] * 5 + [429]
    assert "Too many failed attempts." in answers[-1].text
    scene.clock.advance(31 * SECOND)
    assert Visitor(scene).sign_in("auditor").get("/board").status_code == 200


def test_signing_out_ends_the_session(scene: Scene) -> None:
    reader = Visitor(scene).sign_in("reviewer")
    assert reader.send("/board", "/sign-out").headers["location"] == "/sign-in"
    assert reader.get("/board").status_code == 303


def test_language_and_theme_are_kept_in_cookies_and_only_ours_are_taken(visitor: Visitor) -> None:
    answer = visitor.request("POST", "/preferences", {"language": "ja", "theme": "dark", "next": "/sign-in"})
    assert answer.headers["location"] == "/sign-in"
    assert visitor.cookies == {"koban_language": "ja", "koban_theme": "dark"}
    page = visitor.get("/sign-in").text
    assert '<html lang="ja" data-theme="dark">' in page
    answer = visitor.request("POST", "/preferences", {"language": "xx", "theme": "pink", "next": "//evil.example"})
    assert answer.headers["location"] == "/board"
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("/rules/all-to-review", {"on": "1", "reason": "x"}),
        ("/sign-out", {}),
        ("/tokens", {"name": "x", "days": "90", "scope.board.read": "1"}),
        ("/preferences", {"language": "ja"}),
    ],
)
def test_a_form_without_the_session_s_token_changes_nothing(
    admin: Visitor, scene: Scene, path: str, form: dict[str, str]
) -> None:
    before = one(scene, "SELECT count(*) FROM log_entries")
    answer = admin.request("POST", path, form)
    assert answer.status_code == 403
    assert "The form is too old" in answer.text
    assert one(scene, "SELECT count(*) FROM log_entries") == before


def test_a_mode_is_switched_after_its_consequence_was_shown_and_with_a_reason(admin: Visitor, scene: Scene) -> None:
    rule = acting_rule(scene)
    page = admin.get(f"/rules/{rule}/mode?to=shadow").text
    assert "Nothing happens to anyone." in page
    hits = one(scene, "SELECT count(*) FROM signals WHERE rule = ?", rule)
    assert f"<strong>{hits}</strong><span>hits in the last 24 hours</span>" in page
    refused = admin.send(f"/rules/{rule}/mode?to=shadow", f"/rules/{rule}/mode", to="shadow", reason=" ")
    assert refused.status_code == 422
    assert one(scene, "SELECT count(*) FROM rule_modes WHERE rule = ?", rule) == 0
    done = admin.send(f"/rules/{rule}/mode?to=shadow", f"/rules/{rule}/mode", to="shadow", reason="too eager")
    assert done.headers["location"] == f"/rules/{rule}?done=mode_set"
    with scene.database.read() as tx:
        row = next(row for row in rule_store.modes(tx) if row.rule == rule)
    assert (row.mode, row.reason) == ("shadow", "too eager")
    assert row.changed_by.startswith("staff_")
    text = admin.get(f"/rules/{rule}?done=mode_set").text
    assert '<span class="pill">Shadow</span>' in text
    assert "too eager" in text
    admin.send(f"/rules/{rule}/mode?to=25%25", f"/rules/{rule}/mode", to="25%", reason="carefully")
    assert "Live for 25%" in admin.get(f"/rules/{rule}").text
    admin.send(f"/rules/{rule}/mode?to=pack", f"/rules/{rule}/mode", to="pack", reason="back")
    assert one(scene, "SELECT mode FROM rule_modes WHERE rule = ?", rule) is None


def test_a_rule_is_retired_with_its_history_and_brought_back(admin: Visitor, scene: Scene) -> None:
    rule = acting_rule(scene)
    hits = one(scene, "SELECT count(*) FROM signals WHERE rule = ?", rule)
    assert f'href="/rules/{rule}/mode?to=retired">Retire</a>' in admin.get(f"/rules/{rule}").text
    assert "stands apart from the others" in admin.get(f"/rules/{rule}/mode?to=retired").text

    admin.send(f"/rules/{rule}/mode?to=retired", f"/rules/{rule}/mode", to="retired", reason="the trick is gone")

    page = admin.get(f"/rules/{rule}").text
    assert '<span class="pill">Retired</span>' in page
    assert "It gives no signal." in page
    assert "the trick is gone" in page
    assert one(scene, "SELECT count(*) FROM signals WHERE rule = ?", rule) == hits
    index = admin.get("/rules").text
    live, _, apart = index.partition("Retired rules: 1")
    assert f'href="/rules/{rule}"' not in live
    assert f'href="/rules/{rule}"' in apart

    assert "Bring back" in page
    admin.send(f"/rules/{rule}/mode?to=shadow", f"/rules/{rule}/mode", to="shadow", reason="it is back")
    page = admin.get(f"/rules/{rule}").text
    assert "Retire</a>" in page
    assert page.index("it is back") < page.index("the trick is gone")
    assert "Retired rules" not in admin.get("/rules").text


def test_an_unknown_mode_is_refused(admin: Visitor, scene: Scene) -> None:
    rule = acting_rule(scene)
    answer = admin.send(f"/rules/{rule}/mode?to=live", f"/rules/{rule}/mode", to="five", reason="x")
    assert answer.status_code == 422


def test_all_rules_go_to_review_and_back(admin: Visitor, scene: Scene) -> None:
    assert "live rules stop acting" in admin.get("/rules/all-to-review").text
    answer = admin.send("/rules/all-to-review", "/rules/all-to-review", on="1", reason="raid")
    assert answer.headers["location"] == "/rules?done=review_all_on"
    assert "All rules only open cases" in admin.get("/board").text
    page = admin.get("/rules/all-to-review").text
    assert "raid" in page
    record = scene.message("during-review", "直取引しませんか")
    assert record.verdict == "allow"
    assert record.signals[0].withheld == "review_all"
    assert "all rules are in review" in admin.get(f"/decisions/{record.seq}").text
    admin.send("/rules/all-to-review", "/rules/all-to-review", on="0", reason="over")
    assert "All rules only open cases" not in admin.get("/board").text


def test_undoing_a_rule_shows_whom_it_frees_and_frees_them(admin: Visitor, scene: Scene) -> None:
    rule = acting_rule(scene)
    since = Instant(scene.clock.now() - HOUR)
    with scene.database.read() as tx:
        sanctions, subjects = console_store.sanctions_of_rule(tx, rule, since_at=since)
    assert sanctions > 0
    page = admin.get(f"/rules/{rule}/undo").text
    assert re.search(rf"<strong>{sanctions}</strong><span>sanctions, \d+ of them strikes</span>", page)
    assert subjects > 0
    assert re.search(r"<strong>[1-9]\d*</strong><span>notices: everyone told", page)
    assert re.search(r"<strong>[1-9]\d*</strong><span>verdicts: refused, held", page)
    moment = re.search(r'name="since" value="([^"]+Z)"', page)
    assert moment is not None
    refused = admin.send(f"/rules/{rule}/undo", f"/rules/{rule}/undo", since=moment[1], reason="")
    assert refused.status_code == 422
    answer = admin.send(f"/rules/{rule}/undo", f"/rules/{rule}/undo", since=moment[1], reason="a bad phrase")
    assert answer.headers["location"] == f"/rules/{rule}?done=rule_undone"
    assert one(scene, "SELECT count(*) FROM sanctions WHERE rule = ? AND status = 'in_force'", rule) == 0
    assert "There is nothing to undo since then." in admin.get(f"/rules/{rule}/undo").text


def test_a_sanction_is_overturned_with_a_reason_and_stays_readable(admin: Visitor, scene: Scene) -> None:
    record = scene.message("overturned-1", "直取引しませんか")
    sanction = record.sanctions[0]
    page = admin.get(f"/sanctions/{sanction}/overturn").text
    assert "other sanctions stay in force" in page
    refused = admin.send(
        f"/sanctions/{sanction}/overturn", f"/sanctions/{sanction}/overturn", how="overturn", reason=""
    )
    assert refused.status_code == 422
    assert one(scene, "SELECT status FROM sanctions WHERE id = ?", sanction) == "in_force"
    answer = admin.send(
        f"/sanctions/{sanction}/overturn", f"/sanctions/{sanction}/overturn", how="overturn", reason="it was a quote"
    )
    assert answer.headers["location"] == f"/sanctions/{sanction}?done=overturned"
    text = admin.get(f"/sanctions/{sanction}").text
    assert '<span class="pill good">Overturned</span>' in text
    assert "it was a quote" in text
    assert f"/sanctions/{sanction}/overturn" not in text


def test_a_sanction_is_lifted_and_not_twice(admin: Visitor, scene: Scene) -> None:
    sanction = scene.message("lifted-1", "直取引しませんか").sanctions[0]
    page = f"/sanctions/{sanction}/overturn"
    assert admin.send(page, page, how="lift", reason="enough").headers["location"].endswith("done=lifted")
    assert one(scene, "SELECT status FROM sanctions WHERE id = ?", sanction) == "ended"
    assert admin.send(page, page, how="lift", reason="again").status_code == 409


def test_list_entries_are_added_and_removed_with_a_reason(admin: Visitor, scene: Scene) -> None:
    page = "/lists/trusted_accounts"
    refused = admin.send(page, page, values="shop_1", note="")
    assert refused.status_code == 422
    assert "shop_1" in refused.text
    answer = admin.send(page, page, values="shop_1\n shop_2 \n\nshop_1", note="partners", until="week")
    assert answer.headers["location"] == f"{page}?done=list_added"
    assert '"values":["shop_1","shop_2"]' in newest(scene, ENTRIES_ADDED)
    text = admin.get(page).text
    assert "shop_2" in text
    assert "in 7 d" in text
    assert "shop_1" not in on_list(admin, f"{page}?q=shop_2")
    assert admin.send(page, page, remove="shop_1").headers["location"] == f"{page}?done=list_removed"
    assert 'translate="no">shop_1<' not in on_list(admin, page)
    assert admin.send(page, page, remove="shop_1").status_code == 422


def on_list(admin: Visitor, path: str) -> str:
    return admin.get(path).text.split("<tbody>")[1].split("</tbody>")[0]


def test_a_list_is_seen_as_it_was_goes_back_and_says_what_expires(admin: Visitor, scene: Scene) -> None:
    page = "/lists/trusted_accounts"
    admin.send(page, page, values="early_1\nearly_2", note="first", until="month")
    first = int(str(one(scene, "SELECT max(seq) FROM log_entries WHERE type = ?", ENTRIES_ADDED)))
    then = scene.clock.now()
    scene.clock.advance(120 * SECOND)
    admin.send(page, page, values="late_1", note="second")
    admin.send(page, page, remove="early_1")
    text = on_list(admin, page)
    assert ("early_1" in text, "early_2" in text, "late_1" in text) == (False, True, True)
    local = datetime.datetime.fromtimestamp((then + 60 * SECOND) / 1_000_000, zoneinfo.ZoneInfo("Asia/Tokyo"))
    text = on_list(admin, f"{page}?at={local:%Y-%m-%dT%H:%M}")
    assert ("early_1" in text, "early_2" in text, "late_1" in text) == (True, True, False)
    assert "Remove" not in text

    versions = admin.get(page).text.split("Versions</h2>")[1]
    assert f"{page}/back?seq={first}" in versions
    assert "second" in versions
    shown = admin.get(f"{page}/back?seq={first}").text
    assert ("early_1" in shown, "late_1" in shown, "early_2" in shown) == (True, True, False)
    assert admin.send(f"{page}/back?seq={first}", f"{page}/back", seq=str(first), reason=" ").status_code == 422
    done = admin.send(f"{page}/back?seq={first}", f"{page}/back", seq=str(first), reason="was right before")
    assert done.headers["location"] == f"{page}?done=list_back"
    text = on_list(admin, page)
    assert ("early_1" in text, "early_2" in text, "late_1" in text) == (True, True, False)
    assert "The list is the same now." in admin.get(f"{page}/back?seq={first}").text
    assert admin.get(f"{page}/back?seq=1234567").status_code == 422

    assert "early_2" in admin.get("/lists?soon=30").text
    assert "early_2" in admin.get("/lists?soon=30&mine=1").text
    assert "early_2" not in admin.get("/lists?soon=7").text
    assert "early_2" not in Visitor(scene).sign_in("specialist").get("/lists?soon=30&mine=1").text
    reviewer = Visitor(scene).sign_in("auditor")
    assert "Back to this" not in reviewer.get(page).text


def test_a_case_is_claimed_judged_and_closed_and_another_cannot_take_it(admin: Visitor, scene: Scene) -> None:
    case = scene.message("case-1", PHISHING).cases[0]
    page = f"/cases/{case}"
    assert "Take this case" in admin.get(page).text
    assert admin.send(page, page, do="claim").headers["location"] == f"{page}?done=case_claimed"
    reviewer = Visitor(scene).sign_in("reviewer")
    assert "Held by" in reviewer.get(page).text
    taken = reviewer.send("/cases", page, do="claim")
    assert taken.status_code == 409
    assert "Somebody else is working on this case." in taken.text
    fence = re.search(r'name="fence" value="(\d+)"', admin.get(page).text)
    assert fence is not None
    stale = admin.send(page, page, do="decide", outcome="honest", note="typed with care", fence="0")
    assert stale.status_code == 409
    assert "typed with care" in stale.text
    assert admin.send(page, page, do="decide", outcome="maybe", fence=fence[1]).status_code == 409
    closed = admin.send(page, page, do="decide", outcome="honest", note="a joke among friends", fence=fence[1])
    assert closed.headers["location"] == f"{page}?done=case_closed"
    assert one(scene, "SELECT outcome FROM cases WHERE id = ?", case) == "honest"
    text = admin.get(page).text
    assert "a joke among friends" in text
    assert case in admin.get("/cases?status=closed").text


@pytest.mark.parametrize(
    ("form", "field", "most"),
    [
        ({"do": "decide", "outcome": "honest"}, "note", 4_000),
        ({"do": "preview", "outcome": "upheld"}, "facts_ja", 2_000),
        ({"do": "skip", "reason": "language"}, "note", 4_000),
        ({"do": "pause", "reason": "person", "hours": "24"}, "note", 4_000),
        ({"do": "purpose"}, "purpose", 500),
        ({"do": "reopen"}, "reason_text", 2_000),
    ],
)
def test_what_is_typed_about_a_case_is_never_cut(
    admin: Visitor, scene: Scene, form: dict[str, str], field: str, most: int
) -> None:
    case = scene.message(f"case-long-{form['do']}", PHISHING).cases[0]
    page = f"/cases/{case}"
    if form["do"] != "purpose":  # whoever holds a case need not say why they read
        admin.send(page, page, do="claim")
    fence = re.search(r'name="fence" value="(\d+)"', admin.get(page).text)
    sent = {**form, "fence": fence[1] if fence else "0"}
    answer = admin.send("/lists", page, **sent, **{field: "長" * (most + 1)})
    assert answer.status_code == 409
    assert f"{most + 1:,} / {most:,}" in answer.text
    if form["do"] in ("decide", "preview", "purpose"):
        assert "長" * (most + 1) in answer.text, "it stands in the form again"
    assert one(scene, "SELECT status FROM cases WHERE id = ?", case) == "open"
    assert one(scene, "SELECT paused_at FROM cases WHERE id = ?", case) is None
    if fence is not None:
        admin.send(page, page, do="release", fence=fence[1])


def test_the_end_of_a_line_counts_once(admin: Visitor, scene: Scene) -> None:
    case = scene.message("case-lines", PHISHING).cases[0]
    page = f"/cases/{case}"
    admin.send(page, page, do="claim")
    fence = re.search(r'name="fence" value="(\d+)"', admin.get(page).text)
    assert fence is not None
    note = "長" * 1_999 + "\r\n" + "短" * 2_000
    answer = admin.send(page, page, do="decide", outcome="honest", note=note, subject_0="1", fence=fence[1])
    assert answer.status_code == 303
    assert "短" * 2_000 in html.unescape(admin.get(page).text)


def test_the_next_case_of_a_queue_is_taken_and_given_back(admin: Visitor, scene: Scene) -> None:
    queue = one(scene, "SELECT queue FROM cases WHERE id = ?", scene.message("case-2", PHISHING).cases[0])
    answer = admin.send("/cases", "/cases", queue=str(queue))
    page = answer.headers["location"].partition("?")[0]
    assert page in admin.get("/cases?mine=1").text
    fence = re.search(r'name="fence" value="(\d+)"', admin.get(page).text)
    assert fence is not None
    assert admin.send(page, page, do="release", fence=fence[1]).headers["location"] == "/cases?done=case_released"
    assert page not in admin.get("/cases?mine=1").text
    empty = admin.send("/cases", "/cases", queue="nothing")
    assert empty.status_code == 409
    assert "Nothing waits in this queue." in empty.text


def test_an_alert_is_acknowledged_once_and_named_in_the_audit(admin: Visitor, scene: Scene) -> None:
    alert = str(one(scene, "SELECT id FROM alerts LIMIT 1"))
    answer = admin.send("/alerts", f"/alerts/{alert}")
    assert answer.headers["location"] == "/alerts?done=alert_acknowledged"
    assert "All quiet" in admin.get("/alerts").text
    assert "Acknowledged" in admin.get("/alerts?show=all").text
    assert alert in admin.get("/audit?action=alert.acknowledge").text


def test_what_still_cannot_be_read_stays_in_quarantine_and_says_why(admin: Visitor, scene: Scene) -> None:
    waiting = str(one(scene, "SELECT id FROM quarantine WHERE status = 'waiting' LIMIT 1"))
    answer = admin.send("/quarantine", f"/quarantine/{waiting}")
    assert answer.status_code == 422
    assert "It still cannot be read." in answer.text
    assert one(scene, "SELECT status FROM quarantine WHERE id = ?", waiting) == "waiting"


def test_what_nobody_wants_is_dropped_and_the_trail_says_who_did(admin: Visitor, scene: Scene) -> None:
    waiting = str(one(scene, "SELECT id FROM quarantine WHERE status = 'waiting' LIMIT 1"))
    answer = admin.send("/quarantine", f"/quarantine/{waiting}", drop="1")
    assert answer.headers["location"] == "/quarantine?done=quarantine_dropped"
    assert one(scene, "SELECT status FROM quarantine WHERE id = ?", waiting) == "dropped"
    assert waiting in admin.get("/audit?action=quarantine.dropped").text
    assert admin.send("/quarantine", f"/quarantine/{waiting}", drop="1").status_code == 404


def test_an_action_that_was_given_up_is_sent_again(admin: Visitor, scene: Scene) -> None:
    action = one(scene, "SELECT id FROM actions WHERE status <> 'dead' LIMIT 1")
    with scene.database.write() as tx:
        tx.many("UPDATE actions SET status = 'dead' WHERE id = ?", [(action,)])
    answer = admin.send("/actions?status=dead", f"/actions/{action}/replay")
    assert answer.headers["location"] == "/actions?status=requested&done=action_replayed"
    assert one(scene, "SELECT status FROM actions WHERE id = ?", action) == "requested"


def test_the_audit_trail_is_verified_on_request(admin: Visitor) -> None:
    answer = admin.send("/audit", "/audit")
    assert answer.status_code == 200
    assert "The chain is whole" in answer.text


def test_an_invitation_gives_a_link_that_works_and_is_shown_once(admin: Visitor, scene: Scene) -> None:
    form = {"do": "invite", "name": "Yu Hara", "email": "yu@koban.test", "role": "reviewer"}
    answer = admin.send("/staff", "/staff", **form)
    link = re.search(r"/sign-in/link/[A-Za-z0-9_-]+", answer.text)
    assert link is not None
    assert link[0] not in admin.get("/staff").text
    assert Visitor(scene).get(link[0]).headers["location"] == "/account/password"
    again = admin.send("/staff", "/staff", **form)
    assert again.status_code == 422
    assert "Somebody uses this e-mail already." in again.text
    staff = str(one(scene, "SELECT id FROM staff WHERE email = 'yu@koban.test'"))
    assert admin.send("/staff", "/staff", do="disable", id=staff).headers["location"] == "/staff?done=staff_changed"
    assert "Disabled" in admin.get("/staff").text
    admin.send("/staff", "/staff", do="enable", id=staff)
    assert one(scene, "SELECT disabled_at FROM staff WHERE id = ?", staff) is None


def test_a_token_is_issued_with_its_scopes_shown_once_and_revoked(admin: Visitor, scene: Scene) -> None:
    form = {"name": "shop", "days": "90", "scope.events.write": "1", "scope.actions.confirm": "1"}
    answer = admin.send("/tokens", "/tokens", **form)
    secret = re.search(r"koban_[A-Za-z0-9_-]{20,}", answer.text)
    assert secret is not None
    text = admin.get("/tokens").text
    assert secret[0] not in text
    assert "actions.confirm, events.write" in text
    token = str(one(scene, "SELECT id FROM api_tokens WHERE name = 'shop'"))
    assert admin.send("/tokens", "/tokens", revoke=token).headers["location"] == "/tokens?done=token_revoked"
    assert "Revoked" in admin.get("/tokens").text
    assert admin.send("/tokens", "/tokens", name="", days="90").status_code == 422


def test_a_list_s_owner_is_set_with_a_reason_and_shown(admin: Visitor, scene: Scene) -> None:
    name = next(iter(scene.desk.memory.compiled.pack.lists))
    page = admin.get(f"/lists/{name}").text
    assert "Nobody answers for this list yet." in page
    owner = re.search(r'<option value="(staff_[^"]+)"', page)
    assert owner is not None
    refused = admin.send(f"/lists/{name}", f"/lists/{name}/owner", owner=owner[1], reason=" ")
    assert refused.status_code == 422
    assert one(scene, "SELECT count(*) FROM list_owners") == 0
    done = admin.send(f"/lists/{name}", f"/lists/{name}/owner", owner=owner[1], reason="knows the trade")
    assert done.headers["location"] == f"/lists/{name}?done=list_owner_set"
    assert "knows the trade" in admin.get(f"/lists/{name}").text
    assert one(scene, "SELECT owner FROM list_owners") == owner[1]
    admin.send(f"/lists/{name}", f"/lists/{name}/owner", owner="", reason="left us")
    page = admin.get(f"/lists/{name}").text
    assert "Nobody answers for this list yet." in page
    assert "Owners before" in page
    assert one(scene, "SELECT count(*) FROM list_owners") == 2


def test_a_reason_that_is_refused_stands_there_again(scene: Scene, admin: Visitor) -> None:
    rule, sanction = acting_rule(scene), one(scene, "SELECT id FROM sanctions WHERE status = 'in_force' LIMIT 1")
    typed = "長い理由 <b>" * 300
    for path, form in (
        (f"/rules/{rule}/mode", {"to": "shadow"}),
        (f"/rules/{rule}/undo", {}),
        ("/rules/all-to-review", {}),
        (f"/sanctions/{sanction}/overturn", {"how": "overturn"}),
        ("/emergency/undo", {"do": "all", "rule": rule}),
    ):
        page = f"{path}?to=shadow" if path.endswith("/mode") else path
        answer = admin.send(page, path, reason=typed, **form)
        assert answer.status_code == 422, path
        assert html.escape(typed) in answer.text, path
