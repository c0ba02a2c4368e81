"""The HTTP addresses of appeals, for the marketplace and for staff; people themselves have a page behind a signed link."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Annotated, Literal

import msgspec

from koban.access import Call, Endpoint, Page, PageQuery, endpoint
from koban.base import Instant, Refusal, to_rfc3339
from koban.db import Database, Tx
from koban.enforcement import appeal_store
from koban.enforcement.appeals import (
    Appeal,
    AppealDecidedAlready,
    AppealMissing,
    AppealOpenAlready,
    AppealStatus,
    AppealText,
    AppealTooLate,
    AppealVerb,
    DecideAppeal,
    FileAppeal,
    NothingToAppeal,
    TooManyAppeals,
)
from koban.enforcement.types import Identifier, Reason, SanctionMissing, SubjectRef


@dataclasses.dataclass(frozen=True, kw_only=True)
class AppealDesk:
    """What the application gives to appeals; commands go through the decider and raise refusals."""

    database: Database
    file: Callable[[FileAppeal], Appeal]
    decide: Callable[[DecideAppeal], Appeal]
    read_text: Callable[[Tx, Appeal], str | None]  # None where the person was erased
    deciding_refusals: tuple[type[Refusal], ...] = ()


class AppealBody(msgspec.Struct, frozen=True, kw_only=True):
    """An appeal; `text` is null where the person was erased, and in lists."""

    id: str
    sanction_id: str
    subject: SubjectRef
    account: SubjectRef | None
    channel: str
    language: str
    status: AppealStatus
    filed_at: str
    case_id: str
    decided_at: str | None
    decided_by: str | None
    answer: Mapping[str, str]
    text: str | None = None


class AppealQuery(PageQuery, frozen=True, kw_only=True):
    """Filters of the list of appeals."""

    status: AppealStatus | None = None
    sanction_id: str | None = None
    account_id: str | None = None


class FileBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a person says against a sanction, as the marketplace hands it on."""

    sanction_id: Identifier
    text: AppealText
    language: Literal["ja", "en"] = "ja"


class Answer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The answer to the person, in both languages."""

    en: Reason
    ja: Reason


class DecideBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Uphold or overturn, under the claim of the appeal's case. Overturning takes back all that came with it."""

    verb: AppealVerb
    fence: Annotated[int, msgspec.Meta(description="Of the claim that you hold on the appeal's case")]
    answer: Answer
    note: Annotated[str, msgspec.Meta(max_length=4_000)] = ""


def appeal_endpoints(desk: AppealDesk) -> tuple[Endpoint, ...]:
    """Describe the routes."""
    return (
        endpoint("GET", "/v1/appeals", "appeals.read", lambda call: _list(desk, call),
                 summary="List appeals, newest first", query=AppealQuery, returns=Page[AppealBody]),
        endpoint("POST", "/v1/appeals", "appeals.file", lambda call: _file(desk, call),
                 summary="Hand in an appeal", body=FileBody, returns=AppealBody, status=201,
                 description="One appeal for a sanction; somebody who had no part in it decides.",
                 raises=(SanctionMissing, NothingToAppeal, AppealOpenAlready, AppealDecidedAlready, AppealTooLate,
                         TooManyAppeals)),
        endpoint("GET", "/v1/appeals/{id}", "appeals.read", lambda call: _get(desk, call),
                 summary="Look up an appeal", returns=AppealBody, raises=(AppealMissing,)),
        endpoint("POST", "/v1/appeals/{id}/decide", "appeals.decide", lambda call: _decide(desk, call),
                 summary="Uphold or overturn", body=DecideBody, returns=AppealBody,
                 raises=(AppealMissing, *desk.deciding_refusals)),
    )  # fmt: skip


def appeal_body(appeal: Appeal, text: str | None = None) -> AppealBody:
    """Return an appeal in the form that leaves Koban."""
    return AppealBody(
        id=appeal.id,
        sanction_id=appeal.sanction_id,
        subject=appeal.subject,
        account=appeal.account,
        channel=appeal.channel,
        language=appeal.language,
        status=appeal.status,
        filed_at=to_rfc3339(appeal.filed_at),
        case_id=appeal.case_id,
        decided_at=_written(appeal.decided_at),
        decided_by=appeal.decided_by,
        answer=appeal.answer,
        text=text,
    )


def _written(at: Instant | None) -> str | None:
    return None if at is None else to_rfc3339(at)


def _list(desk: AppealDesk, call: Call) -> Page[AppealBody]:
    query = call.params_as(AppealQuery)
    filters = {
        name: value for name in ("status", "sanction_id", "account_id") if (value := getattr(query, name)) is not None
    }
    with desk.database.read() as tx:
        found = appeal_store.search(tx, before=query.cursor, limit=query.limit + 1, filters=filters)
    items = [appeal_body(each) for each in found[: query.limit]]
    return Page(items=items, next_cursor=items[-1].id if len(found) > query.limit else None)


def _get(desk: AppealDesk, call: Call) -> AppealBody:
    with desk.database.read() as tx:
        appeal = appeal_store.read(tx, call.path["id"])
        if appeal is None:
            raise AppealMissing(f"there is no appeal {call.path['id'][:80]}")
        return appeal_body(appeal, desk.read_text(tx, appeal))


def _file(desk: AppealDesk, call: Call) -> AppealBody:
    body = call.body_as(FileBody)
    appeal = desk.file(
        FileAppeal(
            sanction_id=body.sanction_id,
            text=body.text,
            channel="api",
            language=body.language,
            by=call.principal.actor,
        )
    )
    return appeal_body(appeal, body.text)


def _decide(desk: AppealDesk, call: Call) -> AppealBody:
    body = call.body_as(DecideBody)
    with desk.database.read() as tx:
        appeal = appeal_store.read(tx, call.path["id"])
    if appeal is None:
        raise AppealMissing(f"there is no appeal {call.path['id'][:80]}")
    decided = desk.decide(
        DecideAppeal(
            case_id=appeal.case_id,
            fence=body.fence,
            verb=body.verb,
            answer={"en": body.answer.en, "ja": body.answer.ja},
            note=body.note,
            by=call.principal.actor,
        )
    )
    return appeal_body(decided)
