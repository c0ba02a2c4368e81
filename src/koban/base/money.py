"""Money: an integer count of a currency's minor unit, never a float."""

import dataclasses
from typing import Final

_NO_DIGITS: Final = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF"
_TWO_DIGITS: Final = (
    "AED ARS AUD BDT BGN BRL CAD CHF CNY COP CZK DKK EGP EUR GBP GEL GHS HKD HUF IDR ILS INR KES KZT LKR MAD MXN MYR"
    " NGN NOK NPR NZD PEN PHP PKR PLN QAR RON RSD RUB SAR SEK SGD THB TRY TWD TZS UAH USD UYU UZS ZAR"
)
_THREE_DIGITS: Final = "BHD IQD JOD KWD LYD OMR TND"

MINUS: Final = "\N{MINUS SIGN}"

# Source: ISO 4217, exponents of the minor units.
MINOR_DIGITS: Final[dict[str, int]] = {
    code: digits for digits, codes in ((0, _NO_DIGITS), (2, _TWO_DIGITS), (3, _THREE_DIGITS)) for code in codes.split()
}


@dataclasses.dataclass(frozen=True, kw_only=True, order=False)
class Money:
    """An amount; `amount_minor` counts yen for JPY, cents for USD (ISO 4217 exponents)."""

    amount_minor: int
    currency: str


def format_money(money: Money, language: str) -> str:
    """Write an amount for a reader of Japanese (`ja`) or English (`en`), with digits grouped by three.

    The sign comes first, whatever the currency: −¥660, −660円, −6.60 USD. It is the minus of mathematics, as wide as a
    digit, so that columns line up and no line breaks after it.

    A currency whose exponent is not known here is written in its minor unit, and says so.
    """
    digits = MINOR_DIGITS.get(money.currency)
    sign = MINUS if money.amount_minor < 0 else ""
    absolute = abs(money.amount_minor)
    if digits is None:
        return f"{sign}{absolute:,} {money.currency} (minor units)"
    whole, fraction = divmod(absolute, 10**digits)
    number = f"{whole:,}" + (f".{fraction:0{digits}d}" if digits else "")
    if money.currency == "JPY":
        return f"{sign}{number}円" if language == "ja" else f"{sign}¥{number}"
    return f"{sign}{number} {money.currency}"
