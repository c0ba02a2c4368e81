"""From a folder to a checked pack: read the files, read the sections, check the names between them."""

import functools
import hashlib
import pathlib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final, TypeVar

from koban.packs import links, reading
from koban.packs.documents import Entries, Items, Node, parse_document
from koban.packs.faults import Fault, PackInvalid, PackMissing
from koban.packs.ledger_sections import read_ledger
from koban.packs.payment_sections import read_payments
from koban.packs.queue_sections import check_queues, read_calendar, read_queue
from koban.packs.rule_sections import read_cases, read_rule
from koban.packs.sections import (
    read_definition,
    read_event,
    read_feature,
    read_list,
    read_policy,
    read_score,
)
from koban.packs.types import (
    CalendarDef,
    DefinitionDef,
    EventType,
    FeatureDef,
    ListDef,
    PackDef,
    PolicyDef,
    QueueDef,
    RuleCase,
    RuleDef,
    ScoreDef,
    Source,
    Texts,
)

MAX_FILES: Final = 500
MAX_FILE_BYTES: Final = 4 * 1024 * 1024
MAX_PACK_BYTES: Final = 32 * 1024 * 1024
MAX_ITEMS: Final = 10_000
_KEPT_PACKS: Final = 4

_SECTIONS: Final = (
    "events", "features", "policies", "lists", "calendars", "queues", "rules", "cases", "ledger", "postings",
    "definitions", "scores", "payments",
)  # fmt: skip

_FILE_NAME: Final = re.compile(r"([a-z0-9_-]{1,80}/){0,4}[a-z0-9_-]{1,80}\.(yaml|txt)")

T = TypeVar("T", EventType, FeatureDef, PolicyDef, ListDef, CalendarDef, QueueDef, RuleDef, DefinitionDef, ScoreDef)


def load_pack(folder: pathlib.Path) -> PackDef:
    """Read a pack's folder and check its structure and names.

    Refuses: PackMissing; PackInvalid, with every fault found.
    """
    return parse_files(files_of(folder))


def files_of(folder: pathlib.Path) -> dict[str, str]:
    """Read the files that make up a pack: `*.yaml` and `*.txt`, at any depth, hidden ones left out.

    Refuses: PackMissing, PackInvalid (a file is too large or not UTF-8).
    """
    if not (folder / "pack.yaml").is_file():
        raise PackMissing(f"No pack.yaml is in {folder}.")
    files: dict[str, str] = {}
    faults: list[Fault] = []
    total = 0
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.suffix not in {".yaml", ".txt"} or any(part.startswith(".") for part in name.split("/")):
            continue
        at = Source(file=name, line=1)
        if not path.is_file() or not path.resolve().is_relative_to(folder.resolve()):
            faults.append(Fault(source=at, detail="this is no file, or leads out of the pack"))
            continue
        size = path.stat().st_size
        total += size
        if size > MAX_FILE_BYTES or total > MAX_PACK_BYTES or len(files) >= MAX_FILES:
            detail = f"a pack has at most {MAX_FILES} files of {MAX_FILE_BYTES} bytes, {MAX_PACK_BYTES} in all"
            faults.append(Fault(source=at, detail=detail))
            break
        try:
            files[name] = path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
        except UnicodeDecodeError as error:
            faults.append(Fault(source=at, detail=f"not UTF-8: byte {error.start} cannot be read"))
    if faults:
        raise PackInvalid(faults, files)
    return files


def digest_of(files: Mapping[str, str]) -> str:
    """Name the content of a pack: sha256 over the sorted names and texts, each with its length before it."""
    digest = hashlib.sha256()
    for name in sorted(files):
        for part in (name.encode(), files[name].encode()):
            digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()


def parse_files(files: Mapping[str, str]) -> PackDef:
    """Read a pack from the texts of its files, as `files_of` or a stored version gives them.

    Refuses: PackInvalid, with every fault found; where files cannot be read as what they are, with those alone.
    Why the last few are kept: a start reads its folder and the same texts in the log; a change is read when it is
    looked at, when it is tried and when it comes into force. Reading the starter pack takes a quarter of a second.
    """
    return _parse_files(tuple(files.items()))


@functools.lru_cache(maxsize=_KEPT_PACKS)
def _parse_files(parts: tuple[tuple[str, str], ...]) -> PackDef:
    files = dict(parts)
    faults = list(_wrong_files(files))
    if faults:
        raise PackInvalid(faults, files)
    nodes = _sections(files, faults)
    if faults:
        # Whatever names an item of a file that cannot be read would be said to name nothing: hundreds for one bracket.
        raise PackInvalid(faults, files)
    faults.extend(_stray_files(files))
    name, version, about = _read_head(files, faults)
    events = _named(nodes["events"], lambda node: read_event(node, faults), faults, "event type")
    features = _named(nodes["features"], lambda node: read_feature(node, faults, events), faults, "feature")
    features = links.fill_ratios(features)
    policies = _named(nodes["policies"], lambda node: read_policy(node, faults), faults, "policy")
    lists = _named(nodes["lists"], lambda node: read_list(node, faults, files), faults, "list")
    calendars = _named(nodes["calendars"], lambda node: read_calendar(node, faults), faults, "calendar")
    definitions = _named(nodes["definitions"], lambda node: read_definition(node, faults), faults, "definition")
    scores = _named(nodes["scores"], lambda node: read_score(node, faults), faults, "score")
    queues = _named(nodes["queues"], lambda node: read_queue(node, faults), faults, "queue")
    rules = _named(nodes["rules"], lambda node: read_rule(node, faults), faults, "rule")
    cases: list[RuleCase] = []
    examples = [node for node in nodes["cases"] if _is_example(node)]
    ledger = read_ledger(nodes["ledger"], nodes["postings"], examples, faults, events)
    payments = read_payments(nodes["payments"], faults, events, ledger)
    for node in nodes["cases"]:
        if _is_example(node):
            continue
        cases.extend(read_cases(node, faults, events=events, features=features, lists=lists, scores=scores))
    faults.extend(links.check_features(features, events))
    faults.extend(links.check_definitions(definitions, events=events, features=features))
    faults.extend(links.check_scores(scores, events))
    faults.extend(links.check_policies(policies))
    faults.extend(links.check_lists(lists, events))
    faults.extend(check_queues(queues, calendars))
    faults.extend(links.check_rules(rules, events=events, policies=policies, queues=queues))
    faults.extend(links.check_cases(tuple(cases), rules))
    if faults:
        raise PackInvalid(faults, files)
    return PackDef(
        name=name,
        version=version,
        digest=digest_of(files),
        events=events,
        features=features,
        policies=policies,
        rules=rules,
        lists=lists,
        queues=queues,
        cases=tuple(cases),
        calendars=calendars,
        about=about,
        ledger=ledger,
        payments=payments,
        definitions=definitions,
        scores=scores,
        files=files,
    )


def lists_of_files(files: Mapping[str, str]) -> dict[str, ListDef]:
    """Read only the lists of a pack whose files were accepted before."""
    faults: list[Fault] = []
    kept = {name: text for name, text in files.items() if not name.endswith(".yaml") or name.startswith("lists")}
    nodes = _sections(kept, faults)
    return _named(nodes["lists"], lambda node: read_list(node, faults, files), faults, "list")


def _is_example(node: Node) -> bool:
    """Tell a worked example of postings from a case of a rule."""
    return isinstance(node, Entries) and any(key.text == "example" for key, _ in node.pairs)


def _wrong_files(files: Mapping[str, str]) -> Iterator[Fault]:
    """Check names, sizes and characters, also of files that came another way than from a folder."""
    total = 0
    for name, text in sorted(files.items()):
        at = Source(file=name, line=1)
        try:
            size = len(text.encode())
        except UnicodeEncodeError as error:
            line = text.count("\n", 0, error.start) + 1
            yield Fault(source=Source(file=name, line=line), detail="half a surrogate pair is no character")
            continue
        total += size
        if _FILE_NAME.fullmatch(name) is None:
            hint = "lower-case letters, digits, _ and -, folders with /, ending in .yaml or .txt"
            yield Fault(source=at, detail="no file of a pack has such a name", hint=hint)
        if size > MAX_FILE_BYTES or total > MAX_PACK_BYTES:
            yield Fault(source=at, detail=f"more than {MAX_FILE_BYTES} bytes, or {MAX_PACK_BYTES} in all")
    if len(files) > MAX_FILES:
        yield Fault(source=Source(file="pack.yaml", line=1), detail=f"a pack has at most {MAX_FILES} files")


def _sections(files: Mapping[str, str], faults: list[Fault]) -> dict[str, list[Node]]:
    """Collect the items of `rules.yaml` and `rules/*.yaml` under `rules`, and so on for every section."""
    nodes: dict[str, list[Node]] = {section: [] for section in _SECTIONS}
    for file in sorted(files):
        if not file.endswith(".yaml") or file == "pack.yaml":
            continue
        section = _section_of(file)
        if section not in nodes:
            continue
        root = parse_document(file, files[file], faults)
        if root is None:
            continue
        if not isinstance(root, Items):
            faults.append(Fault(source=root.at, detail=f"this file must be a list of {section}: lines starting with -"))
            continue
        nodes[section].extend(root.items)
        if len(nodes[section]) > MAX_ITEMS:
            faults.append(Fault(source=root.at, detail=f"a pack has at most {MAX_ITEMS} {section}"))
            nodes[section] = []
    return nodes


def _section_of(file: str) -> str:
    return file.removesuffix(".yaml").split("/")[0]


def _stray_files(files: Mapping[str, str]) -> Iterator[Fault]:
    for file in sorted(files):
        if file.endswith(".yaml") and file != "pack.yaml" and _section_of(file) not in _SECTIONS:
            hint = "pack.yaml, " + ", ".join(f"{known}.yaml or {known}/*.yaml" for known in _SECTIONS)
            yield Fault(source=Source(file=file, line=1), detail="no part of a pack has this name", hint=hint)


def _read_head(files: Mapping[str, str], faults: list[Fault]) -> tuple[str, str, Texts]:
    at = Source(file="pack.yaml", line=1)
    if "pack.yaml" not in files:
        faults.append(Fault(source=at, detail="a pack needs the file pack.yaml"))
        return "", "", {}
    root = parse_document("pack.yaml", files["pack.yaml"], faults)
    if root is None:
        faults.append(Fault(source=at, detail="pack.yaml is empty", hint="pack, version and about"))
        return "", "", {}
    record = reading.open_record(root, faults, what="pack.yaml", required=("pack", "version", "about"))
    if record is None:
        return "", "", {}
    return reading.name(record, "pack"), reading.text(record, "version"), reading.texts(record, "about")


def _named(nodes: list[Node], read: Callable[[Node], T | None], faults: list[Fault], what: str) -> dict[str, T]:
    found: dict[str, T] = {}
    for node in nodes:
        item = read(node)
        if item is None or not item.name:
            continue
        if item.name in found:
            first = found[item.name].source
            detail = f"the {what} '{item.name}' is declared twice; first in {first.file} on line {first.line}"
            faults.append(Fault(source=item.source, detail=detail))
        else:
            found[item.name] = item
    return found
