"""What an alert says is told in the reader's language, in the words with which the code raises it."""

import ast
import functools
import html
import pathlib
import re

import pytest

from koban.base import Instant
from koban.console.alerted import KNOWN, alert_said
from koban.console.formats import Formats
from koban.console.words import Language, Words

SOURCES = pathlib.Path(__file__).parents[2] / "src" / "koban"
NOW = Instant(1_790_000_000_000_000)
TELLING = 5  # characters: less than that stands anywhere
NAMES = {"staff_1": "Mika"}


def told(language: Language, said: str) -> str:
    text = alert_said(Words(language), Formats(language, "Asia/Tokyo", NOW), lambda each: NAMES.get(each, ""), said)
    return html.unescape(re.sub(r"</?bdi[^>]*>", "", text))


@pytest.mark.parametrize(
    ("said", "english", "japanese"),
    [
        ("3 actions unconfirmed, the oldest requested at 2026-09-21T09:00:00.000000Z",
         "The marketplace has not confirmed 3 actions; the oldest was asked for on Mon 21 Sep 2026, 18:00:00.",
         "マーケットプレイスがまだ確認していない措置が3件あります。最も古い依頼は2026年9月21日(月) 18:00:00です。"),
        ("action_7 was given up after 12 attempts: the receiver answered 503",
         "action_7 was given up after 12 attempts. The receiver answered 503.",
         "action_7は12回試したあと、配信を打ち切りました。受信側の応答：503"),
        ("action_7 was given up after 12 attempts: something new",
         "action_7 was given up after 12 attempts. something new",
         "action_7は12回試したあと、配信を打ち切りました。something new"),
        ("62% of the judged cases were right, 94% before (evidence 1,000,000,000).",
         "62% of the judged cases were right; it was 94% before.",
         "審査した案件のうち正しかったのは62%です（以前は94%）。"),
        ("It matched only 4 people where 1,200 were expected (evidence 88).",
         "It matched only 4 people where 1,200 were expected.", "一致したのは4人だけです（想定は1,200人）。"),
        ("Nothing matched for 30 days: old_rule, older_rule", "Nothing matched for 30 days: old_rule, older_rule",
         "30日間、何にも一致していません：old_rule, older_rule"),
        ("A case was not decided in its time: Counterfeits / 偽ブランド品, case_01.",
         "A case was not decided in its time: Counterfeits, case_01.",
         "期限までに判断されなかった案件があります：偽ブランド品、case_01"),
        ("A case was not decided in its time: gone_queue, case_01.",
         "A case was not decided in its time: gone_queue, case_01.",
         "期限までに判断されなかった案件があります：gone_queue、case_01"),
        (("Paid by payment_1 (1,200 JPY) and 2 more, and again by payment_9 (1,200 JPY). All of it is held; give back what is"
         " too much."),
         ("Paid by payment_1 (1,200 JPY) and 2 more, and again by payment_9 (1,200 JPY). All of it is held; give back what is"
         " too much."),
         ("payment_1 (1,200 JPY)ほか2件で支払われたあと、payment_9 (1,200 JPY)でも支払われました。全額を保留しています。"
         "多すぎる分を返金してください。")),
        ("staff_1 started stop_it until 2026-09-21T10:00:00.000000Z, at most 50 people an hour: a wave of fakes\nsince 8",
         "Mika started stop_it until Mon 21 Sep 2026, 19:00:00, for at most 50 people an hour: a wave of fakes\nsince 8",
         "Mikaがstop_itを開始しました（2026年9月21日(月) 19:00:00まで、1時間に最大50人）：a wave of fakes\nsince 8"),
        ("The rule is new, and acted 50 times within an hour. It only opens cases until a person decides.",
         "It is new, and acted 50 times within an hour. It only opens cases until a person decides.",
         "新しいルールが1時間に50回作用しました。人が判断するまで案件の作成だけを行います。"),
        (("archive/entries/a/2026-01-01/1-2.parquet is past its retention and cannot be read. It stays, because only the file says"
          " whose data is in it. Put it back from a backup: then it goes by itself."),
         ("archive/entries/a/2026-01-01/1-2.parquet is past its retention and cannot be read. It stays, because only the file says"
          " whose data is in it. Put it back from a backup: then it goes by itself."),
         ("archive/entries/a/2026-01-01/1-2.parquet は保存期間を過ぎていますが、読み込めないため残っています。誰のデータが含まれるかは"
          "このファイルからしか分かりません。バックアップから戻すと、自動で削除されます。")),
        ("Please look at the returns, something is odd", "", ""),
    ],
)  # fmt: skip
def test_an_alert_is_told_in_the_readers_language(said: str, english: str, japanese: str) -> None:
    assert (told("en", said), told("ja", said)) == (english, japanese)


@functools.cache
def sentences() -> list[str]:
    """Every text of the code outside the console, with a mark for each value that goes in."""
    found: list[str] = []
    for file in SOURCES.rglob("*.py"):
        if "console" in file.parts:
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = [str(each.value) if isinstance(each, ast.Constant) else "\0" for each in node.values]
                found.append("".join(parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return found


@pytest.mark.parametrize("name", [name for name, _ in KNOWN])
def test_the_words_that_are_known_are_those_in_which_the_code_speaks(name: str) -> None:
    pattern = dict(KNOWN)[name].pattern
    plain = [re.sub(r"\\(.)", r"\1", piece) for piece in re.split(r"\(\?P<\w+>[^()]*\)|\.\*", pattern)]
    pieces = [each.strip(" .:,()") for piece in plain for each in piece.split("(evidence")]  # which is put in apart
    told_by = [each for each in pieces if len(each) >= TELLING]
    assert told_by
    assert not [piece for piece in told_by if not any(piece in each for each in sentences())]


def test_what_is_in_nobodys_language_is_marked_and_cannot_be_markup() -> None:
    said = "payment_1 gave no answer 5 times: <b>no answer</b>"
    text = alert_said(Words("ja"), Formats("ja", "Asia/Tokyo", NOW), lambda _: "", said)
    assert text == (
        '<bdi translate="no">payment_1</bdi>が5回応答しませんでした。'
        '<bdi translate="no">&lt;b&gt;no answer&lt;/b&gt;</bdi>'
    )
