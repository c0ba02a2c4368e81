"""What a pack may say about payments, what `koban check` refuses, and what a comparison of versions tells."""

import pytest
from tests.payments.world import paying_pack

from koban.packs import PackInvalid, compare_packs
from koban.packs.load import parse_files


def changed(old: str, new: str) -> dict[str, str]:
    files = dict(paying_pack().files)
    assert old in files["payments.yaml"], old
    return {**files, "payments.yaml": files["payments.yaml"].replace(old, new, 1)}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("decides: payment.attempted", "decides: payment.atempted", "there is no event type 'payment.atempted'"),
        ("take: order_captured,", "take: order_captuerd,", "there is no posting 'order_captuerd'"),
        ("take: order_wallet_used", "take: order_points_used", "but follows 'order_points_reserved'"),
        (
            "reserve: order_points_reserved",
            "reserve: points_reserved",
            "reserves for less time than a payment may wait",
        ),
        ("take: order_wallet_used", "take: order_partly_refunded_wallet", "settles or releases nothing"),
        ("reserve: order_wallet_reserved", "reserve: campaign_returned", "wants a campaign"),
        ("reserve: order_wallet_reserved", "reserve: order_paid_mixed", "has 3 amounts"),
        ("kept: order_refund_failed", "keeps: order_refund_failed", "has no role 'keeps'"),
        ("lapses_after: 6 days", "lapses_after: soon", "lapses_after"),
        ("  queue_for: 15 minutes\n", "", "needs 'queue_for'"),
        ("then: queue", "then: pray", "pray"),
        ("method: points", "method: wallet", "declared twice"),
        ("proves: three_d_secure", "proves: anything", "anything"),
        ("  payout: {", "  refunds: {", "refunds"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(old: str, new: str, said: str) -> None:
    with pytest.raises(PackInvalid) as refused:
        parse_files(changed(old, new))
    assert any(said in each.detail for each in refused.value.faults), [each.detail for each in refused.value.faults]


@pytest.mark.parametrize(
    ("old", "new", "name", "fields"),
    [
        ("lapses_after: 6 days", "lapses_after: 5 days", "marketplace", ("lapses_after_us",)),
        ("after: 5\n", "after: 9\n", "outage any", ("after",)),
        ('ja: "カード"', 'ja: "クレジットカード"', "card", ("title",)),
    ],
)
def test_a_comparison_of_versions_tells_what_changed(old: str, new: str, name: str, fields: tuple[str, ...]) -> None:
    [difference] = compare_packs(paying_pack(), parse_files(changed(old, new)))
    assert (difference.section, difference.name, difference.kind, difference.fields) == (
        "payments", name, "changed", fields,
    )  # fmt: skip


def test_a_pack_without_the_section_has_no_payments() -> None:
    files = {name: text for name, text in paying_pack().files.items() if name != "payments.yaml"}
    assert parse_files(files).payments.name == ""
