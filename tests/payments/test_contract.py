"""What every payment provider does: the simulated one in the process, and one behind a real socket."""

import dataclasses
import datetime
import pathlib
from collections.abc import Iterator

import msgspec
import pytest
from tests.payments.world import simulated

from koban.base import Instant, ManualClock, Unavailable
from koban.payments.http import HttpProvider
from koban.payments.server import ProviderServer
from koban.payments.simulated import Faults, SimulatedProvider
from koban.payments.types import Answer, Approved, Declined, Instruction, Provider, StepKind, Waiting

DAY = datetime.date(2026, 10, 21)
KEY = "provider-key"


@dataclasses.dataclass
class Shop:
    """A provider, and the buyers behind it."""

    provider: Provider
    behind: SimulatedProvider

    def ask(self, kind: StepKind, key: str, amount: int = 1_000, **more: str) -> Answer:
        fields = {"method": "card", "reference": "", "token": "tok", **more}
        three_ds = fields.pop("three_ds", None)
        return self.provider.perform(
            Instruction(
                key=key, kind=kind, payment="p1", amount_minor=amount, currency="JPY", method=fields["method"],
                reference=fields["reference"], token=fields["token"], three_ds=three_ds,  # type: ignore[arg-type]
            )
        )  # fmt: skip

    def authorise(self, key: str, token: str = "tok") -> str:  # noqa: S107
        answer = self.ask("authorise", key, token=token)
        assert isinstance(answer, Approved), answer
        return answer.reference


@pytest.fixture(params=["simulated", "http"])
def shop(request: pytest.FixtureRequest, clock: ManualClock) -> Iterator[Shop]:
    behind = simulated(clock)
    if request.param == "simulated":
        yield Shop(provider=behind, behind=behind)
        return
    server = ProviderServer(behind, KEY, clock.now)
    provider = HttpProvider("sim", server.url, KEY, answer_s=5.0)
    try:
        yield Shop(provider=provider, behind=behind)
    finally:
        provider.close()
        server.close()


def test_the_same_key_is_done_once_and_answered_the_same(shop: Shop) -> None:
    first = shop.ask("authorise", "k1")
    assert shop.ask("authorise", "k1") == first
    assert len(shop.behind.charges()) == 1


def test_a_key_with_another_content_is_declined_and_moves_nothing(shop: Shop) -> None:
    reference = shop.authorise("k1")
    shop.ask("capture", "k2", reference=reference, token="")
    again = shop.ask("capture", "k2", amount=999, reference=reference, token="")
    assert again == Declined(code="key_reused", detail="this key was sent with another content")
    assert len(shop.provider.report(DAY)) == 1


def test_authorise_capture_and_refund_are_reported_with_their_fee(shop: Shop) -> None:
    reference = shop.authorise("k1")
    assert isinstance(shop.ask("capture", "k2", reference=reference, token=""), Approved)
    assert isinstance(shop.ask("refund", "k3", amount=400, reference=reference, token=""), Approved)
    too_much = shop.ask("refund", "k4", amount=601, reference=reference, token="")
    assert isinstance(too_much, Declined)
    rows = shop.provider.report(DAY)
    assert [(each.kind, each.amount_minor, each.fee_minor, each.key, each.provider) for each in rows] == [
        ("capture", 1_000, 32, "k2", "sim"),
        ("refund", 400, 0, "k3", "sim"),
    ]
    assert {each.booked_on for each in rows} == {DAY}
    assert list(shop.provider.report(DAY + datetime.timedelta(days=1))) == []


def test_a_void_frees_once_and_a_captured_charge_never(shop: Shop) -> None:
    free, taken = shop.authorise("k1"), shop.authorise("k2")
    assert isinstance(shop.ask("void", "k3", reference=free, token=""), Approved)
    assert shop.ask("void", "k4", reference=free, token="") == Declined(code="already_voided")
    shop.ask("capture", "k5", reference=taken, token="")
    assert isinstance(shop.ask("void", "k6", reference=taken, token=""), Declined)
    assert isinstance(shop.ask("capture", "k7", reference=free, token=""), Declined)


@pytest.mark.parametrize("token", ["silent_before", "silent_after"])
def test_after_an_unknown_outcome_the_same_key_tells_it(shop: Shop, token: str) -> None:
    with pytest.raises(Unavailable):
        shop.ask("authorise", "k1", token=token)
    assert len(shop.behind.charges()) == (token == "silent_after")
    assert isinstance(shop.ask("authorise", "k1", token=token), Approved)
    assert len(shop.behind.charges()) == 1


def test_a_card_goes_through_without_friction_with_evidence(shop: Shop) -> None:
    answer = shop.ask("authorise", "k1", three_ds="frictionless")
    assert isinstance(answer, Approved)
    assert answer.evidence is not None
    assert (answer.evidence.flow, answer.evidence.trans_status, answer.evidence.eci) == ("frictionless", "Y", "05")


@pytest.mark.parametrize(("status", "code"), [("Y", ""), ("N", "authentication_failed")])
def test_a_demanded_challenge_waits_for_the_buyer(shop: Shop, status: str, code: str) -> None:
    asked = shop.ask("authorise", "k1", three_ds="challenge")
    assert isinstance(asked, Waiting)
    assert asked.why == "challenge"
    assert shop.ask("authorise", "k1", three_ds="challenge") == asked
    shop.behind.buyer_answers("k1", status)
    answer = shop.ask("authorise", "k1", three_ds="challenge")
    assert not isinstance(answer, Waiting)
    assert answer.evidence is not None
    assert (answer.evidence.flow, answer.evidence.trans_status) == ("challenge", status)
    assert (answer.code if isinstance(answer, Declined) else "") == code


def test_a_slip_waits_until_it_is_paid_and_can_be_called_off(shop: Shop) -> None:
    first, second = (shop.ask("authorise", key, method="konbini", token="") for key in ("k1", "k2"))
    assert isinstance(first, Waiting)
    assert isinstance(second, Waiting)
    shop.behind.buyer_answers("k1")
    assert isinstance(shop.ask("authorise", "k1", method="konbini", token=""), Approved)
    assert isinstance(shop.ask("void", "k3", reference=second.reference, token="", method="konbini"), Approved)
    assert shop.ask("authorise", "k2", method="konbini", token="") == Declined(code="cancelled")


def test_a_capture_may_be_short(shop: Shop) -> None:
    reference = shop.authorise("k1", token="short")
    answer = shop.ask("capture", "k2", reference=reference, token="")
    assert isinstance(answer, Approved)
    assert answer.amount_minor == 500


def test_a_payout_is_paid_or_declined(shop: Shop) -> None:
    assert isinstance(shop.ask("payout", "k1", method="payout"), Approved)
    assert shop.ask("payout", "k2", method="payout", token="declined") == Declined(code="account_unknown")
    assert [(each.kind, each.amount_minor) for each in shop.provider.report(DAY)] == [("payout", 1_000)]


def test_a_provider_that_is_out_gives_no_answer_to_anything(shop: Shop) -> None:
    shop.behind.is_out = True
    with pytest.raises(Unavailable):
        shop.ask("authorise", "k1")
    with pytest.raises(Unavailable):
        shop.provider.report(DAY)


def test_over_a_socket_a_wrong_key_and_a_closed_port_are_unknown_outcomes(clock: ManualClock) -> None:
    server = ProviderServer(simulated(clock), KEY, clock.now)
    wrong = HttpProvider("sim", server.url, "another", answer_s=5.0)
    try:
        with pytest.raises(Unavailable, match="401"):
            wrong.report(DAY)
    finally:
        server.close()
    with pytest.raises(Unavailable):
        wrong.report(DAY)
    wrong.close()


def test_the_file_of_a_simulated_provider_holds_no_token(tmp_path: pathlib.Path, clock: ManualClock) -> None:
    path = tmp_path / "provider.json"
    provider = SimulatedProvider("sim", clock.now, path=path)
    for kind in ("authorise", "payout"):
        sound = Instruction(
            key=f"k-{kind}", kind=kind, payment="p", amount_minor=100, currency="JPY", method="card", reference="",
            token="tok_secret",
            three_ds=None,
        )  # fmt: skip
        assert isinstance(provider.perform(sound), Approved)
        reopened = SimulatedProvider("sim", clock.now, path=path)
        assert isinstance(reopened.perform(sound), Approved)
        other = msgspec.structs.replace(sound, token="tok_other")
        assert reopened.perform(other) == Declined(code="key_reused", detail="this key was sent with another content")
    assert b"tok_" not in path.read_bytes()


def test_a_simulated_provider_adds_a_line_for_each_change_and_remembers_all_of_them(
    tmp_path: pathlib.Path, clock: ManualClock
) -> None:
    path = tmp_path / "provider.json"
    behind = SimulatedProvider("sim", clock.now, path=path, faults=Faults(challenged=300, notice_lost=300))
    shop, sizes = Shop(provider=behind, behind=behind), list[int]()
    for number in range(60):
        authorised = shop.ask("authorise", f"a{number}", three_ds="frictionless")
        behind.buyer_answers(f"a{number}")
        assert isinstance(authorised, Approved | Waiting)
        before = path.stat().st_size
        shop.ask("capture", f"c{number}", reference=authorised.reference, token="")
        sizes.append(path.stat().st_size - before)
        if number % 3 == 0:
            shop.ask("refund", f"r{number}", amount=400, reference=authorised.reference, token="")
        if number % 7 == 0:
            behind.win_chargeback(f"c{number}", behind.charge_back(f"c{number}"))
        if number % 10 == 0:
            for message, _ in behind.due_notices(clock.now()):
                behind.answered(message)
        if number % 20 == 0:
            behind.tell_lost()
    assert max(sizes) - min(sizes) < 20, "what a call writes grows with what was done before"
    reopened = SimulatedProvider("sim", clock.now, path=path)
    assert (reopened.charges(), reopened.rows()) == (behind.charges(), behind.rows())
    assert shop.ask("refund", "r0", amount=400, reference=behind.charges()[0].reference, token="") == Shop(
        provider=reopened, behind=reopened
    ).ask("refund", "r0", amount=400, reference=behind.charges()[0].reference, token="")
    behind.tell_lost()
    far = Instant(clock.now() + 1_000_000)
    assert SimulatedProvider("sim", clock.now, path=path).due_notices(far) == behind.due_notices(far) != []


def test_a_webhook_is_due_until_it_was_answered_whatever_dies_in_between(
    tmp_path: pathlib.Path, clock: ManualClock
) -> None:
    path = tmp_path / "provider.json"
    behind = SimulatedProvider("sim", clock.now, path=path)
    shop = Shop(provider=behind, behind=behind)
    shop.ask("capture", "k2", reference=shop.authorise("k1"), token="")
    behind.charge_back("k2")
    due = behind.due_notices(clock.now())
    assert [notice.kind for _, notice in due] == ["chargeback"]
    shop.authorise("k3")  # a change by another thread is written before the webhook is booked, and then it is killed
    killed = SimulatedProvider("sim", clock.now, path=path)
    assert killed.due_notices(clock.now()) == due
    killed.answered(due[0][0])
    assert killed.due_notices(clock.now()) == []
    Shop(provider=killed, behind=killed).authorise("k4")
    assert SimulatedProvider("sim", clock.now, path=path).due_notices(clock.now()) == []


def test_a_doubled_webhook_is_answered_twice(clock: ManualClock) -> None:
    behind = SimulatedProvider("sim", clock.now, faults=Faults(notice_doubled=1_000, notice_late_us=1_000_000))
    shop = Shop(provider=behind, behind=behind)
    shop.ask("capture", "k2", reference=shop.authorise("k1"), token="")
    behind.charge_back("k2")
    far = Instant(clock.now() + 1_000_000)
    [first, second] = behind.due_notices(far)
    assert first == second
    behind.answered(first[0])
    assert behind.due_notices(far) == [second]
    behind.answered("msg_of_nobody")
    behind.answered(first[0])
    behind.answered(first[0])
    assert behind.due_notices(far) == []


def test_a_line_that_a_kill_tore_never_happened(tmp_path: pathlib.Path, clock: ManualClock) -> None:
    path = tmp_path / "provider.json"
    behind = SimulatedProvider("sim", clock.now, path=path)
    shop = Shop(provider=behind, behind=behind)
    reference = shop.authorise("k1")
    whole = path.read_bytes()
    shop.ask("capture", "k2", reference=reference, token="")
    written = path.read_bytes()
    for length in range(len(whole), len(written) - 1):
        path.write_bytes(written[:length])
        torn = SimulatedProvider("sim", clock.now, path=path)
        assert [each.state for each in torn.charges()] == ["authorised"]
        assert torn.rows() == []
        assert path.read_bytes().count(b"\n") == 1, "and what was torn is not in the way of the next line"
    path.write_bytes(written[:-1])
    assert [each.state for each in SimulatedProvider("sim", clock.now, path=path).charges()] == ["captured"]
