"""An order that is paid more than once: told to people at once, because its escrow holds all of it and nobody asked for that.

Koban cannot refuse the second payment: it does not know what an order costs, and when money came by a bank it is too late.
"""

from typing import Final

from koban.banking import expected_store
from koban.db import Tx
from koban.payments.types import Kept
from koban.pipeline.facts import Fact, enter_fact
from koban.pipeline.memory import Memory

PAID_TWICE: Final = "order.paid_twice"
ROOM: Final = "payments"
NAMED_MAX: Final = 3  # earlier payments in an alert


def tell_paid_twice(
    memory: Memory, tx: Tx, order: str, new: Kept, *, seller: str | None, cause_seq: int | None
) -> None:
    """Raise an alert, and tell the pack's rules, where an order's money came although it is paid already.

    Call it in the transaction that books the money, after it is stored.
    """
    found = sorted(expected_store.kept_of_order(tx, order), key=lambda each: each.by)
    others = [each for each in found if each.by != new.by]
    if not others:
        return
    named = ", ".join(f"{each.by} ({each.amount_minor:,} {each.currency})" for each in others[:NAMED_MAX])
    more = f" and {len(others) - NAMED_MAX} more" if len(others) > NAMED_MAX else ""
    said = f"Paid by {named}{more}, and again by {new.by} ({new.amount_minor:,} {new.currency})."
    memory.alert(PAID_TWICE, f"order:{order}", f"{said} All of it is held; give back what is too much.")
    event = memory.compiled.pack.payments.tells_paid_twice
    if not event:
        return
    account = new.account or next((each.account for each in others if each.account), None)
    data: dict[str, object] = {
        "payment": {"id": new.by},
        "earlier_payment": {"id": others[0].by},
        "order": {"id": order},
        "amount_minor": new.amount_minor,
        "earlier_minor": sum(each.amount_minor for each in others if each.currency == new.currency),
        "currency": new.currency,
        **({"buyer": {"id": account}} if account else {}),
        **({"seller": {"id": seller}} if seller else {}),
    }
    fact = Fact(room=ROOM, id=f"{new.by}.paid_twice", type=event, subject=None, data=data)
    enter_fact(memory, tx, fact, cause_seq=cause_seq)
