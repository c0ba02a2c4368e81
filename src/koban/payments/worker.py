"""Whoever asks the providers: takes open steps whose time has come, sends them outside any transaction, tells the answer.

A step is claimed in its row before it is sent. A crash at any point leaves it open, and the next one who drives sends it
again with the same key. Only the process that holds the log's lease drives; a second one would be harmless.
"""

import collections
import dataclasses
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import msgspec
import structlog

from koban.base import Clock, Lookout, Unavailable
from koban.db import Database, Tx
from koban.payments import logic, store
from koban.payments.store import DueStep
from koban.payments.types import ERASED_UNKNOWN, Declined, Instruction, Provider, Told

UNDER_WAY_MAX: Final = 8  # calls to one provider at a time
LOOK_EVERY_S: Final = 0.5
TRY_AGAIN_AFTER_S: Final = 2.0

_log: Final = structlog.get_logger("koban.payments")

Open = Callable[[Tx, str, str, bytes], dict[str, object] | None]  # account, context, sealed -> fields


@dataclasses.dataclass(frozen=True, kw_only=True)
class PaymentKit:
    """What asking providers works with. `proves` knows the pack's methods.

    `claim` has the decider note that steps are sent and returns those that were not called off meanwhile; `tell` has it
    take an answer in. Why the decider: it commits what many ask for at once, and each commit waits for the disk.
    """

    database: Database
    clock: Clock
    providers: Mapping[str, Provider]
    open: Open
    proves: Callable[[str], bool]
    claim: Callable[[Sequence[str]], frozenset[str]]
    tell: Callable[[Told], None]


def find_due(kit: PaymentKit, under_way: Mapping[str, frozenset[str]]) -> list[DueStep]:
    """Return the steps that may be sent now: due, not under way, and no more than each provider bears.

    Why each provider is asked for by itself: what waits for one that is out would stand before what another could do.
    """
    at = kit.clock.now()
    found = list[DueStep]()
    with kit.database.read() as tx:
        states = store.provider_states(tx)
        for name in kit.providers:
            sent = under_way.get(name, frozenset())
            free = logic.may_call(states.get(name), at, under_way=len(sent), most=UNDER_WAY_MAX)
            if free > 0:
                # What is under way is still due in its row.
                due = store.due(tx, name, at, limit=free + len(sent))
                found += [each for each in due if each.step.id not in sent][:free]
    return sorted(found, key=lambda each: (each.step.next_at, each.step.id))


def claim(kit: PaymentKit, due: Sequence[DueStep]) -> list[DueStep]:
    """Have it noted in their rows that steps are sent; return those that were not called off meanwhile."""
    claimed = kit.claim([each.step.id for each in due]) if due else frozenset()
    return [each for each in due if each.step.id in claimed]


def ask(kit: PaymentKit, due: DueStep) -> None:
    """Send one step that is claimed, and tell how it went. Its attempts are those from before the claim."""
    at, began = kit.clock.now(), kit.clock.monotonic()
    with kit.database.read() as tx:
        fields = kit.open(tx, due.payment.account, f"payment:{due.payment.id}", due.sealed)
    told = Told(step=due.step.id, at=at, took_us=0)
    if fields is None and due.step.kind in {"authorise", "payout"}:
        # The person was erased, and the token with them: what was never sent cannot be any more.
        if due.step.attempts:
            kit.tell(msgspec.structs.replace(told, error=ERASED_UNKNOWN, is_erased=True))
        else:
            kit.tell(msgspec.structs.replace(told, answer=Declined(code="token_erased")))
        return
    try:
        reply = kit.providers[due.step.provider].perform(instruction_of(kit, due, fields or {}))
    except Unavailable as error:
        kit.tell(msgspec.structs.replace(told, error=error.detail, took_us=kit.clock.monotonic() - began))
        return
    kit.tell(msgspec.structs.replace(told, answer=reply, took_us=kit.clock.monotonic() - began))


def instruction_of(kit: PaymentKit, due: DueStep, fields: Mapping[str, object]) -> Instruction:
    """Write what a provider is asked for a step: the same for every attempt."""
    begins = due.step.kind in {"authorise", "payout"}
    tokens = fields.get("tokens")
    token = str(tokens.get(str(due.part.no), "")) if isinstance(tokens, dict) and begins else ""
    proves = due.step.kind == "authorise" and kit.proves(due.part.method)
    return Instruction(
        key=due.step.id,
        kind=due.step.kind,
        payment=due.payment.id,
        amount_minor=due.step.amount_minor,
        currency=due.payment.currency,
        method=due.part.method,
        reference="" if begins else due.part.reference,
        token=token,
        three_ds=due.payment.three_ds if proves else None,
    )


def work_off(kit: PaymentKit, *, most: int = 1_000) -> int:
    """Send what is due, one after the other, until nothing is; return how many were sent."""
    sent = 0
    while sent < most:
        found = find_due(kit, {})
        if not found:
            break
        for each in found:
            # One at a time: what the answer to one calls off must not be claimed yet.
            for claimed in claim(kit, [each]):
                ask(kit, claimed)
            sent += 1
    return sent


class PaymentWorker:
    """Asks the providers in threads until it is closed."""

    def __init__(self, kit: PaymentKit) -> None:
        """Start at once."""
        self._kit = kit
        self._counting = threading.Lock()
        self._under_way: dict[str, set[str]] = collections.defaultdict(set)
        self._pool = ThreadPoolExecutor(
            UNDER_WAY_MAX * max(1, len(kit.providers)), thread_name_prefix="koban-payment-call"
        )
        self._lookout = Lookout(
            "koban-payments",
            self._begin_due,
            every_s=LOOK_EVERY_S,
            after_failure_s=TRY_AGAIN_AFTER_S,
            failed=lambda: _log.exception("payments could not be looked for; trying again"),
        )
        self._lookout.start()

    def wake(self) -> None:
        """Look for due steps now: called after a command that may have begun some, from any thread."""
        self._lookout.wake()

    def close(self) -> None:
        """Begin no further call, and wait for those under way."""
        self._lookout.close()
        self._pool.shutdown(wait=True)

    def _begin_due(self) -> bool:
        with self._counting:
            under_way = {name: frozenset(ids) for name, ids in self._under_way.items()}
        for each in claim(self._kit, find_due(self._kit, under_way)):
            with self._counting:
                self._under_way[each.step.provider].add(each.step.id)
            self._pool.submit(self._ask, each)
        return False  # each call that ends wakes the lookout

    def _ask(self, due: DueStep) -> None:
        try:
            ask(self._kit, due)
        except Exception:  # noqa: BLE001 — the edge of a thread: the step stays open and is sent again
            _log.exception("a payment step could not be settled", step=due.step.id)
        finally:
            with self._counting:
                self._under_way[due.step.provider].discard(due.step.id)
            self._lookout.wake()
