"""The runner: sends a plan over HTTP at its own pace, like any marketplace, and never loses or doubles an event."""

import functools
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Final

import httpx
import msgspec

from koban.base import SECOND, Clock, Instant, Refusal, Unavailable
from koban.sim.cashier import PAYMENT, Cashier
from koban.sim.market import Market
from koban.sim.plan import plan, wire
from koban.sim.playhead import Playhead
from koban.sim.truth import TruthFolder
from koban.sim.types import KeptBack, Settings, SimEvent, TruthRow

_BATCH_MAX: Final = 200
_ATTEMPTS_MAX: Final = 400
_WAIT_FIRST_S: Final = 0.2
_WAIT_MAX_S: Final = 5.0
_FLUSH_EVERY: Final = SECOND // 5
_BUSY: Final = frozenset({429, 502, 503, 504})
_ENCODER: Final = msgspec.json.Encoder()

Batch = list[tuple[SimEvent, Instant]]


class Rejected(Refusal):
    """Koban does not take events from this caller."""

    code = "sim_rejected"
    status = 403
    title = "Koban refused the simulated marketplace."


class RunCounts(msgspec.Struct, kw_only=True):
    """What a run has done so far."""

    sent: int = 0
    batches: int = 0
    retries: int = 0
    refused: int = 0  # events that Koban answered with a problem
    kept_back: dict[str, int] = {}  # reason -> events that an action prevented
    verdicts: dict[str, int] = {}
    reached: int = 0  # how far into the plan everything was sent, in microseconds


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """Where to send events, and with which token."""

    base_url: str
    token: str


def run(
    target: Target,
    settings: Settings,
    *,
    clock: Clock,
    stop: threading.Event,
    speed: float | None = 1.0,
    truth: TruthFolder | None = None,
    market: Market | None = None,
    progress: Callable[[RunCounts], None] | None = None,
    playhead: Playhead | None = None,
    heard: Callable[[TruthRow], None] = lambda _row: None,
    cashier: Cashier | None = None,
) -> RunCounts:
    """Send a plan until it ends or `stop` is set. `speed` 12 plays an hour in five minutes; None does not wait.

    A `playhead` that is passed in sets the pace instead, and can be paused. Events carry the moment at which they are
    due on the wall clock, so that a sped-up run is neither late nor ahead. `heard` is told the truth as it is written.
    With a `cashier` the payments that it takes go through Koban's money API, and are not sent as events.
    Refuses: Rejected (401 or 403). Outages: waits and sends the same bytes again, so ids decide what is new;
    Unavailable after 400 attempts in a row.
    """
    counts = RunCounts()
    if playhead is None and speed is not None:
        playhead = Playhead(clock, speed)
    with _client(target) as client:
        events = plan(settings, functools.partial(_note, truth, heard))
        for batch in _paced(events, settings, clock, stop, playhead):
            kept = [pair for pair in batch if not _prevented(pair[0], market, truth, counts)]
            if truth:
                truth.flush()
            post = functools.partial(_send, client, counts=counts, stop=stop, market=market)
            if cashier is None:
                post(kept)
            else:
                _through(cashier, kept, batch[-1][0].at - settings.start_at, post, counts=counts, market=market)
            counts.reached = batch[-1][0].at - settings.start_at
            if progress:
                progress(counts)
    return counts


def _client(target: Target) -> httpx.Client:
    return httpx.Client(
        base_url=target.base_url,
        headers={"authorization": f"Bearer {target.token}"},
        timeout=httpx.Timeout(30.0),
        trust_env=False,
    )


def _paced(
    events: Iterator[SimEvent], settings: Settings, clock: Clock, stop: threading.Event, playhead: Playhead | None
) -> Iterator[list[tuple[SimEvent, Instant]]]:
    """Yield batches of events that are due, each event with the moment it will carry."""
    batch: list[tuple[SimEvent, Instant]] = []
    for event in events:
        if stop.is_set():
            return
        due = event.at - settings.start_at
        if batch and (len(batch) >= _BATCH_MAX or (playhead is not None and due > playhead.position())):
            yield batch
            batch = []
        # What is due within the next fifth of a second goes out together: one request for a handful of events.
        if playhead is not None and not playhead.wait(due - int(_FLUSH_EVERY * playhead.speed), stop):
            return
        batch.append((event, clock.now() if playhead is None else playhead.due_at(due)))
    if batch:
        yield batch


def _note(truth: TruthFolder | None, heard: Callable[[TruthRow], None], row: TruthRow) -> None:
    if truth:
        truth.note(row)
    heard(row)


def _prevented(event: SimEvent, market: Market | None, truth: TruthFolder | None, counts: RunCounts) -> bool:
    reason = market.in_the_way(event) if market else None
    if reason is None:
        return False
    counts.kept_back[reason] = counts.kept_back.get(reason, 0) + 1
    if truth:
        truth.keep_back(KeptBack(event_id=event.id, reason=reason))
    return True


def _through(
    cashier: Cashier,
    batch: Batch,
    position: int,
    post: Callable[[Batch], Mapping[str, str]],
    *,
    counts: RunCounts,
    market: Market | None,
) -> None:
    """Send what is no payment, then pay: a payment may be for an order of the same batch."""
    others = [pair for pair in batch if pair[0].type != PAYMENT]
    verdicts = dict(post(others))
    cashier.hear(((event, verdicts.get(event.id)) for event, _ in others), position)
    told: Batch = []
    for event, at in batch:
        if event.type != PAYMENT:
            continue
        if not cashier.takes(event):
            told.append((event, at))
            continue
        verdict = cashier.pay(event, position)
        counts.sent += 1
        if verdict is None:
            counts.refused += 1
            continue
        counts.verdicts[verdict] = counts.verdicts.get(verdict, 0) + 1
        if market:
            market.judge(event, verdict)
    post(told)


def _send(
    client: httpx.Client,
    batch: Batch,
    *,
    counts: RunCounts,
    stop: threading.Event,
    market: Market | None,
) -> Mapping[str, str]:
    """Send one batch until it is answered, identical bytes each time; return the verdicts by event."""
    if not batch:
        return {}
    body = _ENCODER.encode([wire(event, at) for event, at in batch])
    wait_s = _WAIT_FIRST_S
    for _ in range(_ATTEMPTS_MAX):
        try:
            answer = client.post(
                "/v1/events", content=body, headers={"content-type": "application/cloudevents-batch+json"}
            )
        except httpx.TransportError:
            answer = None
        if answer is not None and answer.status_code not in _BUSY:
            counts.batches += 1
            return _count(answer, [event for event, _ in batch], counts, market)
        counts.retries += 1
        if answer is not None and answer.headers.get("retry-after", "").isdigit():
            wait_s = max(wait_s, min(float(answer.headers["retry-after"]), _WAIT_MAX_S))
        if stop.wait(wait_s):
            return {}
        wait_s = min(wait_s * 1.6, _WAIT_MAX_S)
    raise Unavailable("koban", 60, f"Koban at {client.base_url} did not answer {_ATTEMPTS_MAX} times in a row.")


def _count(
    answer: httpx.Response, events: list[SimEvent], counts: RunCounts, market: Market | None
) -> Mapping[str, str]:
    if answer.status_code in {401, 403}:
        raise Rejected(f"Koban answered {answer.status_code} to POST /v1/events: {answer.text[:300]}")
    counts.sent += len(events)
    verdicts = _verdicts(answer)
    for event in events:
        verdict = verdicts.get(event.id)
        if verdict is None:
            counts.refused += 1
            continue
        counts.verdicts[verdict] = counts.verdicts.get(verdict, 0) + 1
        if market:
            market.judge(event, verdict)
    return verdicts


def _verdicts(answer: httpx.Response) -> dict[str, str]:
    """Read the verdict on each event of a batch; events that were answered with a problem have none."""
    if not answer.is_success:
        return {}
    document = answer.json()
    items = document.get("items", [document]) if isinstance(document, dict) else document
    found: dict[str, str] = {}
    for item in items:
        decision = item.get("decision", item) if isinstance(item, dict) else None
        if isinstance(decision, dict) and isinstance(decision.get("verdict"), str):
            found[str(decision.get("id"))] = decision["verdict"]
    return found


def wait_until_ready(target: Target, stop: threading.Event, *, seconds: int = 60) -> bool:
    """Wait until Koban answers `GET /health`; False where it did not in time, or `stop` was set."""
    with _client(target) as client:
        for _ in range(seconds * 4):
            try:
                if client.get("/health").is_success:
                    return True
            except httpx.TransportError:
                pass
            if stop.wait(0.25):
                return False
    return False
