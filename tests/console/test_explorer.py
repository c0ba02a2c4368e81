"""The explorer: a box that finds in Japanese and English, filters in the address, views that are kept, files taken out."""

import csv
import html
import io
import json
import re
from collections import Counter
from collections.abc import Iterator

import pytest
from tests.console.conftest import Visitor
from tests.console.scene import Scene

from koban.audit import seal
from koban.base import HOUR, MINUTE, Instant, to_rfc3339
from koban.console.formats import Formats
from koban.console.words import LANGUAGES
from koban.enforcement import ImposeSanction, SubjectRef
from koban.enforcement.types import SanctionKind
from koban.finding import AccountsAsked, follow, list_accounts
from koban.webhooks import store as webhook_store

CASE = r'<td><a href="/cases/(case_[0-9a-f]+)"'
ROW = {  # list -> what a row of its page is known by
    "decisions": r'href="/decisions/(\d+)" class="pill-link"',
    "events": r'<tr>\s*<td><a href="/decisions/(\d+)"',
    "sanctions": r'<a class="nowrap" href="/sanctions/(sanction_[0-9a-f]+)"',
    "cases": CASE,
    "accounts": r'<tr>\s*<td><a class="id[^"]*" translate="no" href="/subjects/account/([^"]+)"',
}
KEY = {
    "decisions": "seq",
    "events": "seq",
    "sanctions": "id",
    "cases": "id",
    "actions": "id",
    "audit": "id",
    "accounts": "id",
}


def pages(reader: Visitor, path: str) -> Iterator[str]:
    """A list's page and all that follow it."""
    while path:
        answer = reader.get(path)
        assert answer.status_code == 200, (path, answer.text[:300])
        yield answer.text
        after = re.search(r'href="([^"]+)" rel="next"', answer.text)
        path = html.unescape(after[1]) if after else ""


def shown(reader: Visitor, name: str, query: str) -> list[str]:
    return [row for page in pages(reader, f"/{name}?{query}") for row in re.findall(ROW[name], page)]


def taken(reader: Visitor, name: str, query: str, form: str = "ndjson") -> str:
    """The file behind a list's link, by the way that the link goes."""
    answer = reader.get(f"/export/{name}?format={form}&{query}")
    assert answer.status_code == 303, answer.text[:300]
    file = reader.get(answer.headers["location"])
    assert file.status_code == 200, file.text[:300]
    return file.text


def lines(reader: Visitor, name: str, query: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in taken(reader, name, query).splitlines()]


@pytest.fixture(scope="module")
def facts(scene: Scene) -> dict[str, str]:
    """What the scene has, to be filtered by; four more blocks lie minutes apart, so that spans part them."""
    moments = []
    for place in range(4):
        scene.message(f"spread-{place}", "直取引しませんか")
        moments.append(scene.clock.advance(2 * MINUTE))
    measures: list[tuple[SanctionKind, str]] = [
        ("suspend", "s-spread-0"), ("freeze_payout", "s-spread-1"), ("suspend", "never-acted"),
    ]  # fmt: skip
    for kind, account in measures:
        scene.kit.sanction(
            ImposeSanction(
                subject=SubjectRef(kind="account", id=account),
                kind=kind,
                policy="account/takeover",
                by="staff_t",
                because={"en": "a test", "ja": "試験"},
            )
        )
    while follow(scene.database, scene.pack.events):
        pass
    with scene.database.read() as tx:

        def one(sql: str) -> str:
            return str(tx.rows(sql)[0][0])

        acting = "SELECT acting FROM decisions WHERE acting IS NOT NULL GROUP BY acting ORDER BY count(*) DESC, acting"
        busiest = "SELECT rule FROM signals GROUP BY rule ORDER BY count(*) DESC, rule"
        hidden = "SELECT subject_id FROM sanctions ORDER BY id LIMIT 1"
        return {
            "account": one(f"{acting} LIMIT 1"),
            "rule": one(f"{busiest} LIMIT 1"),
            "touched": one(f"SELECT acting FROM signals WHERE rule = ({busiest} LIMIT 1) ORDER BY seq LIMIT 1"),
            "imposer": one("SELECT rule FROM sanctions ORDER BY id LIMIT 1"),
            "event": one("SELECT event_id FROM log_entries WHERE kind = 'event' ORDER BY seq LIMIT 1"),
            "subject": one(hidden),
            "policy": one("SELECT policy FROM sanctions ORDER BY id LIMIT 1"),
            "suspect": one("SELECT max(acting_id) FROM cases WHERE status = 'open' AND acting_kind = 'account'"),
            "queue": one("SELECT queue FROM cases GROUP BY queue ORDER BY count(*) DESC, queue LIMIT 1"),
            # The reader's own zone, as a field of a page sends it: without one.
            "third": reader_time(moments[0]),
            "later": reader_time(moments[2]),
        }


def reader_time(at: Instant) -> str:
    return to_rfc3339(Instant(at + 9 * HOUR))[:16]  # Tokyo, where the scene is


@pytest.mark.parametrize(
    ("name", "query"),
    [
        ("decisions", "verdict=block"),
        ("decisions", "type=message.sent"),
        ("decisions", "rule={rule}"),
        ("decisions", "account={account}"),
        ("decisions", "rule={rule}&account={touched}"),
        ("decisions", "since={third}&until={later}&type=message.sent"),
        ("decisions", "verdict=block&since={third}"),
        ("decisions", "verdict=block&until={third}"),
        ("decisions", "verdict=nothing"),
        ("events", "kind=change"),
        ("events", "account={account}"),
        ("events", "event_id={event}"),
        ("events", "since={third}&until={later}&type=message.sent"),
        ("sanctions", "status=in_force"),
        ("sanctions", "kind=hide&since={third}"),
        ("sanctions", "until={later}"),
        ("sanctions", "subject={subject}"),
        ("sanctions", "policy={policy}&rule={imposer}"),
        ("accounts", ""),
        ("accounts", "q=u-"),
        ("accounts", "q=r-spread"),
        ("accounts", "q=nobody"),
        ("accounts", "state=any"),
        ("accounts", "state=any&q=s-spread"),
        ("accounts", "policy=account/takeover"),
        ("accounts", "state=suspend"),
        ("accounts", "state=freeze_payout&policy=account/takeover"),
        ("accounts", "case=1"),
        ("accounts", "case=1&q={suspect}"),
        ("accounts", "since={third}&until={later}"),
        ("cases", "queue={queue}"),
        ("cases", "mine=1"),
        ("cases", "status=closed"),
        ("cases", "late=1"),
    ],
)
def test_a_file_holds_exactly_the_rows_that_its_list_shows_in_their_order(
    admin: Visitor, facts: dict[str, str], name: str, query: str
) -> None:
    asked = query.format(**facts)
    rows = shown(admin, name, asked)
    assert [str(each[KEY[name]]) for each in lines(admin, name, asked)] == rows
    empty = {"q=nobody", "verdict=nothing", "mine=1", "status=closed", "late=1"}
    assert bool(rows) is (query not in empty), "the filter has something to say here"


@pytest.mark.parametrize(
    ("name", "query", "column"),
    [
        ("decisions", "verdict=block", "verdict"),
        ("decisions", "account={account}", "account"),
        ("events", "type=message.sent&since={third}", "type"),
        ("sanctions", "policy={policy}", "policy"),
        ("cases", "queue={queue}", "queue"),
        ("actions", "status=confirmed", "status"),
        ("actions", "subject={subject}", "subject"),
        ("audit", "action=pack.activated", "action"),
    ],
)
def test_a_filter_keeps_what_it_names_and_nothing_else(
    admin: Visitor, facts: dict[str, str], name: str, query: str, column: str
) -> None:
    asked = query.format(**facts)
    wanted = asked.partition("&")[0].partition("=")[2]
    every, some = lines(admin, name, ""), lines(admin, name, asked)
    expected = [each for each in every if str(each[column]) == wanted]
    if "since" in asked:
        expected = [each for each in expected if str(each["logged_at"]) >= utc(facts["third"])]
    if name != "audit":  # which grows with each file
        assert [each[KEY[name]] for each in some] == [each[KEY[name]] for each in expected]
    assert {str(each[column]) for each in some} == ({wanted} if some else set())
    assert some or name == "audit"


def test_accounts_stand_in_the_order_of_the_last_thing_they_did_with_what_is_known_of_them(
    admin: Visitor, scene: Scene, facts: dict[str, str]
) -> None:
    """By brute force over the tables."""
    del facts
    with scene.database.read() as tx:
        decided = tx.rows("SELECT acting, verdict, seq FROM decisions WHERE acting IS NOT NULL ORDER BY seq DESC")
        open_cases = Counter(
            str(row[0])
            for row in tx.rows("SELECT acting_id FROM cases WHERE status = 'open' AND acting_kind = 'account'")
        )
        effects: dict[str, set[str]] = {}
        for account, effect in tx.rows(
            "SELECT subject_id, effect FROM sanctions WHERE status = 'in_force' AND subject_kind = 'account'"
        ):
            effects.setdefault(str(account), set()).add(str(effect))
    order = list(dict.fromkeys(str(row[0]) for row in decided))
    every = lines(admin, "accounts", "")
    assert [each["id"] for each in every] == order
    for each in every:
        newest = [str(row[1]) for row in decided if row[0] == each["id"]][:200]
        assert {name: each[name] for name in ("allow", "warn", "challenge", "hold", "block")} == {
            name: newest.count(name) for name in ("allow", "warn", "challenge", "hold", "block")
        }
        assert each["open_cases"] == open_cases[str(each["id"])]
        assert str(each["effects"]).split() == sorted(effects.get(str(each["id"]), set()) - {"none", "warn"})
    under = [name for name in order if name in effects]
    assert under
    assert shown(admin, "accounts", "state=any") == [*under, "never-acted"], "who did nothing of its own comes last"
    assert shown(admin, "accounts", "case=1") == [name for name in order if open_cases[name]]
    begins = order[-1][:-2]
    assert set(shown(admin, "accounts", f"q={begins}")) >= {name for name in order if name.startswith(begins)}
    assert "Many ids begin so" in admin.get("/accounts?q=u-").text
    assert "Many ids begin so" not in admin.get(f"/accounts?q={begins}").text


def test_a_page_of_accounts_walks_no_further_back_than_it_may_and_the_next_goes_on(
    admin: Visitor, scene: Scene, facts: dict[str, str]
) -> None:
    del admin, facts
    asked, cursor, found, pages_read = AccountsAsked(), None, [], 0
    with scene.database.read() as tx:
        while True:
            page = list_accounts(tx, asked, cursor=cursor, limit=50, scan=40)
            found += [each.id for each in page.items]
            pages_read += 1
            cursor = page.next_cursor
            if cursor is None:
                break
        whole = list_accounts(tx, asked, cursor=None, limit=10_000, scan=1 << 40)
    assert found == [each.id for each in whole.items]
    assert pages_read > 5


def utc(text: str) -> str:
    hours = int(text[11:13]) - 9
    assert hours >= 0, "the scene lies in the middle of a day"
    return f"{text[:11]}{hours:02d}{text[13:]}:00.000000Z"


def test_the_link_of_a_list_names_the_filters_that_stand(admin: Visitor, facts: dict[str, str]) -> None:
    asked = f"verdict=block&since={facts['third']}"
    links = re.findall(r'href="(/export/[^"]+)"', admin.get(f"/decisions?{asked}").text)
    assert len(links) == 2
    for link in links:
        answer = admin.get(html.unescape(link))
        assert f"since={utc(facts['third'])[:16].replace(':', '%3A')}" in answer.headers["location"]
        assert "verdict=block" in answer.headers["location"]
    for name in ("accounts", "events", "sanctions", "cases", "actions", "audit"):
        assert f'href="/export/{name}?format=csv"' in admin.get(f"/{name}").text
    assert "/export/" not in Visitor(admin.scene).sign_in("reviewer").get("/decisions").text


def test_a_csv_opens_in_a_spreadsheet_and_runs_nothing(admin: Visitor, scene: Scene) -> None:
    record = scene.message("=1+1", "直取引しませんか")
    text = taken(admin, "decisions", "verdict=block", "csv")
    assert text.startswith("﻿seq,decided_at,type,")
    rows = {row["seq"]: row for row in csv.DictReader(io.StringIO(text[1:]))}
    assert rows[str(record.seq)]["event_id"] == "'=1+1"
    assert rows[str(record.seq)]["account"] == "s-=1+1"
    assert len(rows) == len(lines(admin, "decisions", "verdict=block"))


def test_who_took_what_out_stands_in_the_trail_with_its_rows(
    admin: Visitor, scene: Scene, facts: dict[str, str]
) -> None:
    count = len(lines(admin, "sanctions", f"status=in_force&since={facts['third']}"))
    with scene.database.write() as tx:
        seal(tx, scene.clock.now())
    begun, ended = (
        next(iter(lines(admin, "audit", f"action={action}&object=sanctions")))
        for action in ("export.begun", "export.ended")
    )
    assert json.loads(str(ended["details"])) == {"rows": count}
    assert json.loads(str(begun["details"]))["status"] == "in_force"
    assert json.loads(str(begun["details"]))["since"].startswith(utc(facts["third"])[:4])


@pytest.mark.parametrize(
    ("role", "path", "status", "code"),
    [
        ("admin", "/v1/export/nothing", 404, "export_unknown"),
        ("admin", "/v1/export/cases?since=2026-01-01T00:00:00Z", 422, "export_unfit"),
        ("admin", "/v1/export/actions?until=2026-01-01T00:00:00Z", 422, "export_unfit"),
        ("admin", "/v1/export/decisions?since=yesterday", 422, "invalid_request"),
        ("reviewer", "/v1/export/decisions", 403, "not_allowed"),
    ],
)
def test_what_cannot_be_taken_out_is_refused(scene: Scene, role: str, path: str, status: int, code: str) -> None:
    answer = Visitor(scene).sign_in(role).get(path)
    assert (answer.status_code, code in answer.text) == (status, True), answer.text[:400]


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00%2B14:00", "9999-12-31T23:59:59-14:00"])
def test_the_ends_of_the_calendar_are_no_error(admin: Visitor, moment: str) -> None:
    for name in ("since", "until"):
        assert admin.get(f"/v1/export/sanctions?{name}={moment}").status_code == 200


@pytest.mark.parametrize(
    ("language", "query", "found"),
    [
        ("ja", "ブロック", 'href="/decisions?verdict=block"'),
        ("en", "block", 'href="/decisions?verdict=block"'),
        ("ja", "ﾌﾞﾛｯｸ", 'href="/decisions?verdict=block"'),
        ("ja", "ぶろっく", 'href="/decisions?verdict=block"'),
        ("ja", "振込停止", 'href="/sanctions?kind=freeze_payout"'),
        ("en", "PAYOUT FREEZE", 'href="/sanctions?kind=freeze_payout"'),
        ("ja", "外部", 'href="/rules/'),
        ("en", "off platform", 'href="/rules/'),
        ("ja", "メッセージ", 'href="/events?type=message.sent"'),
        ("en", "message", 'href="/events?type=message.sent"'),
    ],
)
def test_the_box_finds_words_in_both_languages_however_they_are_typed(
    scene: Scene, language: str, query: str, found: str
) -> None:
    text = Visitor(scene, language).sign_in().get(f"/search?q={query}").text
    assert found in text, re.findall(r'<ul class="hits">.*?</ul>', text, re.DOTALL)


def test_the_box_finds_what_ids_name(admin: Visitor, scene: Scene) -> None:
    record = scene.message("findme-1", "直取引しませんか")
    while follow(scene.database, scene.pack.events):
        pass
    text = admin.get("/search?q=s-findme").text
    assert 'href="/subjects/account/s-findme-1"' in text
    assert 'href="/decisions?account=s-findme-1"' in text
    full_width = admin.get("/search?q=ｓ－findme").text
    assert 'href="/subjects/account/s-findme-1"' in full_width
    assert f'href="/sanctions/{record.sanctions[0]}"' in admin.get("/search?q=m-findme-1").text
    assert f'href="/sanctions/{record.sanctions[0]}"' in admin.get(f"/search?q={record.sanctions[0]}").text
    assert f'href="/decisions/{record.seq}"' in admin.get(f"/search?q={record.seq}").text
    assert f'href="/decisions/{record.seq}"' in admin.get("/search?q=event:findme-1").text
    assert "findme" not in admin.get("/search?q=thread:s-findme").text.split("</form>")[1].split("<section")[0]
    with scene.database.read() as tx:
        action = webhook_store.search_actions(tx, before=None, limit=1, filters={})[0]
        case = str(tx.rows("SELECT max(id) FROM cases")[0][0])
    assert f'href="/actions?subject={action.subject.id}"' in html.unescape(admin.get(f"/search?q={action.id}").text)
    assert f'href="/cases/{case}"' in admin.get(f"/search?q={case}").text
    assert "Nothing" in admin.get("/search?q=zzzzzz").text


def test_a_reviewer_finds_no_actions(scene: Scene) -> None:
    reviewer = Visitor(scene).sign_in("reviewer")
    with scene.database.read() as tx:
        action = webhook_store.search_actions(tx, before=None, limit=1, filters={})[0]
    assert "/actions?subject=" not in reviewer.get(f"/search?q={action.id}").text


def test_what_people_wrote_is_searched_for_a_purpose_and_the_trail_says_so(admin: Visitor, scene: Scene) -> None:
    record = scene.message("sealed-1", "合言葉はペリドット、外で直取引しませんか")
    refused = admin.send("/search", "/search", q="ペリドット", purpose="why")
    assert refused.status_code == 422
    assert f'href="/decisions/{record.seq}"' not in refused.text
    answer = admin.send("/search", "/search", q="ぺりどっと", purpose="Complaint 4711 quotes it")
    assert answer.status_code == 200
    assert f'href="/decisions/{record.seq}"' in answer.text
    trail = admin.get("/audit?action=messages.searched").text
    assert re.search(r"hits=1 .*looked_at=\d+", trail)
    assert not re.search("ぺりどっと|ペリドット|4711", trail), "the trail commits to both and says neither"
    auditor = Visitor(scene).sign_in("auditor")
    assert 'id="sealed-q"' not in auditor.get("/search").text


def test_a_view_is_kept_found_again_shared_and_taken_away(admin: Visitor, scene: Scene) -> None:
    colleague = Visitor(scene).sign_in("specialist")
    query = "verdict=block&type=message.sent"
    answer = admin.send(f"/decisions?{query}", "/views", page="/decisions", query=query, name="夜のブロック")
    assert answer.headers["location"] == f"/decisions?{query}&done=view_saved"
    chip = re.compile(r'<a class="chip" href="/decisions\?verdict=block&amp;type=message.sent"([^>]*)>')
    assert chip.search(admin.get("/decisions").text), "it stands above the list"
    here = chip.search(admin.get(f"/decisions?{query}").text)
    assert here is not None
    assert 'aria-current="page"' in here[1], "and says that one is there"
    assert "夜のブロック" not in colleague.get("/decisions").text, "others do not see it"
    assert "夜のブロック" not in admin.get("/events").text, "nor does another list"
    admin.send("/decisions", "/views", page="/decisions", query="verdict=hold", name="Team: held", shared="1")
    assert "Team: held" in colleague.get("/decisions").text
    view = re.search(
        r'name="delete" value="(view_[a-z0-9]+)" aria-label="[^"]*Team: held"', admin.get("/decisions").text
    )
    assert view is not None
    assert view[1] not in colleague.get("/decisions").text, "whose it is not is offered no way to take it away"
    assert colleague.send("/decisions", "/views", page="/decisions", delete=view[1]).status_code == 403
    gone = admin.send("/decisions", "/views", page="/decisions", delete=view[1])
    assert gone.headers["location"] == "/decisions?done=view_deleted"
    assert "Team: held" not in colleague.get("/decisions").text
    assert colleague.send("/decisions", "/views", page="/decisions", delete=view[1]).status_code == 404


@pytest.mark.parametrize("form", [{"page": "/staff", "name": "x"}, {"page": "/decisions", "name": " "}])
def test_a_view_that_cannot_be_kept_is_refused(admin: Visitor, form: dict[str, str]) -> None:
    assert admin.send("/decisions", "/views", query="", **form).status_code == 422


@pytest.mark.parametrize(
    "path", ["/accounts", "/decisions", "/events", "/sanctions", "/cases", "/actions", "/waiting", "/audit"]
)
def test_every_list_keeps_views(admin: Visitor, path: str) -> None:
    text = admin.get(path).text
    assert f'<input type="hidden" name="page" value="{path}">' in text


def test_a_link_of_a_view_holds_the_filters_and_not_the_place(admin: Visitor) -> None:
    older = re.search(r'href="([^"]+)" rel="next"', admin.get("/decisions?verdict=allow").text)
    assert older is not None
    text = admin.get(html.unescape(older[1])).text
    assert '<input type="hidden" name="query" value="verdict=allow">' in text


def test_cases_whose_time_is_over_are_a_list_and_a_file(admin: Visitor, scene: Scene) -> None:
    """Last in this file: it moves the clock."""
    everything = shown(admin, "cases", "")
    scene.clock.advance(40 * MINUTE)
    with scene.database.read() as tx:
        late = {
            str(row[0])
            for row in tx.rows(
                "SELECT id FROM cases WHERE status = 'open' AND due_at < COALESCE(paused_at, ?)",
                (int(scene.clock.now()),),
            )
        }
    assert late
    assert late < set(everything), "not all are late"
    rows = shown(admin, "cases", "late=1")
    assert set(rows) == late
    assert [each["id"] for each in lines(admin, "cases", "late=1")] == rows


def test_an_index_that_is_far_behind_says_so_where_it_is_asked(scene: Scene, admin: Visitor) -> None:
    pages = ("/search?q=u-", "/accounts?q=u-", "/subjects/account/u-1")
    asked = Visitor(scene, "ja").sign_in()
    assert not any("known up to" in admin.get(each).text for each in pages)
    with scene.database.write_index() as tx:
        tx.change("UPDATE index_place SET seq = seq - 30000")
        at = Instant(int(tx.rows("SELECT log_at FROM index_place")[0][0]))
    times = {each: Formats(each, "Asia/Tokyo", at).full(at) for each in LANGUAGES}
    for each in pages:
        assert f"Ids and linked accounts are known up to {times['en']}." in admin.get(each).text, each
        assert f"IDと関連アカウントを検索できるのは、{times['ja']}までの記録です。" in asked.get(each).text, each
    assert "known up to" not in admin.get("/accounts?state=any").text, "which is found without it"
    with scene.database.write_index() as tx:
        tx.change("UPDATE index_place SET seq = seq + 30000")
