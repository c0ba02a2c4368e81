"""The payments' part of the wiring: which providers there are, commands through the decider, and who asks providers."""

import contextlib
import datetime
import functools
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, Literal

import msgspec

import koban.payments.routes as payment_routes
from koban.audit import record
from koban.base import SECOND, Clock, Instant, Refusal
from koban.db import Database, Tx
from koban.payments import store
from koban.payments.http import HttpProvider
from koban.payments.notices import read_secret, verified
from koban.payments.simulated import SimulatedProvider
from koban.payments.types import (
    NoticeForged,
    Payment,
    PaymentMissing,
    PaymentNotThere,
    PaymentUnfit,
    Provider,
    ProviderReportRow,
    Rerouted,
    Told,
)
from koban.payments.worker import PaymentKit
from koban.pipeline import paying, rerouting
from koban.pipeline.desk import Desk
from koban.pipeline.memory import Memory
from koban.vault import Vault

if TYPE_CHECKING:
    from koban.app.running import Koban

PROOF: Final = "three_d_secure"
REROUTED_AT_ONCE: Final = 500  # payments by one request; the same again goes on
BUYERS_ANSWER_AFTER: Final = 3 * SECOND  # in an installation that only simulates its provider


class ProvidersUnreadable(Refusal):
    """The file that says which payment providers there are cannot be used."""

    code = "providers_unreadable"
    status = 422
    title = "The payment providers cannot be read."


class ProviderEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One provider in the file that KOBAN_PAYMENT_PROVIDERS names; secrets stand in files of their own."""

    name: str
    kind: Literal["http", "simulated"]
    url: str = ""
    key_file: str = ""
    webhook_secret_file: str = ""


class Providers(msgspec.Struct, frozen=True, kw_only=True):
    """The providers of an installation, in the order of their file, with the secrets of their webhooks."""

    by_name: dict[str, Provider]
    secrets: dict[str, bytes]

    def close(self) -> None:
        """Close their connections."""
        for each in self.by_name.values():
            if isinstance(each, HttpProvider):
                each.close()


def read_providers(path: str, data: pathlib.Path, clock: Clock, *, simulated: bool = False) -> Providers:
    """Open the providers of an installation. Without a file there is none, or the simulated one where that is asked for.

    Refuses: ProvidersUnreadable.
    """
    by_name: dict[str, Provider] = {}
    secrets: dict[str, bytes] = {}
    for each in _entries(path) if path else [ProviderEntry(name="simulated", kind="simulated")] if simulated else []:
        if not each.name or each.name in by_name or not each.name.isidentifier():
            raise ProvidersUnreadable(f"{each.name!r}: a provider has a name of letters and digits, of its own.")
        if each.kind == "simulated":
            by_name[each.name] = SimulatedProvider(
                each.name,
                clock.now,
                path=data / f"provider-{each.name}.json",
                buyers_answer_after_us=BUYERS_ANSWER_AFTER,
            )
        else:
            if not each.url.startswith(("https://", "http://")):
                raise ProvidersUnreadable(f"{each.name}: 'url' begins with https://.")
            by_name[each.name] = HttpProvider(each.name, each.url, _text(each.key_file, each.name, "key_file"))
        if each.webhook_secret_file:
            try:
                secrets[each.name] = read_secret(_text(each.webhook_secret_file, each.name, "webhook_secret_file"))
            except ValueError as error:
                raise ProvidersUnreadable(f"{each.name}: {error}.") from None
    return Providers(by_name=by_name, secrets=secrets)


def _entries(path: str) -> list[ProviderEntry]:
    try:
        return msgspec.json.decode(pathlib.Path(path).read_bytes(), type=list[ProviderEntry])
    except OSError as error:
        raise ProvidersUnreadable(f"{path} cannot be read: {error.strerror}.") from None
    except msgspec.DecodeError as error:
        raise ProvidersUnreadable(f"{path}: {error}.") from None


def _text(path: str, name: str, field: str) -> str:
    try:
        return pathlib.Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ProvidersUnreadable(f"{name}: the file in '{field}' cannot be read ({type(error).__name__}).") from None


def payment_kit(desk: Desk, vault: Vault, clock: Clock, providers: Providers) -> PaymentKit:
    """Return what asking providers works with."""

    def claim(steps: Sequence[str]) -> frozenset[str]:
        return desk.command(lambda _, tx: store.claim_all(tx, steps))

    def tell(told: Told) -> None:
        desk.command(lambda memory, tx: paying.settle(memory, tx, told))

    return PaymentKit(
        database=desk.database,
        clock=clock,
        providers=providers.by_name,
        open=vault.open,
        proves=functools.partial(_proves, desk.memory),
        claim=claim,
        tell=tell,
    )


def _proves(memory: Memory, method: str) -> bool:
    found = memory.compiled.pack.payments.methods.get(method)
    return found is not None and found.proves == PROOF


def take_simulated_notices(desk: Desk, clock: Clock, providers: Providers) -> int:
    """Take the webhooks of simulated providers, which have no network to send them by."""
    count = 0
    for provider in providers.by_name.values():
        if isinstance(provider, SimulatedProvider):
            for message, notice in provider.due_notices(clock.now()):
                desk.command(functools.partial(paying.receive, provider=provider.name, message=message, notice=notice))
                # Only what is booked: what fails, or what a kill cuts off before this line, comes again.
                provider.answered(message)
                count += 1
    return count


def payment_commands(koban_: "Koban") -> payment_routes.Commands:
    """Return what routes and pages may have the decider do."""
    return commands_of(koban_.desk, koban_.vault, koban_.clock, koban_.providers, wake=koban_.payment_worker.wake)


def commands_of(
    desk: Desk, vault: Vault, clock: Clock, providers: Providers, *, wake: Callable[[], None]
) -> payment_routes.Commands:
    """Return what routes and pages may have a decider do. After each, `wake` calls whoever asks providers."""
    names = tuple(providers.by_name)

    def run(command: Callable[[Memory, Tx], Payment]) -> Payment:
        payment = desk.command(command)
        wake()
        return payment

    def receive(name: str, headers: Mapping[str, str], body: bytes, at: Instant) -> bool:
        secret = providers.secrets.get(name)
        if secret is None:
            raise NoticeForged("No provider of this name signs webhooks here.")
        message, notice = verified(headers, body, secret, at)
        is_new = desk.command(lambda memory, tx: paying.receive(memory, tx, name, message, notice))
        wake()
        return is_new

    def report(name: str, day: datetime.date) -> list[ProviderReportRow]:
        provider = providers.by_name.get(name)
        if provider is None:
            raise PaymentMissing(f"There is no payment provider {name[:40]!r}.")
        return list(provider.report(day))

    def reroute_waiting(name: str, to: str, by: str) -> Rerouted:
        rerouted = _reroute_waiting(desk, names, name, to, by=by)
        wake()
        return rerouted

    return payment_routes.Commands(
        begin=lambda new, by: run(lambda memory, tx: paying.begin(memory, tx, new, names, by=by)),
        begin_payout=lambda new, by: run(lambda memory, tx: paying.begin_payout(memory, tx, new, names, by=by)),
        capture=lambda payment, by: run(lambda memory, tx: paying.capture(memory, tx, payment, by=by)),
        void=lambda payment, by: run(lambda memory, tx: paying.void(memory, tx, payment, by=by)),
        refund=lambda new, by: run(lambda memory, tx: paying.refund(memory, tx, new, by=by)),
        release=lambda payment, because, by: run(
            lambda memory, tx: paying.release(memory, tx, payment, by=by, because=because)
        ),
        refuse=lambda payment, by: run(lambda memory, tx: paying.refuse(memory, tx, payment, by=by)),
        retry=lambda payment, step, by: run(lambda memory, tx: paying.retry(memory, tx, payment, step, by=by)),
        dismiss=lambda payment, step, by: run(lambda memory, tx: paying.dismiss(memory, tx, payment, step, by=by)),
        reroute=lambda payment, to, by: run(
            lambda memory, tx: rerouting.reroute(memory, tx, payment, to, names, by=by)
        ),
        reroute_waiting=reroute_waiting,
        say=lambda said, by: run(lambda memory, tx: paying.say(memory, tx, said, by=by)),
        receive=receive,
        evidence=lambda payment, no, by: _evidence(desk.database, vault, clock.now(), payment, no, by=by),
        report=report,
        providers=lambda: names,
    )


def _reroute_waiting(desk: Desk, names: Sequence[str], name: str, to: str, *, by: str) -> Rerouted:
    """Send what waits unsent for a provider through another one, each payment in a command of its own.

    Refuses: PaymentUnfit, ProviderOut; also in the middle: what was moved stays moved, and the same again goes on.
    """
    if to == name:
        raise PaymentUnfit(f"It waits for {name} already.")
    with desk.database.read() as tx:
        found = store.unsent(tx, name, limit=REROUTED_AT_ONCE)
    moved = 0
    for each in found:
        # What was sent or called off since the look stays as it is.
        with contextlib.suppress(PaymentNotThere):
            moving = functools.partial(
                rerouting.reroute, payment_id=each.id, to=to, providers=names, away_from=name, by=by
            )
            desk.command(moving)
            moved += 1
    with desk.database.read() as tx:
        left = sum(count for _, count, _ in store.count_unsent(tx, name))
    return Rerouted(moved=moved, left=left)


def _evidence(
    database: Database, vault: Vault, at: Instant, payment_id: str, no: int, *, by: str
) -> dict[str, object]:  # fmt: skip
    """Open what proves that a card's holder was authenticated; nothing is shown that the trail does not know of.

    Refuses: PaymentMissing, also where the person was erased.
    """
    with database.write() as tx:
        payment = store.find(tx, payment_id)
        part = next((each for each in store.parts_of(tx, payment_id) if each.no == no), None)
        if payment is None or part is None or not part.evidence:
            raise PaymentMissing(f"No 3-D Secure evidence is stored for part {no} of {payment_id[:80]!r}.")
        record(tx, at, by, "payment.evidence_opened", payment_id, {"part": no})
        opened = vault.open(tx, payment.account, f"three_ds:{no}:{payment_id}", part.evidence)
    if opened is None:
        raise PaymentMissing("The person was erased, and the evidence with them.")
    return opened
