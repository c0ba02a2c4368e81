"""Opening single fields for a case, and looking through what people wrote: for a purpose, never without a trace."""

import dataclasses
import random
from collections.abc import Callable, Mapping
from typing import Final

import koban.events.store as event_store
from koban import finding, vault
from koban.access import Call, Endpoint, endpoint
from koban.app.running import Koban
from koban.audit import Secrets, record
from koban.base import MINUTE, Instant, random_id, to_rfc3339
from koban.cases import Case, CaseMissing, read_case, read_signals
from koban.db import Database, Tx
from koban.events import Entry, EventMissing, encode, joined_kind
from koban.finding import (
    CaseElsewhere,
    DiscloseBody,
    DisclosedField,
    FieldNotSealed,
    SealedFound,
    SealedHit,
    SealedQuery,
    folded,
)
from koban.packs import EventType, PackDef
from koban.pipeline.sealing import open_entries, open_entry

SIGNALS_LOOKED_AT: Final = 500
OPEN_FOR: Final = 15 * MINUTE
SEALED_LOOKED_AT: Final = 1_500  # entries that one search opens; it says how far back it came, and goes on from there
OPENED_AT_ONCE: Final = 250


@dataclasses.dataclass(frozen=True, kw_only=True)
class Opening:
    """What opening works with."""

    database: Database
    vault: vault.Vault
    randomness: random.Random
    secrets: Secrets
    pack: Callable[[], PackDef]


def opening_of(koban: Koban) -> Opening:
    """Take from a running Koban what opening works with."""
    return Opening(
        database=koban.database,
        vault=koban.vault,
        randomness=koban.randomness,
        secrets=koban.secrets,
        pack=lambda: koban.memory.compiled.pack,
    )


def disclose(koban: Opening, at: Instant, *, by: str, seq: int, asked: DiscloseBody) -> DisclosedField:
    """Open one personal field of an entry for a case and a purpose, for a quarter of an hour.

    Refuses: CaseMissing, CaseElsewhere, EventMissing, FieldNotSealed.
    Why in one transaction: nothing is shown that the trail does not know of.
    """
    with koban.database.write() as tx:
        case = read_case(tx, asked.case)
        if case is None:
            raise CaseMissing(f"there is no case {asked.case}")
        entry = event_store.read_entry(tx, seq)
        if entry is None or entry.sealed is None:
            raise EventMissing(f"entry {seq} has nothing sealed, or has left the database")
        declared = koban.pack().events.get(entry.type)
        if asked.path not in sealed_paths(declared):
            raise FieldNotSealed(f"{entry.type} seals no field {asked.path}")
        if not _is_about(tx, case, entry, declared):
            raise CaseElsewhere(f"{case.id} is about {case.subject.kind} {case.subject.id}")
        until_at = Instant(at + OPEN_FOR)
        vault.insert_disclosure(
            tx,
            vault.Disclosure(
                id=random_id("disclosure", at, koban.randomness), staff=by, seq=seq, path=asked.path, case_id=case.id,
                opened_at=at, until_at=until_at,
            ),
        )  # fmt: skip
        record(
            tx, at, by, "field.disclosed", case.id, {"seq": seq, "path": asked.path},
            commitments={"purpose": asked.purpose}, secrets=koban.secrets,
        )  # fmt: skip
        value = open_entry(tx, koban.vault, event_store.event_key(entry.source, entry.event_id), entry).get(asked.path)
    return DisclosedField(path=asked.path, value=_text(value), until=to_rfc3339(until_at))


def disclosed(
    koban: Opening, tx: Tx, at: Instant, *, by: str, entry: Entry
) -> Mapping[str, tuple[str | None, Instant]]:
    """Return the fields of an entry that are open for somebody now: value (None: its person was erased), until when."""
    paths = vault.open_paths(tx, staff=by, seq=entry.seq, at=at)
    if not paths:
        return {}
    fields = open_entry(tx, koban.vault, event_store.event_key(entry.source, entry.event_id), entry)
    return {path: (_text(fields.get(path)), until_at) for path, until_at in paths.items()}


def search_sealed(koban: Opening, at: Instant, *, by: str, asked: SealedQuery) -> SealedFound:
    """Look through what people wrote, newest first, for as many entries as one search may open.

    The query is folded as the rules fold texts. It is also turned into pseudonyms: an e-mail, a number or a device id is
    found wherever it was used, without opening anything. Only which fields hold it is told; reading one needs a case.
    """
    wanted = folded(asked.q)
    events = koban.pack().events
    with koban.database.read() as tx:
        entries = finding.sealed_entries(tx, before_seq=asked.before_seq, account=asked.account, limit=SEALED_LOOKED_AT)
        hits: list[SealedHit] = []
        for start in range(0, len(entries), OPENED_AT_ONCE):
            some = [
                (event_store.event_key(one.source, one.event_id), one)
                for one in entries[start : start + OPENED_AT_ONCE]
            ]
            for (_, entry), fields in zip(some, open_entries(tx, koban.vault, some), strict=True):
                paths = tuple(path for path, value in fields.items() if wanted in folded(_text(value) or ""))
                if paths:
                    hits.append(SealedHit(seq=entry.seq, at=entry.log_at, type=entry.type, paths=paths))
        kinds = {joined_kind(each, path) for each in events.values() for path in each.fields} - {None}
        same = [
            hit
            for kind in sorted(str(each) for each in kinds)
            for hit in finding.named_exactly(tx, kind, koban.vault.pseudonym(kind, asked.q.strip()))
        ]
    with koban.database.write() as tx:
        record(
            tx, at, by, "messages.searched", asked.account or "all", {"looked_at": len(entries), "hits": len(hits)},
            commitments={"purpose": asked.purpose, "query": asked.q}, secrets=koban.secrets,
        )  # fmt: skip
    return SealedFound(
        hits=hits,
        same=same,
        looked_at=len(entries),
        back_to_at=entries[-1].log_at if entries else None,
        next_before_seq=entries[-1].seq if len(entries) == SEALED_LOOKED_AT else None,
    )


def sealed_paths(declared: EventType | None) -> frozenset[str]:
    """Return the fields of an event type that are sealed."""
    fields = declared.fields if declared is not None else {}
    return frozenset(path for path, field in fields.items() if field.personal is not None and not field.joined)


def _is_about(tx: Tx, case: Case, entry: Entry, declared: EventType | None) -> bool:
    """Tell whether a case may open an entry: it brought the case about, or names whom or what the case is about."""
    if any(signal.seq == entry.seq for signal in read_signals(tx, case.id, limit=SIGNALS_LOOKED_AT)):
        return True
    subjects = [case.subject] if case.acting is None else [case.subject, case.acting]
    return any(finding.is_named(subject.kind, subject.id, entry, declared) for subject in subjects)


def _text(value: object) -> str | None:
    return None if value is None else value if isinstance(value, str) else encode(value).decode()


def endpoints(koban: Koban) -> list[Endpoint]:
    """Describe the routes."""

    def post_disclose(call: Call) -> DisclosedField:
        seq = call.path["seq"]
        if not (seq.isascii() and seq.isdecimal() and len(seq) < 19):
            raise EventMissing(f"{seq[:40]} is no place in the log")
        return disclose(
            opening_of(koban), call.at, by=call.principal.actor, seq=int(seq), asked=call.body_as(DiscloseBody)
        )

    def post_search(call: Call) -> SealedFound:
        return search_sealed(opening_of(koban), call.at, by=call.principal.actor, asked=call.body_as(SealedQuery))

    return [
        endpoint(
            "POST", "/v1/decisions/{seq}/disclose", "personal.read", post_disclose,
            summary="Open a personal field for a case", body=DiscloseBody, returns=DisclosedField,
            description="One field of one entry, for a case that is about it and a purpose; open for a quarter of an hour.",
            raises=(CaseMissing, CaseElsewhere, EventMissing, FieldNotSealed),
        ),
        endpoint(
            "POST", "/v1/search/sealed", "messages.read", post_search,
            summary="Search what people wrote, for a purpose", body=SealedQuery, returns=SealedFound,
            description="Looks through the newest sealed entries, tells which fields hold the query and never what they "
            "say, and how far back it came; who searched for what (as a commitment) and why stands in the audit trail.",
        ),
    ]  # fmt: skip
