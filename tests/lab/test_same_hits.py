"""Law 2 in the lab: SQL, the live engine over the log, and the decisions that were made name the same hits."""

import os

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.archive.conftest import Station
from tests.lab.conftest import log_of, play

from koban.app.people import forget_person
from koban.decisions import DecisionRecord
from koban.lab import Engine, Question, hits_of
from koban.packs import PackDef
from koban.rules import check_pack

EXAMPLES = int(os.environ.get("KOBAN_LAW_EXAMPLES", "25"))


def decided(station: Station) -> set[tuple[int, str]]:
    """Every (entry, rule) that the decisions named, from the database and from the archive."""
    bodies: dict[int, bytes] = {}
    with station.database.read() as tx:
        for each in station.archive.walk(tx):
            if each.answer is not None:
                bodies[each.entry.seq] = each.answer
        bodies |= {int(seq): str(body).encode() for seq, body in tx.rows("SELECT seq, body FROM decisions")}
    return {
        (seq, signal.rule)
        for seq, body in bodies.items()
        for signal in msgspec.json.decode(body, type=DecisionRecord).signals
    }


def hits(station: Station, pack: PackDef, engine: Engine) -> set[tuple[int, str]]:
    with log_of(station) as log:
        return hits_of(log, Question(pack=pack, engine=engine))


@pytest.mark.parametrize("seed", range(3))
def test_hits_are_those_that_were_decided(station: Station, seed: int) -> None:
    play(station, seed)
    station.days_pass(30)
    station.run_archive()
    pack = station.desk.memory.compiled.pack
    said = decided(station)

    found = hits(station, pack, "sql")

    assert {rule for _, rule in said} == set(pack.rules)
    # The phrases that left with the switch are gone for all events, and that which came counts from the switch on.
    left = {(seq, rule) for seq, rule in said - found if "lure" in rule}
    assert found <= said
    assert said - found == left
    assert hits(station, pack, "live") == found


ints: st.SearchStrategy[str] = st.one_of(
    st.sampled_from(("price_minor", "messages_1h", "recipients_1h", "of(messages_1h, recipient.id)", "paid_out")),
    st.sampled_from(("length(text)", "mention_count(text, 'lures')", "minutes_between(time, time)", "lured_1h")),
    st.integers(0, 6).map(str),
)
asked: st.SearchStrategy[str] = st.one_of(
    st.builds("{} {} {}".format, ints, st.sampled_from((">", "<=", "=", "<>")), ints),
    st.sampled_from(
        (
            "mentions(text, 'lures')",
            "in_list(sender.id, 'trusted')",
            "in_list(recipient.id, 'trusted')",
            "has_label(sender.id, 'fraud')",
            "has_label(recipient.id, 'honest')",
            "matches(text, '09[0-9]')",
            "has_contact(text)",
            "text LIKE '%引%'",
            "text IS NULL",
            "recipient.id IS NOT NULL",
            "sender.id IN ('a1', 'b2')",
            "last_text = text",
            "lower(sender.id) = 'a1'",
        )
    ),
)
conditions: st.SearchStrategy[str] = st.recursive(
    asked,
    lambda inner: st.one_of(
        st.builds("({} AND {})".format, inner, inner),
        st.builds("({} OR {})".format, inner, inner),
        st.builds("(NOT {})".format, inner),
        st.builds("(({}) IS NOT TRUE)".format, inner),
        st.builds("coalesce({}, {})".format, inner, inner),
        st.builds("CASE WHEN {} THEN {} ELSE {} END".format, inner, inner, inner),
    ),
    max_leaves=6,
)

FEATURES = """
- feature: lured_1h
  about: {en: Lures an hour, ja: 1時間の誘い}
  on: message.sent
  by: sender.id
  value: count(*)
  where: matches(text, '直取引|outside')
  within: 1 hour
- feature: last_text
  about: {en: Last text, ja: 直前の文}
  on: message.sent
  by: sender.id
  value: last(text)
  within: 24 hours
  excluding: current
"""


def with_rules(pack: PackDef, whens: list[str]) -> PackDef:
    """Give the small pack other rules and two more features, with a list entry that nobody ever had."""
    from koban.packs import parse_files

    files = dict(pack.files)
    files["features.yaml"] += FEATURES
    files["lists.yaml"] = files["lists.yaml"].replace("pay outside", "call")
    files = {name: text for name, text in files.items() if not name.startswith(("rules", "cases"))}
    files["rules.yaml"] = "".join(
        f"- rule: r{number}\n  policy: fraud/lure\n  on: [message.sent]\n  when: {msgspec.json.encode(when).decode()}\n"
        "  then: [hide]\n  because: {en: e, ja: j}\n"
        for number, when in enumerate(whens)
    )
    return parse_files(files)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize("seed", range(2))
def test_generated_rules_hit_the_same_in_sql_and_live(station: Station, seed: int) -> None:
    play(station, 100 + seed)
    station.days_pass(30)
    station.run_archive()
    small = station.desk.memory.compiled.pack
    counts = [0, 0]

    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
    @given(whens=st.lists(conditions, min_size=1, max_size=5))
    def hold(whens: list[str]) -> None:
        pack = with_rules(
            small, [when for when in whens if not check_pack(with_rules(small, [when]))] or ["TRUE = TRUE"]
        )
        if check_pack(pack):
            return
        live = hits(station, pack, "live")
        assert hits(station, pack, "sql") == live
        counts[0] += 1
        counts[1] += bool(live)

    hold()
    assert counts[1] >= counts[0] // 4, "generated rules hit something, so equal answers say something"


def forget(station: Station, person: str) -> None:
    """Erase as `erase_person` does, on a desk that has no data folder."""
    station.clock.advance(1_000)
    station.desk.command(lambda memory, tx: forget_person(memory, tx, person, by="test"), alone=True)


@pytest.mark.parametrize("archived", [False, True])
def test_hits_after_an_erasure_are_those_that_were_decided(station: Station, archived: bool) -> None:  # noqa: FBT001 - a case
    def write(first: int, last: int) -> None:
        for number in range(first, last):
            station.send(station.event(f"e{number}", "", data=message(number)))

    write(0, 4)
    forget(station, "a1")
    write(4, 6)  # who comes back is new: not yet again and again, nor many
    forget(station, "nobody")
    if archived:
        station.days_pass(40)
        station.run_archive()
    else:
        station.clock.advance(1_000)
    write(6, 9)
    forget(station, "a1")
    write(9, 12)
    pack = with_rules(station.desk.memory.compiled.pack, ["messages_1h >= 3", "recipients_1h >= 3"])
    said = {place for place, rule in decided(station) if rule == "lure_again"}

    found = {engine: hits(station, pack, engine) for engine in ("sql", "live", "auto")}

    assert found["sql"] == found["live"] == found["auto"]
    assert {place for place, rule in found["sql"] if rule == "r0"} == said
    assert {place for place, rule in found["sql"] if rule == "r1"} == said


def message(number: int) -> dict[str, object]:
    return {
        "sender": {"id": "a1"},
        "recipient": {"id": f"b{number}"},
        "message": {"id": f"m{number}"},
        "text": "直取引しませんか",
        "device": {"id": "phone-77"},
    }
