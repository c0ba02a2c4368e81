"""HTTP in front: every route of every room, the documents about them, health and metrics."""

import contextlib
import functools
import pathlib
import threading
from collections.abc import Callable, Iterator, Sequence

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.applications import Starlette

import koban
import koban.banking.routes as bank_routes
import koban.cases.routes as case_routes
import koban.decisions.routes as decision_routes
import koban.decisions.store as decision_store
import koban.enforcement.routes as sanction_routes
import koban.events.routes as event_routes
import koban.events.store as event_store
import koban.insight.routes as log_routes
import koban.lab.list_routes as lists_in_time
import koban.lab.routes as lab
import koban.labels.routes as label_routes
import koban.ledger.routes as ledger_routes
import koban.lists.routes as list_routes
import koban.packs.routes as pack_routes
import koban.payments.routes as payment_routes
import koban.reconciliation.routes as reconciliation_routes
import koban.rules.routes as rule_routes
import koban.scores.routes as score_routes
import koban.vault.routes as people_routes
from koban import access, board, console, emergency, finding, oncall, webhooks
from koban.access import PUBLIC, Answer, Call, Endpoint, endpoint
from koban.app import opening, private
from koban.app.backtests import SuggestBody, backtest_endpoints, start_suggesting
from koban.app.banking import bank_desk, expected_commands
from koban.app.casework import appeal_desk, sign_links, workbench
from koban.app.demo import Demo
from koban.app.drafts import draft_endpoints, mode_draft_endpoints
from koban.app.money import booking_commands, ledger_commands, period_commands
from koban.app.own_data import OwnData
from koban.app.payments import payment_commands
from koban.app.people import erase_person
from koban.app.reconciliation import reconciliation_desk
from koban.app.running import CHECKPOINTS, Koban, modes_of, versions_of
from koban.app.urgent import emergencies
from koban.banking.account_routes import account_endpoints
from koban.banking.expected_routes import expected_endpoints
from koban.banking.name_routes import name_endpoints
from koban.base import DAY, Problem
from koban.cases import work_routes
from koban.db import Tx
from koban.enforcement import appeal_routes
from koban.events import Entry
from koban.insight import health_endpoints
from koban.lab import Behind, Log, behind_subject
from koban.lab.drafts import bring_in
from koban.lab.mode_drafts import bring_expectation, bring_mode
from koban.ledger.booking_routes import booking_endpoints
from koban.ledger.period_routes import period_endpoints
from koban.lists import ListChange
from koban.packs import PackDef, problems_of
from koban.packs.draft_store import Switched
from koban.pipeline import casework, commands
from koban.pipeline.explain import (
    Explained,
    FeatureBehind,
    explain,
    explain_feature,
    explain_why_not,
    stored_decision,
    version_of,
)
from koban.pipeline.figures import BUCKETS_US
from koban.rules import check_pack


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """Whether this process decides, and how far it is."""

    status: str
    version: str
    decider: str
    last_seq: int
    pack: str
    queued: int


def asgi(koban_: Koban, *, demo: Demo | None = None, own: OwnData | None = None) -> access.Guarded:
    """Put HTTP in front of an open Koban."""
    own = own or OwnData(koban_)
    kit = _access_kit(koban_)
    sign_links(koban_.desk, koban_.vault.appeal_key, koban_.settings.public_url)
    gate = access.Gate(
        clock=koban_.clock,
        randomness=koban_.randomness,
        directory=koban_.directory,
        pool=koban_.pool,
        secure_cookies=kit.secure_cookies,
        problem_page=functools.partial(console.problem_page, simulated=demo is not None),
        once=access.Once(koban_.database),
    )
    verbs = emergencies_of(koban_)
    endpoints = endpoints_of(koban_, kit, own, verbs)
    shown = _console_kit(koban_, kit, own, demo=demo, verbs=verbs)
    pages = console.endpoints(shown)
    koban_.pool.submit(_look_ahead, koban_, shown)
    document = access.openapi(endpoints, koban.__version__)
    described = endpoint(
        "GET",
        "/openapi.json",
        PUBLIC,
        lambda _call: Answer(body=document),
        summary="This interface, described",
        returns=dict[str, object],
    )
    routes = access.build_routes([*endpoints, *pages, described], gate)
    served = Starlette(routes=routes, exception_handlers=access.problem_handlers(gate))
    served.router.redirect_slashes = False  # an address is right or it is not
    return access.Guarded(served, gate, routes)


def _look_ahead(koban_: Koban, shown: console.ConsoleKit) -> None:
    """Count once what pages show and what takes long the first time, so that nobody waits for it."""
    with koban_.database.read() as tx:
        shown.tally.honest(tx, koban_.clock.now())


def _event_endpoints(koban_: Koban) -> list[Endpoint]:
    desk = koban_.desk
    return event_routes.endpoints(
        koban_.database, desk.prepare, desk.take, desk.decider.relay, replay=desk.replay_quarantined,
        archived=functools.partial(_archived, koban_),
    )  # fmt: skip


def endpoints_of(
    koban_: Koban, kit: access.AccessKit, own: OwnData, verbs: emergency.Emergencies | None = None
) -> list[Endpoint]:
    """Describe every route under /v1, and those for machines around it."""
    verbs = verbs or emergencies_of(koban_)
    desk, database = koban_.desk, koban_.database
    change_list = lambda change: desk.command(lambda memory, tx: commands.change_list(memory, tx, change))  # noqa: E731
    submit = lambda command: desk.command(lambda memory, tx: commands.sanction(memory, tx, command))  # noqa: E731
    set_mode = functools.partial(bring_mode, modes_of(desk, koban_.randomness))
    label = lambda change: desk.command(lambda memory, tx: commands.label(memory, tx, change))  # noqa: E731
    return [
        *_event_endpoints(koban_),
        *_decisions(koban_),
        *sanction_routes.endpoints(database, submit, event_store.last_seq),
        *case_routes.endpoints(
            database,
            lambda command: desk.command(lambda memory, tx: casework.close(memory, tx, command)),
            lambda: koban_.memory.compiled.pack.queues,
        ),
        *work_routes.work_endpoints(workbench(desk, koban_.randomness)),
        *appeal_routes.appeal_endpoints(appeal_desk(desk)),
        *webhooks.build_endpoints(
            webhooks.Desk(
                database=database,
                book=koban_.memory.book,
                box=koban_.box,
                randomness=koban_.randomness,
                may_allow_private=koban_.settings.allow_private_webhooks,
            )
        ),
        *_lists(koban_, change_list),
        *label_routes.endpoints(database, label),
        *ledger_routes.endpoints(database, ledger_commands(koban_)),
        *booking_endpoints(database, booking_commands(desk)),
        *_bank_endpoints(koban_),
        *period_endpoints(database, period_commands(desk)),
        *payment_routes.endpoints(database, payment_commands(koban_)),
        *reconciliation_routes.endpoints(reconciliation_desk(desk, koban_.providers.by_name)),
        *score_routes.endpoints(
            database, lambda change: desk.command(lambda memory, tx: commands.score(memory, tx, change))
        ),
        *rule_routes.endpoints(
            database, set_mode, lambda: koban_.memory.compiled.pack.rules, functools.partial(_hits, koban_)
        ),
        *emergency.endpoints(database, verbs),
        *emergency.undo_endpoints(database, submit),
        *oncall.endpoints(koban_.oncall, koban_.box, may_allow_private=koban_.settings.allow_private_webhooks),
        *health_endpoints(
            database,
            lambda: koban_.memory.compiled.pack,
            functools.partial(bring_expectation, modes_of(desk, koban_.randomness)),
        ),
        *pack_routes.endpoints(database, functools.partial(_bring, koban_), _check),
        *draft_endpoints(koban_),
        *mode_draft_endpoints(koban_),
        *board.endpoints(_board_desk(koban_)),
        *finding.endpoints(_finding_desk(koban_)),
        *people_routes.endpoints(database, koban_.vault, lambda person, by: erase_person(koban_, person, by=by)),
        *log_routes.endpoints(own),
        *_explaining(koban_),
        *backtest_endpoints(koban_),
        *private.endpoints(koban_),
        *opening.endpoints(koban_),
        *access.endpoints(kit),
        *_machine_endpoints(koban_),
    ]


def _decisions(koban_: Koban) -> list[Endpoint]:
    database, archive = koban_.database, koban_.desk.archive
    return decision_routes.endpoints(
        database,
        lambda tx, seq: stored_decision(tx, seq, archive)[2],
        lambda seq: explain(database, koban_.vault, seq, archive=archive),
        Explained,
    )


def _bank_endpoints(koban_: Koban) -> list[Endpoint]:
    bank = bank_desk(koban_.desk, koban_.vault)
    return [
        *bank_routes.endpoints(bank),
        *account_endpoints(bank),
        *name_endpoints(bank),
        *expected_endpoints(koban_.database, expected_commands(koban_.desk)),
    ]


def _lists(koban_: Koban, change: Callable[[ListChange], object]) -> list[Endpoint]:
    database = koban_.database
    return [
        *list_routes.endpoints(database, change, lambda: _declared(koban_.memory.compiled.pack)),
        *lists_in_time.endpoints(database, lambda: koban_.memory.compiled.pack, change),
    ]


def _explaining(koban_: Koban) -> list[Endpoint]:
    database, vault, archive = koban_.database, koban_.vault, koban_.desk.archive
    assert archive is not None, "a server has an archive"
    return lab.explain_endpoints(
        functools.partial(version_of, database),
        lambda seq, rule, pack: explain_why_not(database, vault, seq, rule, pack=pack, archive=archive),
        functools.partial(_explain_feature, koban_),
        lambda seq, pack: explain(database, vault, seq, pack=pack, archive=archive),
        (Explained, FeatureBehind),
    )


def _access_kit(koban_: Koban) -> access.AccessKit:
    return access.AccessKit(
        database=koban_.database,
        directory=koban_.directory,
        randomness=koban_.randomness,
        secrets=koban_.secrets,
        checkpoint_file=koban_.settings.data / CHECKPOINTS,
        audit_key=koban_.signing_key.public,
        secure_cookies=koban_.settings.public_url.startswith("https://"),
    )


def emergencies_of(koban_: Koban) -> emergency.Emergencies:
    """Return the verbs of emergency rules of an open Koban."""
    return emergencies(koban_.database, koban_.vault, koban_.desk, koban_.clock, zone=koban_.settings.zone)


def _console_kit(
    koban_: Koban,
    kit: access.AccessKit,
    own: OwnData,
    *,
    demo: Demo | None,
    verbs: emergency.Emergencies | None = None,
) -> console.ConsoleKit:
    desk = koban_.desk
    runs = koban_.runs
    return console.ConsoleKit(
        database=koban_.database,
        clock=koban_.clock,
        access=kit,
        pack=lambda: koban_.memory.compiled.pack,
        figures=lambda: koban_.memory.figures.snapshot(koban_.clock.now()),
        stored=lambda tx, seq: stored_decision(tx, seq, desk.archive),
        explain=lambda seq, pack: explain(koban_.database, koban_.vault, seq, pack=pack, archive=desk.archive),
        explain_feature=functools.partial(_explain_feature, koban_),
        version=functools.partial(version_of, koban_.database),
        modes=modes_of(desk, koban_.randomness),
        sanction=lambda command: desk.command(lambda memory, tx: commands.sanction(memory, tx, command)),
        change_list=lambda change: desk.command(lambda memory, tx: commands.change_list(memory, tx, change)),
        bench=workbench(desk, koban_.randomness),
        appeals=appeal_desk(desk),
        appeal_key=koban_.vault.appeal_key,
        opener=private.CaseOpener(koban_.database, koban_.vault, koban_.secrets),
        replay=desk.replay_quarantined,
        prove_ledger=ledger_commands(koban_).prove,
        periods=period_commands(desk),
        bookings=booking_commands(desk),
        reconciliation=reconciliation_desk(desk, koban_.providers.by_name),
        logs=own,
        bank=bank_desk(koban_.desk, koban_.vault),
        simulated=demo is not None,
        truth=demo.truth if demo is not None else None,
        story=demo,
        emergencies=verbs or emergencies_of(koban_),
        oncall=koban_.oncall,
        contacts_box=koban_.box,
        may_allow_private=koban_.settings.allow_private_webhooks,
        zone=koban_.settings.zone,
        versions=versions_of(desk, koban_.randomness),
        start_backtest=lambda files, arguments: runs.start(files, koban_.clock.now(), arguments),
        find_backtest=runs.find,
        suggest=lambda at, event, log, precision, without: start_suggesting(
            koban_, at, SuggestBody(event=event, log=log, precision=precision, without=list(without))
        ),
        stop_backtest=runs.stop,
        backtest_of=runs.find_of,
        feature_value=functools.partial(_feature_value, koban_),
        money=koban_.held,
        payments=payment_commands(koban_),
        is_honest=koban_.is_honest,
        committed_at=koban_.memory.figures.committed_at,
        stopping=koban_.stopping.is_set,
        disclose=lambda at, by, seq, asked: opening.disclose(
            opening.opening_of(koban_), at, by=by, seq=seq, asked=asked
        ),
        disclosed=lambda tx, at, by, entry: opening.disclosed(opening.opening_of(koban_), tx, at, by=by, entry=entry),
        search_sealed=lambda at, by, asked: opening.search_sealed(opening.opening_of(koban_), at, by=by, asked=asked),
    )


def _board_desk(koban_: Koban) -> board.BoardDesk:
    return board.BoardDesk(
        database=koban_.database,
        numbers=lambda: koban_.memory.figures.snapshot(koban_.clock.now()),
        pack=lambda: koban_.memory.compiled.pack,
        money=koban_.held,
    )


def _finding_desk(koban_: Koban) -> finding.FindingDesk:
    return finding.FindingDesk(
        database=koban_.database,
        clock=koban_.clock,
        randomness=koban_.randomness,
        pack=lambda: koban_.memory.compiled.pack,
    )


def _explain_feature(koban_: Koban, seq: int, key: str, pack: PackDef | None) -> FeatureBehind:
    archive = koban_.desk.archive
    assert archive is not None, "a server has an archive"
    return explain_feature(koban_.database, koban_.vault, seq, key, pack=pack, archive=archive)


def _feature_value(koban_: Koban, feature: str, subject: str) -> tuple[Behind, ...]:
    archive = koban_.desk.archive
    assert archive is not None, "a server has an archive"
    with koban_.database.read() as tx:
        log = Log(tx=tx, archive=archive, vault=koban_.vault)
        seq, at = koban_.memory.last_seq + 1, koban_.clock.now()
        return behind_subject(log, koban_.memory.compiled.pack, feature, subject, seq=seq, at=at)


def _declared(pack: PackDef) -> dict[str, tuple[str, int]]:
    return {name: (each.kind, len(each.entries)) for name, each in pack.lists.items()}


def _bring(koban_: Koban, pack: PackDef, call: Call, how: pack_routes.Bringing) -> Switched:
    desk = versions_of(koban_.desk, koban_.randomness)
    by = call.principal.actor
    return bring_in(desk, pack, call.at, by=by, reason=how.reason, back=how.back, base=how.base)


def _check(pack: PackDef) -> tuple[Problem, ...]:
    return problems_of(check_pack(pack))


def _archived(koban_: Koban, tx: Tx, event_id: str, source: str | None) -> Entry | None:
    archive = koban_.desk.archive
    found = archive.find_event(tx, event_id, source) if archive is not None else None
    return found.entry if found is not None else None


def _hits(koban_: Koban) -> dict[str, tuple[int, int, int]]:
    since_at = koban_.clock.now() - DAY
    with koban_.database.read() as tx:
        return {
            rule: (hits, acted, accounts)
            for rule, hits, acted, accounts in decision_store.rule_hits(tx, since_at=since_at)
        }


def _machine_endpoints(koban_: Koban) -> Sequence[Endpoint]:
    async def health(_call: Call) -> Answer:
        failed = koban_.desk.decider.failed is not None
        body = Health(
            status="failed" if failed else "ok",
            version=koban.__version__,
            decider="stopped" if failed else "deciding",
            last_seq=koban_.memory.last_seq,
            pack=koban_.memory.compiled.pack.digest[:12],
            queued=koban_.desk.decider.queued,
        )
        return Answer(body=body, status=503 if failed else 200)

    registry = CollectorRegistry()
    registry.register(_Figures(koban_))

    def metrics(_call: Call) -> Answer:
        text = generate_latest(registry) + generate_latest(REGISTRY)
        return Answer(body=text, media_type=CONTENT_TYPE_LATEST)

    return (
        endpoint(
            "GET", "/health", PUBLIC, health, summary="Whether this process decides", returns=Health, blocking=False
        ),
        endpoint(
            "GET",
            "/metrics",
            "metrics.read",
            metrics,
            summary="Figures in Prometheus form",
            returns=bytes,
            media_types=("text/plain",),
        ),
    )


class _Figures(Collector):
    """The decider's figures in Prometheus form."""

    def __init__(self, koban_: Koban) -> None:
        self._koban = koban_

    def collect(self) -> Iterator[Metric]:
        """Make the metrics of this moment."""
        figures = self._koban.memory.figures.snapshot(self._koban.clock.now())
        verdicts = CounterMetricFamily("koban_decisions", "Decisions by verdict.", labels=["verdict"])
        for verdict, count in figures.verdicts.items():
            verdicts.add_metric([verdict], count)
        yield verdicts
        others = CounterMetricFamily("koban_events", "Events that were not simply decided.", labels=["what"])
        for what in ("duplicates", "conflicts", "quarantined", "overdue"):
            others.add_metric([what], getattr(figures, what))
        yield others
        buckets = [(str(bound / 1_000_000), figures.buckets[bound]) for bound in BUCKETS_US]
        yield HistogramMetricFamily(
            "koban_decision_seconds",
            "From arrival to decision, in seconds.",
            buckets=[*buckets, ("+Inf", figures.decided)],
            sum_value=figures.took_us_sum / 1_000_000,
        )
        yield GaugeMetricFamily("koban_queued", "Events waiting in memory.", self._koban.desk.decider.queued)
        yield GaugeMetricFamily("koban_log_seq", "The newest place in the log.", self._koban.memory.last_seq)
        threads = CounterMetricFamily("koban_thread_cpu_seconds", "CPU by thread (Linux only).", labels=["thread"])
        for name, seconds in cpu_by_thread().items():
            threads.add_metric([name], seconds)
        yield threads
        with self._koban.database.read() as tx:
            quarantined = event_store.count_quarantined(tx)
        yield GaugeMetricFamily("koban_quarantine_waiting", "Events that could not be read and wait.", quarantined)


def cpu_by_thread() -> dict[str, float]:
    """Return the seconds of CPU that threads of this process used, by name; those of a pool together.

    From `/proc/self/task/*/schedstat`, where the system has it; elsewhere nothing.
    """
    found: dict[str, float] = {}
    for thread in threading.enumerate():
        with contextlib.suppress(OSError):  # it ended meanwhile, or this is not Linux
            used = pathlib.Path(f"/proc/self/task/{thread.native_id}/schedstat").read_text(encoding="ascii")
            name = thread.name.rstrip("0123456789").rstrip("_")
            found[name] = found.get(name, 0.0) + int(used.split()[0]) / 1e9
    return found
