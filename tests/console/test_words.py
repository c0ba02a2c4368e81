"""The catalogues of words, and how values are written for each reader."""

import ast
import pathlib
import re
import string

import pytest
from markupsafe import Markup

from koban import console
from koban.access import CATALOGUE, SIGNED_IN
from koban.base import DAY, HOUR, MINUTE, SECOND, Instant
from koban.console.formats import Formats, spark_bars, spark_line
from koban.console.paged import step_said
from koban.console.pages import NAVIGATION, local_path, theme_of, with_query
from koban.console.tripped import trip_said
from koban.console.undelivered import undelivered
from koban.console.words import LANGUAGES, Words, catalogue
from koban.decisions import VERDICT_NAMES
from koban.emergency.types import EMERGENCY_ENDED, EMERGENCY_EXTENDED, EMERGENCY_STARTED
from koban.rules import Why

FOLDER = pathlib.Path(console.__file__).parent
SOURCE = FOLDER.parent
AT = Instant(1_792_584_253_123_000)  # 2026-10-21T12:04:13.123Z, 21:04 in Tokyo


def places(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_both_languages_have_the_same_keys_and_the_same_places() -> None:
    english, japanese = catalogue("en"), catalogue("ja")
    assert english.keys() == japanese.keys()
    assert {key: places(text) for key, text in english.items()} == {key: places(text) for key, text in japanese.items()}
    assert all(text.strip() for text in (*english.values(), *japanese.values()))


def test_a_name_inside_a_sentence_stays_marked_and_everything_else_is_escaped() -> None:
    words = Words("en")
    told = words("payments.out_note", count="<3>", error=Markup('<bdi translate="no">t&lt;o</bdi>'))
    assert "&lt;3&gt;" in told
    assert '<bdi translate="no">t&lt;o</bdi>' in told
    assert "<3>" in words("payments.out_note", count="<3>", error="x")  # plain text, which the page escapes whole


@pytest.mark.parametrize(
    ("error", "english", "japanese"),
    [
        ("the receiver answered 503", "The receiver answered 503.", "受信側の応答：503"),
        ("no answer within 2.5 s", "No answer within 2.5 s.", "2.5秒以内に応答がありませんでした。"),
        ("hooks.test leads into a private network", "hooks.test leads into a private network.",
         "hooks.testは内部ネットワークを指しています。"),
        ("the name cannot be looked up: [Errno -2] Name or service not known", "The receiver’s name cannot be found.",
         "受信側の名前が見つかりません。"),
        ("ConnectError: All connection attempts failed", "The receiver cannot be reached.", "受信側に接続できません。"),
        ("the contact was removed", "The contact was removed.", "連絡先が削除されました。"),
        ("the receiver answered 503 twice", "", ""),
        ("SMTPRecipientsRefused: <b>", "", ""),
    ],
)  # fmt: skip
def test_why_something_was_not_delivered_is_told_in_the_readers_language(
    error: str, english: str, japanese: str
) -> None:
    assert (undelivered(Words("en"), error), undelivered(Words("ja"), error)) == (english, japanese)


@pytest.mark.parametrize(
    ("what", "detail", "english", "japanese"),
    [
        ("opened", "budget.tripped", "A rule reached its cap", "ルールが上限に達しました"),
        ("opened", "of.another.kind", "", ""),
        ("escalated", "level 2: nobody acknowledged", "level 2: nobody had taken it",
         "第2段階：誰も対応しなかったため"),
        ("nobody", "level 1", "level 1", "第1段階"),
        ("unreachable", "no contact of staff_1, <b>", ('no contact of <bdi translate="no">Mika</bdi>,'
         ' <bdi translate="no">&lt;b&gt;</bdi>'), '連絡先が未登録：<bdi translate="no">Mika</bdi>, <bdi translate="no">&lt;b&gt;</bdi>'),
        ("failed", "the receiver answered 500", "The receiver answered 500.", "受信側の応答：500"),
        ("again", "3 times by now, they say", "", ""),
    ],
)  # fmt: skip
def test_what_a_step_of_a_page_says_is_told_in_the_readers_language(
    what: str, detail: str, english: str, japanese: str
) -> None:
    names = {"staff_1": "Mika"}
    told = [step_said(Words(language), lambda each: names.get(each, ""), what, detail) for language in LANGUAGES]
    assert told == [japanese, english]


@pytest.mark.parametrize(
    ("said", "english", "japanese"),
    [
        ("The rule harmed 100 people within an hour; 0 in 24 hours were expected. It only opens cases until a person decides.",
         "It harmed 100 people within an hour; 0 in 24 hours were expected. It only opens cases until a person decides.",
         "1時間に100人に影響しました（想定は24時間で0人）。人が判断するまで案件の作成だけを行います。"),
        ("100 people harmed within an hour",
         "It harmed 100 people within an hour, as many as it may. It only opens cases until a person decides.",
         "1時間に100人に影響し、上限に達しました。人が判断するまで案件の作成だけを行います。"),
        ("51 where fewer were expected, within an hour", "51 within an hour, far more than was expected.",
         "1時間に51件となり、想定を大きく超えました。"),
        ("A case was not decided in its time.", "", ""),
    ],
)  # fmt: skip
def test_why_a_rule_stopped_is_told_in_the_readers_language(said: str, english: str, japanese: str) -> None:
    assert (trip_said(Words("en"), said), trip_said(Words("ja"), said)) == (english, japanese)


def test_no_template_writes_whoever_did_something_as_a_bare_id() -> None:
    bare = re.compile(r'class="id[^>]*>\{\{ [\w.]*\b(\w+_)?(by|author|actor)\b')
    files = sorted(FOLDER.glob("templates/*.html"))
    assert [file.name for file in files if bare.search(file.read_text(encoding="utf-8"))] == []


def test_no_english_sentence_stands_in_the_japanese_catalogue_nor_the_reverse() -> None:
    assert not [key for key, text in catalogue("en").items() if re.search(r"[ぁ-んァ-ヶ一-龠]", text)]
    bare = {
        key: re.sub(
            r"\{[a-z_]+\}|Koban|API|CSV|TSV|JSON Lines|Parquet|gzip|UTF-8|Shift_JIS|Webhook|https?://|URL|eKYC|IP|ID",
            "",
            text,
        )
        for key, text in catalogue("ja").items()
    }
    assert not {key: text for key, text in bare.items() if re.search(r"[A-Za-z]{2}", text)}


def test_every_key_that_templates_and_views_name_is_there() -> None:
    keys = catalogue("en").keys()
    used: set[str] = set()
    for file in [*FOLDER.glob("templates/*.html"), *FOLDER.glob("*.py")]:
        text = file.read_text(encoding="utf-8")
        used |= set(re.findall(r'\bt\("([a-z_]+\.[a-z_0-9.]+)"[,)]', text))
        used |= {f"done.{name}" for name in re.findall(r'done\(call, .*?"([a-z_]+)"\)', text)}
        used |= set(re.findall(r'\bproblem="([a-z_]+\.[a-z_0-9]+)"', text))
    assert used <= keys


@pytest.mark.parametrize(
    ("section", "names"),
    [
        ("verdict", VERDICT_NAMES),
        ("withheld", [why.value for why in Why]),
        ("mode", ["retired", "off", "shadow", "review", "live"]),
        ("nav", [item.name for _, items in NAVIGATION for item in items]),
        ("severity", ["low", "medium", "high", "severe"]),
        (
            "asked",
            ["hide", "block", "hold", "challenge", "warn", "restrict", "freeze_payout", "suspend", "strike", "review"],
        ),
        ("action_status", ["requested", "failed", "delivered", "confirmed", "dead"]),
        ("sanction_status", ["in_force", "ended", "overturned"]),
        ("closing", ["expired", "lifted", "overturned"]),
        ("outcome", ["upheld", "honest", "unclear"]),
        ("flag", ["late", "overdue", "damaged", "ahead", "imported"]),
    ],
)
def test_every_name_of_a_closed_list_has_a_word(section: str, names: list[str]) -> None:
    assert [name for name in names if f"{section}.{name}" not in catalogue("ja")] == []


def test_everything_that_the_audit_trail_records_has_a_word() -> None:
    recorded: set[str] = set()
    for file in SOURCE.rglob("*.py"):
        text = file.read_text(encoding="utf-8")
        calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)] if "record(" in text else []
        for call in calls:
            name = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
            action = call.args[3] if name == "record" and len(call.args) > 3 else None
            if isinstance(action, ast.Constant):
                recorded.add(str(action.value))
    recorded |= {EMERGENCY_STARTED, EMERGENCY_EXTENDED, EMERGENCY_ENDED}
    assert len(recorded) > 100
    keys = catalogue("ja").keys()
    assert sorted(each for each in recorded if not {f"audited.{each}", f"change.{each}"} & keys) == []


def test_an_unknown_key_fails_and_an_unknown_name_is_shown_as_it_is() -> None:
    with pytest.raises(KeyError):
        Words("en")("board.nothing")
    assert Words("ja").named("verdict", "later") == "later"
    assert Words("ja").of({"en": "Fraud", "ja": "詐欺"}) == "詐欺"
    assert Words("ja").of({"en": "Fraud"}) == "Fraud"
    assert Words("ja").of({}) == ""


@pytest.mark.parametrize(
    ("at", "english", "japanese"),
    [
        (AT, "21:04:13", "21:04:13"),
        (AT - DAY, "20 Oct 21:04", "10月20日 21:04"),
        (AT - 365 * DAY, "21 Oct 2025 21:04", "2025年10月21日 21:04"),
        (AT - 22 * HOUR, "20 Oct 23:04", "10月20日 23:04"),
    ],
)
def test_a_moment_names_its_day_only_where_it_is_another(at: int, english: str, japanese: str) -> None:
    assert Formats("en", "Asia/Tokyo", AT).moment(at) == english
    assert Formats("ja", "Asia/Tokyo", AT).moment(at) == japanese


def test_whole_times_are_written_in_the_reader_s_language_and_zone() -> None:
    assert Formats("ja", "Asia/Tokyo", AT).precise(AT) == "2026年10月21日(水) 21:04:13.123 JST"
    assert Formats("en", "UTC", AT).full(AT) == "Wed 21 Oct 2026, 12:04:13"
    assert Formats("ja", "Asia/Tokyo", AT).read_field("2026-10-21T21:04") == AT - 13_123_000
    assert Formats("ja", "Asia/Tokyo", AT).read_field("soon") is None
    assert Formats("en", "Asia/Tokyo", AT).field(AT) == "2026-10-21T21:04"


@pytest.mark.parametrize(
    ("away", "english", "japanese"),
    [
        (400_000, "just now", "たった今"),
        (5 * SECOND, "5 s ago", "5秒前"),
        (90 * SECOND, "1 min ago", "1分前"),
        (3 * HOUR, "3 h ago", "3時間前"),
        (2 * DAY, "2 d ago", "2日前"),
        (-12 * MINUTE, "in 12 min", "あと12分"),
    ],
)
def test_spans_are_written_in_their_largest_unit(away: int, english: str, japanese: str) -> None:
    assert Formats("en", "Asia/Tokyo", AT).ago(AT - away) == english
    assert Formats("ja", "Asia/Tokyo", AT).ago(AT - away) == japanese


def test_numbers_shares_and_money() -> None:
    english, japanese = Formats("en", "UTC", AT), Formats("ja", "UTC", AT)
    assert english.count(1234567) == "1,234,567"
    assert [english.percent(*pair) for pair in ((97, 100), (1, 10_000), (0, 5), (1, 0))] == [
        "97.0%",
        "0.01%",
        "0.0%",
        "–",
    ]
    assert [english.ms(us) for us in (950, 12_340, 123_456)] == ["0.95", "12.3", "123"]
    assert japanese.money(12_000, "JPY") == "12,000円"
    assert english.money(12_345, "USD") == "123.45 USD"
    negative = {
        "JPY": ("−¥660", "−660円"), "USD": ("−6.60 USD", "−6.60 USD"), "XAU": ("−660 XAU (minor units)",) * 2,
    }  # fmt: skip
    assert {each: (english.money(-660, each), japanese.money(-660, each)) for each in negative} == negative
    assert (english.count(-1_200), japanese.count(-1_200)) == ("−1,200", "−1,200")


def test_sparklines_fit_their_box_and_hide_nothing() -> None:
    line, area = spark_line([0, 5, 10], 100, 50)
    assert line == "M0.0 48.0L50.0 25.0L100.0 2.0"
    assert area == f"{line}L100 50L0 50Z"
    assert spark_line([], 100, 50)[0] == "M0.0 48.0L100.0 48.0"
    assert spark_bars([0, 1, 1000], 30, 50) == [("10.0", "48.5", "9.0", "1.5"), ("20.0", "0.0", "9.0", "50.0")]


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("/rules/x?since=1", "/rules/x?since=1"),
        ("//evil.example", "/board"),
        ("https://evil.example", "/board"),
        ("/\\evil.example", "/board"),
        ("/a\r\nset-cookie: x", "/board"),
        ("", "/board"),
    ],
)
def test_nobody_is_sent_to_another_site(given: str, kept: str) -> None:
    assert local_path(given) == kept


def test_the_theme_is_one_of_ours() -> None:
    assert theme_of({"cookie": "a=b; koban_theme=dark"}) == "dark"
    assert theme_of({"cookie": "koban_theme=<script>"}) == "auto"
    assert theme_of({}) == "auto"


def test_empty_parameters_are_left_out_of_addresses() -> None:
    assert with_query("/decisions", verdict="block", rule="", source=None) == "/decisions?verdict=block"
    assert with_query("/decisions") == "/decisions"


def test_every_page_needs_a_permission_of_the_catalogue() -> None:
    assert {item.permission for _, items in NAVIGATION for item in items} <= CATALOGUE.keys() | {SIGNED_IN}


def test_an_event_is_held_and_a_case_is_paused_each_in_a_word_of_its_own() -> None:
    english, japanese = catalogue("en"), catalogue("ja")
    held = {key for key, text in japanese.items() if "保留" in text}
    paused = {key for key, text in japanese.items() if "中断" in text}
    assert {key for key in held if not re.search(r"(?i)\b(?:hold|holds|held|waits)\b", english[key])} == set()
    assert {key for key in paused if not re.search(r"(?i)\bclocks?\b|let it stand|paused", english[key])} == set()
    assert {"verdict.hold", "done.case_paused"} <= held | paused
    clocks = {key for key, text in english.items() if re.search(r"(?i)\bclocks? (?:of this case )?stands?\b", text)}
    assert {key for key in clocks if "中断" not in japanese[key]} == set()


@pytest.mark.parametrize(("basis_points", "said"), [(1_000, "10%"), (750, "7.5%"), (1_234, "12.34%"), (5, "0.05%")])
def test_the_share_of_accounts_for_which_a_rule_is_live_is_told_as_it_was_set(basis_points: int, said: str) -> None:
    assert Formats("ja", "Asia/Tokyo", AT).share(basis_points) == said
