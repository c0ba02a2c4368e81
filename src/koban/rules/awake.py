"""Rules that are off cost nothing: programs without them run, for as long as they are off."""

import dataclasses
from collections.abc import Mapping
from typing import Final

from koban.language import Program, Value, compile_program
from koban.packs import RuleDef
from koban.rules.compile import CompiledRules
from koban.rules.modes import LiveModes
from koban.text import Normalised


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Shorter:
    """The rules of one event type without some that were off when it was made."""

    whole: CompiledRules
    program: Program
    places: tuple[int, ...]  # where its conditions stand among the rules of the whole
    without: tuple[RuleDef, ...]


_Made = Mapping[str, _Shorter]
_NOTHING: Final[_Made] = {}


class AwakeRules:
    """Runs the rules that are asked, and leaves out those that are off or retired.

    Invariant: of the rules that are asked, those match that match in the whole program. A shorter program is only used
    while everything that it lacks is off, so whoever turns a rule on has it run at once, by the whole program, until a
    shorter one is made again. To make one takes as long as compiling; `leave_out` may be called in any thread.
    """

    __slots__ = ("_chosen", "_made")

    def __init__(self) -> None:
        """Start with whole programs."""
        self._made = _NOTHING
        self._chosen: tuple[int, _Made, _Made] = (-1, _NOTHING, _NOTHING)

    def leave_out(self, rules: Mapping[str, CompiledRules], modes: LiveModes) -> None:
        """Compile the programs of a pack without what is off now; those that lack nothing new are kept."""
        made = {}
        for name, whole in rules.items():
            off = tuple(rule for rule in whole.rules if not modes.mode(rule).name.is_asked)
            if not off:
                continue
            before = self._made.get(name)
            if before is not None and before.whole is whole and before.without == off:
                made[name] = before
                continue
            places = tuple(place for place, rule in enumerate(whole.rules) if rule not in off)
            program = compile_program([whole.typed[place].checked for place in places])
            made[name] = _Shorter(whole=whole, program=program, places=places, without=off)
        # Why one assignment: the decider's thread reads it between two events.
        self._made = made

    def matched(
        self,
        rules: CompiledRules,
        modes: LiveModes,
        row: Mapping[str, Value],
        values: Mapping[str, Value],
        at: int,
        *,
        texts: dict[str, Normalised] | None,
    ) -> list[RuleDef]:
        """Return the rules that match, in the order of the pack; of those that are off, some or none."""
        version, made, usable = self._chosen
        if version != modes.version or made is not self._made:
            usable = self._choose(modes)
        shorter = usable.get(rules.event_type)
        every = rules.rules
        if shorter is None or shorter.whole is not rules:
            return [every[place] for place in rules.run(row, values, at, texts)]
        places = shorter.places
        fired = shorter.program.run(row, values, at, rules.phrases.environment(at), texts)
        return [every[places[index]] for index in fired]

    def left_out(self, rules: CompiledRules, modes: LiveModes) -> tuple[str, ...]:
        """Return the names of the rules of an event type that do not run."""
        shorter = self._choose(modes).get(rules.event_type)
        return () if shorter is None or shorter.whole is not rules else tuple(rule.name for rule in shorter.without)

    def _choose(self, modes: LiveModes) -> _Made:
        """Find which of the shorter programs may run under the modes as they are."""
        version, made = modes.version, self._made
        usable = {
            name: each
            for name, each in made.items()
            if not any(modes.mode(rule).name.is_asked for rule in each.without)
        }
        self._chosen = (version, made, usable)
        return usable
