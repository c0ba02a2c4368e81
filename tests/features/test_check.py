"""Everything wrong with a pack's features is found before anything runs, at its place."""

import pathlib

import msgspec
import pytest

from koban.features import check_features, features_in_scope
from koban.language import Type
from koban.packs import Fault, FeatureDef, PackDef, Source, load_pack, parse_files, place

STARTER = pathlib.Path(__file__).parents[2] / "packs" / "starter"
HEAD = "pack: small\nversion: '1'\nabout: {en: a, ja: a}\n"
EVENTS = """
- event: order.made
  about: {en: An order, ja: 注文}
  acting: buyer.id
  within_ms: 200
  fallback: allow
  retention: 30 days
  subjects: {buyer.id: account, seller.id: account, device.id: device}
  fields:
    buyer.id: text
    seller.id: text
    device.id: {type: text, personal: buyer.id, joined: true}
    amount: int
    note: {type: text, personal: buyer.id}
    tags: text[]
    sent: timestamp
- event: login.done
  about: {en: A sign-in, ja: ログイン}
  acting: account.id
  within_ms: 200
  fallback: allow
  retention: 30 days
  subjects: {account.id: account, device.id: device}
  fields:
    account.id: text
    device.id: {type: text, personal: account.id, joined: true}
    amount: decimal
    tries: int
"""


def _pack(features: str) -> PackDef:
    return parse_files({"pack.yaml": HEAD, "events.yaml": EVENTS, "features.yaml": features})


def _faults(value: str, more: str = "", by: str = "{order.made: buyer.id}") -> list[tuple[str, str]]:
    lines = ["- feature: f", f"  by: {by}", f"  value: {value}", "  about: {en: a, ja: a}", *more.split("\n")]
    return [_shown(fault) for fault in check_features(_pack("\n".join(line for line in lines if line)))]


def _shown(fault: Fault) -> tuple[str, str]:
    return place(fault.source), fault.detail


@pytest.mark.parametrize(
    ("value", "more", "by", "where", "detail"),
    [
        (
            "sum(amoun)",
            "  within: ever",
            "{order.made: buyer.id}",
            "features.yaml:3:14",
            "there is no field or feature",
        ),
        ("sum(note)", "  within: ever", "{order.made: buyer.id}", "features.yaml:3:14", "sum(x) adds numbers"),
        ("max(note)", "  within: ever", "{order.made: buyer.id}", "features.yaml:3:14", "max(x) compares numbers"),
        ("last(tags)", "  within: ever", "{order.made: buyer.id}", "features.yaml:3:15", "last(x) keeps a text"),
        ("last(note)", "  within: ever", "{order.made: buyer.id}", "features.yaml:3:15", "last() would keep 'note'"),
        ("sum(time - sent)", "  within: ever", "{order.made: buyer.id}", "features.yaml:3:14", "sum(x) adds numbers"),
        (
            "sum(amount)",
            "  within: ever",
            "{order.made: buyer.id, login.done: account.id}",
            "features.yaml:3:14",
            "'amount' is decimal in login.done and int in order.made",
        ),
        (
            "sum(tries)",
            "  within: ever",
            "{login.done: account.id, order.made: buyer.id}",
            "features.yaml:3:14",
            "there is no field or feature 'tries' here (in order.made)",
        ),
        (
            "count(*)",
            "  within: ever\n  where: amount > 3 AND nots",
            "{order.made: buyer.id}",
            "features.yaml:6:25",
            "there is no field or feature 'nots'",
        ),
        ("count(*)", "  within: ever\n  where: amount", "{order.made: buyer.id}", "features.yaml:6:10", "a condition"),
        (
            "count(*)",
            "  within: ever\n  where: in_list(note, 'x')",
            "{order.made: buyer.id}",
            "features.yaml:6:24",
            "there is no list 'x'",
        ),
        ("age_days()", "  within: 1 day", "{order.made: buyer.id}", "features.yaml:1:3", "age_days() counts from"),
    ],
)
def test_a_wrong_feature_is_refused_at_its_place(value: str, more: str, by: str, where: str, detail: str) -> None:
    faults = _faults(value, more, by)
    assert [fault[0] for fault in faults] == [where]
    assert faults[0][1].startswith(detail)


@pytest.mark.parametrize(
    "value",
    [
        "count(*)",
        "count(note)",
        "count(distinct note)",
        "count(distinct device.id)",
        "last(device.id)",
        "sum(amount + 1)",
    ],
)
def test_features_that_keep_no_sealed_data_are_taken(value: str) -> None:
    bound = "\n  bound: 5" if "distinct" in value else ""
    assert _faults(value, "  within: 1 hour" + bound) == []


@pytest.mark.parametrize(
    ("change", "detail"),
    [
        ({"value": "median(amount)"}, "this is not a value that a feature can have"),
        ({"within_us": 61}, "a window is cut into 60 equal slots"),
        ({"within_us": 0}, "a window is cut into 60 equal slots"),
        ({"bound": 5}, "only what keeps single values has a `bound`"),
        ({"value": "count(distinct amount)"}, "count(distinct x) needs a `bound`"),
        ({"value": "count(distinct amount)", "bound": 1_001}, "count(distinct x) needs a `bound`"),
        ({"value": "ratio(f, missing)"}, "'f' is itself a ratio"),
        ({"value": "ratio(number, missing)"}, "there is no feature 'missing'"),
        ({"value": "ratio(number, text)"}, "'text' is not a number"),
        ({"value": "ratio(number, other)"}, "'other' belongs to device and 'f' to account"),
        ({"value": "ratio(number, number)", "excluding_current": True}, "a ratio has no `where`"),
        ({"by": {}}, "nothing feeds 'f'"),
    ],
)
def test_definitions_made_without_a_file_are_checked_too(change: dict[str, object], detail: str) -> None:
    pack = _pack("")
    plain = FeatureDef(
        name="f",
        kind="account",
        by={"order.made": "buyer.id"},
        value="count(*)",
        where=None,
        within_us=None,
        excluding_current=False,
        bound=None,
        about={},
        source=Source(file="features.yaml", line=1),
    )
    replace = msgspec.structs.replace
    features = {
        "f": replace(plain, **change),
        "number": replace(plain, name="number"),
        "text": replace(plain, name="text", value="last(device.id)"),
        "other": replace(plain, name="other", kind="device", by={"order.made": "device.id"}),
    }
    assert check_features(replace(pack, features=features))[0].detail.startswith(detail)


def test_the_starter_pack_has_no_fault() -> None:
    assert check_features(load_pack(STARTER)) == ()


def test_a_bare_name_is_in_scope_where_it_is_clear_who_is_meant() -> None:
    pack = _pack(
        """
- feature: logins
  by: {login.done: account.id}
  value: count(*)
  within: 1 hour
  about: {en: a, ja: a}
- feature: device_tries
  by: {login.done: device.id}
  value: avg(tries)
  within: 1 hour
  about: {en: a, ja: a}
"""
    )
    at_login = features_in_scope(pack, "login.done")
    assert {name: (info.type, info.kind, info.bare) for name, info in at_login.items()} == {
        "logins": (Type.INT, "account", True),
        "device_tries": (Type.DECIMAL, "device", True),
    }
    at_order = features_in_scope(pack, "order.made")
    assert {name: info.bare for name, info in at_order.items()} == {"logins": False, "device_tries": True}
