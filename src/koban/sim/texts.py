"""Composition: picks a sentence for a situation and gives it the voice of the person who says it."""

import random
from collections.abc import Callable
from typing import Final

from koban.sim.catalog import CARRIERS, DAYS, DESCRIPTIONS, TITLE_TAILS, Good
from koban.sim.randomness import between, chance, pick
from koban.sim.texts_english import ENGLISH
from koban.sim.texts_japanese import CLOSINGS, JAPANESE, OPENINGS
from koban.sim.types import Language, Register

_BANKS: Final[dict[str, dict[str, tuple[str, ...]]]] = {"ja": JAPANESE, "en": ENGLISH}
_SIZES: Final = ("S", "M", "L", "LL", "38", "24.5")
_BARE: Final = frozenset({"chat", "hype", "profile", "hard", "rating_good", "rating_poor"})


def sentence_count(language: Language) -> int:
    """Count the different sentences written for honest people, before slots and voices multiply them."""
    return len({line for lines in _BANKS[language].values() for line in lines if line})


def tracking_number(randomness: random.Random) -> str:
    """Make a carrier's number: twelve digits, often in groups of four, as people copy it."""
    digits = f"{between(randomness, 100_000_000_000, 999_999_999_999)}"
    return f"{digits[:4]}-{digits[4:8]}-{digits[8:]}" if chance(randomness, 60) else digits


def model_number(randomness: random.Random) -> str:
    """Make a manufacturer's number, sometimes one that looks like the start of a phone number."""
    shapes = ("SARX{n}", "CFI-{n}A01", "DW-{n}", "090-{n}-B", "MX{n}K", "080A{n}", "WH-{n}XM4", "{n}")
    return pick(randomness, shapes).replace("{n}", str(between(randomness, 100, 9_999)))


def yen(randomness: random.Random, amount_minor: int, language: Language) -> str:
    """Write an amount as people do: 3,200円, 3200円, ¥3,200."""
    if language == "en":
        return pick(randomness, (f"{amount_minor:,} yen", f"¥{amount_minor:,}"))
    return pick(randomness, (f"{amount_minor:,}円", f"{amount_minor}円", f"¥{amount_minor:,}"))


def fill(randomness: random.Random, text: str, language: Language, good: Good | None) -> str:
    """Put things into the slots of a sentence: item, price, model, tracking, carrier, day, size, n."""
    if "{" not in text:
        return text
    item = "" if good is None else (good.ja if language == "ja" else good.en)
    price = 1_000 if good is None else good.median_minor * between(randomness, 70, 95) // 100 // 100 * 100
    slots: dict[str, Callable[[], str]] = {
        "{item}": lambda: item or ("こちら" if language == "ja" else "item"),
        "{price}": lambda: yen(randomness, max(price, 300), language),
        "{model}": lambda: model_number(randomness),
        "{tracking}": lambda: tracking_number(randomness),
        "{carrier}": lambda: pick(randomness, CARRIERS[language]),
        "{day}": lambda: pick(randomness, DAYS[language]),
        "{size}": lambda: pick(randomness, _SIZES),
        "{n}": lambda: str(between(randomness, 15, 170)),
    }
    for slot, make in slots.items():
        if slot in text:
            text = text.replace(slot, make())
    return text


def say(
    randomness: random.Random,
    situation: str,
    *,
    language: Language,
    register: Register,
    good: Good | None = None,
) -> str:
    """Say something fitting: a sentence of the situation, its slots filled, in the person's voice."""
    bank = _BANKS[language]
    text = fill(randomness, pick(randomness, bank.get(situation) or bank["chat"]), language, good)
    if language == "en":
        return _english_voice(randomness, text, register)
    if situation in _BARE:
        return _japanese_tone(randomness, text, register)
    opening = pick(randomness, OPENINGS[register]) if chance(randomness, 25) else ""
    closing = pick(randomness, CLOSINGS[register]) if chance(randomness, 30) else ""
    if closing and closing[0] in "よお何宜寒あごど" and text[-1:] not in "。!?!?〜":
        text += "。"
    return _japanese_tone(randomness, opening + text, register) + closing


def listing_text(randomness: random.Random, good: Good, language: Language) -> tuple[str, str]:
    """Write a listing's title and description."""
    name = good.ja if language == "ja" else good.en
    brand = f"{good.brand} " if good.brand and language == "ja" and not name.startswith(good.brand) else ""
    title = brand + name + pick(randomness, TITLE_TAILS[language])
    joint = "\n" if chance(randomness, 50) else " " if language == "en" else ""
    parts = (fill(randomness, pick(randomness, part), language, good) for part in DESCRIPTIONS[language])
    return title[:80], joint.join(part for part in parts if part)


def _japanese_tone(randomness: random.Random, text: str, register: Register) -> str:
    if register == "young" and chance(randomness, 50):
        return text.replace("ございます。", "ございます!").replace("です。", "です〜").replace("ます。", "ます!")
    if register == "curt" and chance(randomness, 60):
        return text.rstrip("。").replace("でしょうか", "ですか").replace("いたします", "します")
    if register == "old" and chance(randomness, 40):
        return text.replace("ください", "下さい").replace("いたし", "致し").replace("!", "。")
    return text


def _english_voice(randomness: random.Random, text: str, register: Register) -> str:
    if register == "curt":
        return text.rstrip(".").lower()
    if register == "young" and chance(randomness, 50):
        return text.rstrip(".") + pick(randomness, ("!!", " :)", " 😊", " haha"))
    if register == "old" and chance(randomness, 40):
        return text + pick(randomness, (" Kind regards.", " Thank you in advance.", " Best wishes."))
    return text
