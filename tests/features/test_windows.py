"""What features answer, case by case: windows, bounds, NULL, overflow, division."""

from typing import Any

import msgspec
import pytest

from koban.base import DAY
from koban.features import FeatureStore, compile_features
from koban.packs import FeatureDef, PackDef, Source, parse_files

PACK = parse_files(
    {
        "pack.yaml": "pack: small\nversion: '1'\nabout: {en: a, ja: a}\n",
        "events.yaml": """
- event: order.made
  about: {en: An order, ja: 注文}
  acting: buyer.id
  within_ms: 200
  fallback: allow
  retention: 30 days
  subjects: {buyer.id: account, seller.id: account}
  fields:
    buyer.id: text
    seller.id: text
    amount: int
    price: decimal
    item: text
    note: {type: text, personal: buyer.id}
""",
    }
)


def _feature(value: str, **more: Any) -> FeatureDef:
    return FeatureDef(
        name=more.get("name", "f"),
        kind="account",
        by={"order.made": more.get("by", "buyer.id")},
        value=value,
        where=more.get("where"),
        within_us=more.get("within_us"),
        excluding_current=more.get("excluding_current", False),
        bound=more.get("bound"),
        about={},
        source=Source(file="features.yaml", line=1),
    )


def _pack(*features: FeatureDef) -> PackDef:
    return msgspec.structs.replace(PACK, features={feature.name: feature for feature in features})


def _values(rows: list[tuple[int, dict[str, Any]]], *features: FeatureDef, key: str = "f") -> list[Any]:
    """Run rows of (log time, fields) through a store; the buyer is `b` unless a row says otherwise."""
    store = FeatureStore(compile_features(_pack(*features), {"order.made": {key}}))
    return [
        store.apply(None, seq, "order.made", {"buyer.id": "b", **row}, at)[key] for seq, (at, row) in enumerate(rows, 1)
    ]


def test_a_window_is_the_current_slot_and_the_59_before_it() -> None:
    rows: list[tuple[int, dict[str, Any]]] = [(0, {}), (9, {}), (10, {}), (599, {}), (600, {}), (609, {}), (610, {})]
    assert _values(rows, _feature("count(*)", within_us=600)) == [1, 2, 3, 4, 3, 4, 4]


def test_the_current_event_can_be_left_out() -> None:
    rows: list[tuple[int, dict[str, Any]]] = [(1, {"amount": 5}), (2, {"amount": 7}), (700, {"amount": 9})]
    assert _values(rows, _feature("count(*)", within_us=600, excluding_current=True)) == [0, 1, 0]
    assert _values(rows, _feature("sum(amount)", within_us=600, excluding_current=True)) == [None, 5, None]
    assert _values(rows, _feature("max(amount)", excluding_current=True)) == [None, 5, 7]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("count(*)", [1, 2, 3, 4]),
        ("count(amount)", [0, 1, 2, 3]),
        ("sum(amount)", [None, 4, 1, 6]),
        ("sum(amount * 2)", [None, 8, 2, 12]),
        ("avg(amount)", [None, 4_000_000, 500_000, 2_000_000]),
        ("min(amount)", [None, 4, -3, -3]),
        ("max(amount)", [None, 4, 4, 5]),
        ("first(amount)", [None, 4, 4, 4]),
        ("last(amount)", [None, 4, -3, 5]),
        ("min(time)", [100, 100, 100, 100]),
    ],
)
@pytest.mark.parametrize("within_us", [None, 600])
def test_null_is_never_counted(value: str, expected: list[int | None], within_us: int | None) -> None:
    rows: list[tuple[int, dict[str, Any]]] = [
        (100, {}),
        (110, {"amount": 4}),
        (120, {"amount": -3}),
        (130, {"amount": 5}),
    ]
    assert _values(rows, _feature(value, within_us=within_us)) == expected


def test_a_subject_that_is_not_named_is_null_and_one_without_history_has_counts_of_nothing() -> None:
    count, last = _feature("count(*)"), _feature("last(amount)", name="g")
    rows: list[tuple[int, dict[str, Any]]] = [(1, {"seller.id": "s", "amount": 1}), (2, {"seller.id": "b"}), (3, {})]
    assert _values(rows, count, key="f@seller.id") == [0, 2, None]
    assert _values(rows, last, key="g@seller.id") == [None, 1, None]


@pytest.mark.parametrize("within_us", [None, 600])
def test_a_condition_that_is_null_does_not_count(within_us: int | None) -> None:
    rows: list[tuple[int, dict[str, Any]]] = [(1, {}), (2, {"amount": 1}), (3, {"amount": 0})]
    assert _values(rows, _feature("count(*)", where="amount > 0", within_us=within_us)) == [0, 1, 1]


def test_a_distinct_count_is_exact_up_to_its_bound_and_follows_the_window() -> None:
    items = ["a", "b", "a", "c", "d", "b"]
    rows: list[tuple[int, dict[str, Any]]] = [(200 * step, {"item": item}) for step, item in enumerate(items)]
    assert _values(rows, _feature("count(distinct item)", bound=9)) == [1, 2, 2, 3, 4, 4]
    assert _values(rows, _feature("count(distinct item)", bound=3)) == [1, 2, 2, 3, 3, 3]
    assert _values(rows, _feature("count(distinct item)", bound=9, within_us=600)) == [1, 2, 2, 3, 3, 3]
    assert _values(rows, _feature("count(distinct item)", bound=2, within_us=600)) == [1, 2, 2, 2, 2, 2]


def test_long_and_sealed_texts_are_told_apart_but_not_kept() -> None:
    long = "い" * 100
    rows: list[tuple[int, dict[str, Any]]] = [
        (1, {"item": long, "note": "secret"}),
        (2, {"item": long + "!", "note": "other"}),
        (3, {"item": long, "note": "secret"}),
    ]
    for path in ("item", "note"):
        pack = _pack(_feature(f"count(distinct {path})", bound=5, within_us=600))
        store = FeatureStore(compile_features(pack, {"order.made": {"f"}}), hot_limit=0)
        found = []
        for seq, (at, row) in enumerate(rows, 1):
            found.append(store.apply(None, seq, "order.made", {"buyer.id": "b", **row}, at)["f"])
            store.forget()
        assert found == [1, 2, 2]
        packed = store._subjects["account"]._cold["b"]
        assert b"secret" not in packed
        assert long.encode() not in packed


@pytest.mark.parametrize("within_us", [None, 600])
def test_a_sum_beyond_64_bits_is_null_until_it_fits_again(within_us: int | None) -> None:
    rows: list[tuple[int, dict[str, Any]]] = [(1, {"amount": 2**63 - 1}), (2, {"amount": 1}), (3, {"amount": -1})]
    assert _values(rows, _feature("sum(amount)", within_us=within_us)) == [2**63 - 1, None, 2**63 - 1]


def test_a_sum_of_decimals_beyond_their_range_is_null() -> None:
    rows: list[tuple[int, dict[str, Any]]] = [(1, {"price": 10**18 - 1}), (2, {"price": 1}), (3, {"price": -1})]
    assert _values(rows, _feature("sum(price)")) == [10**18 - 1, None, 10**18 - 1]


@pytest.mark.parametrize(
    ("amounts", "expected"),
    [([1, 1, 0], 666_666), ([-1, -1, 0], -666_666), ([2**62, 2**62], None), ([10**11, 10**11], 10**17)],
)
def test_an_average_is_cut_towards_zero(amounts: list[int], expected: int | None) -> None:
    rows: list[tuple[int, dict[str, Any]]] = [(at, {"amount": amount}) for at, amount in enumerate(amounts, 1)]
    assert _values(rows, _feature("avg(amount)"))[-1] == expected
    assert _values(rows, _feature("avg(amount)", within_us=600))[-1] == expected


def test_a_ratio_is_of_two_features_at_one_subject() -> None:
    features = (
        _feature("count(*)", name="all_orders"),
        _feature("count(*)", name="dear", where="amount > 10"),
        _feature("avg(price)", name="price"),
        _feature("ratio(dear, all_orders)"),
        _feature("ratio(dear, price)", name="g"),
    )
    rows: list[tuple[int, dict[str, Any]]] = [
        (1, {"amount": 20}),
        (2, {"amount": 1, "price": 0}),
        (3, {"price": 3_000_000}),
    ]
    assert _values(rows, *features) == [1_000_000, 500_000, 333_333]
    assert _values(rows, *features, key="g") == [None, None, 666_666]
    assert _values([(1, {"seller.id": "s"})], *features, key="f@seller.id") == [None]


def test_age_is_whole_days_since_the_first_counted_event() -> None:
    rows: list[tuple[int, dict[str, Any]]] = [(5, {}), (4 + DAY, {}), (5 + DAY, {}), (5 + 3 * DAY, {})]
    assert _values(rows, _feature("age_days()")) == [0, 0, 1, 3]
    assert _values(rows, _feature("age_days()", excluding_current=True)) == [None, 0, 1, 3]


def test_an_event_between_two_subjects_of_a_kind_counts_for_the_one_that_by_names() -> None:
    by_seller = _feature("count(*)", by="seller.id")
    rows: list[tuple[int, dict[str, Any]]] = [(1, {"seller.id": "s"}), (2, {"seller.id": "b"}), (3, {"seller.id": "b"})]
    assert _values(rows, by_seller) == [1, 1, 2]
    assert _values(rows, by_seller, key="f@buyer.id") == [0, 1, 2]
