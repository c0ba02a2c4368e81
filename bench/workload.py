"""The fixed work: events of 24 fields, mixed rules in a neutral form, and the same rules in every engine's words.

Per 20 rules: 5 of two numbers, 4 of a substring and a number, 3 of a pattern and an equality, 3 of a list of 4 to 16
and a number, 5 combined: equality AND (number OR flag OR substring) AND number AND (list OR number).
"""

import dataclasses
import random
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

Event: TypeAlias = dict[str, str | int | bool]

TYPES: Final = {"listing.created": 0.3, "comment.posted": 0.4, "message.sent": 0.3}
NUMBERS: Final[Mapping[str, int]] = {  # field -> its values are below this
    "account_age_days": 2_000,
    "account_trust": 1_000,
    "account_sales": 500,
    "peer_age_days": 2_000,
    "price_minor": 300_000,
    "photos": 20,
    "shipping_days": 30,
    "likes": 200,
    "session_s": 7_200,
}
CHOICES: Final[Mapping[str, tuple[str, ...]]] = {
    "account_country": ("jp", "us", "kr", "cn", "tw", "vn", "th", "ph"),
    "account_language": ("ja", "en", "ko", "zh"),
    "device_os": ("ios", "android", "windows", "mac"),
    "ip_country": ("jp", "us", "kr", "cn", "tw", "vn", "th", "ph"),
    "category": tuple(f"category-{number:02d}" for number in range(40)),
    "brand": tuple(f"brand-{number:03d}" for number in range(200)),
    "mail_domain": tuple(f"mail{number}.example" for number in range(30)),
}
TEXTS: Final = ("title", "text")
_SYLLABLES: Final = ("ka", "ri", "mo", "ten", "shi", "pan", "lor", "be", "dan", "vi", "sa", "ku", "no", "mer", "tai")
_NORMAL: Final = (
    "はじめまして、購入を検討しています",
    "発送はいつ頃になりますか",
    "値下げは可能でしょうか、よろしくお願いします",
    "コメントありがとうございます。即購入OKです",
    "サイズを教えていただけますか",
    "is this still available and could you send more pictures",
    "thank you, it arrived today in perfect condition",
    "傷や汚れはありますか、写真を追加していただけると助かります",
)


@dataclasses.dataclass(frozen=True)
class Term:
    """A condition on one field (`op`: lt, gt, is, has, like_re, in, flag), or `all`/`any` of `terms`."""

    op: str
    field: str = ""
    value: "int | str | tuple[str, ...] | None" = None
    terms: tuple["Term", ...] = ()


def words(randomness: random.Random) -> list[str]:
    """Make the vocabulary of the English-looking texts, which are plain lower-case letters."""
    return ["".join(randomness.choice(_SYLLABLES) for _ in range(randomness.randint(2, 4))) for _ in range(600)]


def make_events(seed: int, count: int) -> list[tuple[str, Event]]:
    """Make events as pairs of type and data: 24 fields, 745 bytes of JSON on average."""
    randomness = random.Random(seed)
    vocabulary = words(random.Random(0))
    kinds, weights = list(TYPES), list(TYPES.values())
    return [(randomness.choices(kinds, weights)[0], _event(randomness, vocabulary)) for _ in range(count)]


def _event(randomness: random.Random, vocabulary: list[str]) -> Event:
    event: Event = {field: randomness.randrange(below) for field, below in NUMBERS.items()}
    event |= {field: randomness.choice(values) for field, values in CHOICES.items()}
    event |= {
        "account_id": f"account-{randomness.randrange(5_000):07d}",
        "peer_id": f"account-{randomness.randrange(5_000):07d}",
        "device_id": f"device-{randomness.randrange(4_000):07d}",
        "item_id": f"item-{randomness.randrange(8_000):07d}",
        "account_verified": randomness.random() < 0.6,
        "title": " ".join(randomness.choices(vocabulary, k=4)),
        "text": " ".join(randomness.choices(vocabulary, k=21)),
        "reply": randomness.random() < 0.3,
    }
    return event


def with_people_talk(event: Event, randomness: random.Random) -> Event:
    """Give an event a text as people write it, Japanese two times out of three."""
    return {**event, "text": "。".join(randomness.choices(_NORMAL, k=randomness.randint(1, 3)))}


def make_rules(seed: int, count: int, *, rarest: float = 0.02, commonest: float = 0.3) -> list[Term]:
    """Make mixed rules; each number holds for a share of events between the two bounds."""
    randomness = random.Random(seed)
    vocabulary = words(random.Random(0))

    fields: list[str] = []

    def number() -> Term:
        field = fields.pop()  # a rule asks each number once
        share, below = randomness.uniform(rarest, commonest), NUMBERS[field]
        if randomness.random() < 0.5:
            return Term("lt", field, max(1, int(below * share)))
        return Term("gt", field, min(below - 2, int(below * (1 - share))))

    def substring() -> Term:
        return Term("has", randomness.choice(TEXTS), randomness.choice(vocabulary))

    def pattern() -> Term:
        first, second = randomness.choice(vocabulary)[:4], randomness.choice(vocabulary)[:4]
        return Term("like_re", "text", rf"{first}[a-z]* {second}[a-z]+")

    def equality() -> Term:
        field = randomness.choice(["account_country", "account_language", "device_os", "ip_country"])
        return Term("is", field, randomness.choice(CHOICES[field]))

    def listed() -> Term:
        field = randomness.choice(["category", "brand", "mail_domain"])
        return Term("in", field, tuple(randomness.sample(CHOICES[field], randomness.randint(4, 16))))

    def combined() -> Term:
        middle = Term("any", terms=(number(), Term("flag", "account_verified"), substring()))
        return Term("all", terms=(equality(), middle, number(), Term("any", terms=(listed(), number()))))

    makers: list[Callable[[], Term]] = [
        *[lambda: Term("all", terms=(number(), number()))] * 5,
        *[lambda: Term("all", terms=(substring(), number()))] * 4,
        *[lambda: Term("all", terms=(pattern(), equality()))] * 3,
        *[lambda: Term("all", terms=(listed(), number()))] * 3,
        *[combined] * 5,
    ]
    rules = []
    for index in range(count):
        fields[:] = randomness.sample(list(NUMBERS), len(NUMBERS))
        rules.append(makers[index * 7 % 20]())  # 7 and 20 share no divisor: ten rules are mixed too
    return rules


def in_koban(term: Term) -> str:
    """Write a rule in Koban SQL."""
    match term.op:
        case "all" | "any":
            return "(" + (" AND " if term.op == "all" else " OR ").join(in_koban(each) for each in term.terms) + ")"
        case "lt" | "gt":
            return f"{term.field} {'<' if term.op == 'lt' else '>'} {term.value}"
        case "is":
            return f"{term.field} = '{term.value}'"
        case "has":
            return f"{term.field} LIKE '%{term.value}%'"
        case "like_re":
            return f"matches({term.field}, '{term.value}')"
        case "in":
            assert isinstance(term.value, tuple)
            return f"{term.field} IN ({', '.join(repr(each) for each in term.value)})"
        case _:
            return term.field


def in_python(term: Term, constants: dict[str, object], read: Callable[[str], str]) -> str:
    """Write a rule as somebody would by hand: sets for lists, patterns compiled once, operands as they were thought."""

    def constant(value: object) -> str:
        name = f"C{len(constants)}"
        constants[name] = value
        return name

    match term.op:
        case "all" | "any":
            word = " and " if term.op == "all" else " or "
            return "(" + word.join(in_python(each, constants, read) for each in term.terms) + ")"
        case "lt" | "gt":
            return f"{read(term.field)} {'<' if term.op == 'lt' else '>'} {term.value}"
        case "is":
            return f"{read(term.field)} == {term.value!r}"
        case "has":
            return f"{term.value!r} in {read(term.field)}"
        case "like_re":
            import re

            return f"{constant(re.compile(str(term.value)).search)}({read(term.field)}) is not None"
        case "in":
            assert isinstance(term.value, tuple)
            return f"{read(term.field)} in {constant(frozenset(term.value))}"
        case _:
            return read(term.field)


def in_zen(term: Term) -> str:
    """Write a rule for the zen engine."""
    match term.op:
        case "all" | "any":
            return "(" + (" and " if term.op == "all" else " or ").join(in_zen(each) for each in term.terms) + ")"
        case "lt" | "gt":
            return f"{term.field} {'<' if term.op == 'lt' else '>'} {term.value}"
        case "is":
            return f"{term.field} == '{term.value}'"
        case "has":
            return f"contains({term.field}, '{term.value}')"
        case "like_re":
            return f"matches({term.field}, '{term.value}')"
        case "in":
            assert isinstance(term.value, tuple)
            return f"{term.field} in [{', '.join(repr(each) for each in term.value)}]"
        case _:
            return term.field


def in_rule_engine(term: Term) -> str:
    """Write a rule for the rule-engine package."""
    match term.op:
        case "has":
            return f"'{term.value}' in {term.field}"
        case "like_re":
            return f"{term.field} =~~ '{term.value}'"
        case "all" | "any":
            word = " and " if term.op == "all" else " or "
            return "(" + word.join(in_rule_engine(each) for each in term.terms) + ")"
        case _:
            return in_zen(term)


def in_cel(term: Term) -> str:
    """Write a rule for the Common Expression Language."""
    match term.op:
        case "has":
            return f"{term.field}.contains('{term.value}')"
        case "like_re":
            return f"{term.field}.matches('{term.value}')"
        case "all" | "any":
            word = " && " if term.op == "all" else " || "
            return "(" + word.join(in_cel(each) for each in term.terms) + ")"
        case _:
            return in_zen(term)
