"""Routes of staff, sessions, tokens, permissions and the audit trail."""

import dataclasses
import pathlib
import random
import urllib.parse
from collections.abc import Callable
from typing import Annotated, Final, TypeVar

import msgspec
import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from koban.access import actions, store, types
from koban.access.directory import StaffDirectory
from koban.access.permissions import CATALOGUE, PUBLIC, ROLE_TITLES, ROLES, SIGNED_IN
from koban.access.signing_in import change_password, sign_in
from koban.access.types import Answer, Call, Cookie, Endpoint, OpenedSession, Page, PageQuery, Staff, Token, endpoint
from koban.access.web import SIGN_IN_PATH, session_cookie_name
from koban.audit import AuditEntry, Broken, Secrets, list_entries, read_checkpoints, verify
from koban.base import DAY, SECOND, Instant, Refusal, to_rfc3339
from koban.db import Database, Tx

SESSIONS_MAX: Final = 1_000
HOME_PATH: Final = "/"
ACCOUNT_PATH: Final = "/account"
PASSWORD_PATH: Final = "/account/password"  # noqa: S105 — the page where one is chosen
CSP_REPORT_MAX_BYTES: Final = 16 * 1024

Email = Annotated[str, msgspec.Meta(pattern=r"^[^@\s\x00]+@[^@\s\x00]+$", max_length=254)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
# The document names what the actions accept; the actions refuse the rest by its place, with the known names as a hint.
Role = Annotated[str, msgspec.Meta(extra_json_schema={"enum": sorted(ROLES)})]
Scope = Annotated[str, msgspec.Meta(extra_json_schema={"enum": sorted(CATALOGUE)})]
Roles = Annotated[tuple[Role, ...], msgspec.Meta(min_length=1, max_length=100)]
Scopes = Annotated[tuple[Scope, ...], msgspec.Meta(min_length=1, max_length=100)]

_log: Final = structlog.get_logger("koban.access")


@dataclasses.dataclass(frozen=True, kw_only=True)
class AccessKit:
    """What these routes work with; made once by the application."""

    database: Database
    directory: StaffDirectory
    randomness: random.Random
    secrets: Secrets
    checkpoint_file: pathlib.Path
    audit_key: Ed25519PublicKey
    secure_cookies: bool = False


class CspViolation(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """What browsers tell of a violation, as far as it is read."""

    effective_directive: str = ""
    violated_directive: str = ""
    blocked_uri: str = ""


class CspReport(msgspec.Struct, frozen=True, kw_only=True):
    """A report as browsers send it."""

    report: CspViolation = msgspec.field(name="csp-report")


class SignIn(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody signs in with; `next` is where the browser goes afterwards, if a form was sent."""

    email: Annotated[str, msgspec.Meta(max_length=254)]
    password: Annotated[str, msgspec.Meta(max_length=1024)]
    next: Annotated[str, msgspec.Meta(max_length=2000)] = ""


class NewPassword(msgspec.Struct, frozen=True, kw_only=True):
    """A new password, with the present one unless there is none yet."""

    password: Annotated[str, msgspec.Meta(max_length=1024)]
    present: Annotated[str, msgspec.Meta(max_length=1024)] = ""
    next: Annotated[str, msgspec.Meta(max_length=2000)] = ""


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """How one signs in and is shown."""

    email: Email
    name: Name
    next: Annotated[str, msgspec.Meta(max_length=2000)] = ""


class Invitation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new member of staff."""

    email: Email
    name: Name
    roles: Roles


class RoleNames(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The roles that somebody shall have."""

    roles: Roles


class TokenRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A token to be issued."""

    name: Name
    scopes: Scopes
    days: Annotated[int, msgspec.Meta(ge=1, le=actions.TOKEN_LIFE_MAX_DAYS)] = 90


class StaffBody(msgspec.Struct, frozen=True, kw_only=True):
    """A member of staff, as the API shows them."""

    id: str
    email: str
    name: str
    roles: tuple[str, ...]
    has_password: bool
    created_at: str
    disabled_at: str | None


class MeBody(msgspec.Struct, frozen=True, kw_only=True):
    """Who is signed in, and what they may do."""

    staff: StaffBody
    grants: dict[str, str]
    csrf: str


class SessionBody(msgspec.Struct, frozen=True, kw_only=True):
    """The session that was opened; its secret is in the cookie alone."""

    staff: StaffBody
    expires_at: str


class LinkBody(msgspec.Struct, frozen=True, kw_only=True):
    """A one-time sign-in link, to be handed over in person."""

    path: str
    expires_at: str


class InvitedBody(msgspec.Struct, frozen=True, kw_only=True):
    """A new member of staff with the link for their first sign-in."""

    staff: StaffBody
    link: LinkBody


class TokenBody(msgspec.Struct, frozen=True, kw_only=True):
    """A token, as the API shows it."""

    id: str
    name: str
    scopes: tuple[str, ...]
    created_by: str
    created_at: str
    expires_at: str
    revoked_at: str | None
    used_day: str | None


class RevokedBody(msgspec.Struct, frozen=True, kw_only=True):
    """How many tokens held until now."""

    revoked: int


class IssuedBody(msgspec.Struct, frozen=True, kw_only=True):
    """A token with its secret, which is shown this once."""

    token: TokenBody
    secret: str


class SessionListed(msgspec.Struct, frozen=True, kw_only=True):
    """An open session, as the API shows it."""

    id: str
    staff_id: str
    created_at: str
    seen_at: str
    expires_at: str
    is_this: bool


class SessionsQuery(PageQuery, frozen=True, kw_only=True):
    """Whose sessions to list."""

    staff_id: Annotated[str, msgspec.Meta(max_length=200)] | None = None


class RoleBody(msgspec.Struct, frozen=True, kw_only=True):
    """A role with what it allows."""

    role: str
    title: dict[str, str]
    permissions: tuple[str, ...]


class PermissionBody(msgspec.Struct, frozen=True, kw_only=True):
    """A permission and what it lets somebody do."""

    permission: str
    about: dict[str, str]


class AuditBody(msgspec.Struct, frozen=True, kw_only=True):
    """An audit entry, as the API shows it."""

    id: int
    position: int | None
    recorded_at: str
    actor: str
    action: str
    object_id: str
    details: dict[str, str | int | bool | None]


class AuditReportBody(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the audit trail is whole."""

    whole: bool
    sealed: int
    unsealed: int
    oldest_unsealed_at: str | None
    checkpoints: int
    broken: Broken | None


class AuditQuery(PageQuery, frozen=True, kw_only=True):
    """Which audit entries to list."""

    cursor: Annotated[str, msgspec.Meta(pattern="^[0-9]{1,18}$")] | None = None
    actor: Annotated[str, msgspec.Meta(max_length=200)] | None = None
    action: Annotated[str, msgspec.Meta(max_length=200)] | None = None
    object_id: Annotated[str, msgspec.Meta(max_length=200)] | None = None


def endpoints(kit: AccessKit) -> tuple[Endpoint, ...]:
    """Return the endpoint table of this room."""
    return (
        *_session_endpoints(kit),
        *_own_endpoints(kit),
        *_staff_endpoints(kit),
        *_staff_change_endpoints(kit),
        *_token_endpoints(kit),
        *_open_session_endpoints(kit),
        *_audit_endpoints(kit),
    )


def safe_next(path: str, otherwise: str = HOME_PATH) -> str:
    """Return a path of our own to go to: never another site, whatever a link says."""
    if not path.startswith("/") or path.startswith("//") or "\\" in path or not path.isprintable():
        return otherwise
    return urllib.parse.quote(path, safe="/?&=%+:;,@!$'()*~-._#[]")


def _session_endpoints(kit: AccessKit) -> tuple[Endpoint, ...]:
    cookie = session_cookie_name(secure=kit.secure_cookies)

    def opened(call: Call, session: OpenedSession, to: str) -> Answer:
        cookies = (Cookie(name=cookie, value=session.secret, max_age_s=actions.SESSION_LIFE_US // SECOND),)
        if call.is_form or call.method == "GET":
            return types.redirect(to, cookies=cookies)
        body = SessionBody(staff=_staff_body(session.staff), expires_at=to_rfc3339(session.expires_at))
        return Answer(body=body, cookies=cookies)

    def post_sign_in(call: Call) -> object:
        asked = call.body_as(SignIn)
        try:
            session = sign_in(
                kit.database,
                call.at,
                kit.randomness,
                kit.secrets,
                email=asked.email,
                password=asked.password,
                address=call.address,
            )
        except (types.SignInRefused, types.SignInSlowed) as refusal:
            return _back(call, refusal, SIGN_IN_PATH, asked.next)
        return opened(call, session, safe_next(asked.next))

    def get_link(call: Call) -> object:
        if call.method == "HEAD":  # whoever only looks at a link, a preview or a scanner, must not use it up
            return Answer()
        with kit.database.write() as tx:
            session = actions.redeem_link(tx, call.at, kit.randomness, kit.secrets, link=call.path["link"])
        return opened(call, session, PASSWORD_PATH)

    def post_sign_out(call: Call) -> object:
        with kit.database.write() as tx:
            actions.sign_out(tx, call.at, by=call.principal, session_id=call.session_id)
        kit.directory.forget()
        gone = (Cookie(name=cookie, value=""),)
        return types.redirect(SIGN_IN_PATH, cookies=gone) if call.is_form else Answer(status=204, cookies=gone)

    return (
        endpoint(
            "POST", "/v1/sign-in", PUBLIC, post_sign_in, summary="Sign in with a password", body=SignIn,
            returns=SessionBody, raises=(types.SignInRefused, types.SignInSlowed), accepts="either",
        ),
        endpoint("GET", "/sign-in/link/{link}", PUBLIC, get_link, summary="Sign in with a one-time link",
                 raises=(types.LinkInvalid,), page=True),
        endpoint("POST", "/v1/sign-out", SIGNED_IN, post_sign_out, summary="End the session", accepts="form",
                 status=204),
    )  # fmt: skip


def _own_endpoints(kit: AccessKit) -> tuple[Endpoint, ...]:
    def get_me(call: Call) -> object:
        with kit.database.read() as tx:
            own = _own(tx, call)
        return MeBody(staff=_staff_body(own), grants=dict(call.principal.grants), csrf=call.csrf)

    def post_profile(call: Call) -> object:
        asked = call.body_as(Profile)
        try:
            with kit.database.write() as tx:
                own = actions.change_profile(
                    tx, call.at, kit.secrets, by=call.principal, email=asked.email, name=asked.name
                )
        except types.EmailTaken as refusal:
            return _back(call, refusal, ACCOUNT_PATH, asked.next)
        kit.directory.forget()
        return types.redirect(safe_next(asked.next)) if call.is_form else _staff_body(own)

    def post_password(call: Call) -> object:
        asked = call.body_as(NewPassword)
        try:
            change_password(
                kit.database,
                call.at,
                by=call.principal,
                session_id=call.session_id,
                present=asked.present,
                password=asked.password,
                address=call.address,
            )
        except (types.SignInRefused, types.SignInSlowed, types.PasswordWeak) as refusal:
            return _back(call, refusal, PASSWORD_PATH, asked.next)
        kit.directory.forget()
        return types.redirect(safe_next(asked.next)) if call.is_form else Answer(status=204)

    return (
        endpoint("GET", "/v1/me", SIGNED_IN, get_me, summary="Who is signed in", returns=MeBody,
                 raises=(types.StaffMissing,)),
        endpoint(
            "POST", "/v1/me", SIGNED_IN, post_profile, summary="Change one's e-mail and name", body=Profile,
            returns=StaffBody, raises=(types.StaffMissing, types.EmailTaken), accepts="either",
        ),
        endpoint(
            "POST", "/v1/me/password", SIGNED_IN, post_password, summary="Choose a password", body=NewPassword,
            status=204, accepts="either",
            raises=(types.SignInRefused, types.SignInSlowed, types.PasswordWeak, types.StaffMissing),
        ),
        endpoint(
            "POST", "/csp", PUBLIC, _post_csp, summary="Report a violation of the content security policy", body=bytes,
            status=204, max_bytes=CSP_REPORT_MAX_BYTES, media_types=("application/csp-report", "application/json"),
        ),
    )  # fmt: skip


def _back(call: Call, refusal: Refusal, page: str, then: str) -> Answer:
    """Send a browser back to its form with what was refused; programs get the refusal itself."""
    if not call.is_form:
        raise refusal
    return types.redirect(f"{page}?{urllib.parse.urlencode({'error': refusal.code, 'next': safe_next(then)})}")


def _post_csp(call: Call) -> object:
    """Log which directive was broken and by what; the page's address may hold a person's data and is left out."""
    try:
        report = msgspec.json.decode(call.raw, type=CspReport).report
    except msgspec.DecodeError:
        return Answer(status=204)
    _log.warning(
        "content security policy violated",
        directive=(report.effective_directive or report.violated_directive)[:80],
        blocked=report.blocked_uri.partition("?")[0][:200],
    )
    return Answer(status=204)


def _staff_endpoints(kit: AccessKit) -> tuple[Endpoint, ...]:
    def get_staff(call: Call) -> object:
        asked = call.params_as(PageQuery)
        with kit.database.read() as tx:
            found = store.list_staff(tx, after_id=asked.cursor or "", limit=asked.limit + 1)
        return _page([_staff_body(one) for one in found], asked.limit)

    def get_one(call: Call) -> object:
        with kit.database.read() as tx:
            found = store.staff_by_id(tx, call.path["id"])
        if found is None:
            raise types.StaffMissing("it never was, or its id is mistyped")
        return _staff_body(found)

    def post_staff(call: Call) -> object:
        asked = call.body_as(Invitation)
        with kit.database.write() as tx:
            new, link = actions.invite_staff(
                tx, call.at, kit.randomness, kit.secrets, by=call.principal, email=asked.email, name=asked.name,
                roles=asked.roles,
            )  # fmt: skip
        return InvitedBody(staff=_staff_body(new), link=_link_body(link))

    def get_roles(_call: Call) -> object:
        return [
            RoleBody(role=role, title=dict(ROLE_TITLES[role]), permissions=tuple(sorted(permissions)))
            for role, permissions in ROLES.items()
        ]

    def get_permissions(_call: Call) -> object:
        return [PermissionBody(permission=name, about=dict(about)) for name, about in CATALOGUE.items()]

    return (
        endpoint("GET", "/v1/staff", "staff.read", get_staff, summary="List staff", query=PageQuery,
                 returns=Page[StaffBody]),
        endpoint("POST", "/v1/staff", "staff.manage", post_staff, summary="Invite a member of staff", body=Invitation,
                 returns=InvitedBody, status=201, raises=(types.RoleUnknown, types.BeyondOwnGrants, types.EmailTaken)),
        endpoint("GET", "/v1/staff/{id}", "staff.read", get_one, summary="See a member of staff", returns=StaffBody,
                 raises=(types.StaffMissing,)),
        endpoint("GET", "/v1/roles", "staff.read", get_roles, summary="List roles", returns=list[RoleBody]),
        endpoint("GET", "/v1/permissions", "staff.read", get_permissions, summary="List permissions",
                 returns=list[PermissionBody]),
    )  # fmt: skip


def _staff_change_endpoints(kit: AccessKit) -> tuple[Endpoint, ...]:
    def change(verb: Callable[[Tx], Staff]) -> StaffBody:
        with kit.database.write() as tx:
            changed = verb(tx)
        kit.directory.forget()
        return _staff_body(changed)

    def post_link(call: Call) -> object:
        with kit.database.write() as tx:
            link = actions.renew_link(tx, call.at, kit.secrets, by=call.principal, staff_id=call.path["id"])
        return _link_body(link)

    def put_roles(call: Call) -> object:
        roles = call.body_as(RoleNames).roles
        return change(
            lambda tx: actions.change_roles(tx, call.at, by=call.principal, staff_id=call.path["id"], roles=roles),
        )

    def post_disable(call: Call) -> object:
        return change(lambda tx: actions.disable_staff(tx, call.at, by=call.principal, staff_id=call.path["id"]))

    def post_enable(call: Call) -> object:
        return change(lambda tx: actions.enable_staff(tx, call.at, by=call.principal, staff_id=call.path["id"]))

    missing, beyond, unknown = types.StaffMissing, types.BeyondOwnGrants, types.RoleUnknown
    return (
        endpoint("PUT", "/v1/staff/{id}/roles", "staff.manage", put_roles, summary="Change somebody's roles",
                 body=RoleNames, returns=StaffBody, raises=(missing, unknown, beyond, types.LastAdmin)),
        endpoint("POST", "/v1/staff/{id}/disable", "staff.manage", post_disable, returns=StaffBody,
                 summary="Keep somebody from signing in", raises=(missing, beyond, types.LastAdmin)),
        endpoint("POST", "/v1/staff/{id}/enable", "staff.manage", post_enable, returns=StaffBody,
                 summary="Let somebody sign in again", raises=(missing, beyond)),
        endpoint("POST", "/v1/staff/{id}/link", "staff.manage", post_link, returns=LinkBody, status=201,
                 summary="Make a one-time sign-in link", raises=(missing, beyond)),
    )  # fmt: skip


def _token_endpoints(kit: AccessKit) -> tuple[Endpoint, ...]:
    def get_tokens(call: Call) -> object:
        asked = call.params_as(PageQuery)
        with kit.database.read() as tx:
            found = store.list_tokens(tx, after_id=asked.cursor or "", limit=asked.limit + 1)
        return _page([_token_body(one) for one in found], asked.limit)

    def post_token(call: Call) -> object:
        asked = call.body_as(TokenRequest)
        with kit.database.write() as tx:
            token, secret = actions.issue_token(
                tx, call.at, kit.randomness, kit.secrets, by=call.principal, name=asked.name, scopes=asked.scopes,
                days=asked.days,
            )  # fmt: skip
        return IssuedBody(token=_token_body(token), secret=secret)

    def post_revoke_all(call: Call) -> object:
        with kit.database.write() as tx:
            revoked = actions.revoke_tokens_of(tx, call.at, by=call.principal, staff_id=call.path["id"])
        kit.directory.forget()
        return RevokedBody(revoked=revoked)

    def delete_token(call: Call) -> object:
        with kit.database.write() as tx:
            token = actions.revoke_token(tx, call.at, by=call.principal, token_id=call.path["id"])
        kit.directory.forget()
        return _token_body(token)

    return (
        endpoint("GET", "/v1/tokens", "tokens.read", get_tokens, summary="List API tokens", query=PageQuery,
                 returns=Page[TokenBody]),
        endpoint("POST", "/v1/tokens", "tokens.manage", post_token, summary="Issue an API token", body=TokenRequest,
                 returns=IssuedBody, status=201, raises=(types.RoleUnknown, types.BeyondOwnGrants)),
        endpoint("DELETE", "/v1/tokens/{id}", "tokens.manage", delete_token, summary="Revoke an API token",
                 returns=TokenBody, raises=(types.TokenMissing,)),
        endpoint("POST", "/v1/staff/{id}/revoke-tokens", "tokens.manage", post_revoke_all, returns=RevokedBody,
                 summary="Revoke every API token that somebody issued", raises=(types.StaffMissing,)),
    )  # fmt: skip


def _open_session_endpoints(kit: AccessKit) -> tuple[Endpoint, ...]:
    def get_sessions(call: Call) -> object:
        asked = call.params_as(SessionsQuery)
        # Everybody sees their own; whoever may read staff sees those of others too.
        whose = asked.staff_id if "staff.read" in call.principal.grants else call.principal.id
        with kit.database.read() as tx:
            found = store.list_sessions(tx, at=call.at, staff_id=whose, limit=SESSIONS_MAX)
        bodies = [
            SessionListed(
                id=one.id, staff_id=one.staff_id, created_at=to_rfc3339(one.created_at), seen_at=to_rfc3339(one.seen_at),
                expires_at=to_rfc3339(one.expires_at), is_this=one.id == call.session_id,
            )
            for one in sorted(found, key=lambda one: one.id)
            if asked.cursor is None or one.id > asked.cursor
        ]  # fmt: skip
        items = bodies[: asked.limit]
        return Page(items=items, next_cursor=items[-1].id if len(bodies) > asked.limit else None)

    def delete_session(call: Call) -> object:
        with kit.database.write() as tx:
            actions.end_session(tx, call.at, by=call.principal, session_id=call.path["id"])
        kit.directory.forget()
        return Answer(status=204)

    return (
        endpoint("GET", "/v1/sessions", SIGNED_IN, get_sessions, summary="List open sessions", query=SessionsQuery,
                 returns=Page[SessionListed], description="One's own; with staff.read those of everybody."),
        endpoint("DELETE", "/v1/sessions/{id}", SIGNED_IN, delete_session, summary="End a session", status=204,
                 raises=(types.SessionMissing,), description="One's own; with staff.manage anybody's."),
    )  # fmt: skip


def _audit_endpoints(kit: AccessKit) -> tuple[Endpoint, ...]:
    def get_audit(call: Call) -> object:
        asked = call.params_as(AuditQuery)
        with kit.database.read() as tx:
            found = list_entries(
                tx, before_id=int(asked.cursor) if asked.cursor is not None else None, limit=asked.limit + 1,
                actor=asked.actor, action=asked.action, object_id=asked.object_id,
            )  # fmt: skip
        items = [_audit_body(one) for one in found[: asked.limit]]
        return Page(items=items, next_cursor=str(items[-1].id) if len(found) > asked.limit else None)

    def post_verify(_call: Call) -> object:
        checkpoints = read_checkpoints(kit.checkpoint_file)
        with kit.database.read() as tx:
            report = verify(tx, checkpoints, kit.audit_key)
        return AuditReportBody(
            whole=report.is_whole,
            sealed=report.sealed,
            unsealed=report.unsealed,
            oldest_unsealed_at=_time(report.oldest_unsealed_at),
            checkpoints=report.checkpoints,
            broken=report.broken,
        )

    return (
        endpoint("GET", "/v1/audit", "audit.read", get_audit, summary="List audit entries, newest first",
                 query=AuditQuery, returns=Page[AuditBody]),
        endpoint("POST", "/v1/audit/verify", "audit.verify", post_verify, returns=AuditReportBody,
                 summary="Check that the audit trail is whole"),
    )  # fmt: skip


def _own(tx: Tx, call: Call) -> Staff:
    own = store.staff_by_id(tx, call.principal.id)
    if own is None:
        raise types.StaffMissing("your account is gone")
    return own


T = TypeVar("T", StaffBody, TokenBody)


def _page(found: list[T], limit: int) -> Page[T]:
    items = found[:limit]
    return Page(items=items, next_cursor=items[-1].id if len(found) > limit else None)


def _staff_body(one: Staff) -> StaffBody:
    return StaffBody(
        id=one.id,
        email=one.email,
        name=one.name,
        roles=one.roles,
        has_password=one.has_password,
        created_at=to_rfc3339(one.created_at),
        disabled_at=_time(one.disabled_at),
    )


def _token_body(one: Token) -> TokenBody:
    return TokenBody(
        id=one.id,
        name=one.name,
        scopes=one.scopes,
        created_by=one.created_by,
        created_at=to_rfc3339(one.created_at),
        expires_at=to_rfc3339(one.expires_at),
        revoked_at=_time(one.revoked_at),
        used_day=to_rfc3339(Instant(one.used_day * DAY))[:10] if one.used_day is not None else None,
    )


def _link_body(link: types.OneTimeLink) -> LinkBody:
    return LinkBody(path=link.path, expires_at=to_rfc3339(link.expires_at))


def _audit_body(one: AuditEntry) -> AuditBody:
    return AuditBody(
        id=one.id,
        position=one.position,
        recorded_at=to_rfc3339(one.recorded_at),
        actor=one.actor,
        action=one.action,
        object_id=one.object_id,
        details=dict(one.details),
    )


def _time(at: Instant | None) -> str | None:
    return to_rfc3339(at) if at is not None else None
