import random
from collections.abc import Callable

import msgspec
import pytest
import sqlalchemy
from argon2.exceptions import VerificationError
from hypothesis import given
from hypothesis import strategies as st

from koban.access import (
    CATALOGUE,
    MACHINES,
    PUBLIC,
    ROLE_TITLES,
    ROLES,
    SIGNED_IN,
    SYSTEM,
    Principal,
    StaffDirectory,
    actions,
    authorise,
    create_first_admin,
    issue_token,
    passwords,
    revoke_token,
    store,
)
from koban.access.logic import ANONYMOUS, Rate, RateLimiter
from koban.access.permissions import grants_of, grants_of_scopes
from koban.access.signing_in import change_account, change_password, sign_in
from koban.access.types import (
    BeyondOwnGrants,
    EmailTaken,
    LastAdmin,
    LinkInvalid,
    NotAllowed,
    NotSignedIn,
    OpenedSession,
    PasswordWeak,
    RoleUnknown,
    SignInRefused,
    SignInSlowed,
    Staff,
    StaffMissing,
    TokenMissing,
    TooManyRequests,
)
from koban.audit import SeededSecrets, list_entries
from koban.base import DAY, HOUR, MINUTE, SECOND, Instant, Refusal
from koban.db import Database, Tx

AT = Instant(1_792_584_000_000_000)
GOOD = "correct horse battery"
SECRETS = SeededSecrets(5)
RANDOM = random.Random(6)


def after(by: int) -> Instant:
    return Instant(AT + by)


def principal(one: Staff) -> Principal:
    return Principal(kind="staff", id=one.id, name=one.name, roles=one.roles, grants=grants_of(one.roles))


def first_session(database: Database, at: Instant = AT) -> OpenedSession:
    with database.write() as tx:
        link = create_first_admin(tx, at, RANDOM, SECRETS)
        assert link is not None
        return actions.redeem_link(tx, at, RANDOM, SECRETS, link=link.secret)


@pytest.fixture
def admin(database: Database) -> Principal:
    session = first_session(database)
    with database.write() as tx:
        actions.set_password(
            tx, AT, by=principal(session.staff), session_id=session.session_id,
            hashed=passwords.hash_password(GOOD, email="admin@localhost", name="Administrator"),
        )  # fmt: skip
    return principal(session.staff)


def invite(database: Database, by: Principal, *roles: str, email: str = "Aoi@Example.com ") -> Staff:
    with database.write() as tx:
        return actions.invite_staff(tx, AT, RANDOM, SECRETS, by=by, email=email, name="Aoi", roles=roles)[0]


def everything(database: Database) -> list[list[tuple[object, ...]]]:
    with database.read() as tx:
        return [
            [tuple(row) for row in tx.execute(sqlalchemy.text(f"SELECT * FROM {table} ORDER BY 1"))]
            for table in ("staff", "sessions", "staff_links", "api_tokens", "audit_entries")
        ]


def refused(database: Database, refusal: type[Refusal], verb: Callable[[Tx], object]) -> None:
    """Hold that the verb is refused and that nothing changed."""
    before = everything(database)
    with pytest.raises(refusal), database.write() as tx:
        verb(tx)
    assert everything(database) == before


def test_the_first_link_works_once_and_for_a_day(database: Database) -> None:
    with database.write() as tx:
        link = create_first_admin(tx, AT, RANDOM, SECRETS)
    assert link is not None
    assert link.path == f"/sign-in/link/{link.secret}"
    refused(
        database, LinkInvalid,
        lambda tx: actions.redeem_link(tx, after(24 * HOUR), RANDOM, SECRETS, link=link.secret),
    )  # fmt: skip
    with database.write() as tx:
        session = actions.redeem_link(tx, after(24 * HOUR - 1), RANDOM, SECRETS, link=link.secret)
    assert session.staff.roles == ("admin",)
    refused(database, LinkInvalid, lambda tx: actions.redeem_link(tx, AT, RANDOM, SECRETS, link=link.secret))


def test_a_second_start_replaces_the_first_link(database: Database) -> None:
    with database.write() as tx:
        first = create_first_admin(tx, AT, RANDOM, SECRETS)
        second = create_first_admin(tx, AT, RANDOM, SECRETS)
    assert first is not None
    assert second is not None
    assert first.staff_id == second.staff_id
    refused(database, LinkInvalid, lambda tx: actions.redeem_link(tx, AT, RANDOM, SECRETS, link=first.secret))


@pytest.mark.usefixtures("admin")
def test_no_first_link_once_an_administrator_has_a_password(database: Database) -> None:
    with database.write() as tx:
        assert create_first_admin(tx, AT, RANDOM, SECRETS) is None


def test_secrets_are_stored_hashed(database: Database, admin: Principal) -> None:
    with database.write() as tx:
        _, token = issue_token(tx, AT, RANDOM, SECRETS, by=admin, name="shop", scopes=("events.write",), days=30)
    session = sign_in(database, AT, RANDOM, SECRETS, email="admin@localhost", password=GOOD, address="192.0.2.1")
    stored = repr(everything(database))
    assert session.secret not in stored
    assert token not in stored
    assert GOOD not in stored
    assert "$argon2id$" in stored
    assert token.startswith("koban_")
    assert len(token) == 6 + 43


@pytest.mark.usefixtures("admin")
def test_signing_in_takes_the_right_password_alone(database: Database) -> None:
    session = sign_in(database, AT, RANDOM, SECRETS, email=" Admin@LOCALHOST", password=GOOD, address="192.0.2.1")
    caller = StaffDirectory(database).look_up("session", session.secret, AT)
    assert caller is not None
    assert (caller.principal.name, caller.session_id) == ("Administrator", session.session_id)
    for email, password in (("admin@localhost", GOOD + "x"), ("nobody@localhost", GOOD), ("admin@localhost", "")):
        with pytest.raises(SignInRefused):
            sign_in(database, AT, RANDOM, SECRETS, email=email, password=password, address="192.0.2.1")


def attempt(database: Database, at: Instant, *, email: str = "admin@localhost", right: bool, address: str = "a") -> str:
    try:
        sign_in(database, at, RANDOM, SECRETS, email=email, password=GOOD if right else "wrong", address=address)
    except SignInSlowed as slowed:
        return f"slowed {slowed.retry_after_s}"
    except SignInRefused:
        return "refused"
    return "in"


@pytest.mark.usefixtures("admin")
def test_guessing_one_account_is_slowed_from_any_address(database: Database) -> None:
    tries = [attempt(database, AT, right=False, address=f"192.0.2.{number}") for number in range(6)]
    assert tries == ["refused"] * 5 + ["slowed 30"]
    assert attempt(database, after(29 * SECOND), right=True) == "slowed 1"
    assert attempt(database, after(30 * SECOND), right=False) == "refused"
    assert attempt(database, after(31 * SECOND), right=True) == "slowed 59"
    assert attempt(database, after(90 * SECOND), right=True) == "in"
    assert attempt(database, after(91 * SECOND), right=False) == "refused"


@pytest.mark.usefixtures("admin")
def test_guessing_many_accounts_is_slowed_by_address(database: Database) -> None:
    tries = [
        attempt(database, AT, email=f"a{number}@localhost", right=False, address="192.0.2.9") for number in range(21)
    ]
    assert tries == ["refused"] * 20 + ["slowed 30"]
    assert attempt(database, AT, right=True, address="192.0.2.8") == "in"
    assert attempt(database, after(2 * DAY), right=True, address="192.0.2.9") == "in"


@pytest.mark.usefixtures("admin")
def test_the_pause_ends_and_never_grows_past_a_quarter_of_an_hour(database: Database) -> None:
    at = AT
    for _ in range(30):
        attempt(database, at, right=False)
        at = Instant(at + 15 * MINUTE)
    assert attempt(database, at, right=True) == "in"


@pytest.mark.parametrize(
    "password",
    ["", "short", "x" * 257, "aaaaaaaaaaaaaaaa", "abababababababab", "Hanako.Yamada", "hanakoyamada1"],
)
def test_weak_passwords_are_refused(password: str) -> None:
    with pytest.raises(PasswordWeak):
        passwords.hash_password(password, email="hanako.yamada@example.com", name="HanakoYamada")


def test_an_unknown_account_costs_a_real_hash() -> None:
    with pytest.raises(VerificationError, match="does not match"):
        passwords._hasher.verify(passwords._DUMMY, "whatever")
    assert not passwords.is_password(None, "whatever")
    assert not passwords.is_password("damaged", "whatever")


def test_changing_a_password_needs_the_present_one_and_ends_other_sessions(
    database: Database, admin: Principal
) -> None:
    mine, other = (
        sign_in(database, AT, RANDOM, SECRETS, email="admin@localhost", password=GOOD, address="a") for _ in range(2)
    )

    def change(present: str, password: str) -> None:
        change_password(
            database, AT, by=admin, session_id=mine.session_id, present=present, password=password, address="a"
        )

    before = everything(database)
    with pytest.raises(SignInRefused):
        change("wrong", GOOD + " staple")
    with pytest.raises(PasswordWeak):
        change(GOOD, "short")
    assert everything(database) == before
    change(GOOD, GOOD + " staple")
    directory = StaffDirectory(database)
    assert directory.look_up("session", mine.secret, AT) is not None
    assert directory.look_up("session", other.secret, AT) is None
    assert attempt(database, AT, right=True) == "refused"


def test_a_first_account_is_completed_in_one_step(database: Database) -> None:
    session = first_session(database)

    def change(*, email: str, present: str = "", password: str = "") -> Staff:
        return change_account(
            database, AT, SECRETS, by=principal(session.staff), session_id=session.session_id, email=email,
            name="Aoi", present=present, password=password, address="a",
        )  # fmt: skip

    before = everything(database)
    with pytest.raises(PasswordWeak):
        change(email="aoi@example.com")
    assert everything(database) == before
    assert change(email="Aoi@example.com", password=GOOD).email == "aoi@example.com"
    with pytest.raises(SignInRefused):
        change(email="ren@example.com", present="wrong")
    assert change(email="ren@example.com", present=GOOD).email == "ren@example.com"
    assert attempt(database, AT, email="ren@example.com", right=True) == "in"
    guesses = [attempt(database, AT, email="ren@example.com", right=False) for _ in range(5)]
    assert guesses == ["refused"] * 5
    with pytest.raises(SignInSlowed):
        change(email="ren@example.com", present=GOOD)


def test_a_session_ends_after_twelve_hours_or_two_idle_ones(database: Database) -> None:
    session = first_session(database)
    directory = StaffDirectory(database)
    assert directory.look_up("session", session.secret, after(2 * HOUR)) is None
    for hour in range(1, 12):
        assert directory.look_up("session", session.secret, after(hour * HOUR)) is not None
    assert directory.look_up("session", session.secret, after(12 * HOUR - 1)) is not None
    assert directory.look_up("session", session.secret, after(12 * HOUR)) is None


def test_what_is_remembered_is_forgotten_in_time(database: Database) -> None:
    session = first_session(database)
    directory = StaffDirectory(database)
    assert directory.recall("session", session.secret, AT) is None
    assert directory.look_up("session", session.secret, AT) is not None
    assert directory.recall("session", session.secret, after(5 * SECOND - 1)) is not None
    assert directory.recall("session", session.secret, after(5 * SECOND)) is None
    assert directory.recall("session", session.secret, after(-1)) is None
    assert directory.recall("bearer", session.secret, AT) is None
    directory.forget()
    assert directory.recall("session", session.secret, AT) is None


def test_two_who_take_one_email_at_once_are_told_apart(database: Database, admin: Principal) -> None:
    invited = invite(database, admin, "reviewer")
    refused(database, EmailTaken, lambda tx: store.insert_staff(tx, msgspec.structs.replace(invited, id="staff_z")))
    refused(
        database, EmailTaken, lambda tx: store.update_profile(tx, admin.id, email="aoi@example.com", name="Aoi")
    )  # fmt: skip


def test_a_full_disk_keeps_nobody_out(database: Database, admin: Principal) -> None:
    with database.write() as tx:
        _, secret = issue_token(tx, AT, RANDOM, SECRETS, by=admin, name="shop", scopes=("events.write",), days=30)
        if database.dialect == "sqlite":
            tx.execute(
                sqlalchemy.text(
                    "CREATE TRIGGER full BEFORE UPDATE ON api_tokens BEGIN SELECT RAISE(ABORT, 'disk is full'); END"
                )
            )
        else:
            tx.execute(sqlalchemy.text("ALTER TABLE api_tokens ADD CONSTRAINT full_ CHECK (used_day IS NULL)"))
    directory = StaffDirectory(database)
    assert directory.look_up("bearer", secret, AT) is not None


def test_a_token_works_until_it_expires_or_is_revoked(database: Database, admin: Principal) -> None:
    directory = StaffDirectory(database)
    with database.write() as tx:
        token, secret = issue_token(
            tx, AT, RANDOM, SECRETS, by=admin, name="shop", scopes=("events.write", "events.write"), days=30
        )
    assert token.scopes == ("events.write",)
    caller = directory.look_up("bearer", secret, AT)
    assert caller is not None
    assert (caller.principal.kind, caller.principal.id) == ("token", token.id)
    assert caller.principal.grants == {"events.write": "scope events.write"}
    assert directory.look_up("bearer", secret + "x", AT) is None
    assert directory.look_up("session", secret, AT) is None
    assert directory.look_up("bearer", secret, after(30 * DAY - 1)) is not None
    assert directory.look_up("bearer", secret, after(30 * DAY)) is None
    with database.write() as tx:
        revoked = revoke_token(tx, after(5), by=admin, token_id=token.id)
        assert revoked.revoked_at == after(5)
        assert revoked.used_day == after(30 * DAY - 1) // DAY
        assert revoke_token(tx, after(9), by=admin, token_id=token.id).revoked_at == after(5)
    assert directory.look_up("bearer", secret, AT) is None
    refused(database, TokenMissing, lambda tx: revoke_token(tx, AT, by=admin, token_id="token_x"))


def test_nobody_gives_what_they_do_not_have(database: Database, admin: Principal) -> None:
    lead = principal(invite(database, admin, "lead"))
    head = Principal(
        kind="staff", id=lead.id, name="Aoi", roles=("lead",), grants=dict(lead.grants) | {"staff.manage": "role head"}
    )
    refused(
        database, BeyondOwnGrants,
        lambda tx: actions.invite_staff(
            tx, AT, RANDOM, SECRETS, by=head, email="x@example.com", name="X", roles=("admin",)
        ),
    )  # fmt: skip
    refused(database, BeyondOwnGrants, lambda tx: actions.renew_link(tx, AT, SECRETS, by=head, staff_id=admin.id))
    refused(
        database, BeyondOwnGrants,
        lambda tx: actions.change_roles(tx, AT, by=head, staff_id=admin.id, roles=("reviewer",)),
    )  # fmt: skip
    refused(
        database, BeyondOwnGrants,
        lambda tx: issue_token(tx, AT, RANDOM, SECRETS, by=lead, name="x", scopes=("people.erase",), days=1),
    )  # fmt: skip
    with database.write() as tx:
        assert issue_token(tx, AT, RANDOM, SECRETS, by=SYSTEM, name="x", scopes=("people.erase",), days=1)


def test_unknown_names_are_refused_by_their_place(database: Database, admin: Principal) -> None:
    def bad_scope(tx: Tx) -> object:
        return issue_token(tx, AT, RANDOM, SECRETS, by=admin, name="x", scopes=("events.write", "everything"), days=1)

    refused(database, RoleUnknown, bad_scope)
    with pytest.raises(RoleUnknown) as refusal, database.write() as tx:
        bad_scope(tx)
    assert [one.path for one in refusal.value.problems] == ["/scopes/1"]
    invited = invite(database, admin, "reviewer")
    refused(
        database, RoleUnknown,
        lambda tx: actions.change_roles(tx, AT, by=admin, staff_id=invited.id, roles=("boss",)),
    )  # fmt: skip


def test_an_email_is_taken_once(database: Database, admin: Principal) -> None:
    invited = invite(database, admin, "reviewer")
    assert invited.email == "aoi@example.com"
    refused(
        database, EmailTaken,
        lambda tx: actions.invite_staff(
            tx, AT, RANDOM, SECRETS, by=admin, email="AOI@example.com", name="X", roles=("reviewer",)
        ),
    )  # fmt: skip
    refused(
        database, EmailTaken,
        lambda tx: actions.change_profile(tx, AT, SECRETS, by=admin, email="aoi@example.com", name="X"),
    )  # fmt: skip
    with database.write() as tx:
        changed = actions.change_profile(tx, AT, SECRETS, by=principal(invited), email="Ren@example.com", name="Ren")
    assert (changed.email, changed.name) == ("ren@example.com", "Ren")


def test_somebody_can_always_manage_staff(database: Database, admin: Principal) -> None:
    refused(database, LastAdmin, lambda tx: actions.disable_staff(tx, AT, by=admin, staff_id=admin.id))
    refused(
        database, LastAdmin,
        lambda tx: actions.change_roles(tx, AT, by=admin, staff_id=admin.id, roles=("lead",)),
    )  # fmt: skip
    second = invite(database, admin, "admin")
    with database.write() as tx:
        actions.disable_staff(tx, AT, by=admin, staff_id=second.id)
    refused(database, LastAdmin, lambda tx: actions.disable_staff(tx, AT, by=admin, staff_id=admin.id))
    with database.write() as tx:
        actions.enable_staff(tx, AT, by=admin, staff_id=second.id)
        assert actions.disable_staff(tx, AT, by=admin, staff_id=admin.id).disabled_at == AT


def test_tokens_of_who_left_hold_until_they_are_revoked_all_at_once(database: Database, admin: Principal) -> None:
    with database.write() as tx:
        second, _ = actions.invite_staff(
            tx, AT, RANDOM, SECRETS, by=admin, email="aoi@example.com", name="Aoi", roles=("admin",)
        )
        aoi = msgspec.structs.replace(admin, id=second.id)
        issued = [
            actions.issue_token(tx, AT, RANDOM, SECRETS, by=by, name="shop", scopes=("events.write",), days=days)[1]
            for by, days in ((aoi, 30), (aoi, 30), (aoi, 1), (admin, 30))
        ]
        actions.disable_staff(tx, AT, by=admin, staff_id=second.id)
    later = after(2 * DAY)
    with database.read() as tx:
        assert store.count_valid_tokens(tx, later) == {second.id: 2, admin.id: 1}
    assert StaffDirectory(database).look_up("bearer", issued[0], later) is not None, "machines work with them"
    with database.write() as tx:
        assert actions.revoke_tokens_of(tx, later, by=admin, staff_id=second.id) == 2, "one was over"
        assert actions.revoke_tokens_of(tx, later, by=admin, staff_id=second.id) == 0
        found = list_entries(tx, before_id=None, limit=9, actor=None, action="token.all_revoked", object_id=None)
    assert [(one.actor, one.object_id, one.details) for one in found] == [(admin.id, second.id, {"tokens": 2})]
    directory = StaffDirectory(database)
    assert [directory.look_up("bearer", each, later) is not None for each in issued] == [False, False, False, True]
    refused(database, StaffMissing, lambda tx: actions.revoke_tokens_of(tx, AT, by=admin, staff_id="staff_x"))


def test_who_is_disabled_is_out_at_once(database: Database, admin: Principal) -> None:
    with database.write() as tx:
        invited, link = actions.invite_staff(
            tx, AT, RANDOM, SECRETS, by=admin, email="aoi@example.com", name="Aoi", roles=("reviewer",)
        )
        session = actions.redeem_link(tx, AT, RANDOM, SECRETS, link=link.secret)
        another = actions.renew_link(tx, AT, SECRETS, by=admin, staff_id=invited.id)
        actions.disable_staff(tx, AT, by=admin, staff_id=invited.id)
        assert actions.disable_staff(tx, after(5), by=admin, staff_id=invited.id).disabled_at == AT
    assert StaffDirectory(database).look_up("session", session.secret, AT) is None
    refused(database, LinkInvalid, lambda tx: actions.redeem_link(tx, AT, RANDOM, SECRETS, link=another.secret))
    refused(database, StaffMissing, lambda tx: actions.renew_link(tx, AT, SECRETS, by=admin, staff_id=invited.id))
    refused(database, StaffMissing, lambda tx: actions.disable_staff(tx, AT, by=admin, staff_id="staff_x"))


def test_every_verb_leaves_an_entry_without_personal_data(database: Database, admin: Principal) -> None:
    invited = invite(database, admin, "reviewer")
    with database.write() as tx:
        actions.change_roles(tx, AT, by=admin, staff_id=invited.id, roles=("lead", "reviewer"))
        token, _ = issue_token(tx, AT, RANDOM, SECRETS, by=admin, name="Aoi's shop", scopes=("events.write",), days=1)
        revoke_token(tx, AT, by=admin, token_id=token.id)
        actions.sign_out(tx, AT, by=admin, session_id="session_1")
        entries = list_entries(tx, before_id=None, limit=50, actor=None, action=None, object_id=None)
    assert [(one.action, one.actor) for one in reversed(entries)] == [
        ("staff.created", "koban"),
        ("session.opened", admin.id),
        ("staff.password_set", admin.id),
        ("staff.created", admin.id),
        ("staff.roles_changed", admin.id),
        ("token.issued", admin.id),
        ("token.revoked", admin.id),
        ("session.closed", admin.id),
    ]
    assert "Aoi" not in repr(entries)
    assert "example" not in repr(entries)


def test_every_role_and_permission_has_its_words() -> None:
    known = {"admin", "lead", "specialist", "reviewer", "auditor", "integrator", "finance"}
    assert set(ROLES) == set(ROLE_TITLES) == known
    assert ROLES["admin"] == frozenset(CATALOGUE) - MACHINES
    for role, permissions in ROLES.items():
        assert permissions <= set(CATALOGUE), role
        assert set(ROLE_TITLES[role]) == {"en", "ja"}
    for name, about in CATALOGUE.items():
        assert set(about) == {"en", "ja"}, name
    assert ROLES["reviewer"] < ROLES["specialist"] < ROLES["lead"] < ROLES["admin"]
    assert not any(name.endswith((".write", ".manage", ".impose", ".erase")) for name in ROLES["auditor"])


@given(
    roles=st.lists(st.sampled_from([*ROLES, "boss"]), max_size=3),
    permission=st.sampled_from([*CATALOGUE, "unheard.of"]),
)
def test_nothing_is_allowed_that_no_role_allows(roles: list[str], permission: str) -> None:
    caller = Principal(kind="staff", id="staff_1", name="", roles=tuple(roles), grants=grants_of(tuple(roles)))
    granting = [role for role in roles if permission in ROLES.get(role, ())]
    if granting:
        assert authorise(caller, permission).by == f"role {granting[0]}"
    else:
        with pytest.raises(NotAllowed):
            authorise(caller, permission)


@given(
    scopes=st.lists(st.sampled_from([*CATALOGUE, "unheard.of"]), max_size=5),
    permission=st.sampled_from([*CATALOGUE, "unheard.of"]),
)
def test_a_token_may_do_what_its_scopes_name(scopes: list[str], permission: str) -> None:
    caller = Principal(kind="token", id="token_1", name="", grants=grants_of_scopes(tuple(scopes)))
    if permission in scopes and permission in CATALOGUE:
        assert authorise(caller, permission).by == f"scope {permission}"
    else:
        with pytest.raises(NotAllowed):
            authorise(caller, permission)


def test_nobody_may_do_what_is_public_alone() -> None:
    assert authorise(ANONYMOUS, PUBLIC).by == "open to everyone"
    for permission in (*CATALOGUE, SIGNED_IN):
        with pytest.raises(NotSignedIn):
            authorise(ANONYMOUS, permission)
    assert authorise(SYSTEM, "people.erase").by == "koban itself"


@given(
    steps=st.lists(st.integers(0, 3 * SECOND), max_size=60),
    per_s=st.integers(1, 5),
    burst=st.integers(1, 8),
)
def test_no_window_lets_more_through_than_burst_and_rate(steps: list[int], per_s: int, burst: int) -> None:
    limiter = RateLimiter(Rate(per_s=per_s, burst=burst))
    at, passed = int(AT), list[int]()
    for step in steps:
        at += step
        try:
            limiter.take("one", Instant(at))
            passed.append(at)
        except TooManyRequests:
            continue
    for first in range(len(passed)):
        for last in range(first, len(passed)):
            span = passed[last] - passed[first]
            assert last - first + 1 <= burst + span * per_s / SECOND + 1e-6
    limiter.take("another", Instant(at))
