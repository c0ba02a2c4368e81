"""What payments book and what the provider reports agree to the yen, up to the payout on the bank's line."""

import pytest
from tests.payments.conftest import quiet, world
from tests.payments.world import BY, World

from koban.app.reconciliation import reconciliation_desk
from koban.base import DAY, to_rfc3339
from koban.ledger import Posting
from koban.payments.types import NewPart
from koban.pipeline.money import make_posting
from koban.reconciliation import store, take_file

assert quiet is not None  # fixtures of the payments' tests
assert world is not None


def _live(world: World) -> list[tuple[str, str, int]]:
    with world.station.database.read() as tx:
        found = store.list_exceptions(tx, state="live", type_="", leg="", owner="", after=None, limit=100)
    return [(each.leg, each.type.value, each.amount_minor) for each in found]


@pytest.mark.usefixtures("quiet")
def test_payments_their_report_and_the_payout_agree_three_ways(world: World) -> None:
    for number, amount in enumerate((3_000, 500, 1_240)):
        world.pay(f"p{number}", NewPart(method="card", amount_minor=amount, token="ok"))
        world.drive(for_s=30)
    desk = reconciliation_desk(world.station.desk, {world.sim.name: world.sim})
    first = desk.run()
    assert (first.ledger_rows, first.provider_rows, first.matched) == (3, 3, 3)
    [(leg, type_, net)] = _live(world)
    assert (leg, type_) == ("settlement", "late")  # no payout came yet
    fee = 4_740 + net
    assert fee > 0
    world.clock.advance(2 * DAY)
    parameters: dict[str, str | int] = {"provider": world.sim.name, "bank_line": "line9", "amount": 4_740, "fee": fee}
    paid = Posting(id="payout", template="provider_settled", currency="JPY", parameters=parameters)
    assert world.run(lambda memory, tx: make_posting(memory, tx, paid, by=BY)).stands
    day = to_rfc3339(world.clock.now())[:10]
    line = f"id,booked_on,amount,currency\nline9,{day},{4_740 - fee},JPY\n"
    take_file(world.station.database, world.clock.now(), "bank", "main", line.encode())
    second = desk.run()
    assert (second.matched, second.exceptions, second.cleared) == (1, 0, 1)
    with world.station.database.read() as tx:
        assert store.match_counts(tx) == {"reference": 3, "settlement_days": 1}
