"""What people do from the pages that show: open one field, take back, judge many, see who is linked, go back a version."""

import html
import re

import pytest
from tests.console.conftest import Visitor
from tests.console.scene import Scene
from tests.console.test_lab import form as lab_form
from tests.console.test_lab import typed

from koban.base import MINUTE, SECOND
from koban.finding import follow

LURE = "はじめまして。こちらで本人確認をお願いします http://amazonite.top/pay"


def rows(scene: Scene, sql: str, *values: object) -> list[tuple[object, ...]]:
    with scene.database.read() as tx:
        return [tuple(row) for row in tx.rows(sql, values)]


def test_linked_accounts_are_named_with_what_they_share(scene: Scene, admin: Visitor) -> None:
    while follow(scene.database, scene.pack.events):
        pass
    shared = rows(
        scene,
        "SELECT a.account, b.account, a.kind, a.subject FROM account_links a JOIN account_links b ON b.kind = a.kind AND"
        " b.subject = a.subject AND b.account <> a.account WHERE a.kind = 'device' ORDER BY 1, 2 LIMIT 1",
    )
    one, other, kind, thing = (str(each) for each in shared[0])
    text = html.unescape(admin.get(f"/subjects/account/{one}").text)
    links = text[text.index('id="links"') :]
    assert f'href="/subjects/account/{other}"' in links
    assert f'href="/subjects/{kind}/{thing}"' in links.replace("%3A", ":")
    assert "<svg" in links, "and drawn"
    lone = rows(scene, "SELECT acting FROM decisions WHERE acting NOT IN (SELECT account FROM account_links) LIMIT 1")
    assert 'id="links"' not in admin.get(f"/subjects/account/{lone[0][0]}").text


def test_a_sealed_field_is_opened_for_its_case_with_a_purpose_and_closes_again(scene: Scene, admin: Visitor) -> None:
    record = scene.message("open-1", f"{LURE} 合言葉ラリマー")
    page = f"/decisions/{record.seq}/open?path=text"
    assert "ラリマー" not in admin.get(f"/decisions/{record.seq}").text
    form = {"path": "text", "case": record.cases[0]}
    assert admin.send(page, f"/decisions/{record.seq}/open", **form, purpose="why").status_code == 422
    elsewhere = str(rows(scene, "SELECT id FROM cases WHERE id <> ? ORDER BY id LIMIT 1", record.cases[0])[0][0])
    other = admin.send(page, f"/decisions/{record.seq}/open", path="text", case=elsewhere, purpose="reading the case")
    assert other.status_code == 422
    assert "ラリマー" not in admin.get(f"/decisions/{record.seq}").text
    done = admin.send(page, f"/decisions/{record.seq}/open", **form, purpose="reading the case")
    assert done.headers["location"] == f"/decisions/{record.seq}?done=field_opened"
    assert "ラリマー" in admin.get(f"/decisions/{record.seq}").text
    assert "ラリマー" not in Visitor(scene).sign_in("specialist").get(f"/decisions/{record.seq}").text, (
        "for nobody else"
    )
    assert record.cases[0] in admin.get("/audit").text
    scene.clock.advance(16 * MINUTE)
    assert "ラリマー" not in Visitor(scene).sign_in().get(f"/decisions/{record.seq}").text
    assert Visitor(scene).sign_in("auditor").get(page).status_code == 403


def test_taking_back_shows_the_state_afterwards_first_and_asks_for_a_reason(scene: Scene, admin: Visitor) -> None:
    sanction = scene.message("back-1", "直取引しませんか").sanctions[0]
    scene.clock.advance(
        SECOND
    )  # entries of one moment are told apart by microseconds that a clock by hand has not lived
    choice = f"kind=message&id=m-back-1&s.{sanction}=1&how=overturn"
    assert f'name="s.{sanction}"' in admin.get("/subjects/message/m-back-1").text
    page = html.unescape(admin.get(f"/take-back?{choice}").text)
    assert page.index("Hidden") < page.index("No limits"), "now, and then"
    form = {"kind": "message", "id": "m-back-1", f"s.{sanction}": "1", "how": "overturn"}
    assert admin.send(f"/take-back?{choice}", "/take-back", **form, reason=" ").status_code == 422
    assert rows(scene, "SELECT status FROM sanctions WHERE id = ?", sanction) == [("in_force",)]
    done = admin.send(f"/take-back?{choice}", "/take-back", **form, reason="a quotation")
    assert done.headers["location"] == "/subjects/message/m-back-1?done=overturned"
    assert rows(scene, "SELECT status FROM sanctions WHERE id = ?", sanction) == [("overturned",)]
    assert admin.get("/take-back?kind=message&id=m-back-1").status_code == 404, "nothing is chosen"
    assert Visitor(scene).sign_in("auditor").get(f"/take-back?{choice}").status_code == 403


def test_several_cases_are_judged_after_their_consequence_was_shown_and_taken_back_at_once(
    scene: Scene, admin: Visitor
) -> None:
    cases = [scene.message(f"bulk-{place}", LURE).cases[0] for place in range(2)]
    form = {"outcome": "honest", **{f"case_{each}": "1" for each in cases}}
    assert admin.send("/cases", "/cases/bulk", outcome="honest").status_code == 409, "none is chosen"
    shown = admin.send("/cases", "/cases/bulk", **form)
    assert shown.status_code == 200
    assert f"<strong>{len(set(cases))}</strong>" in shown.text
    assert rows(scene, "SELECT count(*) FROM cases WHERE id IN (?, ?) AND status = 'closed'", *cases) == [(0,)]
    long = admin.send("/cases", "/cases/bulk", **form, do="apply", note="長" * 4_001)
    assert (long.status_code, "4,001 / 4,000" in long.text, "長" * 4_001 in long.text) == (422, True, True)
    done = admin.send("/cases", "/cases/bulk", **form, do="apply", note="our own newsletter")
    batch = done.headers["location"].partition("?")[0]
    assert {row[0] for row in rows(scene, "SELECT outcome FROM cases WHERE id IN (?, ?)", *cases)} == {"honest"}
    assert all(each in admin.get(batch).text for each in cases)
    long = admin.send(batch, batch, reason="長" * 2_001)
    assert (long.status_code, "2,001 / 2,000" in long.text, "長" * 2_001 in long.text) == (422, True, True)
    undone = admin.send(batch, batch, reason="the wrong ones")
    assert undone.headers["location"].startswith(f"{batch}?done=cases_undone")
    assert {row[0] for row in rows(scene, "SELECT status FROM cases WHERE id IN (?, ?)", *cases)} == {"open"}


def test_a_severe_change_and_the_way_back_from_it_need_a_second_person(scene: Scene, admin: Visitor) -> None:
    before = scene.desk.memory.compiled.pack
    name = next(name for name, rule in before.rules.items() if before.policies[rule.policy].severity == "severe")
    cap = before.rules[name].cap_per_hour
    _, _, where = lab_form(admin, name, typed(before, name, f"cap: {cap} per hour", "cap: 300 per hour"), do="propose",
                           reason="more of them")  # fmt: skip
    draft = where.partition("?")[0]
    second = Visitor(scene).sign_in("specialist")
    assert "cap: 300 per hour" in second.get(draft).text
    assert second.send(draft, draft, do="activate").status_code == 303
    assert scene.desk.memory.compiled.pack.rules[name].cap_per_hour == 300

    more = scene.desk.memory.compiled.pack.digest

    # The way back is milder and happens at once.
    version = f"/versions/{before.digest}"
    page = admin.get(version).text
    assert name in page, "what going back would change"
    assert re.search(r'<form[^>]*action="/versions/', page)
    assert admin.send(version, version, reason=" ").status_code == 422
    assert scene.desk.memory.compiled.pack.digest == more
    back = admin.send(version, version, reason="it was right before")
    assert back.status_code == 303
    assert scene.desk.memory.compiled.pack.digest == before.digest

    # Forth again is harsher and waits for a second person, though it was in force a moment ago.
    version = f"/versions/{more}"
    forth = admin.send(version, version, reason="more of them again")
    assert forth.status_code == 303
    assert scene.desk.memory.compiled.pack.digest == before.digest
    waiting = re.search(r'href="(/drafts/[^"]+)"', admin.get("/versions").text)
    assert waiting is not None
    assert admin.send(waiting[1], waiting[1], do="activate").status_code == 422, "not by who proposed it"
    assert scene.desk.memory.compiled.pack.digest == before.digest
    assert second.send(waiting[1], waiting[1], do="activate").status_code == 303
    assert scene.desk.memory.compiled.pack.digest == more
    assert admin.send(f"/versions/{before.digest}", f"/versions/{before.digest}", reason="as it was").status_code == 303
    assert scene.desk.memory.compiled.pack.digest == before.digest


@pytest.mark.parametrize(
    ("outcome", "says"),
    [("honest", "The verdict was taken back, and everybody was told"), ("unclear", "A person could not tell")],
)
def test_the_page_of_a_decision_says_how_a_person_judged_it(
    scene: Scene, admin: Visitor, outcome: str, says: str
) -> None:
    record = scene.message(f"judged-{outcome}", f"こちらで本人確認をお願いします http://amazonite.top/{outcome}")
    case = record.cases[0]
    assert "Judged – " not in admin.get(f"/decisions/{record.seq}").text
    for do in ("claim", "decide"):
        fence = re.search(r'name="fence" value="(\d+)"', admin.get(f"/cases/{case}").text)
        assert fence is not None
        given = {"do": do, "fence": fence[1], "flow": "", "outcome": outcome, "take_back": "1"}
        assert admin.send(f"/cases/{case}", f"/cases/{case}", **given).status_code == 303
    text = admin.get(f"/decisions/{record.seq}").text
    assert "Judged – " in text
    assert says in text
    assert (">Taken back</span>" in text) is (outcome == "honest")
    assert text.count(f'href="/cases/{case}"') == 2


def test_a_first_finding_of_harm_to_a_child_closes_the_account_and_takes_two_people(scene: Scene) -> None:
    record = scene.message("child-1", "何歳？制服の写真送ってほしいな、お小遣いあげる")
    page, account = f"/cases/{record.cases[0]}", "s-child-1"
    assert rows(scene, "SELECT queue FROM cases WHERE id = ?", record.cases[0]) == [("child_safety",)]
    sanctions = "SELECT effect FROM sanctions WHERE subject_kind = 'account' AND subject_id = ?"

    def judge(role: str, **form: str) -> str:
        person = Visitor(scene).sign_in(role)
        assert person.send(page, page, do="claim", fence="0").status_code == 303
        text = person.get(page).text
        fence = re.search(r'name="fence" value="(\d+)"', text)
        assert fence is not None
        answer = person.send(page, page, fence=fence[1], outcome="upheld", **form)
        assert answer.status_code == 303, html.unescape(answer.text)[:400]
        return text

    text = judge("reviewer", do="decide", hide="1", strike="1")
    assert re.search(r'name="strike" value="1"[^>]* checked', text), "it is what happens unless somebody says no"
    assert "Your account is suspended" in text, "what the next step is stands beside the box"
    assert rows(scene, sanctions, account) == [], "one person alone closes nothing"
    proposal = str(rows(scene, "SELECT proposal FROM cases WHERE id = ?", record.cases[0])[0][0])
    judge("admin", do="decide", proposal=proposal)
    assert rows(scene, sanctions, account) == [("suspend",)]
    scene.clock.advance(SECOND)  # log time runs some microseconds ahead of a clock that stands
    told = html.unescape(Visitor(scene, "ja").sign_in().get(f"/subjects/account/{account}").text)
    assert "利用停止" in told
