"""Every door through which a version comes into force asks for a second person where a policy is severe."""

import asyncio
import dataclasses
import pathlib
import random
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import httpx
import pytest
from tests.app.conftest import SMALL_PACK, MakeSite, Site

from koban.access import CATALOGUE, SYSTEM, Principal, issue_token
from koban.access import actions as access_actions
from koban.app import Koban
from koban.app.running import switch_pack
from koban.app.web import asgi
from koban.audit import SeededSecrets
from koban.lab.drafts import DraftStale
from koban.packs import activations, draft_store, files_of, parse_files
from koban.packs.draft_store import Permit

Give: TypeAlias = Callable[[str, dict[str, str]], Site]

FILES = dict(files_of(SMALL_PACK))
POLICIES = FILES["policies.yaml"].replace("severity: medium", "severity: severe")
SEVERE = FILES | {"policies.yaml": POLICIES}


def changed(old: str, new: str, file: str = "rules/rules.yaml") -> dict[str, str]:
    """The pack with a severe policy, and one thing changed."""
    assert SEVERE[file].count(old) >= 1, (file, old)
    return SEVERE | {file: SEVERE[file].replace(old, new, 1)}


STRICTER = changed("cap: 5 per hour", "cap: 50 per hour")
MILDER = changed("mode: live", "mode: shadow")
BESIDE = changed("amount_minor >= 100000", "amount_minor >= 200000")


class House:
    """A Koban with two members of staff and a token of each, and the token of the folder's owner."""

    def __init__(self, koban: Koban) -> None:
        self.koban = koban
        self.app = asgi(koban)
        self.tokens: dict[str, str] = {}
        rng, secrets, at = random.Random(1), SeededSecrets(1), koban.clock.now()
        with koban.database.write() as tx:
            everything = tuple(CATALOGUE)
            for name in ("mika", "ken"):
                staff, _ = access_actions.invite_staff(
                    tx, at, rng, secrets, by=SYSTEM, email=f"{name}@koban.test", name=name, roles=("admin",)
                )
                by = Principal(kind="staff", id=staff.id, name=name, grants=dict.fromkeys(CATALOGUE, "role admin"))
                for each in (name, f"{name} again"):
                    _, self.tokens[each] = issue_token(
                        tx, at, rng, secrets, by=by, name=each, scopes=everything, days=9
                    )
            _, self.tokens["owner"] = issue_token(
                tx, at, rng, secrets, by=SYSTEM, name="owner", scopes=everything, days=9
            )

    def ask(self, who: str, method: str, path: str, body: object = None, *, language: str = "en") -> tuple[int, Any]:
        async def run() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.app)
            headers = {"authorization": f"Bearer {self.tokens[who]}", "accept-language": language}
            async with httpx.AsyncClient(transport=transport, base_url="http://koban.test", headers=headers) as client:
                return await client.request(method, path, json=body)

        response = asyncio.run(run())
        return response.status_code, response.json()

    def push(self, files: dict[str, str], who: str = "mika", **more: str) -> tuple[int, Any]:
        return self.ask(who, "POST", "/v1/packs", {"files": files, "reason": "why not", **more})

    def back(self, digest: str, who: str = "mika") -> tuple[int, Any]:
        return self.ask(who, "POST", "/v1/packs/activate", {"digest": digest, "reason": "back"})

    def approve(self, draft: str, who: str) -> tuple[int, Any]:
        return self.ask(who, "POST", f"/v1/drafts/{draft}/approve")

    @property
    def digest(self) -> str:
        return self.koban.memory.compiled.pack.digest

    def bring(self, files: dict[str, str]) -> str:
        """Have one propose and the other approve."""
        status, said = self.push(files)
        if status == 202:
            assert self.approve(said["draft"], "ken")[0] == 200
        assert self.digest == said["digest"]
        return str(said["digest"])


@pytest.fixture
def site(site_of: MakeSite) -> Site:
    return site_of("versions")


@pytest.fixture
def house(site: Site) -> Iterator[House]:
    with site.open() as koban:
        yield House(koban)


def noted(note: str) -> dict[str, str]:
    return FILES | {"pack.yaml": f"{FILES['pack.yaml']}# {note}\n"}


def test_files_made_from_a_version_that_somebody_replaced_are_refused(house: House) -> None:
    house.push(noted("before"))
    first = house.digest
    status, said = house.push(noted("of one"), base=first)
    assert (status, house.digest) == (200, said["digest"])
    status, refused = house.push(noted("of another"), "ken", base=first)
    assert (status, refused["code"]) == (409, "draft_stale")
    assert first[:12] in refused["detail"]
    assert house.digest[:12] in refused["detail"]
    assert house.digest == said["digest"], "the first one's change stands"
    assert house.push(noted("of one"), "ken", base=first)[0] == 200, "who wants what is in force takes nothing back"
    assert house.push(noted("of another"), "ken", base=house.digest)[0] == 200
    assert house.push(noted("before"), "ken")[0] == 200, "without a base the files count as they are"
    assert house.digest == first


def test_a_pushed_severe_change_waits_until_another_person_approves(house: House) -> None:
    house.bring(SEVERE)  # that a policy becomes severe is severe itself
    before, seq = house.digest, house.koban.memory.last_seq
    status, said = house.push(STRICTER)
    assert (status, said["seq"], said["needs"]) == (202, None, ["changed rules lure"])
    assert (house.digest, house.koban.memory.last_seq) == (before, seq)
    assert house.push(STRICTER)[1]["draft"] == said["draft"]  # the same draft, however often

    for who in ("mika", "mika again", "owner"):  # herself, another token of hers, nobody's person
        status, refused = house.approve(said["draft"], who)
        assert (status, refused["code"]) == (409, "approval_missing"), who
    assert house.digest == before

    status, done = house.approve(said["draft"], "ken")
    assert (status, done["digest"]) == (200, said["digest"])
    assert house.digest == said["digest"]
    with house.koban.database.read() as tx:
        newest = activations(tx)[0]
        trail = [tuple(row) for row in tx.rows("SELECT action FROM audit_entries")]
    assert "approved by token_" in newest.reason
    assert ("pack.approved",) in trail
    assert house.approve(said["draft"], "ken")[0] == 404


def test_what_is_not_severe_is_switched_to_at_once(house: House) -> None:
    house.bring(SEVERE)
    status, said = house.push(BESIDE)
    assert (status, said["draft"]) == (200, None)
    assert house.digest == said["digest"]


def test_going_back_is_a_change_like_any_other_unless_it_only_makes_things_milder(house: House) -> None:
    start = house.digest
    severe = house.bring(SEVERE)
    milder = house.bring(MILDER)
    assert house.back(severe)[0] == 202  # live again for everybody
    assert house.digest == milder
    house.bring(SEVERE)
    status, said = house.back(milder)  # the emergency: from live to shadow
    assert (status, said["draft"]) == (200, None)
    assert house.digest == milder
    assert house.back(start)[0] == 202  # the policy would no longer be severe
    assert house.digest == milder


def test_a_draft_over_a_version_that_is_no_longer_in_force_is_refused(house: House) -> None:
    house.bring(SEVERE)
    draft = house.push(STRICTER)[1]["draft"]
    house.bring(BESIDE)
    status, refused = house.approve(draft, "ken")
    assert (status, refused["code"]) == (409, "draft_stale")
    assert house.ask("ken", "POST", f"/v1/drafts/{draft}/withdraw")[1]["state"] == "withdrawn"


def test_a_permit_is_worth_nothing_over_another_version(house: House) -> None:
    before = house.digest
    with pytest.raises(DraftStale):
        switch_pack(house.koban.desk, parse_files(SEVERE), Permit(base="0" * 64, by="a", reason="b", ground="ordinary"))
    assert house.digest == before


def test_drafts_are_checked_proposed_and_read_over_the_api(house: House) -> None:
    house.bring(SEVERE)
    wrong = changed("recipients_1h >= 5", "recipients_2h >= 5")
    status, looked = house.ask("mika", "POST", "/v1/packs/check", {"files": wrong})
    assert (status, len(looked["faults"]), looked["changes"]) == (200, 1, [])
    assert "recipients_2h" in looked["faults"][0]["detail"]
    said = house.ask("mika", "POST", "/v1/packs/check", {"files": wrong}, language="ja")[1]["faults"][0]
    assert "フィールドまたは特徴量「recipients_2h」はここにはありません" in said["detail"]
    assert said["hint"].startswith("「recipients_1h」ではありませんか")
    unread = changed("recipients_1h >= 5", "messages_1h >= 5")
    looked = house.ask("mika", "POST", "/v1/packs/check", {"files": unread})[1]
    assert looked["faults"] == []
    assert "no rule reads the feature 'recipients_1h'" in [each["detail"] for each in looked["advice"]]
    assert looked["severe"] == ["changed rules many_recipients"]

    status, draft = house.ask("mika", "POST", "/v1/drafts", {"files": BESIDE, "reason": "rarely right"})
    assert (status, draft["severe"], draft["changes"]) == (201, False, ["changed rules big_payout"])
    whole = house.ask("ken", "GET", f"/v1/drafts/{draft['id']}")[1]
    assert "+  when: amount_minor >= 200000" in whole["diff"]
    assert whole["files"] == BESIDE
    assert house.ask("ken", "GET", "/v1/drafts")[1][0]["id"] == draft["id"]
    status, refused = house.ask("mika", "POST", "/v1/drafts", {"files": SEVERE, "reason": "again"})
    assert (status, refused["code"]) == (422, "nothing_changed")


def test_a_backtest_never_writes_outside_its_folder(house: House) -> None:
    for name in ("a/../../../x.yaml", "/x.yaml", "../x.yaml"):
        status, refused = house.ask("mika", "POST", "/v1/backtests", {"files": {name: "x"}})
        assert (status, refused["code"]) == (422, "file_name_invalid"), name


@pytest.fixture
def given(site: Site, tmp_path: pathlib.Path) -> Give:
    """Name a folder and the files of a pack, for a site that is given it at its start."""

    def give(name: str, files: dict[str, str]) -> Site:
        for path, text in files.items():
            (tmp_path / name / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name / path).write_text(text)
        return dataclasses.replace(site, settings=dataclasses.replace(site.settings, pack=tmp_path / name))

    return give


def test_a_pack_given_at_start_is_proposed_when_it_is_severe(given: Give) -> None:
    with given("first", SEVERE).open() as koban:
        first = koban.memory.compiled.pack.digest
    assert first == parse_files(SEVERE).digest  # an installation's first pack is nobody's change
    for _ in range(2):
        with given("stricter", STRICTER).open() as koban:
            assert koban.memory.compiled.pack.digest == first
            with koban.database.read() as tx:
                drafts = draft_store.read_drafts(tx)
                alerts = tx.rows(
                    "SELECT kind, object FROM alerts WHERE kind = 'pack.waits' AND acknowledged_at IS NULL"
                )
            assert [(each.author, each.severe, each.state) for each in drafts] == [("koban", True, "open")]
            assert alerts == [("pack.waits", f"draft:{drafts[0].id}")]  # said once, however often it starts
    with given("beside", BESIDE).open() as koban:
        assert koban.memory.compiled.pack.digest == parse_files(BESIDE).digest


def test_a_pack_given_at_start_takes_back_nothing_that_a_person_brought(given: Give) -> None:
    theirs = parse_files(BESIDE)
    with given("first", SEVERE).open() as koban:
        permit = Permit(base=koban.memory.compiled.pack.digest, by="staff_mika", reason="mine", ground="ordinary")
        switch_pack(koban.desk, theirs, permit)
    newer = {name: text + "\n# a newer release\n" if name.endswith(".yaml") else text for name, text in SEVERE.items()}
    for _ in range(2):
        with given("newer", newer).open() as koban:
            assert koban.memory.compiled.pack.digest == theirs.digest
            with koban.database.read() as tx:
                drafts = draft_store.read_drafts(tx)
                alerts = tx.rows("SELECT detail FROM alerts WHERE kind = 'pack.waits'")
            assert [(each.author, each.state, each.digest) for each in drafts] == [
                ("koban", "open", parse_files(newer).digest)
            ]
            assert [str(row[0])[:12] for row in alerts] == [theirs.digest[:12]]
