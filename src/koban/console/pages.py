"""From a template to an answer: the frame around every page, in the reader's language, theme and time zone."""

import functools
import hashlib
import pathlib
import urllib.parse
from collections.abc import Collection, Mapping, Sequence
from typing import Final

import jinja2
import msgspec

from koban.access import ROLE_TITLES, SIGNED_IN, Answer, Call, Principal, ProblemBody, redirect
from koban.base import Instant
from koban.console import formats
from koban.console.alerted import alert_said
from koban.console.kit import ConsoleKit
from koban.console.names import names_when_asked
from koban.console.paged import step_said
from koban.console.refused import detail_said
from koban.console.tripped import trip_said
from koban.console.undelivered import undelivered
from koban.console.words import Language, Words, language_of

FOLDER: Final = pathlib.Path(__file__).parent
THEMES: Final = ("auto", "light", "dark")
THEME_COOKIE: Final = "koban_theme"
PAGE_ITEMS: Final = 50


class NavItem(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of the navigation: its address is its name."""

    name: str
    permission: str

    @property
    def path(self) -> str:
        """Return its address."""
        return f"/{self.name}"


def _nav(*items: tuple[str, str]) -> tuple[NavItem, ...]:
    return tuple(NavItem(name=name, permission=permission) for name, permission in items)


NAVIGATION: Final[tuple[tuple[str, tuple[NavItem, ...]], ...]] = (
    (
        "watch",
        _nav(
            ("board", "board.read"),
            ("search", "events.read"),
            ("decisions", "decisions.read"),
            ("events", "events.read"),
            ("accounts", "subjects.read"),
            ("waiting", "decisions.read"),
        ),
    ),
    (
        "act",
        _nav(
            ("cases", "cases.read"),
            ("appeals", "appeals.read"),
            ("sanctions", "sanctions.read"),
            ("actions", "webhooks.read"),
            ("money", "ledger.read"),
            ("bank", "bank.read"),
            ("emergency", "rules.read"),
        ),
    ),
    (
        "rule",
        _nav(
            ("rules", "rules.read"),
            ("rule-health", "rules.read"),
            ("lists", "lists.read"),
            ("features", "rules.read"),
            ("policies", "packs.read"),
            ("versions", "packs.read"),
        ),
    ),
    ("measure", _nav(("truth", "simulation.read"), ("logs", "logs.read"))),
    (
        "keep",
        _nav(
            ("alerts", "alerts.read"),
            ("on-call", "oncall.read"),
            ("quarantine", "quarantine.read"),
            ("audit", "audit.read"),
            ("staff", "staff.read"),
            ("roles", "staff.read"),
            ("sessions", SIGNED_IN),
            ("tokens", "tokens.read"),
        ),
    ),
)


def _asset_versions() -> dict[str, str]:
    return {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()[:12] for file in sorted((FOLDER / "static").iterdir())
    }


_VERSIONS: Final = _asset_versions()


def asset(name: str) -> str:
    """Return the address of a static file; it changes with the content, so browsers may keep it for good."""
    return f"/static/{name}?v={_VERSIONS[name]}"


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["asset"] = asset
    environment.globals["spark_line"] = formats.spark_line
    environment.globals["spark_bars"] = formats.spark_bars
    environment.globals["with_query"] = with_query
    environment.globals["why_undelivered"] = undelivered
    environment.globals["step_said"] = step_said
    environment.globals["trip_said"] = trip_said
    environment.globals["alert_said"] = alert_said
    environment.filters["path"] = lambda value: urllib.parse.quote(str(value), safe="")
    return environment


def with_query(path: str, /, **values: object) -> str:
    """Return an address with the parameters that are not empty."""
    kept = {name: str(value) for name, value in values.items() if value not in (None, "")}
    return f"{path}?{urllib.parse.urlencode(kept)}" if kept else path


_TEMPLATES: Final = _environment()


def page(
    kit: ConsoleKit,
    call: Call,
    template: str,
    shared: Mapping[str, object] | None = None,
    *,
    status: int = 200,
    **values: object,
) -> Answer:
    """Answer with a page for whoever is signed in; `shared` and `values` are what its template reads.

    `sent` is what a form sent, where this answers one: a refusal never takes what was typed.
    """
    language = language_of(call.language)
    return Answer(
        body=_render(
            template,
            language=language,
            zone=kit.zone,
            now=call.at,
            principal=call.principal,
            theme=theme_of(call.headers),
            csrf=call.csrf,
            here=_here(call),
            section=_section(call.url_path),
            absent=[name for name, part in (("logs", kit.logs), ("bank", kit.bank)) if part is None],
            simulated=kit.simulated,
            evening=kit.story.now() if kit.story is not None else None,
            evening_roles=kit.story.roles if kit.story is not None else (),
            notice=_notice_of(call, language),
            name_of=names_when_asked(kit.database),
            sent=call.form,
            **(shared or {}),
            **values,
        ),
        status=status,
    )


def fragment(
    kit: ConsoleKit,
    template: str,
    shared: Mapping[str, object],
    *,
    language: str,
    granted: Collection[str],
    at: Instant,
) -> str:
    """Return a part of a page for everybody who reads a language and has the same grants: no form, no name in it."""
    spoken = language_of(language)
    return _TEMPLATES.get_template(template).render(
        t=Words(spoken),
        f=formats.Formats(spoken, kit.zone, at),
        language=spoken,
        now=at,
        may=frozenset(granted).__contains__,
        **shared,
    )


def problem_page(problem: ProblemBody, principal: Principal, language: str, *, simulated: bool = False) -> str:
    """Return the page of an error, for `Gate.problem_page`."""
    return _render(
        "problem.html",
        language=language_of(language),
        zone="UTC",
        now=Instant(0),
        principal=principal,
        theme="auto",
        csrf="",
        here="/",
        section="",
        simulated=simulated,
        evening=None,
        notice="",
        problem=problem,
    )


def done(call: Call, path: str, notice: str) -> Answer:
    """Send the browser on after a form was handled, and let the page there say what was done."""
    del call
    separator = "&" if "?" in path else "?"
    return redirect(f"{path}{separator}done={notice}")


def theme_of(headers: Mapping[str, str]) -> str:
    """Return the theme that the reader chose; `auto` follows the system."""
    for part in headers.get("cookie", "").split(";"):
        name, _, value = part.strip().partition("=")
        if name == THEME_COOKIE and value in THEMES:
            return value
    return "auto"


def local_path(text: str) -> str:
    """Return an address of ours as it was given, and the board for anything else: nobody is sent to other sites."""
    good = text.startswith("/") and not text.startswith(("//", "/\\")) and text.isprintable() and "\\" not in text
    return text if good and len(text) <= 2_000 else "/board"


def _section(path: str) -> str:
    return "accounts" if path.startswith("/subjects/account/") else path.split("/")[1]


def _here(call: Call) -> str:
    kept = {name: value for name, value in call.query.items() if name != "done"}
    return with_query(call.url_path, **kept) if call.method == "GET" else "/board"


def _notice_of(call: Call, language: Language) -> str:
    """Return the notice that the last form left in the address, if it is one of ours."""
    words = Words(language)
    name = call.query.get("done", "")
    text = words.named("done", name) if name else ""
    return "" if text == name else f"done.{name}"


def _render(
    template: str,
    *,
    language: Language,
    zone: str,
    now: Instant,
    principal: Principal,
    absent: Collection[str] = (),
    **values: object,
) -> str:
    sections: Sequence[tuple[str, tuple[NavItem, ...]]] = [
        (name, shown)
        for name, items in NAVIGATION
        if (
            shown := tuple(
                item
                for item in items
                if item.name not in absent
                and (
                    item.permission in principal.grants or (item.permission == SIGNED_IN and principal.kind == "staff")
                )
            )
        )
    ]
    return _TEMPLATES.get_template(template).render(
        t=Words(language),
        f=formats.Formats(language, zone, now),
        in_words=functools.partial(detail_said, language),
        language=language,
        now=now,
        principal=principal,
        navigation=sections,
        may=principal.grants.__contains__,
        role_titles=ROLE_TITLES,
        **values,
    )
