"""Reading packs: what a good one says, and what is said about a bad one."""

import decimal
import json
import pathlib
import subprocess
import sys

import pytest

from koban.base import DAY, HOUR, Problem
from koban.cli.frame import FAILED, WRONG_USE, refuse
from koban.insight.mapping import MapInvalid
from koban.packs import (
    CASE_TIME,
    Block,
    Challenge,
    Fault,
    FreezePayout,
    Hide,
    Hold,
    Mode,
    ModeName,
    PackInvalid,
    Restrict,
    Review,
    Source,
    Strike,
    Suspend,
    Warn,
    digest_of,
    files_of,
    load_pack,
    locate,
    parse_files,
    place,
)
from koban.packs.faults import PackMissing

SMALL = pathlib.Path(__file__).parent / "small"
FILES = files_of(SMALL)


def changed(file: str, old: str, new: str) -> dict[str, str]:
    """Return the small pack's files with one text replaced by another; it must stand there exactly once."""
    assert FILES[file].count(old) == 1, (file, old)
    return {**FILES, file: FILES[file].replace(old, new)}


def faults_of(files: dict[str, str]) -> list[tuple[str, str]]:
    with pytest.raises(PackInvalid) as caught:
        parse_files(files)
    return [(place(fault.source), fault.detail) for fault in caught.value.faults]


def test_the_starter_pack_is_read() -> None:
    pack = load_pack(pathlib.Path(__file__).parents[2] / "packs" / "starter")
    assert pack.name == "starter"
    assert pack.events["message.sent"].acting == "sender.id"


def test_an_event_type_says_whose_data_it_holds_and_whom_it_names() -> None:
    event = load_pack(SMALL).events["message.sent"]
    assert (event.acting, event.recipient, event.content) == ("sender.id", "recipient.id", "message.id")
    assert {path: role.kind for path, role in event.subjects.items()} == {
        "sender.id": "account",
        "recipient.id": "account",
        "message.id": "message",
        "device.id": "device",
    }
    assert (event.fields["text"].personal, event.fields["text"].joined) == ("sender.id", False)
    assert (event.fields["device.id"].personal, event.fields["device.id"].joined) == ("sender.id", True)
    assert (event.fields["price_minor"].type, event.fields["price_minor"].unit) == ("int", "minor")
    assert (event.texts, event.within_ms, event.fallback, event.retention_days) == (("text",), 200, "allow", 365)


def test_features_know_their_kind_window_and_bound() -> None:
    features = load_pack(SMALL).features
    assert features["messages_1h"].by == {"message.sent": "sender.id"}
    assert (features["messages_1h"].kind, features["messages_1h"].within_us) == ("account", HOUR)
    assert features["reports"].within_us is None
    distinct = features["recipients_1d"]
    assert (distinct.bound, distinct.within_us, distinct.excluding_current) == (20, DAY, True)
    assert distinct.where == "sender.verified IS NOT TRUE"


def test_a_ratio_without_by_takes_kind_and_paths_from_its_features() -> None:
    rate = load_pack(SMALL).features["report_rate"]
    assert rate.kind == "account"
    assert rate.by == {"message.sent": "sender.id", "report.filed": "reported.id"}


def test_actions_modes_and_caps_are_read() -> None:
    rules = load_pack(SMALL).rules
    first, second = rules["off_platform"], rules["many_recipients"]
    assert first.then == (
        Hide(),
        Warn(target="recipient"),
        Hold(for_us=72 * HOUR, becomes="block"),
        Challenge(kind="passkey"),
        Strike(),
        Review(queue="scams"),
    )
    assert first.mode == Mode(name=ModeName.LIVE, basis_points=1_000)
    assert first.cap_per_hour == 50
    assert second.then == (Block(), Restrict(scope="messaging", for_us=24 * HOUR))
    assert (second.mode.name, second.cap_per_hour) == (ModeName.SHADOW, 100)


def test_a_ladder_is_read_in_order() -> None:
    policy = load_pack(SMALL).policies["fraud/off_platform"]
    assert [step.action for step in policy.ladder] == [
        Warn(target="author"),
        Restrict(scope="messaging", for_us=24 * HOUR),
        FreezePayout(for_us=72 * HOUR),
        Suspend(for_us=7 * DAY),
        Suspend(for_us=None),
    ]
    assert policy.strikes_within_us == 90 * DAY


def test_a_list_is_read_from_its_file_without_comments() -> None:
    lures = load_pack(SMALL).lists["lures"]
    assert (lures.entries, lures.unless) == (("line交換", "直取引"), ("お断り",))
    assert (lures.negatable, lures.whole_word) == (True, True)


def test_a_table_of_lines_becomes_one_case_a_line() -> None:
    cases = load_pack(SMALL).cases
    assert [(case.rule, case.matches, case.data["sender.id"]) for case in cases] == [
        ("off_platform", True, "a1"),
        ("off_platform", True, "a1"),
        ("off_platform", False, "a1"),
        ("many_recipients", True, "a1"),
    ]
    first = cases[0]
    assert first.data == {
        "sender.id": "a1",
        "sender.created_at": CASE_TIME - 3 * DAY,
        "sender.verified": False,
        "text": "LINE交換しませんか",
    }
    assert first.features == {
        "messages_1h": 5,
        "of(reports, recipient.id)": 2,
        "report_rate": decimal.Decimal("0.25"),
    }
    assert first.source == Source(file="cases/scams.yaml", line=7, column=16)
    assert cases[3].data == {"sender.id": "a1", "score": 1_500_000, "tags": ("x", "y"), "price_minor": 500}
    assert cases[3].lists == {"trusted": ("a2",)}


def test_the_digest_names_content_not_folders(tmp_path: pathlib.Path) -> None:
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(text.replace("\n", "\r\n").encode())
    (tmp_path / "README.md").write_text("not part of it")
    (tmp_path / ".hidden.yaml").write_text("not part of it")
    assert load_pack(tmp_path).digest == load_pack(SMALL).digest == digest_of(FILES)
    assert digest_of({**FILES, "pack.yaml": FILES["pack.yaml"] + "\n"}) != digest_of(FILES)


@pytest.mark.parametrize(
    ("file", "old", "new", "expected"),
    [
        ("events.yaml", "acting: sender.id", "actor: sender.id", ("events.yaml:3:3", "an event type has no key 'actor'")),
        ("events.yaml", "texts: [text]", "texts: [txt]", ("events.yaml:9:11", "there is no field 'txt'")),
        ("events.yaml", "score: decimal", "score: float", ("events.yaml:18:12", "a field's type cannot be 'float'")),
        ("events.yaml", "score: decimal", "time: decimal", ("events.yaml:18:5", "'time' is the log time in every expression and cannot be a field")),
        ("events.yaml", "score: decimal", "text.raw: text", ("events.yaml:18:5", "'text' is a field itself, so it cannot hold 'text.raw'")),
        ("events.yaml", "content: message.id", "content: text", ("events.yaml:5:12", "'content' must name one of the event's subjects")),
        ("events.yaml", "fallback: hold", "fallback: maybe", ("events.yaml:26:13", "'fallback' cannot be 'maybe'")),
        ("events.yaml", "content: message.id", "content: message.id\n  money: {gift: price_minor}", ("events.yaml:6:11", "a kind of money cannot be 'gift'")),
        ("events.yaml", "content: message.id", "content: message.id\n  money: {order: score}", ("events.yaml:6:18", "'score' must be a field {type: int, unit: minor} of the event")),
        ("events.yaml", "content: message.id", "content: message.id\n  money: {order: price_minor}", ("events.yaml:6:10", "an event that moves money has a field `currency: text`")),
        ("events.yaml", "retention: 2 weeks", "retention: 36 hours", ("events.yaml:27:14", "'retention' must be whole days")),
        ("events.yaml", "{en: A report, ja: 通報}", "{en: A report}", ("events.yaml:23:10", "'about' needs the key 'ja'")),
        ("events.yaml", "within_ms: 100", "within_ms: 0", ("events.yaml:25:14", "'within_ms' must be a whole number from 1 to 60000")),
        ("features.yaml", "by: {report.filed: reported.id}", "by: {report.field: reported.id}", ("features.yaml:8:8", "there is no event type 'report.field'")),
        ("features.yaml", "by: {report.filed: reported.id}", "by: {report.filed: sender.id}", ("features.yaml:8:22", "'sender.id' is not a subject of report.filed")),
        ("features.yaml", "value: count(distinct recipient.id)", "value: distinct(recipient.id)", ("features.yaml:15:10", "'value' must be one aggregate")),
        ("features.yaml", "  bound: 20\n", "", ("features.yaml:15:10", "count(distinct x) needs a 'bound'")),
        ("features.yaml", "within: 1 day", "within: 1 fortnight", ("features.yaml:18:11", "'within' is not a duration")),
        ("features.yaml", "ratio(reports, messages_1h)", "ratio(reports, message_1h)", ("features.yaml:22:10", "there is no feature 'message_1h'")),
        ("features.yaml", "feature: recipients_1d", "feature: text", ("features.yaml:12:3", "'text' is already a field of message.sent, and an expression could not tell them apart")),
        ("features.yaml", "feature: recipients_1d", "feature: reports", ("features.yaml:12:3", "the feature 'reports' is declared twice; first in features.yaml on line 7")),
        ("policies.yaml", "severity: severe", "severity: bad", ("policies.yaml:8:13", "'severity' cannot be 'bad'")),
        ("policies.yaml", "policy: fraud/off_platform", "policy: scam/off_platform", ("policies.yaml:5:3", "the parent policy 'scam' is not declared")),
        ("policies.yaml", "{suspend: 7 days}", "hide", ("policies.yaml:10:93", "this action cannot be a step of a ladder")),
        ("lists.yaml", "file: lists/lures.txt", "file: lists/lure.txt", ("lists.yaml:3:9", "there is no file 'lists/lure.txt' in the pack")),
        ("lists.yaml", "entries: [acct_1]", "entries: [acct_1, acct_1]", ("lists.yaml:11:21", "'acct_1' is listed twice; first in lists.yaml on line 11")),
        ("lists.yaml", "entries: [acct_1]", "negatable: true", ("lists.yaml:11:3", "'negatable' is only for lists of phrases")),
        ("lists.yaml", "of: account", "of: accounts", ("lists.yaml:8:3", "list trusted: there is no kind of subject or value 'accounts'")),
        ("lists.yaml", "of: account", "of: device", ("lists.yaml:8:3", "list trusted: values of kind device are personal and do not belong in a pack")),
        ("lists/lures.txt", "直取引", "line交換", ("lists/lures.txt:4:1", "'line交換' is listed twice; first in lists/lures.txt on line 3")),
        ("queues.yaml", "due: 4 hours", "due: soon", ("queues.yaml:3:8", "'due' is not a duration")),
        ("rules/scams.yaml", "policy: fraud/off_platform", "policy: fraud/off_platfrom", ("rules/scams.yaml:2:11", "rule off_platform: there is no policy 'fraud/off_platfrom'")),
        ("rules/scams.yaml", "{review: scams}", "{review: scam}", ("rules/scams.yaml:5:99", "rule off_platform: there is no queue 'scam'")),
        ("rules/scams.yaml", "on: [message.sent]", "on: [report.filed]", ("rules/scams.yaml:5:10", "rule off_platform: hide needs 'content', which report.filed does not declare")),
        ("rules/scams.yaml", "mode: {live: 10%}", "mode: {live: 0%}", ("rules/scams.yaml:6:9", "'mode' cannot be read")),
        ("rules/scams.yaml", "cap: 50 per hour", "cap: 50", ("rules/scams.yaml:7:8", "'cap' must say how many people an hour")),
        ("rules/scams.yaml", "{warn: recipient}", "{warn: everyone}", ("rules/scams.yaml:5:23", "'warn' cannot be 'everyone'")),
        ("rules/scams.yaml", "strike", "strik", ("rules/scams.yaml:5:91", "there is no action 'strik'")),
        ("rules/scams.yaml", "{hold: 72 hours, becomes: block}", "{hold: 72 hours}", ("rules/scams.yaml:5:35", "the action 'hold' needs the key 'becomes'")),
        ("rules/scams.yaml", "{hold: 72 hours, becomes: block}", "hold", ("rules/scams.yaml:5:35", "'hold' needs a value")),
        ("cases/scams.yaml", "score: 1.5", "score: high", ("cases/scams.yaml:12:32", "'score' must be of type decimal")),
        ("cases/scams.yaml", "score: 1.5", "scores: 1.5", ("cases/scams.yaml:12:25", "message.sent has no field 'scores'")),
        ("cases/scams.yaml", "recipients_1d: 12", "recipients: 12", ("cases/scams.yaml:13:14", "there is no feature 'recipients'")),
        ("cases/scams.yaml", "rule: many_recipients", "rule: many_recipient", ("cases/scams.yaml:9:9", "there is no rule 'many_recipient'")),
        ("cases/scams.yaml", "field: text", "field: tags", ("cases/scams.yaml:3:10", "'tags' is not a text field of message.sent")),
    ],
)  # fmt: skip
def test_each_fault_is_told_with_its_place(file: str, old: str, new: str, expected: tuple[str, str]) -> None:
    assert expected in faults_of(changed(file, old, new))


def test_all_faults_are_told_at_once_in_order_of_files_and_lines() -> None:
    files = changed("rules/scams.yaml", "cap: 50 per hour", "cap: many")
    files["events.yaml"] = files["events.yaml"].replace("fallback: hold", "fallback: maybe")
    files["queues.yaml"] = files["queues.yaml"].replace("due: 4 hours", "due: soon")
    assert [where for where, _ in faults_of(files)] == ["events.yaml:26:13", "queues.yaml:3:8", "rules/scams.yaml:7:8"]


def test_a_fault_shows_its_line_a_caret_and_the_nearest_name() -> None:
    with pytest.raises(PackInvalid) as caught:
        parse_files(changed("lists.yaml", "unless: [お断り]", "unles: [お断り]"))
    assert caught.value.rendered == (
        "lists.yaml:4:3: a list has no key 'unles'\n  4 |   unles: [お断り]\n    |   ^\n  hint: did you mean 'unless'?"
    )


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("- {a: &x [1], b: *x}", "anchors are not allowed"),
        ("- *x", "aliases are not allowed"),
        ("- !!python/object/apply:os.system [ls]", "tags such as !!python are not allowed"),
        ("[" * 20 + "]" * 20, "nested more than 12 levels deep"),
        ("--- []\n--- []", "a file holds one document"),
        ("- {queue: a, queue: b, due: 1 hour}", "'queue' is given twice; first on line 1"),
        ("queue: a", "this file must be a list of queues: lines starting with -"),
        ("- [1]", "a queue must be a mapping"),
        ("- {[1]: 2}", "a key must be a plain text"),
        ('- {queue: scams, title: {en: a, ja: "\\0"}, due: 1 hour}', "'ja' holds a character that no text may hold"),
    ],
)  # fmt: skip
def test_yaml_that_is_not_plain_data_is_a_fault(text: str, detail: str) -> None:
    assert detail in [told for _, told in faults_of({**FILES, "queues.yaml": text})]


def test_yaml_that_cannot_be_parsed_is_one_fault_with_its_place() -> None:
    for file in ("queues.yaml", "events.yaml", "policies.yaml"):
        told = faults_of({**FILES, file: "- a: [1\n- b"})
        assert len(told) == 1, "and nothing of all that names what stands there"
        assert told[0][0].startswith(file)
        assert told[0][1].startswith("not valid YAML: ")


def test_an_alias_bomb_is_refused_quickly() -> None:
    bomb = "- &a [x]\n" + "\n".join(f"- &{chr(98 + n)} [*{chr(97 + n)}, *{chr(97 + n)}]" for n in range(20))
    assert ("queues.yaml:1:3", "anchors are not allowed") in faults_of({**FILES, "queues.yaml": bomb})


def test_a_file_that_no_part_of_a_pack_has_is_a_fault() -> None:
    assert ("rule/x.yaml:1:1", "no part of a pack has this name") in faults_of({**FILES, "rule/x.yaml": "[]"})


def test_a_folder_without_a_pack_is_refused(tmp_path: pathlib.Path) -> None:
    with pytest.raises(PackMissing, match=r"No pack\.yaml is in"):
        load_pack(tmp_path)
    with pytest.raises(SystemExit) as end:
        refuse(PackMissing(""))
    assert end.value.code == WRONG_USE


def test_files_that_are_not_utf_8_or_lead_out_of_the_pack_are_refused(tmp_path: pathlib.Path) -> None:
    (tmp_path / "pack.yaml").write_bytes(b"pack: \xff")
    (tmp_path / "events.yaml").symlink_to("/etc/passwd")
    with pytest.raises(PackInvalid) as caught:
        files_of(tmp_path)
    assert [fault.detail for fault in caught.value.faults] == [
        "this is no file, or leads out of the pack",
        "not UTF-8: byte 6 cannot be read",
    ]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("when: a > b AND c", "a > b AND c"),
        ("when: 'a = ''b'' AND c'", "a = 'b' AND c"),
        ("when: \"a = 'b' AND c\"", "a = 'b' AND c"),
        ("when: >\n    a > b\n    AND c", "a > b AND c\n"),
        ("when: |\n    a > b\n      AND c", "a > b\n  AND c\n"),
        ("when: a > b\n    AND\n    c", "a > b AND c"),
    ],
)
def test_a_character_of_a_condition_is_found_in_its_file(written: str, value: str) -> None:
    rules = FILES["rules/scams.yaml"].replace("when: mentions(text, 'lures') AND messages_1h > 3", written)
    pack = parse_files({**FILES, "rules/scams.yaml": rules})
    rule = pack.rules["off_platform"]
    assert rule.when == value
    found = locate(pack, rule.when_at, rule.when, value.index("c"), fallback=rule.source)
    lines = rules.split("\n")
    assert lines[found.line - 1][found.column - 1] == "c"
    assert found.line == next(number for number, line in enumerate(lines, 1) if "c" in line and number >= 4)


def test_where_an_escape_hides_a_character_the_start_is_named() -> None:
    rules = FILES["rules/scams.yaml"].replace(
        "when: mentions(text, 'lures') AND messages_1h > 3", 'when: "\\u0061 > b"'
    )
    pack = parse_files({**FILES, "rules/scams.yaml": rules})
    rule = pack.rules["off_platform"]
    assert locate(pack, rule.when_at, "§", 0, fallback=rule.source) == rule.when_at


def test_faults_compare_by_content() -> None:
    source = Source(file="a.yaml", line=1)
    assert Fault(source=source, detail="x") == Fault(source=source, detail="x")


def test_a_command_says_each_fault_of_a_pack_once(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(PackInvalid) as caught:
        parse_files({"pack.yaml": "pack: small\nversion: '1'\nabout: {en: e, ja: j}\nnotes: x\n"})
    with pytest.raises(SystemExit) as end:
        refuse(caught.value)
    assert end.value.code == FAILED
    said = capsys.readouterr().err
    assert [said.count(fault.detail) for fault in caught.value.faults] == [1]
    assert said.startswith("koban: The pack has errors. The pack has 1 error.\npack.yaml:4:1: ")


def test_a_command_says_the_one_thing_that_is_wrong_once(capsys: pytest.CaptureFixture[str]) -> None:
    one = Problem(path="m.yaml", detail="nothing called source")
    for said, told in (("m.yaml: nothing called source", 1), ("1 to mend", 1)):
        with pytest.raises(SystemExit):
            refuse(MapInvalid(said, problems=(one,)))
        assert capsys.readouterr().err.count("nothing called source") == told


def test_what_is_logged_is_no_part_of_what_a_verb_prints() -> None:
    said = (
        "import structlog\nfrom koban.cli.frame import print_json, settings_of_environment\n"
        "log = structlog.get_logger('koban.test')\nsettings_of_environment()\n"
        "log.warning('something happened', text='直取引')\nprint_json({'answer': 1})\n"
    )
    done = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True, timeout=60)
    assert json.loads(done.stdout) == {"answer": 1}
    logged = json.loads(done.stderr)
    assert (logged["event"], logged["text"], logged["level"]) == ("something happened", "直取引", "warning")


def test_a_server_that_reads_its_settings_first_still_chooses_where_everything_is_logged(
    tmp_path: pathlib.Path,
) -> None:
    said = (
        "import logging, structlog, sys\nfrom koban.cli.frame import log_to, settings_of_environment\n"
        "settings = settings_of_environment()\n"
        "with open(sys.argv[1], 'w', encoding='utf-8') as file:\n"
        "    log_to(file, settings.log_level)\n"
        "    structlog.get_logger('koban.test').warning('ours')\n"
        "    logging.getLogger('uvicorn').warning('of a library')\n"
    )
    command = [sys.executable, "-c", said, str(tmp_path / "log")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    logged = (tmp_path / "log").read_text(encoding="utf-8")
    assert ("ours" in logged, "of a library" in logged, done.stdout, done.stderr) == (True, True, "", "")
