"""Why not, and what is behind a feature."""

import pytest
from tests.archive.conftest import Station
from tests.language.ground import ENV, NOON, checked

from koban.app.people import forget_person
from koban.base import DAY, MINUTE, Instant
from koban.enforcement import ImposeSanction, OverturnSanctions, SubjectRef
from koban.enforcement.store import read_of_subject
from koban.lab import Operand, why_not
from koban.language import Value, compile_trace
from koban.packs import PackDef, PackVersionMissing, parse_files
from koban.packs.draft_store import Draft, close_draft, insert_draft
from koban.pipeline.commands import sanction
from koban.pipeline.explain import explain, explain_feature, explain_why_not, version_of
from koban.rules import RuleMissing

ROW: dict[str, Value] = {"a": 3, "b": None, "s": "x", "p": True, "x": 1_500_000}


@pytest.mark.parametrize(
    ("when", "needed"),
    [
        ("a >= 3", []),
        ("a >= 5", [("a >= 5", "true", "+2")]),
        ("a > 3", [("a > 3", "true", "+1")]),
        ("x < 1.25", [("x < 1.25", "true", "-0.25")]),
        ("a >= 5 AND s = 'y' AND p", [("a >= 5", "true", "+2"), ("s = 'y'", "true", "")]),
        ("(a >= 9 AND s = 'y') OR a >= 5", [("a >= 5", "true", "+2")]),
        ("NOT p", [("p", "false", "")]),
        ("NOT (a >= 3 AND p)", [("a >= 3", "false", "-1")]),
        ("NOT (a >= 3 OR p)", [("a >= 3", "false", "-1"), ("p", "false", "")]),
        ("b > 1", [("b > 1", "true", "")]),
        ("b IS NOT NULL", [("b IS NOT NULL", "true", "")]),
        ("a NOT IN (3, 4)", [("a NOT IN (3, 4)", "true", "")]),
        ("a NOT BETWEEN 1 AND 9", [("a NOT BETWEEN 1 AND 9", "true", "")]),
        ("s NOT LIKE 'x%'", [("s NOT LIKE 'x%'", "true", "")]),
        ("p IS NOT TRUE", [("p IS NOT TRUE", "true", "")]),
        ("NOT (s NOT LIKE 'y%')", [("(s NOT LIKE 'y%')", "false", "")]),
        ("((a NOT IN (3)))", [("((a NOT IN (3)))", "true", "")]),
        ("(NOT p) IS NOT TRUE AND a > 5", [("a > 5", "true", "+3")]),
        ("(NOT (NOT p)) IS NOT TRUE", [("(NOT (NOT p)) IS NOT TRUE", "true", "")]),
        ("(a > 9) IS NOT FALSE AND a > 3", [("(a > 9) IS NOT FALSE", "true", ""), ("a > 3", "true", "+1")]),
    ],
)
def test_the_fewest_conditions_are_named(when: str, needed: list[tuple[str, str, str]]) -> None:
    trace = compile_trace(checked(when))(ROW, {}, NOON, ENV)
    found = why_not("r", trace)
    assert [(each.text, each.wanted, each.by) for each in found.needed] == needed
    assert found.matched is (not needed)


def test_what_is_written_as_one_is_shown_as_one_with_its_own_value() -> None:
    trace = compile_trace(checked("a NOT IN (3, 4) OR p IS NOT TRUE"))(ROW, {}, NOON, ENV)
    assert [(each.op, each.text, each.value, [part.text for part in each.parts]) for each in trace.parts] == [
        ("not in", "a NOT IN (3, 4)", False, ["a"]),
        ("not is_true", "p IS NOT TRUE", False, ["p"]),
    ]
    assert [each.value for each in why_not("r", trace).needed] == ["false"]


def test_a_needed_condition_says_what_it_looked_at() -> None:
    trace = compile_trace(checked("length(s) + a > 9"))(ROW, {}, NOON, ENV)
    (needed,) = why_not("r", trace).needed
    assert needed.operands == (
        Operand(text="length(s) + a", value="4"),
        Operand(text="length(s)", value="1"),
        Operand(text="s", value="'x'"),
        Operand(text="a", value="3"),
    )


@pytest.fixture
def sent(station: Station) -> Station:
    for number, minutes in enumerate([0, 30, 29, 2]):
        station.clock.advance(minutes * MINUTE)
        station.send(station.event(f"e{number}", "直取引しませんか"))
    station.send(station.event("other", data={"sender": {"id": "a2"}, "recipient": {"id": "b"}, "text": "x"}))
    return station


def last_seq(station: Station, event_id: str) -> int:
    return int(str(station.rows("SELECT seq FROM log_entries WHERE event_id = ?", (event_id,))[0][0]))


def test_the_events_behind_a_count_are_named_archived_or_not(sent: Station) -> None:
    seq = last_seq(sent, "e3")

    def ids() -> list[str]:
        found = explain_feature(sent.database, sent.vault, seq, "messages_1h", archive=sent.archive)
        (part,) = found.parts
        assert found.value == part.total == len(part.events)
        assert (part.subject_kind, part.subject, part.whole) == ("account", "a1", True)
        return [each.event_id for each in part.events]

    assert ids() == ["e3", "e2", "e1"]
    sent.days_pass(40)
    sent.run_archive()
    assert ids() == ["e3", "e2", "e1"]


def test_a_decision_is_explained_under_a_version_that_never_decided_it(sent: Station) -> None:
    seq = last_seq(sent, "e3")
    files = dict(sent.pack.files)
    files["features.yaml"] += (
        "- feature: messages_1d\n  about: {en: e, ja: j}\n  on: message.sent\n  by: sender.id\n  value: count(*)\n"
        "  within: 1 day\n"
    )
    name = next(name for name in files if name.startswith("rules"))
    files[name] = files[name].replace("messages_1h >= 3", "messages_1d >= 5")
    other = parse_files(files)

    explained = explain(sent.database, sent.vault, seq, pack=other, archive=sent.archive)

    assert explained.features["messages_1d"] == 4
    found = explain_why_not(sent.database, sent.vault, seq, "lure_again", pack=other, archive=sent.archive)
    assert [(each.text, each.by) for each in found.needed] == [("messages_1d >= 5", "+1")]
    own = explain_why_not(sent.database, sent.vault, seq, "lure_again", archive=sent.archive)
    assert own.matched
    with pytest.raises(RuleMissing):
        explain_why_not(sent.database, sent.vault, seq, "big_payout", archive=sent.archive)


def with_features(station: Station, text: str) -> PackDef:
    files = dict(station.pack.files)
    files["features.yaml"] += text
    return parse_files(files)


def behind_under(station: Station, pack: PackDef, event_id: str, key: str) -> tuple[object, list[list[str]]]:
    found = explain_feature(
        station.database, station.vault, last_seq(station, event_id), key, archive=station.archive, pack=pack
    )
    return found.value, [[each.event_id for each in part.events] for part in found.parts]


@pytest.mark.parametrize(
    ("declared", "value", "events"),
    [
        ("by: sender.id\n  value: count(*)\n  within: 10 minutes", 2, [["e3", "e2"]]),
        ("by: sender.id\n  value: count(*)\n  within: 1 day", 4, [["e3", "e2", "e1", "e0"]]),
        ("by: sender.id\n  value: count(*)\n  within: 1 day\n  excluding: current", 3, [["e2", "e1", "e0"]]),
        ("by: sender.id\n  value: count(*)\n  within: 1 day\n  where: contains(text, 'b')", 0, [[]]),
        ("by: [sender.id, recipient.id]\n  value: count(*)\n  within: 1 day", 4, [["e3", "e2", "e1", "e0"]]),
        ("by: everyone\n  value: count(*)\n  within: 1 day", 4, [["e3", "e2", "e1", "e0"]]),
    ],
)
def test_each_version_counts_by_its_own_declaration(
    sent: Station, declared: str, value: int, events: list[list[str]]
) -> None:
    text = f"- feature: counted\n  about: {{en: e, ja: j}}\n  on: message.sent\n  {declared}\n"
    assert behind_under(sent, with_features(sent, text), "e3", "counted") == (value, events)


@pytest.mark.parametrize(
    ("declared", "value", "shown"),
    [
        ("by: sender.id\n  value: avg(CAST(length(text) AS decimal))\n  within: 1 day", 8_000_000, "8"),
        ("by: sender.id\n  value: ratio(messages_1h, messages_day)", 750_000, "0.75"),
        ("by: sender.id\n  value: rate(messages_1h, messages_day)", 18_000_000, "18"),
        ("by: sender.id\n  value: sum(price_minor)\n  within: 1 day", None, "NULL"),
        ("by: sender.id\n  value: max(length(text))\n  within: 1 day", 8, "8"),
    ],
)
def test_a_features_value_is_shown_as_people_read_it(sent: Station, declared: str, value: object, shown: str) -> None:
    text = (
        "- feature: messages_day\n  about: {en: e, ja: j}\n  on: message.sent\n  by: sender.id\n  value: count(*)\n"
        "  within: 1 day\n"
        f"- feature: counted\n  about: {{en: e, ja: j}}\n  on: message.sent\n  {declared}\n"
    )
    pack = with_features(sent, text)
    seq = last_seq(sent, "e3")
    found = explain_feature(sent.database, sent.vault, seq, "counted", archive=sent.archive, pack=pack)
    assert (found.value, found.shown) == (value, shown)


def test_a_sequence_names_which_event_was_which_step_and_the_events_of_each_whole_one(station: Station) -> None:
    minutes = {"m1": 0, "p1": 4, "m2": 20, "m3": 3, "p2": 4, "p3": 2}
    for name, apart in minutes.items():
        station.clock.advance(apart * MINUTE)
        station.send(station.event(name, "x") if name.startswith("m") else station.payout(name, 5, account="a1"))
    text = (
        "- feature: then_paid\n  about: {en: e, ja: j}\n  by: {message.sent: sender.id, payout.requested: account.id}\n"
        "  value: sequence(message.sent THEN payout.requested WITHIN 5 minutes)\n  within: 12 minutes\n"
    )
    pack = with_features(station, text)

    def found(event_id: str) -> tuple[object, list[tuple[str, tuple[int, ...]]], list[list[str]]]:
        explained = explain_feature(
            station.database,
            station.vault,
            last_seq(station, event_id),
            "then_paid",
            archive=station.archive,
            pack=pack,
        )
        (part,) = explained.parts
        names = {each.seq: each.event_id for each in part.events}
        lines = [(each.event_id, each.steps) for each in part.events]
        return explained.value, lines, [[names[place] for place in match] for match in part.matches]

    # m2 is a first step that nothing followed in time: the newest before p2 is m3; p3 comes 6 minutes after it.
    assert found("p3") == (1, [("p2", (2,)), ("m3", (1,)), ("m2", (1,))], [["m3", "p2"]])
    assert found("p1") == (1, [("p1", (2,)), ("m1", (1,))], [["m1", "p1"]])


def test_sanctions_of_linked_accounts_are_those_that_stood_then(station: Station) -> None:
    def message(event_id: str) -> None:
        data = {"sender": {"id": "a1"}, "recipient": {"id": "b"}, "text": "x"}
        station.send(station.event(event_id, data=data))

    suspend = ImposeSanction(
        subject=SubjectRef(kind="account", id="b"), kind="suspend", policy="fraud", by="staff_one",
        because={"en": "e", "ja": "j"},
    )  # fmt: skip
    message("before")
    station.desk.command(lambda memory, tx: sanction(memory, tx, suspend))
    message("while")
    with station.database.read() as tx:
        (imposed,) = read_of_subject(tx, suspend.subject)
    back = OverturnSanctions(sanction_ids=(imposed.id,), by="staff_two", reason="a mistake")
    station.desk.command(lambda memory, tx: sanction(memory, tx, back))
    message("after")
    on = "  about: {en: e, ja: j}\n  on: message.sent\n  by: sender.id\n"
    text = f"- feature: linked\n{on}  value: linked_sanctioned(recipient.id)\n  within: 1 day\n  bound: 5\n"
    pack = with_features(station, text)
    assert [behind_under(station, pack, each, "linked")[0] for each in ("before", "while", "after")] == [0, 1, 0]


@pytest.mark.parametrize("sender", ["50%_!", 'q"uo\\te', "買い手", "A1"])
def test_a_subject_is_found_whatever_its_id_is_written_with(station: Station, sender: str) -> None:
    for event_id, name in (("one", sender), ("other", "50x_!"), ("small", "a1"), ("now", sender)):
        data = {"sender": {"id": name}, "recipient": {"id": "b"}, "text": "x"}
        station.send(station.event(event_id, data=data))
    text = "- feature: counted\n  about: {en: e, ja: j}\n  on: message.sent\n  by: sender.id\n  value: count(*)\n"
    pack = with_features(station, text + "  within: 1 day\n")
    assert behind_under(station, pack, "now", "counted") == (2, [["now", "one"]])


def test_the_age_of_a_linked_account_is_known_from_events_of_others(station: Station) -> None:
    message = {"recipient": {"id": "b"}, "text": "x"}
    station.send(station.event("before", data={"sender": {"id": "a2"}, **message}))
    station.clock.advance(3 * DAY)
    station.send(station.event("now", data={"sender": {"id": "a1"}, **message}))
    on = "  about: {en: e, ja: j}\n  on: message.sent\n"
    text = f"- feature: known_days\n{on}  by: recipient.id\n  value: age_days()\n  within: ever\n"
    text += f"- feature: linked\n{on}  by: sender.id\n  value: linked_oldest(recipient.id, known_days)\n"
    pack = with_features(station, text + "  within: 1 day\n  bound: 5\n")
    assert behind_under(station, pack, "now", "linked") == (3, [["now"]])


def test_a_proposal_can_be_named_like_a_version_until_it_is_withdrawn(sent: Station) -> None:
    text = "- feature: counted\n  about: {en: e, ja: j}\n  on: message.sent\n  by: sender.id\n  value: count(*)\n  within: ever\n"
    pack = with_features(sent, text)
    with pytest.raises(PackVersionMissing):
        version_of(sent.database, pack.digest)
    draft = Draft(
        id="draft_1", digest=pack.digest, base=sent.pack.digest, changes=(), severe=False, author="a", reason="r",
        proposed_at=Instant(NOON),
    )  # fmt: skip
    with sent.database.write() as tx:
        insert_draft(tx, draft, pack.files)
    assert version_of(sent.database, pack.digest[:10]).digest == pack.digest
    assert version_of(sent.database, sent.pack.digest[:10]).digest == sent.pack.digest
    with sent.database.write() as tx:
        close_draft(tx, "draft_1", Instant(NOON), by="a", state="withdrawn")
    with pytest.raises(PackVersionMissing):
        version_of(sent.database, pack.digest[:10])


def test_what_somebody_did_before_being_erased_is_behind_no_later_count(sent: Station) -> None:
    sent.clock.advance(1_000)
    sent.desk.command(lambda memory, tx: forget_person(memory, tx, "a1", by="test"), alone=True)
    for number in (4, 5):
        sent.send(sent.event(f"e{number}", "直取引しませんか"))
    changed = with_features(
        sent,
        "- feature: messages_1d\n  about: {en: e, ja: j}\n  on: message.sent\n  by: sender.id\n  value: count(*)\n"
        "  within: 1 day\n"
        "- feature: pair_1d\n  about: {en: e, ja: j}\n  on: message.sent\n  by: [sender.id, recipient.id]\n"
        "  value: count(*)\n  within: 1 day\n",
    )

    def of(event_id: str, key: str, pack: PackDef | None = None) -> tuple[object, list[str]]:
        seq = last_seq(sent, event_id)
        found = explain_feature(sent.database, sent.vault, seq, key, pack=pack, archive=sent.archive)
        (part,) = found.parts
        return found.value, [each.event_id for each in part.events]

    for key, pack in (("messages_1h", None), ("messages_1d", changed), ("pair_1d", changed)):
        assert of("e5", key, pack) == (2, ["e5", "e4"])
    assert of("e3", "messages_1d", changed) == (4, ["e3", "e2", "e1", "e0"]), "a decision before it read all of that"
