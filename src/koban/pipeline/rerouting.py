"""What waits for a payment provider is sent through another one: only what was never sent, so that nothing is done twice."""

from collections.abc import Sequence

import msgspec

from koban.audit import record
from koban.db import Tx
from koban.payments import logic, store
from koban.payments.types import Payment, PaymentNotThere, PaymentUnfit, ProviderOut
from koban.pipeline.memory import Memory
from koban.pipeline.saga import advance, load


def reroute(
    memory: Memory, tx: Tx, payment_id: str, to: str, providers: Sequence[str], *, away_from: str = "", by: str
) -> Payment:
    """Send through another provider what of a payment was not sent yet; `away_from`: only what waits for this one.

    Why a step of its own: the new provider is asked under a key that the old one never saw, and the old step is closed in
    its row, where whoever sends claims it; so exactly one of the two is ever asked.
    Refuses: PaymentMissing, PaymentUnfit, ProviderOut, PaymentNotThere.
    """
    if to not in providers:
        raise PaymentUnfit(f"There is no payment provider {to[:40]!r}; this installation has {', '.join(providers)}.")
    state = store.provider_states(tx).get(to)
    if state is not None and logic.is_out(state):
        raise ProviderOut(f"{to} gives no answer either; nothing was changed.")
    saga = load(memory, tx, payment_id)
    at, moved = memory.log_time.peek(), list[str]()
    for part in list(saga.parts):
        step = logic.unsent_of(saga.payment, part, saga.steps)
        if part.provider == to or step is None or (away_from and part.provider != away_from):
            continue
        if not store.close_unsent(tx, step.id):
            continue  # it is being sent at this moment
        saga.put(msgspec.structs.replace(step, status="closed", done_at=at))
        saga.parts[part.no] = msgspec.structs.replace(part, provider=to)
        moved.append(part.provider)
    if not moved:
        raise PaymentNotThere(f"Nothing of {saga.payment.id} waits unsent for another provider than {to}.")
    record(tx, at, by, "payment.rerouted", payment_id, {"from": ",".join(sorted(set(moved))), "to": to})
    return advance(saga)
