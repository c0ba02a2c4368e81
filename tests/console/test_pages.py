"""The console's pages: who may see them, what they say, and that they keep saying it without script."""

import html
import re

import pytest
from tests.console.conftest import Visitor
from tests.console.scene import Scene

from koban.base import SECOND
from koban.console.pages import NAVIGATION
from koban.db import Database
from koban.decisions import store as decision_store

# Own data and banks need the whole application around them: tests/browser/test_first_minutes.py and tests/banking/test_pages.py
# open their pages.
PLAIN_PAGES = [item.path for _, items in NAVIGATION for item in items if item.name not in {"logs", "bank"}]


def seqs(database: Database, verdict: str) -> list[int]:
    with database.read() as tx:
        return [record.seq for record in decision_store.search(tx, before_seq=None, limit=50, verdict=verdict)]


@pytest.mark.parametrize("path", [*PLAIN_PAGES, "/rules/all-to-review", "/account/password"])
@pytest.mark.parametrize("language", ["en", "ja"])
def test_every_page_of_the_navigation_is_there_in_both_languages(scene: Scene, path: str, language: str) -> None:
    answer = Visitor(scene, language).sign_in().get(path)
    assert answer.status_code == 200
    assert f'<html lang="{language}">' in answer.text
    assert "<h1>" in answer.text


def test_a_page_that_this_installation_has_not_is_not_offered(admin: Visitor, scene: Scene) -> None:
    assert scene.kit.logs is None
    assert 'href="/logs"' not in admin.get("/board").text
    assert admin.get("/logs").status_code == 404
    for path in PLAIN_PAGES:
        assert f'href="{path}"' in admin.get("/board").text, path


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("q=takeover_burst", {"takeover_burst"}),
        ("q=TAKEOVER_BURST&mode=live", {"takeover_burst"}),
        (
            "q=%EF%BD%94%EF%BD%81%EF%BD%8B%EF%BD%85over_burst",
            {"takeover_burst"},
        ),  # full-width, as an input method leaves it
        ("q=%E3%81%8A%E3%81%A8%E3%82%8A", set()),
        ("q=goods%2Fmedicine", {"medicine"}),
        ("q=%E5%8C%BB%E8%96%AC%E5%93%81", {"medicine"}),  # 医薬品, also on an English page
        ("q=medicine&mode=retired", set()),
    ],
)
def test_rules_are_found_by_name_reason_and_policy_in_any_language(admin: Visitor, query: str, found: set[str]) -> None:
    page = admin.get(f"/rules?{query}").text
    assert set(re.findall(r'href="/rules/([a-z_0-9]+)"', page)) == found
    assert ("Nothing matches" in page) is (not found)
    assert (f"{len(found)} of " in page) is bool(found)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", {"fraud", "account/takeover", "goods/medicine"}),
        ("q=ACCOUNT%2Ftakeover", {"account/takeover"}),
        ("q=%E5%8C%BB%E8%96%AC%E5%93%81", {"goods/medicine"}),  # 医薬品, also on an English page
        ("q=takeover_burst", {"account/takeover"}),  # a rule of it
        ("q=medicine&severity=severe", set()),
        ("severity=high&q=tricks", {"fraud"}),
        ("q=%E3%81%8A%E3%81%A8%E3%82%8A", set()),
    ],
)
def test_policies_are_found_by_name_text_rule_and_severity(admin: Visitor, query: str, found: set[str]) -> None:
    page = admin.get(f"/policies?{query}").text
    shown = set(re.findall(r'<span class="id muted small" translate="no">([a-z_/]+)</span>', page))
    assert shown == found if query else shown > found
    assert ("Nothing matches" in page) is (not found)
    assert (f"{len(found)} of " in page) is bool(query and found)


@pytest.mark.parametrize("path", PLAIN_PAGES)
def test_without_a_session_a_page_leads_to_the_sign_in_and_back(visitor: Visitor, path: str) -> None:
    answer = visitor.get(path)
    assert answer.status_code == 303
    assert answer.headers["location"] == f"/sign-in?next={path.replace('/', '%2F')}"


def test_no_page_holds_inline_script_or_style(admin: Visitor) -> None:
    for path in [*PLAIN_PAGES, "/sign-in"]:
        text = admin.get(path).text
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:|<script(?![^>]*src=)", text), path
    policy = admin.get("/board").headers["content-security-policy"]
    assert "'unsafe-inline'" not in policy
    assert "script-src 'self'" in policy


def test_what_names_a_button_or_a_link_is_on_the_page(admin: Visitor, scene: Scene) -> None:
    paths = [*PLAIN_PAGES, *(f"/decisions/{seqs(scene.database, verdict)[0]}" for verdict in ("block", "allow"))]
    named = 0
    for path in paths:
        text = admin.get(path).text
        ids = re.findall(r'\sid="([^"]+)"', text)
        assert len(ids) == len(set(ids)), path
        for naming in re.findall(r'aria-labelledby="([^"]+)"', text):
            named += 1
            assert set(naming.split()) <= set(ids), (path, naming)
    assert named > 0


def test_the_board_counts_what_the_stores_hold(admin: Visitor, scene: Scene) -> None:
    text = admin.get("/board").text
    with scene.database.read() as tx:
        in_force = int(tx.rows("SELECT count(*) FROM sanctions WHERE status = 'in_force'")[0][0])
        confirmed = int(tx.rows("SELECT count(*) FROM actions WHERE status = 'confirmed'")[0][0])
        waiting = int(tx.rows("SELECT count(*) FROM quarantine WHERE status = 'waiting'")[0][0])
    assert in_force > 0
    assert confirmed > 0
    assert waiting == 2
    for path, number in (
        ("/sanctions?status=in_force", in_force),
        ("/actions?status=confirmed", confirmed),
        ("/quarantine", waiting),
    ):
        assert re.search(rf'href="{re.escape(path)}">(?:(?!</a>).)*>{number}<', text, re.DOTALL), path


def test_the_live_part_is_the_same_part_that_the_board_holds(admin: Visitor) -> None:
    admin.scene.clock.advance(2 * SECOND)
    whole, part = admin.get("/board").text, admin.get("/board/live").text
    assert part.strip() in whole
    assert 'hx-get="/board/live"' in part


def test_a_decision_page_names_verdict_reasons_conditions_and_consequences(admin: Visitor, scene: Scene) -> None:
    seq = seqs(scene.database, "block")[0]
    with scene.database.read() as tx:
        record = decision_store.read_bodies(tx, [seq])[seq]
    text = html.unescape(admin.get(f"/decisions/{seq}").text)
    assert '<span class="pill block large">' in text
    for signal in record.signals:
        assert signal.because["en"] in text
        assert f'href="/rules/{signal.rule}"' in text
    assert "Conditions and their values" in text
    assert "all of these" in text
    for sanction in record.sanctions:
        assert f"/sanctions/{sanction}" in text
    for case in record.cases:
        assert f"/cases/{case}" in text
    japanese = html.unescape(Visitor(scene, "ja").sign_in().get(f"/decisions/{seq}").text)
    assert record.signals[0].because["ja"] in japanese


def test_what_people_wrote_is_on_no_page(admin: Visitor, scene: Scene) -> None:
    record = scene.message("secret-1", "直取引しませんか 合言葉はアマゾナイト http://amazonite.top/pay")
    assert record.verdict == "block"
    pages = [f"/decisions/{record.seq}", "/decisions?account=s-secret-1", "/events?event_id=secret-1", "/audit"]
    pages += [f"/sanctions/{each}" for each in record.sanctions] + [f"/cases/{each}" for each in record.cases]
    for path in pages:
        answer = admin.get(path)
        assert answer.status_code == 200
        assert not re.search("アマゾナイト|amazonite|合言葉", answer.text), path
    assert "Sealed: personal" in admin.get(pages[0]).text


def test_a_subject_s_page_says_what_it_may_do_and_why(admin: Visitor, scene: Scene) -> None:
    record = scene.message("subject-1", "直取引しませんか")
    text = admin.get("/subjects/message/m-subject-1").text
    assert '<span class="pill block">Hidden</span>' in text
    assert f'href="/sanctions/{record.sanctions[0]}"' in text
    account = admin.get("/subjects/account/s-subject-1").text
    assert f'href="/decisions/{record.seq}"' in account
    assert '<span class="pill good">No limits</span>' in account
    assert "Nothing was ever held against it" in admin.get("/subjects/listing/a%2Fb").text


def test_decisions_are_filtered_by_the_address_and_paged_by_a_cursor(admin: Visitor, scene: Scene) -> None:
    blocked = admin.get("/decisions?verdict=block").text
    found = [int(seq) for seq in re.findall(r'href="/decisions/(\d+)" class="pill-link"', blocked)]
    assert found == seqs(scene.database, "block")[:50]
    first = admin.get("/decisions").text
    older = re.search(r'href="(/decisions\?cursor=\d+)" rel="next"', first)
    assert older is not None
    shown = [int(seq) for seq in re.findall(r'href="/decisions/(\d+)" class="pill-link"', first)]
    after = re.findall(r'href="/decisions/(\d+)" class="pill-link"', admin.get(older[1]).text)
    assert len(shown) == len(after) == 50
    assert int(after[0]) < shown[-1]


def test_a_span_of_time_is_a_filter_and_an_unreadable_one_is_named_not_refused(admin: Visitor) -> None:
    assert "Nothing matches" in admin.get("/decisions?until=2020-01-01T00:00:00Z").text
    answer = admin.get("/decisions?since=yesterday")
    assert answer.status_code == 200
    assert "could not be read" in answer.text
    assert "<code>since</code>" in answer.text
    assert "Nothing matches" in admin.get("/events?since=2030-01-01T00:00").text


@pytest.mark.parametrize(
    "path",
    [
        "/decisions/999999999",
        "/decisions/x",
        "/rules/nothing",
        "/sanctions/nothing",
        "/cases/nothing",
        "/lists/nothing",
        "/no",
    ],
)
def test_what_is_not_there_is_said_on_a_page(scene: Scene, path: str) -> None:
    answer = Visitor(scene, "ja").sign_in().get(path)
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/html")
    assert "稼働状況へ" in answer.text


def test_a_role_sees_only_what_it_may_do(scene: Scene) -> None:
    reviewer = Visitor(scene).sign_in("reviewer")
    board = reviewer.get("/board").text
    assert 'href="/cases"' in board
    assert not re.search('href="/(staff|quarantine|actions)', board)
    assert reviewer.get("/staff").status_code == 403
    assert "You may not see this" in reviewer.get("/staff").text
    auditor = Visitor(scene).sign_in("auditor")
    rule = re.search(r'href="(/rules/[a-z_]+)"', auditor.get("/rules").text)
    assert rule is not None
    assert "Switch mode" not in auditor.get(rule[1]).text
    assert auditor.get(rule[1] + "/mode").status_code == 403


def test_static_files_are_served_with_their_type_and_kept(visitor: Visitor) -> None:
    links = re.findall(r'(?:href|src)="(/static/[^"]+)"', visitor.get("/sign-in").text)
    assert len(links) >= 3
    for link in links:
        answer = visitor.get(html.unescape(link))
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
    assert visitor.get("/static/LICENSES.md").status_code == 404
    assert visitor.get("/static/..%2fkit.py").status_code == 404


@pytest.mark.parametrize("name", ["since", "until"])
@pytest.mark.parametrize(
    "value", ["0001-01-01", "9999-12-31", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"]
)
def test_the_ends_of_the_calendar_are_no_error(admin: Visitor, name: str, value: str) -> None:
    for page in ("/decisions", "/events"):
        assert admin.get(f"{page}?{name}={value.replace('+', '%2B')}").status_code == 200
