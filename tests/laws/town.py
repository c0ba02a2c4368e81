"""A log with everything in it that decisions may read: a pack in two versions, a desk that can crash, and a replay."""

import contextlib
import copy
import dataclasses
import json
import pathlib
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, Literal, TypeVar

import msgspec
import sqlalchemy

import koban.decisions.store as decision_store
import koban.events.store as event_store
from koban import enforcement
from koban.audit import SeededSecrets
from koban.base import Instant, ManualClock, Unavailable, to_rfc3339
from koban.db import Database, Tx, load_timers, metadata
from koban.decisions import DecisionRecord, FeatureValue, Inputs
from koban.events import Entry, Kind, decode, decode_document, read_row, take_log
from koban.events.routes import Result
from koban.features import FeatureStore, backfill, new_features
from koban.labels import LABEL_SET, LabelSet
from koban.lists import ENTRIES_ADDED, ENTRY_REMOVED, EntriesAdded, EntryRemoved
from koban.packs import PackDef, active_at, load_version, parse_files
from koban.pipeline import Desk, Memory
from koban.pipeline.commands import activate, features_to_fill
from koban.pipeline.filling import fill_features
from koban.pipeline.flow import Arrival, decide
from koban.pipeline.memory import Compiled
from koban.pipeline.sealing import open_entry
from koban.pipeline.urgent import follow_emergency
from koban.rules import (
    BUDGET_TRIPPED,
    MODE_CHANGED,
    PACK_ACTIVATED,
    REVIEW_ALL_SWITCHED,
    RULE_EXPECTED,
    SNOOZE_SET,
    BudgetTripped,
    ModeChanged,
    ReviewAllSwitched,
    RuleExpected,
    SnoozeSet,
)
from koban.scores import SCORE_RECORDED, ScoreRecorded
from koban.vault import Vault

T = TypeVar("T")

START: Final = Instant(1_792_584_000_000_000)

COMMON: Final = {
    "pack.yaml": "pack: law\nversion: '1'\nabout: {en: For laws, ja: 法則のため}\n",
    "events.yaml": """
- event: message.sent
  about: {en: A message, ja: メッセージ}
  acting: sender.id
  recipient: recipient.id
  content: message.id
  within_ms: 200
  fallback: allow
  retention: 365 days
  texts: [text]
  subjects: {sender.id: account, recipient.id: account, message.id: message, device.id: device}
  fields:
    sender.id: text
    sender.name: {type: text, personal: sender.id}
    sender.email: {type: text, personal: sender.id, joined: true}
    sender.created_at: timestamp
    recipient.id: text
    message.id: text
    text: {type: text, personal: sender.id}
    device.id: {type: text, personal: sender.id, joined: true}
    price: decimal
    flag: bool
    tags: text[]
- event: payout.requested
  about: {en: A payout, ja: 振込申請}
  acting: account.id
  within_ms: 200
  fallback: hold
  retention: 365 days
  subjects: {account.id: account}
  fields:
    account.id: text
    account.name: {type: text, personal: account.id}
    amount_minor: {type: int, unit: minor}
""",
    "policies.yaml": """
- policy: fraud
  title: {en: Honest trade, ja: 誠実な取引}
  text: {en: No tricks., ja: だます行為は禁止です。}
  severity: high
- policy: fraud/lure
  title: {en: Luring away, ja: 外部への誘導}
  text: {en: Trades stay here., ja: 取引はここで行ってください。}
  severity: medium
  strikes_within: 30 days
  ladder:
    - {restrict: messaging, for: 24 hours}
    - {restrict: messaging, for: 7 days}
    - suspend
- policy: fraud/money
  title: {en: Money, ja: お金}
  text: {en: Payouts are checked., ja: 振込は確認されます。}
  severity: high
  strikes_within: 30 days
  ladder:
    - {freeze_payout: 72 hours}
""",
    "lists.yaml": """
- list: trusted
  kind: values
  of: account
  about: {en: Trusted, ja: 信頼}
  entries: [a9]
- list: bad_devices
  kind: values
  of: device
  about: {en: Bad devices, ja: 悪い端末}
- list: lures
  kind: phrases
  negatable: true
  entries: [直取引, pay outside]
  about: {en: Lures, ja: 誘導}
""",
    "definitions.yaml": """
- define: lures
  as: mentions(text, 'lures')
  about: {en: Asks to leave, ja: 外部へ誘う}
- define: lures_untrusted
  as: lures AND NOT in_list(sender.id, 'trusted')
  about: {en: Asks to leave and is not trusted, ja: 信頼されていない人が外部へ誘う}
""",
    "scores.yaml": """
- score: risk
  of: account
  about: {en: Risk by a model, ja: モデルによる危険度}
""",
    "queues.yaml": """
- queue: scams
  title: {en: Scams, ja: 詐欺}
  due: 1 hour
""",
}
_FEATURES: Final = """
- feature: messages_1h
  about: {en: Messages, ja: メッセージ}
  on: message.sent
  by: sender.id
  value: count(*)
  within: 1 hour
- feature: texts_1d
  about: {en: Different texts, ja: 文の種類}
  on: message.sent
  by: sender.id
  value: count(distinct text)
  bound: 4
  within: 1 days
- feature: paid_out
  about: {en: Paid out, ja: 振込総額}
  on: payout.requested
  by: account.id
  value: sum(amount_minor)
  within: ever
"""
_MORE_FEATURES: Final = """
- feature: accounts_on_device
  about: {en: Accounts on a device, ja: 端末の利用者}
  on: message.sent
  by: device.id
  value: count(distinct sender.id)
  bound: 3
  within: ever
- feature: spent
  about: {en: Spent, ja: 支出}
  on: message.sent
  by: sender.id
  value: sum(price)
  where: flag
  within: 1 hour
"""
_RULES: Final = """
- rule: lure
  policy: fraud/lure
  on: [message.sent]
  when: lures_untrusted
  then: [hide, {warn: recipient}]
  mode: live
  cap: 2 per hour
  because: {en: asks to pay outside, ja: 取引外での支払いを求めています}
- rule: lure_again
  policy: fraud/lure
  on: [message.sent]
  when: lures AND messages_1h >= 2
  then: [strike, {review: scams}]
  mode: live
  because: {en: asks again and again, ja: 何度も求めています}
- rule: labelled
  policy: fraud/lure
  on: [message.sent]
  when: has_label(sender.id, 'fraud') OR score('risk') > 0.5 AND score('risk', recipient.id) IS NULL
  then: [block]
  mode: {live: 50%}
  because: {en: said to be fraud, ja: 詐欺とされています}
- rule: bad_device
  policy: fraud
  on: [message.sent]
  when: in_list(device.id, 'bad_devices') OR sender.email = 'x'
  then: [{challenge: passkey}]
  mode: live
  because: {en: a bad device, ja: 悪い端末}
- rule: repeats
  policy: fraud/lure
  on: [message.sent]
  when: texts_1d < messages_1h AND price >= 1.5
  then: [{review: scams}]
  mode: shadow
  because: {en: says the same, ja: 同じことを言います}
- rule: fresh
  policy: fraud
  on: [message.sent]
  when: hours_between(sender.created_at, time) < 2 AND flag
  then: [{hold: 1 hours, becomes: allow}, {review: scams}]
  mode: live
  because: {en: a new account, ja: 新しいアカウント}
- rule: big_payout
  policy: fraud/money
  on: [payout.requested]
  when: amount_minor >= 1000 OR paid_out > 2500
  then: [{hold: 2 hours, becomes: block}, strike, {review: scams}]
  mode: live
  because: {en: a large payout, ja: 高額の振込です}
"""
_MORE_RULES: Final = """
- rule: shared_device
  policy: fraud
  on: [message.sent]
  when: accounts_on_device >= 2 OR spent > 3.0
  then: [{warn: author}, {review: scams}]
  mode: live
  because: {en: shares a device, ja: 端末を共有しています}
"""
RULES: Final = ("lure", "lure_again", "labelled", "bad_device", "repeats", "fresh", "big_payout")


def _parse(features: str, rules: str, lists: Mapping[str, str]) -> PackDef:
    files = {**COMMON, "features.yaml": features, "rules/rules.yaml": rules}
    for old, new in lists.items():
        assert old in files["lists.yaml"]
        files["lists.yaml"] = files["lists.yaml"].replace(old, new)
    return parse_files(files)


PACKS: Final = {
    "first": _parse(_FEATURES, _RULES, {}),
    "second": _parse(
        _FEATURES.split("- feature: texts_1d", maxsplit=1)[0]
        + "- feature: paid_out"
        + _FEATURES.split("- feature: paid_out")[1]
        + _MORE_FEATURES,
        _RULES.replace("texts_1d < messages_1h AND ", "").replace("messages_1h >= 2", "messages_1h >= 3") + _MORE_RULES,
        {"entries: [a9]": "entries: [a1, a8]"},
    ),
}


class Flaky(Database):
    """A database whose next write fails before or after its commit, or that is gone as after a crash."""

    def __init__(self, real: Database) -> None:
        self.__dict__.update(real.__dict__)
        self.next_write: Literal["works", "fails", "is_unknown"] = "works"
        self.is_gone = False

    @contextlib.contextmanager
    def write(self) -> Iterator[Tx]:
        """Write, or fail as told."""
        how, self.next_write = self.next_write, "works"
        with super().write() as tx:
            yield tx
            if how == "fails" or self.is_gone:
                raise OSError(28, "No space left on device")
        if how == "is_unknown":
            raise OSError(5, "The connection broke while committing")


@dataclasses.dataclass
class Town:
    """A desk over a database, and everything that was ever answered."""

    real: Database
    folder: pathlib.Path
    clock: ManualClock
    database: Flaky
    desk: Desk
    vault: Vault
    sent: dict[str, dict[str, object]] = dataclasses.field(default_factory=dict)
    results: dict[str, list[Result]] = dataclasses.field(default_factory=dict)
    failures: int = 0

    def send(self, events: Sequence[dict[str, object]], *, asynchronous: bool = False) -> None:
        """Send events; a batch that could not be stored leaves them unanswered."""
        items = decode(json.dumps(list(events)).encode(), "application/json")
        self.clock.advance(1_000)
        for event in events:
            self.sent.setdefault(str(event["id"]), event)
        try:
            results = self.desk.submit(items, self.clock.now(), asynchronous).result(timeout=60)
        except Unavailable:
            self.failures += 1
            return
        for event, result in zip(events, results, strict=True):
            self.results.setdefault(str(event["id"]), []).append(result)

    def command(self, run: Callable[[Memory, Tx], T], *, alone: bool = False) -> T | None:
        """Have a change made; None where it could not be stored."""
        self.clock.advance(1_000)
        try:
            return self.desk.command(run, alone=alone)
        except Unavailable:
            self.failures += 1
            return None

    def switch(self, name: str) -> None:
        """Activate a version of the pack, its new features filled from the log."""
        memory = self.desk.memory
        compiled = memory.compile(PACKS[name])
        wanted = features_to_fill(memory, compiled)
        filled = fill_features(self.desk, compiled, wanted) if wanted else None

        def run(live: Memory, tx: Tx) -> object:
            store = None if filled is None else filled.caught_up(tx)
            return activate(live, tx, compiled, by="staff_1", reason="law", filled=store)

        self.command(run, alone=True)

    def restart(self, *, crash: bool) -> None:
        """Close and open again; a crash writes nothing back."""
        self.database.is_gone = crash
        with contextlib.suppress(OSError):
            self.desk.decider.close()
        self.database = Flaky(self.real)
        self.desk = _open_desk(self.database, self.folder, self.clock)
        self.vault = self.desk.memory.vault

    def drain(self) -> None:
        """Wait until the inbox is decided and every due timer has fired."""
        until = time.monotonic() + 60
        while True:
            due = self.command(lambda memory, _tx: len(memory.timers.due(memory.log_time.peek(), 1)))
            waiting = self.rows("SELECT count(*) FROM inbox")[0][0]
            if waiting == 0 and due == 0:
                return
            assert time.monotonic() < until, f"{waiting} events wait in the inbox, {due} timers are due"
            time.sleep(0.002)

    def rows(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[object, ...]]:
        with self.real.read() as tx:
            return [tuple(row) for row in tx.rows(sql, parameters)]

    def log(self) -> list[Entry]:
        with self.real.read() as tx:
            return list(event_store.walk_entries(tx))

    def decisions(self) -> dict[int, tuple[DecisionRecord, Mapping[str, FeatureValue]]]:
        """Return every decision by its place, with the feature values that it stored."""
        found = {}
        with self.real.read() as tx:
            for seq, body, inputs in tx.rows("SELECT seq, body, inputs FROM decisions"):
                record = msgspec.json.decode(body, type=DecisionRecord)
                found[int(seq)] = (record, msgspec.json.decode(inputs, type=Inputs).features)
        return found

    def answer_of(self, event_id: str) -> str | None:
        """Return the stored answer to an event."""
        with self.real.read() as tx:
            entry = event_store.find_event(tx, "shop", event_id)
            return None if entry is None else decision_store.read_raw_bodies(tx, [entry.seq])[entry.seq]


def _find_pack(tx: Tx, seq: int) -> PackDef:
    activation = active_at(tx, seq + 1)
    return PACKS["first"] if activation is None else load_version(tx, activation.digest)


def _open_desk(database: Database, folder: pathlib.Path, clock: ManualClock) -> Desk:
    with database.write() as tx:
        vault = Vault.open_file(tx, folder / "vault.key", SeededSecrets(7))
    lease = take_log(database, clock, holder="law", is_dead=lambda _holder: True)
    memory = Memory(vault, clock, random.Random(5), consequences=True)
    with database.write() as tx:
        memory.load(tx, _find_pack)
    desk = Desk(database, memory, lease, _find_pack)
    desk.decider.start()
    return desk


@contextlib.contextmanager
def open_town(emptied: Database, folder: pathlib.Path) -> Iterator[Town]:
    """Open a desk over an emptied database, with the first version of the pack active."""
    real = copy.copy(emptied)  # another log: what is kept of the one that stood here must not be taken for it
    with real.write() as tx:
        for table in reversed(metadata.sorted_tables):
            tx.execute(sqlalchemy.delete(table))
    (folder / "vault.key").unlink(missing_ok=True)
    clock = ManualClock(START)
    database = Flaky(real)
    desk = _open_desk(database, folder, clock)
    town = Town(real=real, folder=folder, clock=clock, database=database, desk=desk, vault=desk.memory.vault)
    try:
        town.switch("first")
        yield town
    finally:
        town.desk.decider.close()


def message(event_id: str, at: Instant, **data: object) -> dict[str, object]:
    """Make a message; fields that are None are not sent."""
    return _event(event_id, "message.sent", at, data)


def payout(event_id: str, at: Instant, **data: object) -> dict[str, object]:
    """Make a payout; fields that are None are not sent."""
    return _event(event_id, "payout.requested", at, data)


def _event(event_id: str, kind: str, at: Instant, data: Mapping[str, object]) -> dict[str, object]:
    nested: dict[str, object] = {}
    for path, value in data.items():
        owner, _, name = path.partition("__")
        if value is None:
            continue
        if name:
            node = nested.setdefault(owner, {})
            assert isinstance(node, dict)
            node[name] = value
        else:
            nested[owner] = value
    return {
        "specversion": "1.0",
        "id": event_id,
        "source": "shop",
        "type": kind,
        "time": to_rfc3339(at),
        "data": nested,
    }


@dataclasses.dataclass(frozen=True)
class Replayed:
    """What a replay of the log says of one event."""

    record: DecisionRecord
    features: Mapping[str, FeatureValue]
    silent: frozenset[str]  # rules that were off


def replay(database: Database, vault: Vault) -> tuple[dict[int, Replayed], Memory]:
    """Decide the log again from nothing but itself: consequences off, every change consumed from its entry."""
    memory = Memory(vault, ManualClock(Instant(0)), random.Random(0), consequences=False)
    found: dict[int, Replayed] = {}
    past: list[tuple[Entry, Mapping[str, object]]] = []
    with database.read() as tx:
        for entry in event_store.walk_entries(tx):
            if entry.kind is Kind.CHANGE:
                _follow(tx, memory, entry, past)
                continue
            key = event_store.event_key(entry.source, entry.event_id)
            personal = open_entry(tx, vault, key, entry)
            past.append((entry, personal))
            preparer = memory.compiled.preparers[entry.type]
            row = read_row(preparer, decode_document(entry.data), personal)
            rules = memory.compiled.pack.rules.values()
            silent = frozenset(rule.name for rule in rules if not memory.modes.mode(rule).name.is_asked)
            body = decide(memory, Arrival(entry=entry, row=row, unread=(), since_at=None, replayed=True))
            inputs = msgspec.json.decode(memory.rows.decisions[-1][7], type=Inputs)
            found[entry.seq] = Replayed(msgspec.json.decode(body, type=DecisionRecord), inputs.features, silent)
            memory.features.forget()
            memory.undo.clear()
            memory.rows.clear()
    return found, memory


def _follow(tx: Tx, memory: Memory, entry: Entry, past: Sequence[tuple[Entry, Mapping[str, object]]]) -> None:
    match entry.type:
        case "pack.activated":
            compiled = memory.compile(_find_pack(tx, entry.seq))
            memory.lists.set_pack({name: each.entries for name, each in compiled.pack.lists.items()})
            _go_over(memory, compiled, entry, past)
            follow_emergency(memory, entry)
        case kind if kind == RULE_EXPECTED:
            memory.ceilings.apply(msgspec.json.decode(entry.data, type=RuleExpected))
        case kind if kind.startswith("emergency."):
            follow_emergency(memory, entry)
        case kind if kind == ENTRIES_ADDED:
            memory.lists.apply(msgspec.json.decode(entry.data, type=EntriesAdded))
        case kind if kind == ENTRY_REMOVED:
            memory.lists.apply(msgspec.json.decode(entry.data, type=EntryRemoved))
        case kind if kind == SCORE_RECORDED:
            memory.scores.apply(msgspec.json.decode(entry.data, type=ScoreRecorded))
        case kind if kind == LABEL_SET:
            memory.labels.apply(msgspec.json.decode(entry.data, type=LabelSet), entry.log_at)
        case kind if kind in _MODES:
            memory.modes.apply(entry.seq, msgspec.json.decode(entry.data, type=_MODES[kind]))
        case kind if kind.startswith("sanction."):
            memory.sanctions.apply(enforcement.decode_change(entry.data))
        case kind:
            # What people do with cases and appeals reaches rules only by the sanctions and labels that follow.
            assert kind.startswith(("command.", "case.", "appeal.")) or kind in {"timer.fired", "person.erased"}, kind


_MODES: Final[Mapping[str, type[ModeChanged | ReviewAllSwitched | SnoozeSet | BudgetTripped]]] = {
    MODE_CHANGED: ModeChanged,
    REVIEW_ALL_SWITCHED: ReviewAllSwitched,
    SNOOZE_SET: SnoozeSet,
    BUDGET_TRIPPED: BudgetTripped,
}
assert PACK_ACTIVATED == "pack.activated"


def _go_over(
    memory: Memory, compiled: Compiled, entry: Entry, past: Sequence[tuple[Entry, Mapping[str, object]]]
) -> None:
    before = getattr(memory, "compiled", None)
    memory.compiled = compiled
    if before is None:
        memory.features = FeatureStore(compiled.features)
        memory.features.standing = memory.is_sanctioned
        return
    names = new_features(before.features, compiled.features)
    rows = (
        (one.seq, one.type, read_row(compiled.preparers[one.type], decode_document(one.data), personal), one.log_at)
        for one, personal in past
    )
    filled = backfill(compiled.pack, names, rows) if names else None
    memory.features.switch(None, compiled.features, entry.seq, filled=filled)


def picture(memory: Memory, at: Instant) -> dict[str, object]:
    """Return all that decisions read from memory, in a form that can be compared; feature values are read by events."""
    subjects = {each.subject for each in memory.sanctions._by_id.values()}
    return {
        "emergency": {
            name: (each.started, each.seq, each.ends_at, each.extended_by)
            for name, each in memory.emergency.standing.items()
        },
        "ceilings": dict(memory.ceilings.all),
        "lists": {
            name: {value: until for value, until in values.items() if until > at}
            for name, values in memory.lists.values.items()
        },
        "labels": {key: until for key, until in memory.labels.words.items() if until > at},
        "modes": [
            memory.modes.review_all,
            {
                rule: (memory.modes.mode(memory.compiled.pack.rules[rule]), memory.modes.tripped(rule))
                for rule in memory.compiled.pack.rules
            },
        ],
        "snoozes": {
            (rule, account)
            for rule in RULES
            for account in (f"a{i}" for i in range(10))
            if memory.modes.snoozed(rule, account, at)
        },
        "sanctions": {
            subject: standing for subject in subjects if (standing := memory.sanctions.in_force(subject, at))
        },
        "pack": memory.compiled.pack.digest,
    }


def own_picture(memory: Memory, at: Instant) -> dict[str, object]:
    """Return what only the deciding memory holds besides: budgets, timers, open cases, counters."""
    return {
        "budgets": {rule: memory.budgets.harmed(rule, at) for rule in RULES},
        "timers": {(one.id, one.due_at, one.kind, one.about) for one in memory.timers.due(Instant(2**62), 10_000)},
        "cases": len(memory.cases),
        "last_seq": memory.last_seq,
        "last_position": memory.last_position,
    }


def loaded(town: Town) -> Memory:
    """Make memory from the database, as a start would."""
    with town.real.write() as tx:
        vault = Vault.open_file(tx, town.folder / "vault.key", SeededSecrets(7))
        memory = Memory(vault, town.clock, random.Random(5), consequences=True)
        memory.load(tx, _find_pack)
        assert {one.id for one in load_timers(tx)} == {one.id for one in memory.timers.due(Instant(2**62), 10_000)}
    return memory
