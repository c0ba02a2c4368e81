"""The border of backtests and of searches for rules: start one, and ask how it stands."""

from typing import Annotated

import msgspec

from koban.access import Call, Endpoint, endpoint
from koban.access.types import NotAllowed
from koban.app.running import Koban
from koban.app.runs import FileNameInvalid, RunMissing, RunsFull, RunView
from koban.base import Instant

FILES_MAX = 500


class BacktestBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be tried: a pack as files, and over what."""

    files: Annotated[dict[str, str], msgspec.Meta(min_length=1, max_length=FILES_MAX)]
    since: Annotated[str, msgspec.Meta(max_length=40, pattern="^[0-9a-zA-Z:.+-]*$")] = "30d"
    rules: Annotated[list[Annotated[str, msgspec.Meta(pattern="^[a-z][a-z0-9_]*$", max_length=80)]],
                     msgspec.Meta(max_length=500)] = []  # fmt: skip
    newest: Annotated[int, msgspec.Meta(ge=1, le=100_000_000)] | None = None


class SuggestBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Over which labelled events rules are looked for; `log` empty: the live log."""

    event: Annotated[str, msgspec.Meta(pattern="^[a-z][a-z0-9_.]*$", max_length=80)]
    log: Annotated[str, msgspec.Meta(pattern="^[a-z0-9_-]*$", max_length=80)] = ""
    precision: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.9  # that is wanted on the train part
    without: Annotated[list[Annotated[str, msgspec.Meta(pattern="^[a-z][a-z0-9_.]*$", max_length=80)]],
                       msgspec.Meta(max_length=50)] = []  # fmt: skip


def start_suggesting(koban_: Koban, at: Instant, body: SuggestBody) -> RunView:
    """Start a search for rules, under the version in force.

    Refuses: RunsFull.
    """
    arguments = ["--precision", str(body.precision), *(part for each in body.without for part in ("--without", each))]
    if body.log:
        arguments += ["--log", body.log]
    return koban_.runs.suggest(koban_.memory.compiled.pack.files, at, body.event, arguments)


def backtest_endpoints(koban_: Koban) -> list[Endpoint]:
    """Describe the routes."""

    def start(call: Call) -> RunView:
        body = call.body_as(BacktestBody)
        arguments = ["--since", body.since, *(part for rule in body.rules for part in ("--rule", rule))]
        if body.newest is not None:
            arguments += ["--newest", str(body.newest)]
        return koban_.runs.start(body.files, call.at, arguments)

    def suggest(call: Call) -> RunView:
        body = call.body_as(SuggestBody)
        if body.log and "logs.read" not in call.principal.grants:
            raise NotAllowed("a named log is read with the permission logs.read")
        return start_suggesting(koban_, call.at, body)

    def find(call: Call) -> RunView:
        return koban_.runs.find(call.path["id"])

    def stop(call: Call) -> RunView:
        return koban_.runs.stop(call.path["id"])

    return [
        endpoint("POST", "/v1/backtests", "rules.test", start, summary="Start a backtest of a pack", body=BacktestBody,
                 returns=RunView, status=202, raises=(RunsFull, FileNameInvalid), max_bytes=4 * 1024 * 1024),
        endpoint("POST", "/v1/suggestions", "rules.test", suggest, body=SuggestBody, returns=RunView, status=202,
                 raises=(RunsFull, NotAllowed), summary="Start a search for rules in labelled events"),
        endpoint("GET", "/v1/backtests/{id}", "rules.test", find, returns=RunView,
                 summary="See how a backtest, or a search for rules, stands",
                 raises=(RunMissing,)),
        endpoint("DELETE", "/v1/backtests/{id}", "rules.test", stop, returns=RunView, raises=(RunMissing,),
                 summary="Stop a backtest for which nobody waits; one that is over stays as it is"),
    ]  # fmt: skip
