"""A pack's rules as something that runs: one generated function per event type, and one that explains."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from koban.labels import LiveLabels
from koban.language import NEVER, Environment, Program, TraceNode, Value, compile_program, compile_trace, show
from koban.lists import LiveLists
from koban.packs import Fault, ListDef, PackDef, PackInvalid, RuleDef
from koban.rules.scope import CheckedRule, typed_rules
from koban.rules.types import RuleMissing
from koban.text import Normalised, PhraseList, PhraseMatcher

_QUIET: Final = "(decided without it)"


@dataclasses.dataclass(frozen=True, kw_only=True)
class CompiledRules:
    """The rules that read one event type, in the order of the pack.

    `reads` are the keys of the features that must be computed for such an event: `name`, or `of_key(name, path)`.
    """

    event_type: str
    rules: tuple[RuleDef, ...]
    reads: frozenset[str]
    phrases: "LivePhrases"
    typed: tuple[CheckedRule, ...]
    scores: tuple[tuple[str, str, str], ...] = ()  # key among the values, name, path of the subject

    @functools.cached_property
    def program(self) -> Program:
        """What decides; explaining does without it."""
        return compile_program([each.checked for each in self.typed])

    def run(
        self,
        row: Mapping[str, Value],
        values: Mapping[str, Value],
        at: int,
        texts: dict[str, Normalised] | None = None,
    ) -> tuple[int, ...]:
        """Return the places in `rules` of those that match, rising.

        `texts` may hold fields that are normalised already, and is filled with those that were needed.
        """
        return self.program.run(row, values, at, self.phrases.environment(at), texts)

    def explain(
        self,
        rule: str,
        row: Mapping[str, Value],
        values: Mapping[str, Value],
        at: int,
        environment: Environment | None = None,
    ) -> TraceNode:
        """Compute a rule's condition again with the value of every part of it, over its own or other lists and labels.

        Refuses: RuleMissing.
        """
        checked = self._of(rule).checked
        return _trace(checked)(row, values, at, environment or self.phrases.environment(at))

    def reads_of(self, rule: str) -> frozenset[str]:
        """Return the keys of the features that one rule reads.

        Refuses: RuleMissing.
        """
        return self._of(rule).feature_keys | {key for key, _, _ in self._of(rule).score_keys}

    def _of(self, rule: str) -> CheckedRule:
        for each in self.typed:
            if each.rule.name == rule:
                return each
        raise RuleMissing(f"No rule '{rule[:80]}' reads {self.event_type}.")


# Explaining is rare next to deciding, and a condition's compiled trace depends on nothing but its checked form.
_trace = functools.lru_cache(maxsize=2_000)(compile_trace)


class LivePhrases:
    """The environment of a pack's programs: live lists and labels, and a phrase matcher renewed when it must be.

    A changed value list costs nothing; a changed phrase list costs building the matcher anew before the next event.
    """

    __slots__ = ("_environment", "_from", "_lists", "_phrases", "_seen", "_until", "_version")

    def __init__(self, phrases: Mapping[str, ListDef], lists: LiveLists, labels: LiveLabels) -> None:
        """Stand over live lists and labels, which it only reads."""
        self._environment = Environment(values=lists.values, labels=labels.words)
        self._lists = lists
        self._phrases = phrases
        self._version = -1
        self._seen: tuple[int, ...] = ()
        self._from = 0  # the matcher holds for log times from here …
        self._until = 0  # … until just before here

    def over(self, lists: LiveLists, labels: LiveLabels) -> "LivePhrases":
        """Return what the same programs ask, over other lists and labels."""
        return LivePhrases(self._phrases, lists, labels)

    def environment(self, at: int) -> Environment:
        """Return the environment as it stands at a log time."""
        if self._lists.version != self._version or not self._from <= at < self._until:
            self._renew(at)
        return self._environment

    def _renew(self, at: int) -> None:
        self._environment.lists_changed()
        seen = tuple(self._lists.version_of(name) for name in self._phrases)
        self._version = self._lists.version
        if seen == self._seen and self._from <= at < self._until:
            return
        self._seen = seen
        self._from = max((self._lists.last_expiry(name, at) for name in self._phrases), default=0)
        self._until = min((self._lists.next_expiry(name, at) for name in self._phrases), default=NEVER)
        self._environment.phrases = PhraseMatcher(
            PhraseList(
                name=name,
                phrases=tuple(self._lists.members(name, at)),
                unless=declared.unless,
                negatable=declared.negatable,
                whole_word=declared.whole_word,
            )
            for name, declared in self._phrases.items()
        )


def compile_rules(
    pack: PackDef,
    lists: LiveLists,
    labels: LiveLabels,
    *,
    to_decide: bool = True,
    tell: Callable[[Sequence[Fault]], object] | None = None,
) -> dict[str, CompiledRules]:
    """Compile a pack's rules for each of its event types over live lists and labels.

    Without `to_decide` they are typed alone, which is enough to explain; the first that decides compiles them.
    `tell` is for a version that was in force already: its faults are told and not refused, for a later release may see
    more of them, and its rules run as they did, but for those that cannot be read any more.

    Refuses: PackInvalid, when a condition has a fault. Features are refused by the room that compiles them.
    """
    typed, faults = typed_rules(pack)
    if faults:
        if tell is None:
            raise PackInvalid(faults, pack.files)
        tell(faults)
    phrases = LivePhrases(
        {name: declared for name, declared in pack.lists.items() if declared.kind == "phrases"}, lists, labels
    )
    made = {
        name: CompiledRules(
            event_type=name,
            rules=tuple(each.rule for each in rules),
            reads=frozenset(key for each in rules for key in each.feature_keys),
            phrases=phrases,
            typed=tuple(rules),
            scores=tuple(sorted({key for each in rules for key in each.score_keys})),
        )
        for name, rules in typed.items()
    }
    if to_decide:
        for each in made.values():
            _ = each.program  # now, and not while the first event waits
    return made


def render_trace(trace: TraceNode) -> str:
    """Write an explanation as an indented list: each part as written, its value, and whether it mattered."""
    lines: list[str] = []
    waiting = [(trace, 0)]
    while waiting:
        node, depth = waiting.pop()
        written = " ".join(node.text.split())
        note = "" if node.mattered else f" {_QUIET}"
        lines.append(f"{'  ' * depth}{written} -> {show(node.value, node.type)}{note}")
        waiting.extend((part, depth + 1) for part in reversed(node.parts) if part.op != "const")
    return "\n".join(lines)
