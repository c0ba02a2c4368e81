"""A payment provider: what waits for it, and sending that through another one, with its consequence shown first."""

from collections.abc import Sequence
from typing import Final

from koban.access import Answer, Call, Endpoint, endpoint
from koban.console.kit import ConsoleKit
from koban.console.pages import done, page
from koban.console.payments import TONES
from koban.payments import logic, store
from koban.payments.routes import Commands
from koban.payments.types import PaymentMissing, PaymentNotThere, PaymentUnfit, ProviderOut, ProviderState

SHOWN_MAX: Final = 50
NAME_CHARS_MAX: Final = 80


def endpoints(kit: ConsoleKit) -> tuple[Endpoint, ...]:
    """Return the pages of this part."""
    raises = (PaymentMissing, PaymentNotThere, PaymentUnfit, ProviderOut)
    return (
        endpoint("GET", "/money/providers/{name}", "payments.read", lambda call: _provider(kit, call),
                 summary="A payment provider", page=True, raises=(PaymentMissing,)),
        endpoint("POST", "/money/providers/{name}/reroute", "payments.repair", lambda call: _move_all(kit, call),
                 summary="Send what waits for a provider through another one", accepts="form", page=True, raises=raises),
        endpoint("GET", "/money/payments/{id}/reroute", "payments.repair", lambda call: _ask(kit, call),
                 summary="What sending a payment through another provider would do", page=True, raises=(PaymentMissing,)),
        endpoint("POST", "/money/payments/{id}/reroute", "payments.repair", lambda call: _move(kit, call),
                 summary="Send a payment through another provider", accepts="form", page=True, raises=raises),
    )  # fmt: skip


def _commands(kit: ConsoleKit) -> Commands:
    assert kit.payments is not None, "a server has payments"
    return kit.payments


def _others(kit: ConsoleKit, states: dict[str, ProviderState], besides: Sequence[str]) -> list[ProviderState]:
    """Return the providers through which something could go instead; one that is out too is shown, and not offered."""
    return [states.get(each) or ProviderState(name=each) for each in _commands(kit).providers() if each not in besides]


def _provider(kit: ConsoleKit, call: Call, *, problem: str = "") -> Answer:
    name = call.path["name"]
    if name not in _commands(kit).providers():
        raise PaymentMissing(f"There is no payment provider {name[:40]!r}.")
    with kit.database.read() as tx:
        states = store.provider_states(tx)
        waiting = store.unsent(tx, name, limit=SHOWN_MAX)
        sums = store.count_unsent(tx, name)
        stays = store.staying(tx, name)
    others = _others(kit, states, (name,))
    wanted = call.query.get("to", "")[:NAME_CHARS_MAX]
    return page(
        kit,
        call,
        "payment_provider.html",
        status=422 if problem else 200,
        problem=problem,
        provider=states.get(name) or ProviderState(name=name),
        waiting=waiting,
        sums=sums,
        count=sum(count for _, count, _ in sums),
        stays=stays,
        others=others,
        to=wanted if any(each.name == wanted and not each.open_until for each in others) else "",
        tones=TONES,
    )


def _move_all(kit: ConsoleKit, call: Call) -> Answer:
    name, to = call.path["name"], call.form.get("to", "")[:NAME_CHARS_MAX]
    if name not in _commands(kit).providers():
        raise PaymentMissing(f"There is no payment provider {name[:40]!r}.")
    try:
        _commands(kit).reroute_waiting(name, to, call.principal.actor)
    except (PaymentUnfit, ProviderOut) as refusal:
        return _provider(kit, call, problem=f"reroute.problem_{refusal.code}")
    return done(call, f"/money/providers/{name}", "payments_rerouted")


def _ask(kit: ConsoleKit, call: Call, *, problem: str = "") -> Answer:
    with kit.database.read() as tx:
        payment = store.find(tx, call.path["id"])
        if payment is None:
            raise PaymentMissing(f"There is no payment {call.path['id'][:80]!r}.")
        parts, steps = store.parts_of(tx, payment.id), store.steps_of(tx, payment.id)
        states = store.provider_states(tx)
    unsent = [each for each in parts if logic.unsent_of(payment, each, steps) is not None]
    others = _others(kit, states, tuple(each.provider for each in unsent)) if unsent else []
    wanted = {**call.query, **call.form}.get("to", "")[:NAME_CHARS_MAX]
    return page(
        kit,
        call,
        "payment_reroute.html",
        status=422 if problem else 200,
        problem=problem,
        payment=payment,
        unsent=unsent,
        others=others,
        to=wanted if any(each.name == wanted and not each.open_until for each in others) else "",
        methods=kit.pack().payments.methods,
    )


def _move(kit: ConsoleKit, call: Call) -> Answer:
    payment_id, to = call.path["id"], call.form.get("to", "")[:NAME_CHARS_MAX]
    try:
        _commands(kit).reroute(payment_id, to, call.principal.actor)
    except (PaymentNotThere, PaymentUnfit, ProviderOut) as refusal:
        return _ask(kit, call, problem=f"reroute.problem_{refusal.code}")
    return done(call, f"/money/payments/{payment_id}", "payment_rerouted")
