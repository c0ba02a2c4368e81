"""Opening what people wrote: only for a case, with a purpose, and never without a trace in the audit trail."""

from typing import Annotated

import msgspec

import koban.events.store as event_store
from koban.access import Call, Endpoint, endpoint
from koban.app.running import Koban
from koban.audit import record
from koban.base import Refusal
from koban.cases import CaseMissing, read_case, read_signals
from koban.events import EventMissing, encode
from koban.pipeline.sealing import open_entry

SIGNALS_LOOKED_AT = 500


class OpenBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which event of the case, and why it must be read."""

    event_id: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
    purpose: Annotated[str, msgspec.Meta(min_length=8, max_length=500)]


class Opened(msgspec.Struct, frozen=True, kw_only=True):
    """The personal fields of one event by dotted path; those of erased people are missing."""

    event_id: str
    fields: msgspec.Raw


class EventNotInCase(Refusal):
    """The event is none of those that brought the case about."""

    code = "event_not_in_case"
    status = 403
    title = "This event does not belong to the case."


def endpoints(koban: Koban) -> list[Endpoint]:
    """Describe the route."""

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
            fields = open_entry(tx, koban.vault, event_store.event_key(entry.source, entry.event_id), entry)
            # Why in the same transaction: nothing is shown that the trail does not know of.
            record(
                tx,
                call.at,
                call.principal.actor,
                "message.opened",
                case_id,
                {"seq": seq},
                commitments={"purpose": body.purpose},
                secrets=koban.secrets,
            )
        return Opened(event_id=body.event_id, fields=msgspec.Raw(encode(fields)))

    return [
        endpoint(
            "POST", "/v1/cases/{id}/open", "messages.read", open_event,
            summary="Read what people wrote in an event of a case", body=OpenBody, returns=Opened,
            description="Needs a case and a purpose; who read what and when stands in the audit trail.",
            raises=(CaseMissing, EventNotInCase, EventMissing),
        )
    ]  # fmt: skip
