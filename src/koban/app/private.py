"""Opening what people wrote: only for a case, with a purpose, and never without a trace in the audit trail."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated

import msgspec

import koban.cases.store as case_store
import koban.decisions.store as decision_store
import koban.events.store as event_store
from koban.access import Call, Endpoint, endpoint
from koban.app.running import Koban
from koban.audit import Secrets, record
from koban.base import Instant, Refusal, limits
from koban.cases import CaseMissing, read_case, read_signals
from koban.db import Database, Tx
from koban.events import Entry, EventMissing, encode
from koban.pipeline.sealing import open_entries
from koban.vault import Vault

SIGNALS_LOOKED_AT = 500
AROUND_MAX = 60  # events around those of a case that are looked at for the same conversation
CONVERSATIONS = ("thread.id", "stream.id", "order.id", "listing.id", "dispute.id")


class OpenBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which event of the case, and why it must be read."""

    event_id: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
    purpose: Annotated[str, msgspec.Meta(min_length=limits.PURPOSE_CHARS_MIN, max_length=limits.PURPOSE_CHARS_MAX)]


class Opened(msgspec.Struct, frozen=True, kw_only=True):
    """The personal fields of one event by dotted path; those of erased people are missing."""

    event_id: str
    fields: msgspec.Raw


class EventNotInCase(Refusal):
    """The event is none of those that brought the case about."""

    code = "event_not_in_case"
    status = 403
    title = "This event does not belong to the case."


class CaseOpener:
    """Opens the events of a case, and the conversation around them, for somebody with a purpose."""

    def __init__(self, database: Database, vault: Vault, secrets: Secrets) -> None:
        """Open with the vault; purposes are kept as salted commitments."""
        self._database = database
        self._vault = vault
        self._secrets = secrets

    def around(self, tx: Tx, entries: Sequence[Entry], accounts: Sequence[str]) -> list[Entry]:
        """Return the events of these accounts that belong to the same conversation as events of a case, in order."""
        wanted = {pair for entry in entries for pair in _conversations(entry)}
        if not wanted or not entries:
            return []
        seqs = decision_store.seqs_around(tx, accounts, around_seq=entries[0].seq, limit=AROUND_MAX)
        found = event_store.read_many(tx, [seq for seq in seqs if seq not in {entry.seq for entry in entries}])
        return [entry for entry in found if wanted & set(_conversations(entry))]

    def open(
        self, case_id: str, entries: Sequence[Entry], *, purpose: str, by: str, at: Instant
    ) -> dict[int, Mapping[str, object]]:
        """Return the personal fields of entries by their place; the trail knows of each before it is shown."""
        with self._database.write() as tx:
            return self.open_in(tx, case_id, entries, purpose=purpose, by=by, at=at)

    def open_in(
        self, tx: Tx, case_id: str, entries: Iterable[Entry], *, purpose: str, by: str, at: Instant
    ) -> dict[int, Mapping[str, object]]:
        """Open in the transaction of whoever calls: nothing is shown that the trail does not know of."""
        sealed = [entry for entry in entries if entry.sealed is not None]
        keyed = [(event_store.event_key(entry.source, entry.event_id), entry) for entry in sealed]
        fields = open_entries(tx, self._vault, keyed)
        for entry in sealed:
            record(
                tx,
                at,
                by,
                "message.opened",
                case_id,
                {"seq": entry.seq},
                commitments={"purpose": purpose},
                secrets=self._secrets,
            )
        return {entry.seq: opened for entry, opened in zip(sealed, fields, strict=True)}

    def entries_of(self, tx: Tx, case_id: str, *, limit: int) -> list[Entry]:
        """Return the newest events that brought a case about, oldest first."""
        signals = read_signals(tx, case_id, limit=SIGNALS_LOOKED_AT)
        members = case_store.read_members(tx, case_id, limit=SIGNALS_LOOKED_AT)
        seqs = sorted({signal.seq for signal in signals} | {member.seq for member in members if member.event_id})
        return event_store.read_many(tx, seqs[-limit:])


def _conversations(entry: Entry) -> list[tuple[str, str]]:
    data = msgspec.json.decode(entry.data)
    found = []
    for path in CONVERSATIONS:
        first, second = path.split(".")
        node = data.get(first) if isinstance(data, dict) else None
        value = node.get(second) if isinstance(node, dict) else None
        if isinstance(value, str):
            found.append((path, value))
    return found


def endpoints(koban: Koban) -> list[Endpoint]:
    """Describe the route."""
    opener = CaseOpener(koban.database, koban.vault, koban.secrets)

    def open_event(call: Call) -> Opened:
        body = call.body_as(OpenBody)
        case_id = call.path["id"]
        with koban.database.write() as tx:
            case = read_case(tx, case_id)
            if case is None:
                raise CaseMissing(f"there is no case {case_id}")
            signals = read_signals(tx, case_id, limit=SIGNALS_LOOKED_AT)
            seq = next((signal.seq for signal in signals if signal.event_id == body.event_id), None)
            if seq is None:
                raise EventNotInCase(f"{body.event_id} is none of the events that brought {case_id} about")
            entry = event_store.read_entry(tx, seq)
            if entry is None:
                raise EventMissing(f"{body.event_id} has left the database")
            opened = opener.open_in(tx, case_id, [entry], purpose=body.purpose, by=call.principal.actor, at=call.at)
        return Opened(event_id=body.event_id, fields=msgspec.Raw(encode(dict(opened.get(seq, {})))))

    return [
        endpoint(
            "POST", "/v1/cases/{id}/open", "messages.read", open_event,
            summary="Read what people wrote in an event of a case", body=OpenBody, returns=Opened,
            description="Needs a case and a purpose; who read what and when stands in the audit trail.",
            raises=(CaseMissing, EventNotInCase, EventMissing),
        )
    ]  # fmt: skip
