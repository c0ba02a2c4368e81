"""Measure the starter pack on the lines that it was written with, and on those that were held out."""

import pathlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping

import msgspec
import pytest

from koban.labels import LiveLabels
from koban.language import Value
from koban.lists import LiveLists
from koban.packs import ModeName, PackDef, RuleCase, Source, load_pack, parse_files
from koban.rules import CompiledRules, compile_rules, run_cases
from koban.text import normalise

ROOT = pathlib.Path(__file__).parents[2]
PACK = ROOT / "packs" / "starter"
HELD_OUT = pathlib.Path(__file__).parent / "heldout"
_JAPANESE = re.compile("[ぁ-ゖァ-ヺ一-鿿ｦ-ﾟ]")


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """How lines of one kind went. An honest line is flagged when any live rule of its event type matches it."""

    lures: int
    found: int
    honest: int
    flagged_by_own: int
    flagged_by_any: int


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of a set of lines, and the lines that went wrong."""

    languages: Mapping[str, Figures]
    rules: Mapping[str, Figures]
    missed: tuple[RuleCase, ...]
    flagged: tuple[tuple[RuleCase, str], ...]  # with the rule that flagged it


def text_lines(pack: PackDef) -> tuple[RuleCase, ...]:
    """Return the cases that are lines of a table: those that name a family."""
    return tuple(case for case in pack.cases if case.family)


def language_of(pack: PackDef, case: RuleCase) -> str:
    """Say in which language a line is written: Japanese as soon as one kana or kanji stands in it."""
    texts = (str(case.data.get(path, "")) for path in pack.events[case.event_type].texts)
    return "ja" if any(_JAPANESE.search(text) for text in texts) else "en"


def measure(pack: PackDef) -> Measured:
    """Run every line against its own rule, and every honest line against all live rules of its event type."""
    failed = {failure.case.source for result in run_cases(pack).rules for failure in result.failed}
    lists = LiveLists()
    lists.set_pack({name: declared.entries for name, declared in pack.lists.items()})
    rules = compile_rules(pack, lists, LiveLabels())
    lines = text_lines(pack)
    honest = [case for case in lines if not case.matches]
    flagged = tuple((case, rule) for case in honest for rule in _flags(rules[case.event_type], case))
    flagged_at = {case.source for case, _ in flagged}
    return Measured(
        languages={
            language: _figures([case for case in lines if language_of(pack, case) == language], failed, flagged_at)
            for language in ("ja", "en")
        },
        rules={
            rule: _figures([case for case in lines if case.rule == rule], failed, flagged_at)
            for rule in sorted({case.rule for case in lines})
        },
        missed=tuple(case for case in lines if case.matches and case.source in failed),
        flagged=flagged,
    )


def _figures(cases: Iterable[RuleCase], failed: set[Source], flagged: set[Source]) -> Figures:
    count: Counter[str] = Counter()
    for case in cases:
        if case.matches:
            count["lures"] += 1
            count["found"] += case.source not in failed
        else:
            count["honest"] += 1
            count["own"] += case.source in failed
            count["any"] += case.source in flagged
    return Figures(
        lures=count["lures"],
        found=count["found"],
        honest=count["honest"],
        flagged_by_own=count["own"],
        flagged_by_any=count["any"],
    )


def _flags(rules: CompiledRules, case: RuleCase) -> list[str]:
    """Return the live rules that match a line by its text alone, without any history."""
    row: dict[str, Value] = dict(case.data)  # type: ignore[arg-type]  # packs has read each value by its field's type
    hits = rules.run(row, dict.fromkeys(rules.reads), case.at)
    return [rules.rules[hit].name for hit in hits if rules.rules[hit].mode.name is ModeName.LIVE]


@pytest.fixture(scope="session")
def pack() -> PackDef:
    """Return the starter pack as it stands in the repository."""
    return load_pack(PACK)


def _with_cases(pack: PackDef, cases: Iterable[str]) -> PackDef:
    """Return a pack with held-out files in place of its own cases."""
    files = {name: text for name, text in pack.files.items() if not name.startswith("cases/")}
    for name in cases:
        text = (HELD_OUT / name).read_text(encoding="utf-8")
        files[f"cases/{name}"] = text.replace("\n  heldout: true\n", "\n")
    return parse_files(files)


@pytest.fixture(scope="session")
def held_out(pack: PackDef) -> PackDef:
    """Return the same rules with the lines that were written before the lists and rules."""
    return _with_cases(pack, ("fraud.yaml", "goods.yaml", "people.yaml"))


@pytest.fixture(scope="session")
def held_out_last(pack: PackDef) -> PackDef:
    """Return the same rules with the lines that were written after the lists and rules, and measured only."""
    return _with_cases(pack, ("last.yaml", "english.yaml", "japanese.yaml"))


@pytest.fixture(scope="session")
def held_out_strictly(pack: PackDef, held_out: PackDef) -> PackDef:
    """Return the held-out pack without the list entries that only held-out lines could have suggested.

    Why: one hand wrote both the lines and the lists. An entry of five characters or more that occurs in a held-out line
    and in no line of the pack is taken out, be it a lure or an exception, which makes the figures a lower bound.
    """
    own, held = _texts_of(pack), _texts_of(held_out)

    def kept(entries: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(each for each in entries if not _suggested_by(each, held, own))

    lists = {
        name: msgspec.structs.replace(declared, entries=kept(declared.entries), unless=kept(declared.unless))
        for name, declared in held_out.lists.items()
    }
    return msgspec.structs.replace(held_out, lists=lists)


def _texts_of(pack: PackDef) -> tuple[str, ...]:
    return tuple(
        normalise(str(case.data[path])).tight
        for case in pack.cases
        for path in pack.events[case.event_type].texts
        if path in case.data
    )


def _suggested_by(entry: str, held: tuple[str, ...], own: tuple[str, ...]) -> bool:
    key = normalise(entry).tight.strip()
    return len(key) >= 5 and any(key in text for text in held) and not any(key in text for text in own)


@pytest.fixture(scope="session")
def measured(pack: PackDef) -> Measured:
    """Return the figures of the pack's own lines."""
    return measure(pack)


@pytest.fixture(scope="session")
def measured_held_out(held_out: PackDef) -> Measured:
    """Return the figures of the lines that were held out."""
    return measure(held_out)


@pytest.fixture(scope="session")
def measured_last(held_out_last: PackDef) -> Measured:
    """Return the figures of the lines that were written last."""
    return measure(held_out_last)


@pytest.fixture(scope="session")
def measured_strictly(held_out_strictly: PackDef) -> Measured:
    """Return a lower bound of the same figures."""
    return measure(held_out_strictly)
