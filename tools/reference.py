"""Write docs/reference from the code: `python tools/reference.py`.

With `--check` it says which pages are stale; with names of pages it writes only those.

What the code cannot say about itself (what a key of a pack file is for, when a log entry is written) stands in
`reference_words.py`. A key, entry, webhook or table that has no words stops the generator, so nothing stays undocumented.
"""

import ast
import contextlib
import dataclasses
import functools
import importlib
import inspect
import pathlib
import pkgutil
import random
import re
import sys
import tempfile
import tokenize
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final, cast

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))  # as a script it is started from anywhere

from tools.reference_words import (
    ACTION_WORDS,
    ALERT_WORDS,
    ENTRY_CALLS,
    ENTRY_WORDS,
    FILES,
    KEY_WORDS,
    LEDGER_INTRO,
    LIMIT_WORDS,
    MODES,
    NO_BOUNDS,
    SQL_INTRODUCTION,
    TABLE_WORDS,
    VALUES,
    WEBHOOK_CALLS,
    WEBHOOK_WORDS,
)

if TYPE_CHECKING:
    from typer._click.core import Command, Parameter

    from koban.access import Endpoint
    from koban.console.kit import StoryDesk

ROOT: Final = pathlib.Path(__file__).resolve().parent.parent
SOURCES: Final = ROOT / "src" / "koban"
OUT: Final = ROOT / "docs" / "reference"
MARK: Final = "<!-- Written by tools/reference.py from the code; change the code, then run it again. -->"

if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))  # the examples of Koban SQL come from the conformance table in tests/


class Undocumented(Exception):
    """Something exists that has no words."""


def words(table: Mapping[str, str], name: str, what: str) -> str:
    """Return what the table says about a name.

    Refuses: Undocumented.
    """
    if name not in table:
        raise Undocumented(f"{what} {name!r} has no words in tools/reference_words.py")
    return table[name]


def table_of(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a Markdown table; bars and line breaks in cells are made harmless."""
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def code(text: str) -> str:
    """Write code in a line; a backtick inside needs two around it."""
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def first_paragraph(documented: object) -> str:
    """Return the first paragraph of a docstring as one line."""
    return " ".join((inspect.getdoc(documented) or "").split("\n\n")[0].split())


# Reading the sources.


@functools.cache
def modules() -> tuple[tuple[str, ast.Module], ...]:
    """Return every module of Koban by its path under src/koban, parsed."""
    named = ((path.relative_to(SOURCES).as_posix(), path) for path in sorted(SOURCES.rglob("*.py")))
    return tuple(
        (name, ast.parse(path.read_text(encoding="utf-8")))
        for name, path in named
        if not name.startswith("db/migrations/")
    )


def import_everything() -> None:
    """Import every module of Koban, so that all subclasses and tables are known."""
    import koban

    for module in pkgutil.walk_packages(koban.__path__, "koban."):
        if ".migrations" not in module.name:
            importlib.import_module(module.name)


def calls(name: str) -> Iterator[tuple[str, ast.Call]]:
    """Yield every call of a function or method of this name, with the module's path."""
    for path, tree in modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                if called == name:
                    yield path, node


def argument(call: ast.Call, position: int, keyword: str) -> ast.expr | None:
    """Return an argument of a call by its place or its name."""
    named = next((each.value for each in call.keywords if each.arg == keyword), None)
    if named is not None:
        return named
    return call.args[position] if len(call.args) > position else None


def _target(node: ast.stmt) -> ast.expr | None:
    """Return what a module-level assignment gives a value to."""
    if isinstance(node, ast.AnnAssign):
        return node.target
    return node.targets[0] if isinstance(node, ast.Assign) and len(node.targets) == 1 else None


@functools.cache
def constants() -> dict[str, str]:
    """Return the module-level text constants of the whole house: LABEL_SET -> label.set."""
    found: dict[str, str] = {}
    for _, tree in modules():
        for node in tree.body:
            target = _target(node)
            value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
            if isinstance(target, ast.Name) and isinstance(value, ast.Constant) and isinstance(value.value, str):
                found[target.id] = value.value
    return found


# Koban SQL.


def sql_page() -> str:
    """Write the reference of Koban SQL, with examples from the conformance table."""
    from koban.language import FUNCTIONS, OPERATORS
    from koban.language.types import DEPTH_LIMIT, NODE_LIMIT, TEXT_LIMIT

    parts = ["# Koban SQL", MARK, SQL_INTRODUCTION, "## Functions"]
    for name, function in sorted(FUNCTIONS.items()):
        parts += [f"### {name}", f"```text\n{function.signature}\n```", function.en, function.ja, _examples(name)]
    parts.append("## Operators")
    for name, operator in OPERATORS.items():
        parts += [f"### {name.replace('_', ' ')}", f"`{operator.symbol}`", operator.en, operator.ja, _examples(name)]
    limits = (
        f"An expression has at most {TEXT_LIMIT:,} characters, {NODE_LIMIT:,} parts and {DEPTH_LIMIT} levels; definitions that it "
        "names bring their parts along, not their characters. Some 300 conditions of 30 characters fit. A rule that a program "
        "writes out of more phrases or values belongs on a list (`mentions`, `in_list`: one pass however many there are); one "
        "that it writes out of combinations, in several rules, which compute once what is the same in them."
    )
    return "\n\n".join([*parts, "## Limits", limits]) + "\n"


def _examples(name: str) -> str:
    """Show up to four rows of the conformance table: first one for each value, then others."""
    from tests.language.conformance import ROWS

    rows = [
        (text, _given(given), _shown(value, text))
        for about, text, given, value in ROWS
        if about == name and len(repr(given)) < 200 and "\\x00" not in repr((text, given))
    ]
    by_value = list({shown: (text, given, shown) for text, given, shown in reversed(rows)}.values())[::-1]
    chosen = [*by_value[:4], *(row for row in rows if row not in by_value)][: max(3, min(4, len(by_value)))]
    return table_of(
        ("expression", "where", "gives"),
        [(code(text), code(given) if given else "", code(shown)) for text, given, shown in chosen],
    )


def _given(given: Mapping[str, object]) -> str:
    from tests.language.ground import NAMES

    from koban.language import Type

    return ", ".join(f"{name} = {_written(value, NAMES.get(name, Type.INT))}" for name, value in given.items())


def _shown(value: object, text: str) -> str:
    from tests.language.ground import checked

    return _written(value, checked(text).type)


def _written(value: object, kind: object) -> str:
    """Write a run-time value as people write it."""
    from koban.base import Instant, to_rfc3339
    from koban.language import Type

    if value is None or isinstance(value, bool):
        return "NULL" if value is None else str(value).upper()
    if isinstance(value, tuple):
        return "[" + ", ".join(f"'{each}'" for each in value) + "]"
    if isinstance(value, str):
        return (
            "'" + value.replace("'", "''").encode("unicode_escape").decode() + "'" if _hidden(value) else f"'{value}'"
        )
    assert isinstance(value, int)
    if kind == Type.DECIMAL:
        return f"{value / 1_000_000:f}".rstrip("0").rstrip(".") if abs(value) < 10**15 else f"{value}e-6"
    if kind == Type.TIMESTAMP and 0 <= value < 4_000_000_000_000_000:
        return to_rfc3339(Instant(value))
    if kind == Type.INTERVAL:
        return f"{value // 1_000_000} seconds" if value % 1_000_000 == 0 else f"{value} microseconds"
    return str(value)


def _hidden(text: str) -> bool:
    return not text.isprintable()


# Packs.


def pack_keys() -> dict[str, tuple[list[str], list[str]]]:
    """Return the keys of each document of a pack, required and optional, as the readers in koban.packs ask for them."""
    found: dict[str, tuple[list[str], list[str]]] = {}
    for path, call in calls("open_record"):
        what = argument(call, 2, "what")
        if not path.startswith("packs/") or what is None:
            continue
        branches = (what.body, what.orelse) if isinstance(what, ast.IfExp) else (what,)
        for number, named in enumerate(branches):
            if isinstance(named, ast.Constant) and "'" not in str(named.value):
                required = _keys(argument(call, 3, "required"), number)
                optional = _keys(_followed(argument(call, 4, "optional"), path, call), number)
                found[str(named.value)] = (required, optional)
    return found


def _followed(node: ast.expr | None, path: str, call: ast.Call) -> ast.expr | None:
    """Follow a local name to the nearest assignment above the call."""
    if not isinstance(node, ast.Name):
        return node
    tree = ast.parse((SOURCES / path).read_text(encoding="utf-8"))
    above = [
        each
        for each in ast.walk(tree)
        if isinstance(each, ast.Assign) and ast.unparse(each.targets[0]) == node.id and each.lineno < call.lineno
    ]
    return max(above, key=lambda each: each.lineno).value


def _keys(node: ast.expr | None, branch: int) -> list[str]:
    if node is None:
        return []
    if isinstance(node, ast.IfExp):
        node = (node.body, node.orelse)[branch]
    return [str(each) for each in ast.literal_eval(node)]


def pack_page() -> str:
    """Write the reference of the files of a pack."""
    from koban.features.values import FUNCTIONS as VALUE_FORMS
    from koban.packs import actions, types
    from koban.rules.types import Why

    keys = pack_keys()
    parts = [
        "# Files of a pack",
        MARK,
        (
            "A pack is a folder of YAML and text files. `koban check FOLDER` checks every name, type and expression, "
            "`koban test FOLDER` runs its cases, `koban pack push FOLDER` switches a running server to it."
        ),
        (
            "Durations are a number and a unit: `90 seconds`, `10 minutes`, `72 hours`, `7 days`, `2 weeks`. "
            "Texts for people are written in both languages: `{en: …, ja: …}`. An unknown key is an error, with the nearest name."
        ),
    ]
    missing = set(keys) - {what for what, *_ in FILES} - {"an event"}
    if missing:
        raise Undocumented(f"documents of a pack without words: {sorted(missing)}")
    for what, file, example in FILES:
        required, optional = keys[what]
        rows = [
            (code(key), must, words(KEY_WORDS, f"{what}.{key}", "the key"))
            for must, group in (("yes", required), ("", optional))
            for key in group
        ]
        title = what if what == file else f"{what[0].upper()}{what[1:]} ({file})"
        parts += [f"## {title}", f"```yaml\n{example}\n```", table_of(("key", "required", "meaning"), rows)]
    told = ", ".join(form for form, *_ in VALUES)
    if told.replace("count(*), count(x), ", "count(*), count(x), ") != VALUE_FORMS:
        raise Undocumented(f"the forms of a feature's value are {VALUE_FORMS}, and the words are about {told}")
    parts += [
        "## Feature values",
        (
            "`x` is any Koban SQL expression over the event's fields. A subject without anything counted has the counts 0 "
            "and NULL for everything else; a subject that the event does not name has NULL."
        ),
        table_of(("value", "type", "meaning"), [(code(form), kind, text) for form, kind, text in VALUES]),
        "## Actions",
        table_of(("written", "verdict", "meaning"), [_action(each.__name__) for each in types.Action.__args__]),
        (
            f"Abilities that `restrict` takes: {', '.join(map(code, actions.SCOPES))}. "
            f"What `challenge` asks for: {', '.join(map(code, actions.CHALLENGES))}. "
            "Of several signals the strictest verdict wins: block, hold, challenge, warn, allow."
        ),
        "## Modes",
        table_of(("mode", "meaning"), [(code(mode), text) for mode, text in MODES]),
        "## Why a signal is withheld or limited",
        table_of(("in the decision", "why"), _whys(Why)),
    ]
    return "\n\n".join(parts) + "\n"


def _action(name: str) -> tuple[str, str, str]:
    if name not in ACTION_WORDS:
        raise Undocumented(f"the action {name} has no words")
    return ACTION_WORDS[name]


def _whys(kind: type) -> list[tuple[str, str]]:
    """Read the comments beside the members of an enumeration."""
    found = re.findall(r'^    [A-Z_]+ = "([a-z_]+)"  # (.+)$', inspect.getsource(kind), re.MULTILINE)
    if len(found) != len(list(kind)):  # type: ignore[call-overload]  # an enumeration is iterable
        raise Undocumented(f"a member of {kind.__name__} has no comment")
    return [(code(value), text) for value, text in found]


def starter_page() -> str:
    """Write the reference of the starter pack."""
    from koban.packs import load_pack
    from koban.rules import pack_reference

    title, rest = pack_reference(load_pack(ROOT / "packs" / "starter")).split("\n", 1)
    return f"{title}\n\n{MARK}\n\nWhat it is for and how to change it: [The starter pack](../starter-pack.md).\n{rest}"


# The border.


def http_page() -> str:
    """Write the table of routes with their permissions and refusals."""
    from koban.access.web import KNOWN_RATE, UNKNOWN_RATE

    api, pages, _ = endpoints()
    parts = [
        "# HTTP",
        MARK,
        (
            "The running server describes itself in OpenAPI at `/openapi.json`, with every body and parameter. Programs send "
            "`Authorization: Bearer TOKEN`; people have a session. Errors are `application/problem+json` with a `code` from "
            "[Refusals](refusals.md). Lists come in pages: `?limit=`, and the `next_cursor` of the page before as `?cursor=`. "
            "A command with an `Idempotency-Key` is done once: the same key and body gets the first answer again, for a day. "
            f"A caller may send {KNOWN_RATE.per_s:,} requests a second, an address without a credential {UNKNOWN_RATE.per_s}; "
            "past that 429, and 503 where too many wait, both with `Retry-After`."
        ),
        "## Interface",
    ]
    groups: dict[str, list[tuple[str, str, str, str]]] = {}
    for each in sorted(api, key=lambda one: (one.path, one.method)):
        tag = next((word for word in each.path.split("/") if word not in ("", "v1")), "koban")
        refusals = ", ".join(code(refusal.code) for refusal in each.raises)
        groups.setdefault(tag, []).append((code(f"{each.method} {each.path}"), each.permission, each.summary, refusals))
    for tag, rows in groups.items():
        shown = [(path, _permission(permission), *rest) for path, permission, *rest in rows]
        parts += [f"### {tag}", table_of(("route", "permission", "what it does", "may refuse"), shown)]
    rows_of_pages = [
        (code(f"{each.method} {each.path}"), _permission(each.permission), each.summary)
        for each in sorted(pages, key=lambda one: (one.path, one.method))
    ]
    parts += ["## Pages of the console", table_of(("page", "permission", "what it shows or does"), rows_of_pages)]
    return "\n\n".join(parts) + "\n"


def _permission(name: str) -> str:
    return {"public": "anyone", "signed_in": "whoever is signed in"}.get(name, code(name))


@functools.cache
def endpoints() -> tuple[list["Endpoint"], list["Endpoint"], list["Endpoint"]]:
    """Open a Koban on an empty folder and return its routes, its console's pages, and those of a demonstration."""
    from koban.app import endpoints_of, open_koban
    from koban.app.own_data import OwnData
    from koban.app.web import _access_kit, _console_kit
    from koban.audit import SeededSecrets
    from koban.base import Instant, ManualClock
    from koban.base.settings import read_settings
    from koban.console import endpoints as pages_of
    from koban.console.story import endpoints as story_endpoints

    with tempfile.TemporaryDirectory(prefix="koban-reference-") as folder, contextlib.ExitStack() as stack:
        settings = read_settings({"KOBAN_DATA": folder, "KOBAN_PACK": str(ROOT / "tests" / "small_pack")})
        clock = ManualClock(Instant(1_792_584_000_000_000))
        randomness = random.Random(1)  # noqa: S311 - ids of rows that nobody keeps
        opened = stack.enter_context(open_koban(settings, clock, randomness, SeededSecrets(1), durable=False))
        kit = _access_kit(opened)
        console = _console_kit(opened, kit, OwnData(opened), demo=None)
        told = dataclasses.replace(console, story=cast("StoryDesk", object()))  # described, never asked
        return (
            list(endpoints_of(opened, kit, OwnData(opened))),
            list(pages_of(console)),
            list(story_endpoints(told)),
        )


def permissions_page() -> str:
    """Write every permission in both languages, and which role has it."""
    from koban.access.permissions import CATALOGUE, ROLE_TITLES, ROLES

    rows = [
        (code(name), texts["en"], texts["ja"], *("●" if name in ROLES[role] else "" for role in ROLES))
        for name, texts in CATALOGUE.items()
    ]
    api, pages, of_the_story = endpoints()
    asked = {each.permission for each in (*api, *pages)}
    story = {each.permission for each in of_the_story} - asked
    shown = ", ".join(code(name) for name in CATALOGUE if name in story)
    unasked = ", ".join(code(name) for name in CATALOGUE if name not in asked | story)
    roles = [(code(role), ROLE_TITLES[role]["en"], ROLE_TITLES[role]["ja"], str(len(ROLES[role]))) for role in ROLES]
    return "\n\n".join(
        [
            "# Permissions and roles",
            MARK,
            ("Every route and page passes one check that names the grant that allowed it. Staff have roles; a token has "
            "scopes, and a scope is the name of one permission."),
            "## Roles",
            table_of(("role", "title", "", "permissions"), roles),
            "## Permissions",
            table_of(("permission", "what it allows", "", *ROLES), rows),
            *([f"Asked for in a demonstration alone (`make run`): {shown}."] if shown else []),
            *([f"No route or page asks for these yet: {unasked}."] if unasked else []),
        ]
    ) + "\n"  # fmt: skip


def settings_page() -> str:
    """Write every setting."""
    from koban.base.settings import SETTING_NOTES

    rows = [(code(name), note) for name, note in SETTING_NOTES.items()]
    return "\n\n".join(
        [
            "# Settings",
            MARK,
            ("Koban reads its settings once, from the environment. A setting that cannot be used stops the start with a "
            "sentence that names it."),
            table_of(("variable", "meaning"), rows),
        ]
    ) + "\n"  # fmt: skip


def refusals() -> list[type]:
    """Return every refusal of the house, by code."""
    from koban.base import Refusal

    import_everything()
    found: list[type] = []
    waiting: list[type[Refusal]] = list(Refusal.__subclasses__())
    while waiting:
        each = waiting.pop()
        waiting.extend(each.__subclasses__())
        if each.__module__.startswith("koban."):
            found.append(each)
    return sorted(found, key=lambda each: (each.code, each.__name__))  # type: ignore[attr-defined]  # a Refusal has one


def refusals_page() -> str:
    """Write every refusal with its code, status and title."""
    rows = []
    for each in refusals():
        room = each.__module__.split(".")[1]
        if each.code == "refused":  # type: ignore[attr-defined]  # a Refusal has one
            raise Undocumented(f"{each.__name__} has no code of its own")
        rows.append((code(each.code), str(each.status), each.title, first_paragraph(each), room))  # type: ignore[attr-defined]  # and these
    return "\n\n".join(
        [
            "# Refusals",
            MARK,
            ("A refusal is an expected no: over HTTP a problem with this `code` and status, on the command line one "
            "sentence and exit code 2 (1 where a pack that was looked at has faults). What is out of order behind Koban answers 503 `unavailable` with `Retry-After`."),
            table_of(("code", "status", "title", "when", "room"), rows),
        ]
    ) + "\n"  # fmt: skip


# The log, the tables and the limits.


def resolve(node: ast.expr | None, groups: Mapping[str, tuple[str, ...]], what: str) -> tuple[str, ...]:
    """Return the kinds that an argument stands for.

    Refuses: Undocumented, where a call gives a kind that nothing here explains.
    """
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return (node.value,)
    text = "" if node is None else ast.unparse(node)
    known = constants()
    if text in known:
        return (known[text],)
    if text in groups:
        return groups[text]
    raise Undocumented(
        f"{what} is called with {text!r}, and tools/reference_words.py does not say what that stands for"
    )


def kinds_of_entries() -> list[str]:
    """Return the types of all changes that are entered into the log."""
    found = {kind for _, call in calls("enter") for kind in resolve(argument(call, 0, "kind"), ENTRY_CALLS, "enter")}
    return sorted(found)


def kinds_of_webhooks() -> list[str]:
    """Return the kinds of all webhooks."""
    found = set(ENTRY_CALLS["enforcement.entry_type(change)"])
    for name in ("_request", "_about_notice"):
        for _, call in calls(name):
            found.update(resolve(argument(call, 0, "kind"), WEBHOOK_CALLS, name))
    return sorted(found)


def kinds_of_alerts() -> list[str]:
    """Return the kinds of all alerts."""
    found = {kind for _, call in calls("alert") for kind in resolve(argument(call, 0, "kind"), {"kind": ()}, "alert")}
    for _, call in calls("raise_alert"):
        found.update(resolve(argument(call, 9, "kind"), {"kind": ()}, "raise_alert"))
    return sorted(found)


def kinds_of_audit() -> list[str]:
    """Return what the audit trail records, where it can be told from the code."""
    found: set[str] = set()
    for _, call in calls("record"):
        node = argument(call, 3, "action")
        if node is not None and len(call.args) >= 4:
            found.update(resolve(node, ENTRY_CALLS, "record"))
    return sorted(found)


def log_page() -> str:
    """Write the types of log entries, webhooks, alerts and audit entries."""
    entries = [(code(kind), words(ENTRY_WORDS, kind, "the log entry")) for kind in kinds_of_entries()]
    webhooks = [(code(kind), words(WEBHOOK_WORDS, kind, "the webhook")) for kind in kinds_of_webhooks()]
    alerts = [(code(kind), words(ALERT_WORDS, kind, "the alert")) for kind in kinds_of_alerts()]
    return "\n\n".join(
        [
            "# Log entries, webhooks, alerts and the audit trail",
            MARK,
            "## Log entries",
            ("The log holds events, with the types that the pack declares, and the changes that a later decision may read. "
            "More in [The log and decisions](../concepts/log-and-decisions.md)."),
            table_of(("type", "what happened"), entries),
            "## Webhooks",
            ("Signed after the Standard Webhooks specification; the body is `type`, `timestamp` and `data`, and `data` names "
            "the subject, its whole derived state and a growing `state_version`. Confirm each with "
            "`POST /v1/actions/{id}/confirm`; the id is the `webhook-id`."),
            table_of(("kind", "what the marketplace is asked or told"), webhooks),
            "## Alerts",
            table_of(("kind", "when"), alerts),
            "## Audit entries",
            ", ".join(code(kind) for kind in kinds_of_audit()) + ".",
        ]
    ) + "\n"  # fmt: skip


def tables_page() -> str:
    """Write every table with its columns."""
    from koban.schema import INDEX_METADATA, METADATA

    parts = ["# Database tables", MARK, "Times end in `_at` and are microseconds since 1970 in UTC."]
    for table in sorted((*METADATA.sorted_tables, *INDEX_METADATA.sorted_tables), key=lambda one: one.name):
        about = table.comment or words(TABLE_WORDS, table.name, "the table")
        if table.metadata is INDEX_METADATA:
            about += " Made again from the log where it is missing; on SQLite in `index.db`."
        rows = []
        for column in table.columns:
            if not column.comment:
                raise Undocumented(f"the column {table.name}.{column.name} has no comment")
            marks = "key" if column.primary_key else "" if column.nullable else "not null"
            rows.append((code(column.name), str(column.type).lower(), marks, column.comment))
        parts += [f"## {table.name}", about, table_of(("column", "type", "", "meaning"), rows)]
    return "\n\n".join(parts) + "\n"


def limits_page() -> str:
    """Write every bound: those of base/limits.py with their comments, and those of single rooms."""
    from koban.base import limits

    path = SOURCES / "base" / "limits.py"
    comments: dict[int, str] = {}
    with tokenize.open(path) as file:
        for token in tokenize.generate_tokens(file.readline):
            if token.type == tokenize.COMMENT:
                comments[token.start[0]] = token.string.removeprefix("# ")
    rows = []
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            name = node.target.id
            about = LIMIT_WORDS.get(name) or comments.get(node.lineno) or words({}, name, "the limit")
            rows.append((code(name), _bound(name, getattr(limits, name)), about))
    others = [(room, code(name), f"{value:,}") for room, name, value in sorted(_bounds_of_rooms())]
    return "\n\n".join(
        [
            "# Limits",
            MARK,
            "Every queue, page, body and window has a bound with a name. Times are microseconds in the code.",
            "## Of the whole house (base/limits.py)",
            table_of(("limit", "value", "of what"), rows),
            "## Of single rooms",
            table_of(("module", "limit", "value"), others),
        ]
    ) + "\n"  # fmt: skip


def _bound(name: str, value: int) -> str:
    from koban.rules.reference import duration_words

    if name == "WRITE_BACK_AFTER":
        return f"{value // 1_000} ms"
    timed = name.endswith(("_AFTER", "_FOR", "_EVERY", "_STEP_MAX", "_WINDOW"))
    return duration_words(value) if timed else f"{value:,}"


def _bounds_of_rooms() -> Iterator[tuple[str, str, int]]:
    for path, tree in modules():
        if path == "base/limits.py":
            continue
        module = importlib.import_module(
            "koban." + path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        )
        for node in tree.body:
            target = _target(node)
            if not isinstance(target, ast.Name) or target.id in NO_BOUNDS:
                continue
            if re.fullmatch(r"[A-Z][A-Z_]*_(MAX|LIMIT)|MAX_[A-Z_]+", target.id):
                value = getattr(module, target.id)
                if isinstance(value, int):
                    yield path, target.id, value


# The command line.


def verbs() -> Iterator[tuple[str, "Command"]]:
    """Yield every verb of the command line with its full name."""
    import typer

    from koban.cli import app

    waiting = [("koban", typer.main.get_command(app))]
    while waiting:
        name, command = waiting.pop(0)
        inner = getattr(command, "commands", None)
        if inner is None:
            yield name, command
        else:
            waiting[:0] = [(f"{name} {each}", inner[each]) for each in inner]


def cli_page() -> str:
    """Write every verb with its arguments and options."""
    parts = [
        "# Command line",
        MARK,
        (
            "`koban` is in `.venv/bin` after `make install`. Exit codes, of every verb: 0 done, and what was looked at is as it "
            "should be; 1 it was looked at, and is not (faults in a pack, a case that fails, a file not in form, a difference, a "
            "chain that is broken); 2 nothing was looked at or done (wrong use, something that is not there, a refusal). Verbs "
            "that need a running server find it through the data folder (`KOBAN_DATA`), or take `--url` and `--token` where they "
            "have them."
        ),
    ]
    for name, command in verbs():
        if not command.help:
            raise Undocumented(f"{name} has no help")
        parts += [f"## {name}", " ".join(command.help.split())]
        rows = []
        for each in command.params:
            note = getattr(each, "help", None)
            if not note:
                raise Undocumented(f"{name} has the parameter {each.name} without help")
            written = each.name.upper() if each.param_type_name == "argument" else ", ".join(each.opts)
            default = "required" if each.required else _default(each)
            rows.append((code(written), note, default))
        if rows:
            parts.append(table_of(("parameter", "meaning", "default"), rows))
    return "\n\n".join(parts) + "\n"


def _default(parameter: "Parameter") -> str:
    variable = f"environment: `{parameter.envvar}`" if isinstance(parameter.envvar, str) else ""
    if parameter.default in (None, False) or callable(parameter.default):
        return variable
    return code(str(parameter.default))


def ledger_page() -> str:
    """Write the page about what the ledger answers."""
    from koban.ledger import BookCode, LimitCode, PostingCode, TransferCode
    from koban.ledger.codes import MEANING, TRANSIENT
    from koban.ledger.posting import TRANSIENT_POSTINGS

    def rows(kind: Iterable[BookCode | LimitCode | PostingCode | TransferCode]) -> str:
        return table_of(
            ("", "code", "burns the id", "meaning"),
            [
                (
                    str(number),
                    code(each.value),
                    "yes" if each in TRANSIENT or each in TRANSIENT_POSTINGS else "",
                    MEANING[each],
                )
                for number, each in enumerate(kind)
            ],
        )

    return (
        "\n\n".join(
            [
                "# The ledger",
                MARK,
                LEDGER_INTRO,
                "## Transfers",
                rows(TransferCode),
                "## Books",
                rows(BookCode),
                "## Changes of limits",
                rows(LimitCode),
            ]
        )
        + "\n"
    )


PAGES: Final = {
    "koban-sql.md": (sql_page, "Koban SQL: every function and operator, with examples"),
    "packs.md": (pack_page, "Files of a pack: every key, feature values, actions, modes"),
    "starter-pack.md": (starter_page, "The starter pack: event types, features, policies, rules, lists"),
    "http.md": (http_page, "HTTP: every route and page with its permission"),
    "permissions.md": (permissions_page, "Permissions and roles"),
    "settings.md": (settings_page, "Settings"),
    "refusals.md": (refusals_page, "Refusals: every code with its status"),
    "log.md": (log_page, "Log entries, webhooks, alerts, audit entries"),
    "tables.md": (tables_page, "Database tables"),
    "cli.md": (cli_page, "Command line"),
    "limits.md": (limits_page, "Limits"),
    "ledger.md": (ledger_page, "The ledger: every result code in its order"),
}


def index_page() -> str:
    """Write the index of the reference."""
    lines = [f"- [{title}]({name})" for name, (_, title) in PAGES.items()]
    return (
        "\n\n".join(["# Reference", MARK, "Written from the code, and tested to be up to date.", "\n".join(lines)])
        + "\n"
    )


def write_pages(names: Iterable[str] = ()) -> dict[str, str]:
    """Return the text of every page, or of those named, by its file name."""
    writers = {"README.md": index_page, **{name: write for name, (write, _) in PAGES.items()}}
    return {name: writers[name]() for name in names or writers}


def main(arguments: Sequence[str]) -> int:
    """Write the pages, or with --check say which are stale; return how the process ends."""
    stale = []
    OUT.mkdir(parents=True, exist_ok=True)
    for name, text in write_pages([each for each in arguments if each.endswith(".md")]).items():
        path = OUT / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            stale.append(name)
            if "--check" not in arguments:
                path.write_text(text, encoding="utf-8")
    print(f"reference: {len(stale)} pages {'stale' if '--check' in arguments else 'written'}: {', '.join(stale)}")
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
