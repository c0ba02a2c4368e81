"""Words of the pack that hold what somebody looks for, in Japanese and English, however they typed it."""

from collections.abc import Iterator, Mapping
from typing import Final

from koban.finding.types import Word, WordKind
from koban.packs import PackDef
from koban.text import normalise

WORDS_MAX: Final = 12


def words_matching(pack: PackDef, query: str) -> list[Word]:
    """Return rules, policies, event types, queues and lists whose name or text holds the query, names first."""
    wanted = folded(query)
    if not wanted:
        return []
    by_name: list[Word] = []
    by_text: list[Word] = []
    for kind, name, title, texts in _vocabulary(pack):
        if wanted in folded(name):
            by_name.append(Word(kind=kind, name=name, title=title))
        elif any(wanted in folded(text) for text in texts):
            by_text.append(Word(kind=kind, name=name, title=title))
    return [*by_name, *by_text][:WORDS_MAX]


def folded(text: str) -> str:
    """Return a text as it is compared: width, case, accents and kana folded, underscores as spaces."""
    return normalise(text.replace("_", " ")).plain.strip()


def _vocabulary(pack: PackDef) -> Iterator[tuple[WordKind, str, Mapping[str, str], tuple[str, ...]]]:
    for name, rule in pack.rules.items():
        policy = pack.policies.get(rule.policy)
        yield "rule", name, rule.because, (*rule.because.values(), *(policy.title.values() if policy else ()))
    for name, policy in pack.policies.items():
        yield "policy", name, policy.title, tuple(policy.title.values())
    for name, event in pack.events.items():
        yield "event_type", name, event.about, tuple(event.about.values())
    for name, queue in pack.queues.items():
        yield "queue", name, queue.title, tuple(queue.title.values())
    for name, each in pack.lists.items():
        yield "list", name, each.about, tuple(each.about.values())
