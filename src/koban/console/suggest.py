"""Rules looked for in labelled events: each arrives as a draft with its evidence, and opens in the rule lab."""

import functools
import re
from typing import Final

from koban.access import Answer, Call, Endpoint, endpoint, redirect
from koban.base import Refusal
from koban.console.kit import ConsoleKit
from koban.console.lab import refused
from koban.console.pages import page, with_query

PRECISIONS: Final = ("0.95", "0.9", "0.8", "0.7", "0.5")
WITHOUT_MAX: Final = 50
_PATH: Final = re.compile(r"[a-z][a-z0-9_.]{0,79}")


def endpoints(kit: ConsoleKit) -> tuple[Endpoint, ...]:
    """Return the pages of this part."""
    return (
        endpoint("GET", "/lab/suggest", "rules.test", functools.partial(_form, kit), summary="Look for rules in labelled events",
                 page=True),
        endpoint("POST", "/lab/suggest", "rules.test", functools.partial(_start, kit), accepts="form", page=True,
                 summary="Start looking for rules in labelled events"),
    )  # fmt: skip


def _logs(kit: ConsoleKit, call: Call) -> list[str]:
    if kit.logs is None or "logs.read" not in call.principal.grants:
        return []
    return [each.name for each in kit.logs.names()]


def _form(kit: ConsoleKit, call: Call, *, problem: str = "", detail: str = "") -> Answer:
    asked = call.form or call.query
    return page(
        kit, call, "lab_suggest.html", status=422 if problem else 200, problem=problem, detail=detail, asked=asked,
        events=list(kit.pack().events.values()), logs=_logs(kit, call), precisions=PRECISIONS,
        run=call.query.get("run", ""),
    )  # fmt: skip


def _start(kit: ConsoleKit, call: Call) -> Answer:
    form = call.form
    event, log, precision = form.get("event", ""), form.get("log", ""), form.get("precision", "")
    without = [each for each in re.split(r"[,、\s]+", form.get("without", "")) if each]
    fits = len(without) <= WITHOUT_MAX and all(_PATH.fullmatch(each) for each in without)
    if (
        event not in kit.pack().events
        or precision not in PRECISIONS
        or (log and log not in _logs(kit, call))
        or not fits
    ):
        return _form(kit, call, problem="suggest.problem_form")
    try:
        run = kit.suggest(call.at, event, log, float(precision), without)
    except Refusal as refusal:
        return _form(kit, call, **refused(call.language, refusal))
    return redirect(
        with_query("/lab/suggest", event=event, log=log, precision=precision, without=", ".join(without), run=run.id)
    )
