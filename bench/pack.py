"""The workload as a pack: three event types of 24 fields, 24 features over 3 kinds of subject, 200 rules, text lists."""

import json
import pathlib
import random
from collections.abc import Callable
from typing import Final

from bench.workload import CHOICES, NUMBERS, TEXTS, TYPES, in_koban, make_rules, words

SUBJECTS: Final = {"account_id": "account", "peer_id": "account", "device_id": "device", "item_id": "item"}
_ABOUT: Final = {"en": "For measuring", "ja": "計測用"}
_VALUES: Final[
    tuple[tuple[str, str, dict[str, object]], ...]
] = (  # value, window, further members: eight a kind of subject
    ("count(*)", "10 minutes", {}),
    ("count(*)", "24 hours", {"where": "price_minor > 150000"}),
    ("sum(price_minor)", "7 days", {}),
    ("count(distinct {other})", "1 hour", {"bound": 20}),
    ("avg(price_minor)", "30 days", {}),
    ("max(session_s)", "24 hours", {}),
    ("last(category)", "ever", {}),
    ("age_days()", "ever", {}),
)


def feature_documents(
    kinds: tuple[str, ...] = ("account", "device", "item"), window: str = ""
) -> list[dict[str, object]]:
    """Describe eight features for each kind of subject; `window` puts another one in place of their own."""
    documents = []
    for kind in kinds:
        other = "item_id" if kind != "item" else "account_id"
        for number, (value, within, further) in enumerate(_VALUES):
            documents.append(
                {
                    "feature": f"{kind}_{number}",
                    "about": _ABOUT,
                    "on": list(TYPES),
                    "by": f"{kind}_id",
                    "value": value.format(other=other),
                    "within": within if within == "ever" or not window else window,
                    **further,
                }
            )
    return documents


def _reading(feature: str, number: int) -> str:
    """Write a condition that reads a feature and is rarely true."""
    match number % 8:
        case 6:
            return f"{feature} = 'category-{number:02d}' AND photos > 18"
        case 5:
            return f"{feature} > 7190 AND likes > 195"
        case 3:
            return f"{feature} > 15 AND likes > 190"
        case 7:
            return f"{feature} > 400 AND likes > 195"
        case _:
            return f"{feature} > 900000000 OR {feature} IS NULL AND photos > 15"


def _rule(number: int, when: str, mode: str) -> dict[str, object]:
    return {
        "rule": f"rule_{number:03d}",
        "policy": "bench",
        "on": list(TYPES),
        "when": when,
        "then": [{"review": "bench"}],
        "mode": mode,
        "because": _ABOUT,
    }


def write_pack(
    folder: pathlib.Path,
    *,
    rules: int = 200,
    kinds: tuple[str, ...] = ("account", "device", "item"),
    window: str = "",
    mode: Callable[[int], str] = lambda _number: "shadow",
) -> pathlib.Path:
    """Write the pack as files (JSON is YAML), and return its folder.

    Of 200 rules 24 read a feature each, 16 a text list, the others are mixed ones that seldom match. `mode` gives the mode
    of each by its number; a rule without one is left out.
    """
    features = feature_documents(kinds, window)
    conditions = [_reading(str(each["feature"]), number) for number, each in enumerate(features)]
    conditions += [f"mentions(text, 'phrases_{number % 4}') AND photos > {number}" for number in range(16)]
    conditions += [
        in_koban(term) for term in make_rules(3, max(0, rules - len(conditions)), rarest=0.005, commonest=0.05)
    ]
    documents: dict[str, object] = {
        "pack.yaml": {"pack": "bench", "version": "1", "about": _ABOUT},
        "events.yaml": [_event_type(name) for name in TYPES],
        "features.yaml": features,
        "policies.yaml": [{"policy": "bench", "title": _ABOUT, "text": _ABOUT, "severity": "low"}],
        "queues.yaml": [{"queue": "bench", "title": _ABOUT, "due": "1 hour"}],
        "lists.yaml": [
            {
                "list": f"phrases_{number}",
                "kind": "phrases",
                "negatable": number % 2 == 0,
                "entries": _phrases(number),
                "about": _ABOUT,
            }
            for number in range(4)
        ],
        "rules/rules.yaml": [
            _rule(number, when, mode(number)) for number, when in enumerate(conditions[:rules]) if mode(number)
        ],
    }
    for name, document in documents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(document, ensure_ascii=False, indent=1), encoding="utf-8")
    return folder


def _phrases(number: int) -> list[str]:
    randomness = random.Random(number)
    vocabulary = words(random.Random(0))
    english = {" ".join(randomness.choices(vocabulary, k=2)) for _ in range(150)}
    return sorted({*english, *(f"取引{number}番の外{each}で払う" for each in range(50))})


def _event_type(name: str) -> dict[str, object]:
    fields: dict[str, object] = dict.fromkeys(NUMBERS, "int")
    fields |= dict.fromkeys([*CHOICES, "account_id", "peer_id", "item_id"], "text")
    fields |= {"account_verified": "bool", "reply": "bool"}
    fields |= {field: {"type": "text", "personal": "account_id"} for field in TEXTS}
    fields["device_id"] = {"type": "text", "personal": "account_id", "joined": True}
    return {
        "event": name,
        "about": _ABOUT,
        "acting": "account_id",
        "recipient": "peer_id",
        "content": "item_id",
        "within_ms": 200,
        "fallback": "allow",
        "retention": "365 days",
        "texts": list(TEXTS),
        "subjects": SUBJECTS,
        "fields": fields,
    }
