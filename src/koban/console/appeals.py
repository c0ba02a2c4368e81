"""Appeals: the list for staff, and the page behind a signed link on which somebody appeals without signing in."""

from typing import Final

from koban.access import PUBLIC, Answer, Call, Endpoint, endpoint
from koban.base import Refusal
from koban.console.filters import read_filters
from koban.console.formats import Formats
from koban.console.kit import ConsoleKit
from koban.console.pages import PAGE_ITEMS, page
from koban.console.words import Words, language_of
from koban.enforcement import FileAppeal, Sanction, SanctionMissing, appeal_store, appeal_until, messages
from koban.enforcement import store as sanction_store
from koban.enforcement.appeals import TEXT_CHARS_MAX, AppealLinkInvalid, is_taken_back, read_token
from koban.packs import Texts

STATUSES: Final = ("open", "upheld", "overturned")
FORM_BYTES_MAX: Final = 64 * 1024


def endpoints(kit: ConsoleKit) -> tuple[Endpoint, ...]:
    """Return the pages of this part."""
    return (
        endpoint("GET", "/appeals", "appeals.read", lambda call: _list(kit, call), summary="Appeals", page=True),
        endpoint("GET", "/appeal/{token}", PUBLIC, lambda call: _public(kit, call), summary="Appeal a decision",
                 page=True, raises=(AppealLinkInvalid, SanctionMissing)),
        endpoint("POST", "/appeal/{token}", PUBLIC, lambda call: _file(kit, call), summary="Hand in an appeal",
                 accepts="form", page=True, max_bytes=FORM_BYTES_MAX, raises=(AppealLinkInvalid, SanctionMissing)),
    )  # fmt: skip


def _list(kit: ConsoleKit, call: Call) -> Answer:
    filters = read_filters(call.query, ("status",), Formats(language_of(call.language), kit.zone, call.at))
    status = filters.get("status")
    columns = {"status": status} if status in STATUSES else {}
    with kit.database.read() as tx:
        found = appeal_store.search(tx, before=filters.cursor or None, limit=PAGE_ITEMS + 1, filters=columns)
        sanctions = sanction_store.read(tx, tuple({one.sanction_id for one in found}))
    more = len(found) > PAGE_ITEMS
    return page(
        kit,
        call,
        "appeals.html",
        filters=filters,
        items=found[:PAGE_ITEMS],
        sanctions=sanctions,
        statuses=STATUSES,
        next_cursor=found[PAGE_ITEMS - 1].id if more else "",
    )


def _public(kit: ConsoleKit, call: Call, *, problem: str = "", text: str = "", filed: bool = False) -> Answer:
    sanction_id = read_token(kit.appeal_key, call.path["token"], call.at)
    with kit.database.read() as tx:
        sanction = sanction_store.read(tx, (sanction_id,)).get(sanction_id)
        earlier = appeal_store.read_of_sanction(tx, sanction_id)
    if sanction is None:
        raise SanctionMissing("What this link is about is not here any more.")
    language = language_of(call.query.get("language", "") or call.form.get("language", "") or call.language)
    return page(
        kit,
        call,
        "appeal_public.html",
        status=409 if problem else 200,
        speak=language,
        w=Words(language),
        g=Formats(language, kit.zone, call.at),
        sanction=sanction,
        because=[ground.because.get(language, "") for ground in (sanction.grounds or sanction.withdrawn)],
        measure=_measure(sanction, kit.zone)[language],
        appeal=earlier[0] if earlier else None,
        taken_back=is_taken_back(sanction),
        until=appeal_until(sanction),
        automated=sanction.automated,
        token=call.path["token"],
        problem=problem,
        text=text,
        text_max=TEXT_CHARS_MAX,
        filed=filed,
    )


def _measure(sanction: Sanction, zone: str) -> Texts:
    return messages.measure_sentence(
        messages.Done(
            effect=sanction.measure.effect,
            scope=sanction.measure.scope,
            until=sanction.ends_at,
            thing=sanction.subject.kind,
        ),
        zone,
    )


def _file(kit: ConsoleKit, call: Call) -> Answer:
    sanction_id = read_token(kit.appeal_key, call.path["token"], call.at)
    text = call.form.get("text", "").strip()
    language = language_of(call.form.get("language", "") or call.language)
    if not text or len(text) > TEXT_CHARS_MAX:
        return _public(kit, call, problem="appeal_page.problem_text", text=text[:TEXT_CHARS_MAX])
    try:
        kit.appeals.file(
            FileAppeal(sanction_id=sanction_id, text=text, channel="link", language=language, by=f"link:{sanction_id}")
        )
    except SanctionMissing:
        raise
    except Refusal as refusal:
        return _public(kit, call, problem=f"problem.{refusal.code}", text=text)
    return _public(kit, call, filed=True)
