"""Parts of the demonstration: a past for an empty log, and who may be offered one-click roles."""

import dataclasses
import pathlib
import random

import pytest
import sqlalchemy
from tests.app.conftest import MakeSite, send

from koban.access import SYSTEM, actions, create_first_admin
from koban.access.demo import DEMO_ROLES, close_roles, demo_account, open_role
from koban.access.types import LastAdmin, RoleUnknown
from koban.app.demo import ON_CALL, Warmed, fill_rota, may_open_roles, warm
from koban.base import HOUR, Instant
from koban.cli.server import is_japanese
from koban.oncall import on_call
from koban.oncall.store import read_shifts
from koban.sim.evening import evening_of, past_of

STARTER = pathlib.Path(__file__).parents[2] / "packs" / "starter"


def test_an_empty_log_gets_the_day_before_without_consequences(site_of: MakeSite) -> None:
    site = site_of("demo")
    settings = dataclasses.replace(site.settings, pack=STARTER)
    evening = evening_of(1, site.clock.now())
    imported = warm(settings, evening, random.Random(1), site.secrets, money=False).imported
    assert 2_000 < imported < 4_000
    assert warm(settings, evening, random.Random(1), site.secrets) == Warmed()
    with dataclasses.replace(site, settings=settings).open() as koban, koban.database.read() as tx:
        assert tx.rows("SELECT count(*) FROM log_entries WHERE kind = 'event'")[0][0] == imported
        assert tx.rows("SELECT min(log_at) FROM log_entries")[0][0] >= past_of(evening).start_at
        assert tx.rows("SELECT max(log_at) FROM log_entries WHERE kind = 'event'")[0][0] <= evening.start_at
        assert tx.rows("SELECT DISTINCT verdict FROM decisions")[0][0] == "allow"
        assert {row[0] for row in tx.rows("SELECT DISTINCT withheld FROM signals")} <= {"imported"}
        for table in ("sanctions", "cases", "actions", "alerts", "timers"):
            assert tx.rows(f"SELECT count(*) FROM {table}")[0][0] == 0, table
        assert koban.memory.features.watermark > 0


def test_somebody_is_on_call_at_every_level_and_hour_and_a_rota_that_is_there_stays(site_of: MakeSite) -> None:
    with site_of("demo").open() as koban:
        for _ in range(2):
            with koban.database.write() as tx:
                fill_rota(tx, koban)
        with koban.database.read() as tx:
            shifts = read_shifts(tx)
        for hours in range(7 * 24):
            at = Instant(koban.clock.now() + hours * HOUR)
            assert [on_call(shifts, (), level, at) for level in (1, 2, 3)] == [
                (actions.DEMO_ID + role,) for role in ON_CALL
            ]
        assert len(shifts) == len(ON_CALL)


def test_a_log_with_events_of_its_own_gets_none(site_of: MakeSite) -> None:
    site = site_of("demo")
    with site.open() as koban:
        send(koban, site.event("mine"))
    assert warm(site.settings, evening_of(1, site.clock.now()), random.Random(1), site.secrets) == Warmed()


@pytest.mark.parametrize(
    ("host", "may"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("10.0.0.4", False), ("shop", False)],  # noqa: S104 - what is refused
)
def test_roles_open_only_where_nobody_else_can_reach_them(host: str, *, may: bool) -> None:
    assert may_open_roles(host) is may


@pytest.mark.parametrize(
    ("environment", "japanese"),
    [
        ({"LANG": "ja_JP.UTF-8"}, True),
        ({"LANG": "en_US.UTF-8"}, False),
        ({"LC_ALL": "C", "LANG": "ja_JP.UTF-8"}, False),
        ({"LC_ALL": "", "LC_MESSAGES": "ja_JP", "LANG": "C"}, True),
        ({}, False),
    ],
)
def test_the_terminal_s_language_is_the_environment_s(environment: dict[str, str], *, japanese: bool) -> None:
    assert is_japanese(environment) is japanese


def test_a_demonstration_s_accounts_open_close_and_are_nobody_s_administrators(site_of: MakeSite) -> None:
    site = site_of("demo")
    with site.open() as koban:
        at = koban.clock.now()
        with koban.database.write() as tx:
            for role in DEMO_ROLES:
                demo_account(tx, at, role)
            opened = open_role(tx, at, koban.randomness, koban.secrets, role="admin")
            assert opened.staff.roles == ("admin",)
            link = create_first_admin(tx, at, koban.randomness, koban.secrets)
            assert link is not None
            assert link.staff_id != opened.staff.id
            with pytest.raises(LastAdmin):
                actions.disable_staff(tx, at, by=SYSTEM, staff_id=link.staff_id)
            with pytest.raises(RoleUnknown):
                open_role(tx, at, koban.randomness, koban.secrets, role="integrator")
            assert close_roles(tx, at) == len(DEMO_ROLES)
            assert close_roles(tx, at) == 0
            assert tx.execute(sqlalchemy.text("SELECT count(*) FROM sessions")).scalar_one() == 0
