"""Getting in and being oneself: signing in, the first password, language and theme; and the static files."""

from typing import Final

from koban.access import PUBLIC, SIGNED_IN, Answer, Call, Cookie, Endpoint, change_account, endpoint, redirect
from koban.access import actions as access_actions
from koban.access import store as access_store
from koban.access.types import EmailTaken, PasswordWeak, RouteMissing, SignInRefused, SignInSlowed
from koban.access.web import session_cookie_name
from koban.console.kit import ConsoleKit
from koban.console.pages import FOLDER, THEME_COOKIE, THEMES, done, local_path, page

LANGUAGE_COOKIE: Final = "koban_language"
YEAR_S: Final = 365 * 24 * 3600
NAME_CHARS_MAX: Final = 100
EMAIL_CHARS_MAX: Final = 254
FIRST_EMAIL: Final = access_actions.FIRST_ADMIN_EMAIL

_ERRORS: Final = ("sign_in_refused", "sign_in_slowed")
_PROBLEMS: Final = {
    "sign_in_slowed": "sign_in.sign_in_slowed",
    "password_weak": "account.problem_weak",
    "email_taken": "account.problem_taken",
}
_TYPES: Final = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
_FILES: Final = {file.name: file for file in (FOLDER / "static").iterdir() if file.suffix in _TYPES}


def endpoints(kit: ConsoleKit) -> tuple[Endpoint, ...]:
    """Return the pages of this part."""

    def home(_call: Call) -> Answer:
        return redirect("/board")

    def sign_in(call: Call) -> Answer:
        if call.principal.kind == "staff":
            return redirect(local_path(call.query.get("next", "/board")))
        error = call.query.get("error", "")
        return page(
            kit,
            call,
            "sign_in.html",
            error=error if error in _ERRORS else "",
            next=local_path(call.query.get("next", "/board")),
            roles=kit.story.roles if kit.story is not None else (),
        )

    def account(call: Call) -> Answer:
        return _account_page(kit, call, problem="")

    def preferences(call: Call) -> Answer:
        cookies = []
        language, theme = call.form.get("language", ""), call.form.get("theme", "")
        if language in ("ja", "en"):
            cookies.append(Cookie(name=LANGUAGE_COOKIE, value=language, max_age_s=YEAR_S))
        if theme in THEMES:
            cookies.append(Cookie(name=THEME_COOKIE, value=theme, max_age_s=YEAR_S))
        return redirect(local_path(call.form.get("next", "")), cookies=tuple(cookies))

    return (
        endpoint("GET", "/", SIGNED_IN, home, summary="The console", page=True),
        endpoint("GET", "/sign-in", PUBLIC, sign_in, summary="Sign in", page=True),
        endpoint("GET", "/account/password", SIGNED_IN, account, summary="One's own account", page=True),
        endpoint(
            "POST",
            "/account/password",
            SIGNED_IN,
            lambda call: _change_account(kit, call),
            summary="Change one's own account",
            accepts="form",
            page=True,
        ),
        endpoint(
            "POST", "/preferences", PUBLIC, preferences, summary="Language and theme", accepts="form", page=True
        ),
        endpoint("POST", "/sign-out", SIGNED_IN, lambda call: _sign_out(kit, call), summary="Sign out",
                 accepts="form", page=True),
        endpoint("GET", "/static/{file}", PUBLIC, _static, summary="A static file", page=True),
    )  # fmt: skip


def _sign_out(kit: ConsoleKit, call: Call) -> Answer:
    with kit.database.write() as tx:
        access_actions.sign_out(tx, call.at, by=call.principal, session_id=call.session_id)
    kit.access.directory.forget()
    gone = (Cookie(name=_session_cookie(kit), value=""),)
    return redirect("/sign-in", cookies=gone)


def _session_cookie(kit: ConsoleKit) -> str:
    return session_cookie_name(secure=kit.access.secure_cookies)


def _account_page(kit: ConsoleKit, call: Call, *, problem: str, status: int = 200) -> Answer:
    with kit.database.read() as tx:
        own = access_store.staff_by_id(tx, call.principal.id)
    assert own is not None  # the session names somebody who is there
    name, email = own.name, own.email
    if not own.has_password and email == FIRST_EMAIL:
        name, email = "", ""  # the first administrator says who they are; nothing is filled in for them
    return page(
        kit,
        call,
        "account.html",
        status=status,
        first=not own.has_password,
        name=call.form.get("name", name),
        email=call.form.get("email", email),
        problem=problem,
    )


def _change_account(kit: ConsoleKit, call: Call) -> Answer:
    form = call.form
    name, email = form.get("name", "").strip(), form.get("email", "").strip()
    password = form.get("password", "")
    if not 0 < len(name) <= NAME_CHARS_MAX or not 2 < len(email) <= EMAIL_CHARS_MAX or "@" not in email[1:-1]:
        return _account_page(kit, call, problem="account.problem_fields", status=422)
    try:
        first = not _has_password(kit, call)
        change_account(
            kit.database,
            call.at,
            kit.access.secrets,
            by=call.principal,
            session_id=call.session_id,
            email=email,
            name=name,
            present=form.get("present", ""),
            password=password,
            address=call.address,
        )
    except SignInRefused:
        return _account_page(kit, call, problem="account.problem_present", status=422)
    except (SignInSlowed, PasswordWeak, EmailTaken) as refusal:
        return _account_page(kit, call, problem=_PROBLEMS[refusal.code], status=refusal.status)
    kit.access.directory.forget()
    return done(call, "/board" if first else "/account/password", "account_saved")


def _has_password(kit: ConsoleKit, call: Call) -> bool:
    with kit.database.read() as tx:
        return access_store.password_hash(tx, call.principal.id) is not None


def _static(call: Call) -> Answer:
    file = _FILES.get(call.path["file"])
    if file is None:
        raise RouteMissing("there is no such file")
    kept = "public, max-age=31536000, immutable" if call.query.get("v") else "public, max-age=300"
    return Answer(
        body=file.read_bytes(),
        media_type=_TYPES[file.suffix],
        headers={"cache-control": kept},
    )
