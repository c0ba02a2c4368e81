"""The engine alone: Koban's compiled rules beside hand-written Python and three packages, with the same answers."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from bench.measure import Row, Size, cpu_us, interleave
from bench.workload import (
    NUMBERS,
    TEXTS,
    Event,
    Term,
    in_cel,
    in_koban,
    in_python,
    in_rule_engine,
    in_zen,
    make_events,
    make_rules,
)
from koban.language import Environment, Scope, Type, check, compile_program, compile_traces

Fired = tuple[int, ...]
TARGETS = {("Koban", 100): 30.0, ("Koban", 500): 150.0, ("Koban, every part of every rule", 100): 100.0}
SLOW = frozenset({"zen-engine (one compiled expression)", "rule-engine", "cel-python"})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Engine:
    """A way to run rules. `run` gives the places of the rules that hold, or None where it gives something else."""

    name: str
    run: Callable[[Event], Fired | None]


def build_engines(rules: Sequence[Term]) -> list[Engine]:
    """Compile the same rules for every engine."""
    return [
        Engine(name="Koban", run=_koban(rules)),
        Engine(name="Koban, every part of every rule", run=_koban_traces(rules)),
        Engine(name="Python by hand, one function a rule", run=_python_functions(rules)),
        Engine(name="Python by hand, one function for all", run=_python_function(rules)),
        Engine(name="zen-engine (one compiled expression)", run=_zen(rules)),
        Engine(name="rule-engine", run=_rule_engine(rules)),
        Engine(name="cel-python", run=_cel(rules)),
    ]


def check_answers(engines: Sequence[Engine], events: Sequence[Event]) -> int:
    """Assert that all engines find the same rules; return how many were found."""
    found = 0
    for event in events:
        expected = engines[0].run(event)
        assert expected is not None
        found += len(expected)
        for engine in engines[1:]:
            answer = engine.run(event)
            assert answer is None or answer == expected, f"{engine.name} found {answer}, not {expected}"
    return found


def measure_engines(size: Size) -> list[Row]:
    """Measure all engines at several numbers of rules."""
    rows = []
    events = [event for _, event in make_events(1, size.events)]
    for count in size.rules:
        engines = build_engines(make_rules(2, count))
        few = max(20, min(len(events), size.events * 10 // count // 2))
        found = check_answers(engines, events[: min(few, 200)])
        measured = interleave(size.runs, {each.name: _timed(each, events, few) for each in engines})
        hand = measured["Python by hand, one function a rule"]
        for name, value in measured.items():
            ratio = f"{value / hand:.2f} x the functions by hand" if "by hand, one function a" not in name else ""
            if name == "Koban":
                ratio += f"; {found / min(few, 200):.1f} rules hold an event"
            rows.append(
                Row(
                    bench="engine",
                    what=f"{count} rules: {name}",
                    value=value,
                    unit="µs/event",
                    target=TARGETS.get((name, count)),
                    note=ratio,
                )
            )
    return rows


def _timed(engine: Engine, events: Sequence[Event], few: int) -> Callable[[], float]:
    chosen = events[:few] if engine.name in SLOW else events

    def run() -> None:
        for event in chosen:
            engine.run(event)

    return lambda: cpu_us(run, len(chosen))


def _scope() -> Scope:
    event = make_events(1, 1)[0][1]
    kinds = {bool: Type.BOOL, int: Type.INT, str: Type.TEXT}
    assert set(NUMBERS) | set(TEXTS) <= set(event)
    return Scope(names={field: kinds[type(value)] for field, value in event.items()})


def _koban(rules: Sequence[Term]) -> Callable[[Event], Fired]:
    scope = _scope()
    program = compile_program([check(in_koban(rule), scope) for rule in rules])
    environment = Environment()
    return lambda event: program.run(event, {}, 1, environment, None)


def _koban_traces(rules: Sequence[Term]) -> Callable[[Event], None]:
    scope = _scope()
    traces = compile_traces([check(in_koban(rule), scope) for rule in rules])
    environment = Environment()

    def run(event: Event) -> None:
        traces.run(event, {}, 1, environment, None)

    return run


def _python_functions(rules: Sequence[Term]) -> Callable[[Event], Fired]:
    functions = []
    for number, rule in enumerate(rules):
        constants: dict[str, object] = {}
        body = in_python(rule, constants, lambda field: f"event[{field!r}]")
        exec(f"def rule_{number}(event):\n    return {body}\n", constants)  # noqa: S102 - written by this module
        functions.append(constants[f"rule_{number}"])
    numbered: list[tuple[int, Any]] = list(enumerate(functions))  # Any: what exec defines has no type
    return lambda event: tuple([number for number, holds in numbered if holds(event)])


def _python_function(rules: Sequence[Term]) -> Callable[[Event], Fired]:
    constants: dict[str, Any] = {}  # Any: what exec defines has no type
    tests = [in_python(rule, constants, str) for rule in rules]
    lines = ["def rules(event):"]
    lines += [f"    {field} = event[{field!r}]" for field in make_events(1, 1)[0][1]]
    lines += ["    found = []", *(f"    if {test}: found.append({number})" for number, test in enumerate(tests))]
    exec("\n".join([*lines, "    return tuple(found)"]), constants)  # noqa: S102 - written by this module
    run: Callable[[Event], Fired] = constants["rules"]
    return run


def _zen(rules: Sequence[Term]) -> Callable[[Event], Fired]:
    import zen

    expression = zen.compile_expression(f"[{', '.join(in_zen(rule) for rule in rules)}]")
    return lambda event: tuple([number for number, holds in enumerate(expression.evaluate(event)) if holds])


def _rule_engine(rules: Sequence[Term]) -> Callable[[Event], Fired]:
    import rule_engine

    compiled = [(number, rule_engine.Rule(in_rule_engine(rule))) for number, rule in enumerate(rules)]
    return lambda event: tuple([number for number, rule in compiled if rule.matches(event)])


def _cel(rules: Sequence[Term]) -> Callable[[Event], Fired]:
    import celpy
    from celpy.adapter import json_to_cel

    environment = celpy.Environment(runner_class=celpy.CompiledRunner)
    programs = [(number, environment.program(environment.compile(in_cel(rule)))) for number, rule in enumerate(rules)]

    def run(event: Event) -> Fired:
        activation: Any = json_to_cel(event)  # Any: a mapping, since an event is one
        return tuple([number for number, program in programs if program.evaluate(activation)])

    return run
