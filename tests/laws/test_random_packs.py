"""Law 2 over random packs: rules over all functions and features decide the same live, replayed and in DuckDB.

The log holds NULLs, ties, window edges, late times and a switch of packs in mid-stream. An example that breaks the law is
shrunk by Hypothesis and kept in `regressions/`, from where it is played again each time.
"""

import functools
import json
import os
import pathlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

import duckdb
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.language.ground import ENV
from tests.language.test_same_everywhere import bools
from tests.laws.test_features_agree import (
    PACK,
    SANCTIONED,
    TYPES,
    Entry,
    _pack,
    _stands,
    definitions,
    logs,
)

from koban.features import FeatureStore, archive_relation, backfill, compile_features, feature_sql, new_features
from koban.language import (
    Checked,
    LanguageErrors,
    ListInfo,
    Scope,
    Type,
    check,
    compile_program,
    register_functions,
    to_sql,
)
from koban.packs import FeatureDef, PackDef
from koban.rules.scope import features_of, scope_of

KEPT = pathlib.Path(__file__).parent / "regressions"
EXAMPLES = int(os.environ.get("KOBAN_LAW_EXAMPLES", "3"))  # minutes for a hundred
LISTS = {"lures": "phrases", "trusted": "values", "bad_domains": "values", "brands": "values"}
FIELDS = {
    **dict.fromkeys(("a", "b", "c"), "amount"),
    **dict.fromkeys(("x", "y"), "price"),
    **dict.fromkeys(("p", "q", "r"), "flag"),
    **dict.fromkeys(("at1", "at2"), "sent"),
    "s": "item",
    "t": "note",
    "tags": "split(item, 'a')",
}
_WORD = re.compile(r"'(?:[^']|'')*'|[A-Za-z_][A-Za-z0-9_.]*")
Rules = dict[str, list[str]]  # event type -> conditions


class Side(msgspec.Struct, frozen=True):
    """One version of a random pack: its features, and the conditions of its rules per event type."""

    features: dict[str, FeatureDef]
    rules: Rules


class Case(msgspec.Struct, frozen=True):
    """A law's example, as it is kept."""

    sides: tuple[Side, Side]
    log: list[tuple[int, str, dict[str, Any], int]]
    switch_at: int


def _scope(pack: PackDef, event: str) -> Scope:
    scope = scope_of(pack, pack.events[event], features_of(pack))
    return msgspec.structs.replace(
        scope,
        lists={name: ListInfo(kind=kind) for name, kind in LISTS.items()},  # type: ignore[arg-type]  # of the two kinds
        labels=frozenset({"scammer", "vip"}),
    )


def _renamed(text: str) -> str:
    """Put the fields of the law's events in place of those of the language's tests."""
    text = text.replace("of(sent_1h, recipient.id)", "a").replace("sent_1h", "b").replace("recipient.id", "device.id")
    return _WORD.sub(lambda found: FIELDS.get(found[0], found[0]), text)


def _about_feature(draw: st.DrawFn, name: str, kind: Type) -> str:
    match kind:
        case Type.INT | Type.DECIMAL:
            return f"({name} {draw(st.sampled_from(('<', '>=', '=', 'IS DISTINCT FROM')))} {draw(st.integers(0, 3))})"
        case Type.TEXT:
            return draw(st.sampled_from((f"({name} = 'a')", f"contains({name}, 'カ')", f"(length({name}) > 1)")))
        case Type.BOOL:
            return f"({name} IS NOT FALSE)"
        case _:
            return f"({name} >= sent)"


@st.composite
def sides(draw: st.DrawFn) -> Side:
    features = draw(definitions())
    pack = _pack(features)
    rules: Rules = {}
    for event in PACK.events:
        scope = _scope(pack, event)
        readable = [(name, info.type) for name, info in scope.features.items() if info.bare]
        rules[event] = []
        for _ in range(draw(st.integers(1, 3))):
            text = _renamed(draw(bools))
            if readable:
                name, kind = draw(st.sampled_from(readable))
                text = f"({text}) {draw(st.sampled_from(('AND', 'OR')))} {_about_feature(draw, name, kind)}"
            try:
                check(text, scope, expect=Type.BOOL)
            except LanguageErrors:
                continue  # never true, or too long: refused as it should be
            rules[event].append(text)
    return Side(features=features, rules=rules)


def _checked(side: Side) -> dict[str, list[Checked]]:
    pack = _pack(side.features)
    return {event: [check(text, _scope(pack, event)) for text in texts] for event, texts in side.rules.items()}


def _reads(side: Side) -> dict[str, set[str]]:
    return {event: set().union(*(one.features for one in checks)) for event, checks in _checked(side).items()}


def _live(case: Case, *, again: bool) -> Iterator[tuple[int, ...]]:
    """Decide the log as the decider does; `again` undoes and repeats each entry, as a replay after a failure does."""
    packs = [_pack(side.features) for side in case.sides]
    programs = [compile_features(pack, _reads(side)) for pack, side in zip(packs, case.sides, strict=True)]
    rules = [{event: compile_program(checks) for event, checks in _checked(side).items()} for side in case.sides]
    store = FeatureStore(programs[0], hot_limit=2 if again else 50)
    store.standing = _stands
    version = 0
    for index, (seq, event, row, at) in enumerate(case.log):
        if index == case.switch_at:
            new = new_features(*programs)
            store.switch(None, programs[1], seq, filled=backfill(packs[1], new, case.log[:index]) if new else None)
            version = 1
        mark = store.mark()
        values = store.apply(None, seq, event, row, at)
        if again:
            store.undo(mark)
            values = store.apply(None, seq, event, row, at)
        store.forget()
        yield rules[version][event].run(row, values, at, ENV, None)


def _in_duckdb(case: Case) -> dict[int, tuple[int, ...]]:
    connection = duckdb.connect(config={"threads": 1})
    register_functions(connection, ENV)
    connection.execute(
        "CREATE TABLE event_koban_sanctioned (kind VARCHAR, subject VARCHAR, from_at BIGINT, until_at BIGINT)"
    )
    for subject, spans in SANCTIONED.items():
        for span in spans:
            connection.execute("INSERT INTO event_koban_sanctioned VALUES ('device', ?, ?, ?)", [subject, *span])
    for event, declared in PACK.events.items():
        columns = ", ".join(f'"{path}" {TYPES[path]}' for path in declared.fields)
        connection.execute(f"CREATE TABLE {archive_relation(event)} (seq BIGINT, log_at BIGINT, {columns})")
        for seq, kind, row, at in case.log:
            if kind == event:
                given = [seq, at, *(row.get(path) for path in declared.fields)]
                marks = ", ".join("?" * len(given))
                connection.execute(f"INSERT INTO {archive_relation(event)} VALUES ({marks})", given)
    found: dict[int, tuple[int, ...]] = {}
    first_of_later = case.log[case.switch_at][0] if case.switch_at < len(case.log) else 2**62
    for version, side in enumerate(case.sides):
        for event, checks in _checked(side).items():
            when = f"e.seq {'>=' if version else '<'} {first_of_later}"
            for seq, *truths in _truths(connection, side, event, checks, when):
                found[seq] = tuple(place for place, truth in enumerate(truths) if truth is True)
    connection.close()
    return found


def _truths(
    connection: duckdb.DuckDBPyConnection, side: Side, event: str, checks: list[Checked], when: str
) -> list[tuple[Any, ...]]:
    keys = sorted(_reads(side)[event])
    columns = {path: f'e."{path}"' for path in PACK.events[event].fields} | {key: f'f."{key}"' for key in keys}
    columns["time"] = "e.log_at"
    shown = ", ".join(["e.seq", *(to_sql(one, columns) for one in checks)])
    joined = f" JOIN ({feature_sql(_pack(side.features), event, keys)}) AS f ON f.seq = e.seq" if keys else ""
    return connection.execute(f"SELECT {shown} FROM {archive_relation(event)} AS e{joined} WHERE {when}").fetchall()


def _hold(case: Case) -> None:
    live = list(_live(case, again=False))
    assert list(_live(case, again=True)) == live
    found = _in_duckdb(case)
    assert [found[seq] for seq, *_ in case.log] == live


@pytest.mark.timeout(7_200)
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize="KOBAN_LAW_EXAMPLES" not in os.environ,
    database=None,
)
@given(earlier=sides(), later=sides(), log=logs(), data=st.data())
def test_random_packs_decide_the_same_live_replayed_and_in_duckdb(
    earlier: Side, later: Side, log: list[Entry], data: st.DataObject
) -> None:
    case = Case(sides=(earlier, later), log=log, switch_at=data.draw(st.integers(0, len(log))))
    try:
        _hold(case)
    except (AssertionError, duckdb.Error):
        # Hypothesis runs the smallest example last: what stays in the file is that one.
        text = json.dumps(msgspec.to_builtins(case), ensure_ascii=False, indent=1)
        (KEPT / "newest_random_pack.json").write_text(text + "\n", encoding="utf-8")
        raise


@functools.cache
def _kept() -> tuple[pathlib.Path, ...]:
    return tuple(sorted(KEPT.glob("*.json")))


@pytest.mark.parametrize("path", _kept(), ids=lambda path: path.stem)
def test_what_broke_the_law_once_does_not_break_it_again(path: pathlib.Path) -> None:
    raw: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    _hold(msgspec.convert(raw, Case))


def test_there_is_something_to_play_again() -> None:
    assert _kept()
