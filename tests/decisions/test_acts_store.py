"""Who did what: answers are exact wherever the index stands, and whatever left the database."""

import dataclasses
import random
from collections import Counter
from collections.abc import Iterator, Sequence

import msgspec
import pytest

from koban.base import Instant
from koban.db import Database, Tx
from koban.decisions import DecisionRecord, VerdictName, acts_store
from koban.decisions import store as decision_store
from koban.events import Entry, Flag, Kind
from koban.events import store as event_store
from koban.finding import AccountsAsked, follow, forget_gone, list_accounts, search_entries
from koban.finding import store as finding_store
from koban.finding.account_store import firsts_of, verdicts_of
from koban.finding.actions import FORGET_CHUNK

ACCOUNTS = ("a1", "a2", "a3", "a4", "a5")
TYPES = ("short", "long")
VERDICTS: tuple[VerdictName, ...] = ("allow", "allow", "warn", "block")
CHUNK = 25  # events in one transaction of the job that follows the log


@dataclasses.dataclass(frozen=True, kw_only=True)
class Act:
    """One decision, as it was entered."""

    seq: int
    account: str | None
    type: str
    verdict: VerdictName
    signalled: bool

    @property
    def at(self) -> Instant:
        return Instant(self.seq * 1_000)


def made(seqs: Sequence[int]) -> list[Act]:
    """Return decisions about what five accounts and nobody did; the last account does something early and never again."""
    dice = random.Random(seqs[0])
    return [
        Act(
            seq=seq,
            account="a5" if seq in (5, 8) else dice.choice([*ACCOUNTS[:4], None]),
            type=dice.choice(TYPES),
            verdict=dice.choice(VERDICTS),
            signalled=dice.random() < 0.2,
        )
        for seq in seqs
    ]


def enter(database: Database, acts: Sequence[Act]) -> None:
    with database.write() as tx:
        event_store.insert_entries(tx, [_entry(act) for act in acts])
        decision_store.insert_decisions(
            tx, [(act.seq, act.at, act.type, act.verdict, act.account, 1, _body(act), "{}") for act in acts]
        )
        decision_store.insert_signals(
            tx, [(act.seq, "rule", act.at, "policy", 1, "", act.account) for act in acts if act.signalled]
        )


def _entry(act: Act) -> Entry:
    return Entry(
        seq=act.seq, log_at=act.at, received_at=act.at, kind=Kind.EVENT, type=act.type, source="s",
        event_id=f"e{act.seq}", event_at=act.at, subject=None, data=b"{}", sealed=None, digest=b"d", flags=Flag(0),
        cause_seq=None,
    )  # fmt: skip


def _body(act: Act) -> str:
    record = DecisionRecord(
        id=f"e{act.seq}", source="s", type=act.type, seq=act.seq, decided_at="2026-01-01T00:00:00Z", verdict=act.verdict
    )
    return msgspec.json.encode(record).decode()


def follow_whole(database: Database) -> None:
    while follow(database, {}):
        pass


def follow_a_little(database: Database) -> None:
    """Let the index take in the first chunk of what it lacks."""
    follow(database, {}, goes_on=lambda: False)


def let_go(database: Database, acts: Sequence[Act]) -> None:
    with database.write() as tx:
        decision_store.delete_decisions(tx, [act.seq for act in acts])
        tx.many("DELETE FROM log_entries WHERE seq = ?", [(act.seq,) for act in acts])


def place(database: Database) -> int:
    with database.read() as tx:
        return acts_store.indexed_upto(tx)


def check(database: Database, acts: Sequence[Act]) -> None:
    """Ask everything that is asked of who did what, and compare it with what was entered."""
    with database.read() as tx:
        for account in (*ACCOUNTS, "nobody"):
            own = [act for act in reversed(acts) if act.account == account]
            _check_searches(tx, account, own)
            assert firsts_of(tx, [account]) == ({account: own[-1].seq} if own else {})
            for newest in (3, 1_000):
                verdicts = verdicts_of(tx, [account], newest=newest)[account]
                assert verdicts == Counter(act.verdict for act in own[:newest])
        for since in (1, acts[len(acts) // 2].at, acts[-1].at + 1):
            assert decision_store.accounts_signalled(tx, [*ACCOUNTS, "nobody"], since_at=since) == {
                act.account for act in acts if act.signalled and act.at >= since and act.account is not None
            }
        _check_lists(tx, acts)


def _check_searches(tx: Tx, account: str, own: Sequence[Act]) -> None:
    """`own`: what the account did, newest first."""

    def found(
        *, limit: int = 1_000, before_seq: int | None = None, since_seq: int | None = None, **filters: str
    ) -> list[int]:
        verdict: VerdictName | None = "block" if "verdict" in filters else None
        return [record.seq for record in decision_store.search(
            tx, before_seq=before_seq, since_seq=since_seq, limit=limit, acting=account, verdict=verdict,
            type=filters.get("type"), source=filters.get("source"), rule=filters.get("rule"),
        )]  # fmt: skip

    seqs = [act.seq for act in own]
    assert found() == seqs
    assert found(limit=4) == seqs[:4]
    assert found(verdict="block") == [act.seq for act in own if act.verdict == "block"]
    assert found(type="short", source="s") == [act.seq for act in own if act.type == "short"]
    assert found(rule="rule") == [act.seq for act in own if act.signalled]
    for middle in seqs[:: max(1, len(seqs) // 5)]:
        assert found(before_seq=middle) == [seq for seq in seqs if seq < middle]
        assert found(since_seq=middle, before_seq=middle + 9) == [seq for seq in seqs if middle <= seq < middle + 9]
        around = decision_store.seqs_around(tx, [account], around_seq=middle, limit=6)
        earlier, later = [seq for seq in seqs if seq <= middle], [seq for seq in reversed(seqs) if seq > middle]
        assert around == earlier[:3] + later[:3]
    lines = search_entries(
        tx, before_seq=1 << 62, since_seq=0, limit=1_000, filters={"acting": account, "type": "short"}, among=None
    )
    assert [(line.seq, line.acting) for line in lines] == [(act.seq, account) for act in own if act.type == "short"]


def _check_lists(tx: Tx, acts: Sequence[Act]) -> None:
    last = {act.account: act.seq for act in acts if act.account is not None}
    first = {act.account: act.seq for act in reversed(acts)}
    order = sorted(last, key=lambda account: -last[account])
    for scan, limit in ((7, 2), (1_000, 3), (1 << 40, 100)):
        shown = list(_pages(tx, AccountsAsked(), scan=scan, limit=limit))
        assert [account for account, _, _ in shown] == order
        assert [times for _, *times in shown] == [[first[each] * 1_000, last[each] * 1_000] for each in order]
    under = [account for account, _, _ in _pages(tx, AccountsAsked(effect="any"), scan=1, limit=2)]
    assert under == [*order, *(each for each in ACCOUNTS if each not in last), "never"], "who did nothing comes last"


def _pages(
    tx: Tx, asked: AccountsAsked, *, scan: int, limit: int
) -> Iterator[tuple[str, Instant | None, Instant | None]]:  # fmt: skip
    cursor: str | None = None
    while True:
        page = list_accounts(tx, asked, cursor=cursor, limit=limit, scan=scan)
        yield from ((each.id, each.first_at, each.last_at) for each in page.items)
        cursor = page.next_cursor
        if cursor is None:
            return


@pytest.fixture
def under_measures(database: Database) -> Database:
    """The database with a sanction in force on each account, and on one that never did anything."""
    with database.write() as tx:
        tx.many(
            "INSERT INTO sanctions (id, subject_kind, subject_id, market, kind, effect, scope, policy, cause_seq, imposed_at,"
            " starts_at, status, changed_seq, body) VALUES (?, 'account', ?, '', 'suspend', 'suspend', '', 'policy', 1, 1, 1,"
            " 'in_force', 1, '{}')",
            [(f"sanction_{account}", account) for account in (*ACCOUNTS, "never")],
        )
    return database


def test_answers_are_the_same_wherever_the_index_stands(under_measures: Database) -> None:
    database = under_measures
    acts = made(range(1, 61))
    enter(database, acts)
    assert place(database) == 0
    check(database, acts)
    follow_a_little(database)
    assert place(database) == CHUNK
    check(database, acts)
    follow_whole(database)
    assert place(database) == 60
    check(database, acts)
    acts += made(range(61, 101))
    enter(database, acts[60:])
    check(database, acts)
    follow_whole(database)
    check(database, acts)
    database.empty_index()
    check(database, acts)
    follow_a_little(database)
    assert place(database) == CHUNK
    check(database, acts)


def test_answers_name_nothing_that_left_the_database(under_measures: Database) -> None:
    database = under_measures
    acts = made(range(1, 101))
    enter(database, acts[:90])
    follow_whole(database)
    enter(database, acts[90:])
    short = [act for act in acts if act.type == "short" and 40 < act.seq < 96]  # the newest of some accounts among them
    let_go(database, [*acts[:20], *short])
    kept = [act for act in acts[20:] if act not in short]
    assert not any(act.account == "a5" for act in kept)
    check(database, kept)
    forgotten = forget_gone(database)
    check(database, kept)
    follow_whole(database)
    check(database, kept)
    with database.read() as tx:
        named = tx.rows("SELECT account, seq FROM account_acts ORDER BY seq")
    gone = {act.seq for act in acts[:20] if act.account is not None}
    assert not gone & {seq for _, seq in named}
    assert forgotten == len(gone) + 20, "and the ids of the events"
    forget_gone(database, leave_early=True)
    check(database, kept)
    with database.read() as tx:
        for table in ("account_acts", "entry_subjects"):
            left = {row[0] for row in tx.rows(f"SELECT seq FROM {table}")}
            assert left <= {act.seq for act in kept}, f"{table} names what is kept for less than 30 days, and gone"
        assert {row[0] for row in tx.rows("SELECT seq FROM entry_subjects")} == {act.seq for act in kept}
    database.empty_index()
    follow_whole(database)
    check(database, kept)
    with database.read() as tx:
        assert tx.rows("SELECT account, seq FROM account_acts ORDER BY seq") == [
            (act.account, act.seq) for act in kept if act.account is not None
        ]


def test_what_is_archived_but_still_in_the_database_is_found(under_measures: Database) -> None:
    database = under_measures
    acts = made(range(1, 41))
    enter(database, acts)
    let_go(database, acts[:10])  # the archive was interrupted here: it goes on with 11 to 20 another day
    with database.write() as tx:
        event_store.write_state(tx, "archived_seq", 20)

    def archived(tx: Tx, *, after_seq: int, limit: int) -> list[Entry]:
        del tx
        return [_entry(act) for act in acts[:20] if act.seq > after_seq][:limit]

    assert follow(database, {}, archived) == 20
    assert place(database) == 20
    check(database, acts[10:])
    while follow(database, {}, archived):
        pass
    check(database, acts[10:])


def test_what_left_is_forgotten_wherever_it_lies_and_however_much_it_is(database: Database) -> None:
    seqs = range(1, 3 * FORGET_CHUNK)
    first = 2 * FORGET_CHUNK + 1
    enter(database, [Act(seq=first, account=None, type="long", verdict="allow", signalled=False)])
    with database.write_index() as tx:
        finding_store.add(tx, [(("account", "item")[seq % 2], f"s{seq % 7}", seq) for seq in seqs], [])
        acts_store.add(tx, [(f"a{seq % 5}", seq) for seq in seqs])
    assert forget_gone(database) == 2 * (first - 1)
    kept = list(range(first, 3 * FORGET_CHUNK))
    with database.read() as tx:
        for table in ("entry_subjects", "account_acts"):
            assert sorted(row[0] for row in tx.rows(f"SELECT seq FROM {table}")) == kept, table
    assert forget_gone(database) == 0
