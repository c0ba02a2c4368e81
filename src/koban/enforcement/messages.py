"""What people are told, word for word, in their language. Pure: the preview and what is sent are the same text."""

import datetime
import zoneinfo
from collections.abc import Mapping, Sequence
from typing import Final, Literal

import msgspec

from koban.base import SECOND, Instant
from koban.enforcement.types import Effect
from koban.packs import LANGUAGES, Texts

Outcome = Literal["acted", "kept"]

_MONTHS: Final = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
_THINGS: Final[Mapping[str, tuple[str, str]]] = {
    "listing": ("listing", "出品"),
    "message": ("message", "メッセージ"),
    "comment": ("comment", "コメント"),
    "stream": ("stream", "配信"),
    "account": ("account", "アカウント"),
}
_THING: Final = ("content", "投稿")
_ABILITIES: Final[Mapping[str, tuple[str, str]]] = {
    "messaging": ("sending messages", "メッセージの送信"),
    "listing": ("listing items", "出品"),
    "commenting": ("commenting", "コメントの投稿"),
    "buying": ("buying", "購入"),
    "live": ("live streaming", "ライブ配信"),
}


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """One measure as a message tells it."""

    effect: Effect
    scope: str = ""
    until: Instant | None = None
    thing: str = ""  # kind of the subject


class Story(msgspec.Struct, frozen=True, kw_only=True):
    """What a message about a decision says."""

    title: Texts  # the policy's
    text: Texts
    facts: Texts  # what was seen, in the words of whoever decided, or the rule's
    done: Sequence[Done]
    detected: bool  # whether a rule found it
    reported: bool  # whether somebody reported it
    appeal_until: Instant | None = None


def decision_message(story: Story, zone: str) -> Texts:
    """Write what the person judged is told."""
    return {"en": _decision_en(story, zone), "ja": _decision_ja(story, zone)}


def restored_message(facts: Texts) -> Texts:
    """Write what a person is told whom a judgement found honest after something was done to them."""
    ja = (
        "いつもご利用いただきありがとうございます。\n"
        "先日の対応について担当者が改めて確認したところ、ルールに反する点はありませんでした。"
        "非表示や利用の制限をすべて解除し、違反の記録も取り消しました。\n"
        "ご不便とご心配をおかけし、誠に申し訳ございません。"
    )
    en = (
        "Thank you for your patience.\n"
        "We looked again at what we did recently and found nothing that breaks our rules. Everything that was hidden or"
        " restricted is back, and nothing of it stays on your record.\n"
        "We are sorry for the trouble and the worry."
    )
    return {"en": _with(en, "What we saw", facts["en"]), "ja": _with(ja, "確認した内容", facts["ja"])}


def reporter_message(outcome: Outcome) -> Texts:
    """Write what somebody who reported is told. What exactly was done is the other person's business."""
    if outcome == "acted":
        return {
            "ja": "通報にご協力いただき、ありがとうございました。\n"
            "担当者が内容を確認し、ルールに沿って対応しました。"
            "プライバシー保護のため対応の詳細はお伝えできませんが、安心して取引できる場を保つ助けになりました。",
            "en": "Thank you for your report.\n"
            "We checked it and acted in line with our rules. To protect everyone's privacy we cannot say what exactly"
            " was done, but your report helped to keep trading here safe.",
        }
    return {
        "ja": "通報にご協力いただき、ありがとうございました。\n"
        "担当者が内容を確認しましたが、今回はルール違反にはあたらないと判断しました。"
        "お困りのことが続く場合は、詳しい状況を添えて改めてお知らせください。",
        "en": "Thank you for your report.\n"
        "We checked it and found that it does not break our rules. If it goes on to trouble you, please tell us again"
        " and describe what happened.",
    }


def corrected_message(role: str) -> Texts:
    """Write what somebody is told who was told something that turned out to be wrong."""
    if role == "reporter":
        return {
            "ja": "先日いただいた通報について、別の担当者が改めて確認した結果、当初の判断を見直しました。"
            "ルール違反にはあたらないと判断し、対応を取り消しています。ご協力に変わらず感謝いたします。",
            "en": "Another colleague looked again at what you reported, and we changed our decision: it does not break"
            " our rules, and what we did was taken back. Thank you all the same for telling us.",
        }
    if role == "recipient":
        return {
            "ja": "先日お送りした注意のお知らせは、確認の結果、誤りであることがわかりました。"
            "お相手の方に問題はありませんでした。ご心配をおかけし、申し訳ございません。",
            "en": "A warning that we showed you recently turned out to be wrong. There is nothing to worry about with"
            " the other person. We are sorry for the alarm.",
        }
    return {
        "ja": "先日お送りしたお知らせは、確認の結果、誤りであることがわかりました。"
        "お知らせの内容は取り消しました。ご迷惑をおかけし、申し訳ございません。",
        "en": "A notice that we sent you recently turned out to be wrong and has been taken back. We are sorry.",
    }


def appeal_received_message(due_at: Instant, zone: str) -> Texts:
    """Write what a person is told whose appeal has come in."""
    return {
        "ja": "異議の申し立てを受け付けました。\n"
        "はじめの判断に関わっていない担当者が、最初から確認し直します。"
        f"結果は{_date(due_at, zone, 'ja')}ごろまでにお知らせします。それまで、追加のお手続きは必要ありません。",
        "en": "We have received your appeal.\n"
        "A colleague who had no part in the decision will look at everything again from the beginning. We expect to"
        f" answer by {_date(due_at, zone, 'en')}. You do not need to do anything until then.",
    }


def appeal_overturned_message(answer: Texts) -> Texts:
    """Write what a person is told whose appeal was right."""
    ja = (
        "異議の申し立てについて、別の担当者が改めて確認しました。\n"
        "はじめの判断は誤りでした。対応をすべて取り消し、元の状態に戻しました。違反の記録にも残りません。\n"
        "ご迷惑をおかけし、誠に申し訳ございません。お知らせいただきありがとうございました。"
    )
    en = (
        "A colleague who had no part in the decision has looked at everything again.\n"
        "The decision was wrong. Everything was taken back and is as it was before, and nothing stays on your record.\n"
        "We are sorry, and we thank you for telling us."
    )
    return {"en": _with(en, "What we found", answer["en"]), "ja": _with(ja, "確認の結果", answer["ja"])}


def appeal_upheld_message(answer: Texts) -> Texts:
    """Write what a person is told whose appeal changes nothing."""
    ja = (
        "異議の申し立てについて、別の担当者が最初から確認し直しました。\n"
        "慎重に検討しましたが、今回は当初の判断を維持することになりました。ご期待に沿えず申し訳ございません。"
    )
    en = (
        "A colleague who had no part in the decision has looked at everything again.\n"
        "After careful thought the decision stands. We understand that this is not what you hoped for."
    )
    return {"en": _with(en, "Why", answer["en"]), "ja": _with(ja, "その理由", answer["ja"])}


def measure_sentence(done: Done, zone: str) -> Texts:
    """Write one measure as a sentence to the person."""
    return {"en": _measure_en(done, zone), "ja": _measure_ja(done, zone)}


def both(text: str) -> Texts:
    """Return a text that stands for both languages: whoever reads the other one still reads something."""
    return dict.fromkeys(LANGUAGES, text)


def _decision_ja(story: Story, zone: str) -> str:
    how = "お寄せいただいた通報をもとに" if story.reported else "自動検知をきっかけに" if story.detected else ""
    parts = [
        (
            "いつもご利用いただきありがとうございます。\n"
            f"{how}担当者が内容を確認し、「{story.title['ja']}」のルールに沿わないと判断しました。"
        ),
        f"■ 確認した内容\n{story.facts['ja']}",
        "■ 対応\n" + "\n".join(f"・{_measure_ja(each, zone)}" for each in story.done),
        f"■ ルールについて\n{story.text['ja']}",
    ]
    if story.appeal_until is not None:
        parts.append(
            "■ ご納得いただけないとき\n"
            f"{_date(story.appeal_until, zone, 'ja')}まで、専用ページから異議を申し立てていただけます。"
            "はじめの判断に関わっていない担当者が確認し直し、結果をお知らせします。"
        )
    return "\n\n".join(parts)


def _decision_en(story: Story, zone: str) -> str:
    if story.reported:
        how = "Following a report, a colleague looked at what happened"
    elif story.detected:
        how = "An automatic check pointed us to this, and a colleague looked at what happened"
    else:
        how = "A colleague looked at what happened"
    parts = [
        f"Thank you for trading with us.\n{how} and found that it does not fit our rule “{story.title['en']}”.",
        f"What we saw\n{story.facts['en']}",
        "What we did\n" + "\n".join(f"- {_measure_en(each, zone)}" for each in story.done),
        f"About the rule\n{story.text['en']}",
    ]
    if story.appeal_until is not None:
        parts.append(
            "If you disagree\n"
            f"You can appeal until {_date(story.appeal_until, zone, 'en')} on the page linked to this message. A"
            " colleague who had no part in this decision will look again and answer you."
        )
    return "\n\n".join(parts)


def _measure_ja(done: Done, zone: str) -> str:
    until = "" if done.until is None else f"{_moment(done.until, zone, 'ja')}まで、"
    match done.effect:
        case "hide":
            return f"対象の{_THINGS.get(done.thing, _THING)[1]}を非表示にしました。"
        case "restrict":
            return f"{until}{_ABILITIES.get(done.scope, ('', done.scope))[1]}をご利用いただけません。"
        case "freeze_payout":
            return f"{until}売上金の振込を停止しています。"
        case "suspend":
            return f"{until}アカウントのご利用を停止しています。"
        case _:
            return "今回は注意のお知らせのみで、ご利用の制限はありません。"


def _measure_en(done: Done, zone: str) -> str:
    until = "" if done.until is None else f" until {_moment(done.until, zone, 'en')}"
    match done.effect:
        case "hide":
            return f"The {_THINGS.get(done.thing, _THING)[0]} is hidden from others."
        case "restrict":
            return f"{_ABILITIES.get(done.scope, (done.scope, ''))[0].capitalize()} is not available to you{until}."
        case "freeze_payout":
            return f"Payouts of your sales are stopped{until}."
        case "suspend":
            return f"Your account is suspended{until}."
        case _:
            return "This is a reminder only; nothing is restricted."


def _with(text: str, head: str, facts: str) -> str:
    return f"{text}\n\n{head}\n{facts}" if facts.strip() else text


def _local(at: Instant, zone: str) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(at // SECOND, tz=zoneinfo.ZoneInfo(zone))


def _date(at: Instant, zone: str, language: str) -> str:
    day = _local(at, zone)
    if language == "ja":
        return f"{day.year}年{day.month}月{day.day}日"
    return f"{day.day} {_MONTHS[day.month - 1]} {day.year}"


def _moment(at: Instant, zone: str, language: str) -> str:
    moment = _local(at, zone)
    if language == "ja":
        return f"{_date(at, zone, 'ja')} {moment.hour}時{moment.minute:02d}分"
    return f"{_date(at, zone, 'en')}, {moment:%H:%M}"
