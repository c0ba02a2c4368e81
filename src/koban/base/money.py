"""Money: an integer count of a currency's minor unit, never a float."""

import dataclasses
from typing import Final

MINOR_DIGITS: Final[dict[str, int]] = {"JPY": 0, "KRW": 0, "USD": 2, "EUR": 2, "GBP": 2, "TWD": 2, "CNY": 2, "BHD": 3}


@dataclasses.dataclass(frozen=True, kw_only=True, order=False)
class Money:
    """An amount; `amount_minor` counts yen for JPY, cents for USD (ISO 4217 exponents)."""

    amount_minor: int
    currency: str


def format_money(money: Money, language: str) -> str:
    """Write an amount for a reader of Japanese (`ja`) or English (`en`), with digits grouped by three.

    A currency whose exponent is not known here is written in its minor unit, and says so.
    """
    digits = MINOR_DIGITS.get(money.currency)
    sign = "-" if money.amount_minor < 0 else ""
    absolute = abs(money.amount_minor)
    if digits is None:
        return f"{sign}{absolute:,} {money.currency} (minor units)"
    whole, fraction = divmod(absolute, 10**digits)
    number = f"{sign}{whole:,}" + (f".{fraction:0{digits}d}" if digits else "")
    if money.currency == "JPY":
        return f"{number}円" if language == "ja" else f"¥{number}"
    return f"{number} {money.currency}"
