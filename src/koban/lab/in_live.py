"""Run a pack's conditions over a log with the very engine that decides live, entry by entry."""

import heapq
from collections.abc import Iterator, Mapping

import msgspec

from koban.events import Row, make_preparer
from koban.events import archive as archives
from koban.features import FeatureStore, compile_features, plan_features
from koban.lab.erased import Forgetting
from koban.lab.in_sql import Run
from koban.packs import RuleDef
from koban.rules import CompiledRules, compile_rules
from koban.text import Normalised

PAGE = 20_000
FORGET_EVERY = 1_000


def run_live(run: Run, rules: Mapping[str, RuleDef], numbers: Mapping[str, int]) -> None:
    """Write (seq, rule) of every rule that matches into the table `hits` of the connection."""
    pack = msgspec.structs.replace(run.pack, rules=dict(rules))
    cursor = run.past.cursor()
    # Whoever asked was told the faults of a new version; those of an old one keep nobody from comparing with it.
    made = compile_rules(pack, cursor.lists, cursor.labels, tell=lambda _faults: None)
    compiled = {name: each for name, each in made.items() if each.rules}
    names = {key.partition("@")[0] for each in compiled.values() for key in each.reads}
    program = compile_features(pack, {name: each.reads for name, each in compiled.items()}, names=names)
    features = FeatureStore(program)
    page: list[dict[str, object]] = []
    forgetting = Forgetting(run.erased)
    feeding = {name for cell in plan_features(pack, names).cells.values() for name in cell.by}
    for count, (seq, name, at, row) in enumerate(_rows(run, compiled, feeding)):
        cursor.advance(seq)
        forgetting.before(features, at)
        texts: dict[str, Normalised] = {}
        values = features.apply(None, seq, name, row, at, texts=texts)
        if count % FORGET_EVERY == 0:
            features.forget()
        judged = compiled.get(name)
        if judged is None or seq <= run.scope.after_seq:
            continue
        for key, score, path in judged.scores:
            values[key] = cursor.scores.value(score, row.get(path), at)
        matched = judged.run(row, values, at, texts)
        page.extend({"seq": seq, "rule": numbers[judged.rules[index].name]} for index in matched)
        if len(page) >= PAGE:
            _write(run, page)
            page = []
    _write(run, page)


def _rows(run: Run, compiled: Mapping[str, CompiledRules], feeding: set[str]) -> Iterator[tuple[int, str, int, Row]]:
    """Walk every event that a rule reads or a feature counts, in the order of the log."""

    def of_type(name: str) -> Iterator[tuple[int, str, int, Row]]:
        event = run.pack.events[name]
        found = archives.read_typed(
            run.log.tx,
            run.log.archive,
            run.log.vault,
            make_preparer(event),
            paths=set(event.fields),
            upto_seq=run.scope.upto_seq,
            after_seq=-1 if feeding else run.scope.after_seq,
        )
        return ((seq, name, at, row) for seq, at, row in found)

    return heapq.merge(*(of_type(name) for name in sorted(feeding | set(compiled))), key=lambda each: each[0])


def _write(run: Run, page: list[dict[str, object]]) -> None:
    if page:
        archives.fill(
            run.connection,
            "INSERT INTO hits SELECT * FROM {rows}",
            {"seq": "int", "rule": "int"},
            page,
        )
