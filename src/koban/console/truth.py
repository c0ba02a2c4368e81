"""The truth page: what a simulated evening planted, held against what was decided about it; and nothing else reads it."""

import pathlib
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from koban.access import Answer, Call, Endpoint, endpoint
from koban.base import MINUTE, SECOND, Instant, wilson
from koban.console import store
from koban.console.kit import ConsoleKit
from koban.console.pages import page
from koban.db import Tx
from koban.enforcement import store as sanction_store
from koban.events import store as event_store
from koban.sim.cashier import PAID_BY
from koban.sim.plan import source_of
from koban.sim.report import Decision, SanctionFact, SimReport, report
from koban.sim.truth import read_kept_back, read_settings, read_truth, runs_of

MADE_ANEW_AFTER: Final = 3 * SECOND
SHOWN_MAX: Final = 200

_DECISION: Final = msgspec.json.Decoder(Decision)


def endpoints(kit: ConsoleKit) -> tuple[Endpoint, ...]:
    """Return the pages of this part."""
    reports = _Reports(kit)

    def truth(call: Call) -> Answer:
        runs = runs_of(kit.truth) if kit.truth is not None else ()
        run = call.query.get("run", "")
        run = run if run in runs else next(iter(runs), "")
        return page(
            kit,
            call,
            "truth.html",
            runs=runs,
            run=run,
            found=reports.of(run, call.at) if run else None,
            has_truth=kit.truth is not None,
            share=wilson,
            shown_max=SHOWN_MAX,
            minute=MINUTE,
            pack=kit.pack(),
        )

    return (
        endpoint("GET", "/truth", "simulation.read", truth, summary="What was true, and what was found", page=True),
    )


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """The report of an evening with what a page says beside it."""

    report: SimReport
    seed: int
    started_at: Instant
    speed: float | None


class _Reports:
    """Reports by evening, worked out at most every three seconds however many people look."""

    def __init__(self, kit: ConsoleKit) -> None:
        self._kit = kit
        self._lock = threading.Lock()
        self._made: dict[str, tuple[Instant, Found]] = {}

    def of(self, run: str, at: Instant) -> Found:
        """Return the report of an evening, at most three seconds old."""
        with self._lock:
            made = self._made.get(run)
            if made is None or not 0 <= at - made[0] < MADE_ANEW_AFTER:
                made = (at, self._make(run))
                self._made = {run: made}
            return made[1]

    def _make(self, run: str) -> Found:
        assert self._kit.truth is not None, "a page without truth asks for no report"
        folder = self._kit.truth / run
        with self._kit.database.read() as tx:
            result = report_of(tx, folder)
        settings = read_settings(folder)
        now = self._kit.story.now() if self._kit.story is not None else None
        return Found(
            report=result,
            seed=settings.seed,
            started_at=settings.start_at,
            speed=now.speed if now is not None and now.run == run else None,
        )


def report_of(tx: Tx, folder: pathlib.Path) -> SimReport:
    """Hold what stands in the log against the truth in a folder: the same function that `koban sim report` calls."""
    settings = read_settings(folder)
    since_seq = event_store.seq_since(tx, Instant(settings.start_at - MINUTE))
    ids: set[str] = set()
    spoken: list[Decision] = []
    for source in (source_of(settings), PAID_BY):
        found, bodies = store.decided_of_source(tx, source, since_seq=since_seq)
        ids.update(found)
        spoken += (_DECISION.decode(body) for body in bodies)
    silent = ids - {decision.id for decision in spoken}
    decisions = [*spoken, *(Decision(id=event_id, verdict="allow") for event_id in silent)]
    return report(read_truth(folder), decisions, read_kept_back(folder), sanctions=_sanctions_in(tx))


def _sanctions_in(tx: Tx) -> Callable[[Sequence[str]], Mapping[str, SanctionFact]]:
    def look_up(ids: Sequence[str]) -> Mapping[str, SanctionFact]:
        return {
            one.id: SanctionFact(
                id=one.id,
                imposed_at=one.imposed_at,
                closed_at=one.closing.at if one.closing is not None else None,
                how=one.closing.how if one.closing is not None else "",
            )
            for one in sanction_store.read(tx, ids).values()
        }

    return look_up
