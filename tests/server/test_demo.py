"""`koban demo` as a process: a warm start, one-click roles that open nowhere else, and a bar that steers the evening."""

import pathlib
import re
import socket
from collections.abc import Iterator

import httpx
import pytest
from tests.server.conftest import Server, read_said, run_koban, start_server

STARTER = str(pathlib.Path(__file__).parents[2] / "packs" / "starter")
PAGE = {"accept": "text/html"}


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    data = tmp_path_factory.mktemp("demo") / "data"
    with start_server(data, "demo", "--speed", "30", KOBAN_PACK=STARTER) as started:
        yield started


@pytest.fixture
def browser(demo: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=str(demo.client.base_url), headers=PAGE, timeout=30.0, trust_env=False) as client:
        yield client


def enter(browser: httpx.Client, role: str) -> None:
    form = {"role": role, "next": "/board"} | ({"csrf": csrf(browser)} if browser.cookies else {})
    answer = browser.post("/sign-in/as", data=form)
    assert (answer.status_code, answer.headers["location"]) == (303, "/board")


def csrf(browser: httpx.Client) -> str:
    found = re.search(r'name="csrf" value="([0-9a-f]+)"', browser.get("/board").text)
    assert found is not None
    return found[1]


def test_every_role_opens_with_one_click_and_sees_the_mark_and_the_bar(browser: httpx.Client, demo: Server) -> None:
    shown = browser.get("/sign-in").text
    assert "Simulated data" in shown
    for role in ("specialist", "reviewer", "lead", "finance", "auditor", "admin"):
        assert f'value="{role}"' in shown
        enter(browser, role)
        board = browser.get("/board").text
        assert "Simulated data" in board
        assert 'id="story"' in board
        assert ('value="restart"' in board) == (role not in {"finance", "auditor"})
    nothing = browser.get("/decisions/no-such")
    assert nothing.status_code == 404
    assert "Simulated data" in nothing.text
    assert demo.alive()


def test_every_page_of_the_console_opens_beside_the_bar(browser: httpx.Client) -> None:
    enter(browser, "admin")
    listed = browser.get("/decisions").text
    linked = re.findall(r'href="(/decisions/\d+)"', listed)[:1] + re.findall(r'href="(/subjects/[^"]+)"', listed)[:1]
    assert len(linked) == 2
    pages = (
        "board",
        "events",
        "cases",
        "sanctions",
        "actions",
        "rules",
        "lists",
        "alerts",
        "audit",
        "staff",
        "truth",
        "logs",
        "money",
        "money/books",
        "money/payments",
        "money/exceptions",
        "money/bookings",
        "money/close",
        "bank",
        "bank/lines",
        "bank/cash-outs",
        "bank/expected",
    )
    for path in (*linked, *(f"/{name}" for name in pages)):
        answer = browser.get(path)
        assert (path, answer.status_code) == (path, 200)
        assert 'id="story"' in answer.text, path


def test_finance_sees_what_waits_for_a_second_person_and_may_decide_it(browser: httpx.Client) -> None:
    enter(browser, "finance")
    glance = browser.get("/money").text
    waiting = glance.split('id="second"', 1)[1].split("</section>", 1)[0]
    for path in ("/money/exceptions?state=proposed", "/money/bookings", "/bank"):
        assert f'href="{path}"' in waiting, path
    assert 'value="approve"' in browser.get("/bank").text
    [booking] = re.findall(r'href="(/money/bookings/claim[^"]+)"', browser.get("/money/bookings").text)
    answer = browser.post(f"{booking}/decide", data={"csrf": csrf(browser), "do": "approve"})
    assert answer.status_code == 303
    assert "/money/bookings/claim" not in browser.get("/money/bookings").text
    assert "debits equal credits" in browser.get("/money").text


def test_the_bar_pauses_restarts_and_leaves_for_who_may_and_the_trail_knows_it(browser: httpx.Client) -> None:
    enter(browser, "auditor")
    assert browser.post("/story", data={"do": "pause", "csrf": csrf(browser)}).status_code == 403
    enter(browser, "lead")
    token = csrf(browser)
    assert browser.post("/story", data={"do": "pause"}).status_code == 403
    first = browser.get("/story/bar").text
    for do, state in (("pause", "paused"), ("resume", "playing"), ("restart", "playing"), ("leave", "left"),
                      ("restart", "playing")):  # fmt: skip
        assert browser.post("/story", data={"do": do, "csrf": token, "next": "/board"}).status_code == 303
        assert f'data-story="{state}"' in browser.get("/story/bar").text, do
    assert 'data-story="playing"' in first
    enter(browser, "auditor")
    trail = browser.get("/audit").text
    assert "story.steered" in trail


def test_roles_are_refused_to_other_sites_other_names_and_unknown_roles(browser: httpx.Client) -> None:
    form = {"role": "admin", "next": "/board"}
    assert browser.post("/sign-in/as", data=form, headers={"sec-fetch-site": "cross-site"}).status_code == 403
    assert browser.post("/sign-in/as", data=form, headers={"host": "evil.example:80"}).status_code == 403
    assert browser.post("/sign-in/as", data={"role": "integrator"}).status_code == 422
    answer = browser.post("/sign-in/as", data={"role": "admin", "next": "//evil.example"})
    assert answer.headers["location"] == "/board"


def test_a_server_that_is_no_demonstration_knows_no_roles_and_ends_their_sessions(tmp_path: pathlib.Path) -> None:
    data = tmp_path / "data"
    with start_server(data, "demo", "--no-past", KOBAN_PACK=STARTER, KOBAN_LOG_LEVEL="info") as first:
        opened = httpx.post(first.client.base_url.join("/sign-in/as"), data={"role": "admin"}, trust_env=False)
        cookie = opened.headers["set-cookie"].partition(";")[0]
        first.kill()
        greeting = read_said(first.said)
        assert "/money" in greeting
        assert "{" not in greeting  # lines for machines are in a file
        assert '"event": "serving"' in (data / "demo.log").read_text(encoding="utf-8")
    with start_server(data, KOBAN_PACK=STARTER) as second:
        bare = httpx.Client(base_url=str(second.client.base_url), headers=PAGE, trust_env=False)
        with bare:
            assert bare.post("/sign-in/as", data={"role": "admin"}).status_code == 404
            assert bare.get("/board", headers={"cookie": cookie}).status_code == 303
            assert bare.get("/story/bar", headers={"cookie": cookie}).status_code == 404
            assert "role" not in bare.get("/sign-in").text.split("<main", 1)[1].split("</main", 1)[0].replace(
                'role="alert"', ""
            )


def test_a_busy_port_changes_nothing_in_a_demo_either(tmp_path: pathlib.Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        ended = run_koban("demo", data=tmp_path / "data", port=holder.getsockname()[1], KOBAN_PACK=STARTER)
    assert ended.returncode == 2
    assert not (tmp_path / "data").exists()
