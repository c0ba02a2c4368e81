"""Payments: several methods behind one flow, a seam to providers, and what follows when any of them fails.

Owns the tables payments, payment_parts, payment_steps, payment_calls, payment_notices and payment_providers.
Guarantees: a step is stored before a provider is asked, and asked again with the same key until its outcome is known;
no part has two unfinished steps; what was authorised and is not wanted is voided, what was captured and is not wanted is
refunded; what goes out is reserved in the ledger before the provider is asked. See docs/concepts/payments.md.
"""

from koban.payments.types import Kept

__all__ = ["Kept"]
