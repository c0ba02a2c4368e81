"""Propose rules on every labelled set that has harmful and honest rows, and write docs/suggestions.md: train and test side by side.

    python tools/suggest_sets.py DATA_FOLDER [--only NAME ...] [--keep FOLDER]

With --keep, what came out of a set is kept beside its log and is not searched for again under the same pack. The sets are not part of the repository; each map of examples/maps names where its set comes from.
"""

import pathlib
import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))  # as a script it is started from anywhere

from tools.evaluate_sets import MAPS, ROOT, SETS, DataSet, write_page

from koban.audit import SeededSecrets
from koban.events.archive import Archive, Places
from koban.insight import Map, load_map, render_share
from koban.lab import Log, NothingToTest, Suggestions, suggest_rules
from koban.packs import PackDef
from koban.pipeline.logs import NamedLog, import_files, open_log

PAGE: Final = ROOT / "docs" / "suggestions.md"
WANTED: Final = (0.9, 0.7, 0.5)  # the highest at which anything is proposed
WITHOUT: Final[Mapping[str, tuple[str, ...]]] = {"bitcoin_trust": ("stars",)}  # the label, in other numbers
ABUSIVE: Final = frozenset({"harassment", "live chat"})  # their words are shown by their first letter
_SET: Final = {each.name: each for each in SETS}
READING: Final[Mapping[str, str]] = {
    "bitcoin_trust": "The stars are left out: the label is made from them.",
    "login_attempts_simulated": "The simulation's attackers guess user names; the reason of a failure tells them from people who mistype a password.",
    "shill_bidding_uci": "The map marks all rows as measuring, so the last fifth of its rows is held out here.",
    "fraud_handbook_simulated": "One week of payments; the last fifth of its time is held out here.",
    "metamask_phishing_lists": "Every row is one link in the same sentence, and brands of crypto wallets are all that repeats in hosts.",
    "pii_presidio_synth": "The label is whether a contact is in the text, which is what the function looks for.",
}


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """What came out for one event type of one set; a text where nothing could be tried."""

    of: str
    event: str
    found: Suggestions | str


def main(arguments: Sequence[str]) -> int:
    """Run it."""
    about = "Propose rules on every mapped set and write docs/suggestions.md."
    return write_page(arguments, about=about, path=PAGE, measure=_try, page=_page)


def _try(each: DataSet, data: pathlib.Path, pack: PackDef, folder: pathlib.Path) -> Iterator[Tried]:
    kept = folder / f"suggested-{each.name}-{pack.digest[:12]}.json"
    if kept.is_file():
        yield from msgspec.json.decode(kept.read_bytes(), type=list[Tried])
        return
    tried = list(_try_now(each, data, pack, folder))
    kept.write_bytes(msgspec.json.encode(tried))
    yield from tried


def _try_now(each: DataSet, data: pathlib.Path, pack: PackDef, folder: pathlib.Path) -> Iterator[Tried]:
    mapping = load_map(MAPS / f"{each.name}.yaml")
    files = [data / each.name / name for name in each.files]
    with open_log(folder, f"sqlite:///{folder}/koban.db", each.name, SeededSecrets(1), make=True) as log:
        import_files(log, pack, mapping, files)
        for event in mapping.events:
            started = time.monotonic()
            found = _suggested(log, mapping, pack, event)
            print(f"{each.name} {event}: {time.monotonic() - started:.0f} s", file=sys.stderr)
            yield Tried(of=each.name, event=event, found=found)


def _suggested(log: NamedLog, mapping: Map, pack: PackDef, event: str) -> Suggestions | str:
    """Propose at the highest wanted precision at which anything is proposed."""
    assert mapping.truth is not None, "only sets with labels are measured"
    without = [path for path in WITHOUT.get(log.name, ()) if path in pack.events[event].fields]
    found: Suggestions | str = "nothing was tried"
    with log.database.read() as tx:
        opened = Log(
            tx=tx, archive=Archive(places=Places(folder=log.folder / "archive")), vault=log.vault, name=log.name
        )
        for wanted in WANTED:
            try:
                found = suggest_rules(opened, pack, event, precision=wanted, without=without)
            except NothingToTest as refused:
                return str(refused)
            if found.rules:
                break
    return found


def _page(tried: Sequence[Tried], pack: PackDef) -> Iterator[str]:
    yield "# Rules that `koban suggest` proposes on data that others made"
    yield ""
    yield (
        "Written by `python tools/suggest_sets.py DATA_FOLDER`. The sets, their maps and their splits are those of"
        " [the evaluation](evaluation.md). Everything that a proposal is made of (words, values, thresholds, the search itself) comes from the"
        " train part; the test part measures once, at the end. A search looks at hundreds of conditions, so a proposal must"
        " hold the wanted precision by three standard deviations there; the figures below have their 95 % Wilson intervals."
        " Wanted is the highest of 0.9, 0.7 and 0.5 at which anything is proposed, and at most five rules are."
    )
    yield ""
    yield (
        "No proposal of these is in the starter pack. Words of sets on abuse are shown by their first letter. A proposal is"
        " few conditions that anybody can read, not a model: how far it falls short of one is in the column of what others reached."
    )
    yield ""
    yield f"Pack: {len(pack.rules)} rules, {pack.digest[:12]}, for its event types, features and lists of phrases."
    yield ""
    yield "| set | events | wanted | rules | precision, train | precision, test | recall, train | recall, test | what others reached |"
    yield "|---|---|---:|---:|---|---|---|---|---|"
    told = [each for each in tried if isinstance(each.found, Suggestions)]
    for each in told:
        found = each.found
        assert isinstance(found, Suggestions), "chosen above"
        figures = (found.train.precision, found.test.precision, found.train.recall, found.test.recall)
        shown = " | ".join(render_share(share) if found.rules else "–" for share in figures)
        wanted = f"{found.wanted_precision:g}" if found.rules else "–"
        yield (
            f"| [{each.of}](#{each.of}) | {each.event} | {wanted} | {len(found.rules)} | {shown} | {_SET[each.of].reference} |"
        )
    yield ""
    refused = [each for each in tried if isinstance(each.found, str)]
    if refused:
        yield "Refused, because nothing can be told apart:"
        yield ""
        yield from (f"- {each.of}: {each.found}" for each in refused)
    missing = [each.name for each in SETS if each.name not in {tried_one.of for tried_one in tried}]
    if missing:
        yield ""
        yield f"Not tried in the run that wrote this page: {', '.join(missing)}."
    for name in dict.fromkeys(each.of for each in told):
        yield ""
        yield f"## {name}"
        yield ""
        if name in READING:
            yield READING[name]
            yield ""
        for each in told:
            if each.of == name and isinstance(each.found, Suggestions):
                yield from _rules(each, each.found)
    yield ""


def _rules(each: Tried, found: Suggestions) -> Iterator[str]:
    if not found.rules:
        yield f"{each.event}: nothing is proposed from {found.candidates} conditions, not even at 0.5."
        return
    yield f"{each.event}, from {found.candidates} conditions:"
    yield ""
    yield "| condition | precision, train | precision, test | recall, train | recall, test |"
    yield "|---|---|---|---|---|"
    for rule in found.rules:
        when = _masked(rule.when) if _SET[each.of].job in ABUSIVE else rule.when
        shares = (rule.train.precision, rule.test.precision, rule.train.recall, rule.test.recall)
        yield f"| `{when.replace('|', '&#124;')}` | {' | '.join(render_share(share) for share in shares)} |"
    yield ""


def _masked(when: str) -> str:
    return re.sub(r"((?:matches|contains)\(\w+, '(?:\\b)?)(.)[^'\\]*", r"\1\2…", when)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
