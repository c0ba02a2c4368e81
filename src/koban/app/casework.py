"""Cases and appeals: what the rooms need from further down, handed to them once, for the API and the console alike."""

import random

from koban.access import ROLES
from koban.access import store as access_store
from koban.cases import work_routes
from koban.cases.types import CaseAlreadyClosed, CaseMissing, ClaimLost, NotForYou
from koban.db import Tx
from koban.enforcement import Sanction, appeal_routes, appeal_store, appeal_until, link_token
from koban.enforcement.appeals import Appeal
from koban.pipeline import Desk, appealing, casework, judgement

APPEAL_PATH = "/appeal"


def workbench(desk: Desk, randomness: random.Random) -> work_routes.Workbench:
    """Return what those who work on cases are given."""
    return work_routes.Workbench(
        database=desk.database,
        randomness=randomness,
        queues=lambda: desk.memory.compiled.pack.queues,
        colleague=works_cases,
        decide=lambda command: desk.command(lambda memory, tx: casework.decide(memory, tx, command)),
        preview=lambda tx, command, at: judgement.preview(tx, desk.memory.compiled.pack, command, at),
        decline=lambda command: desk.command(lambda memory, tx: casework.decline(memory, tx, command)),
        pause=lambda command: desk.command(lambda memory, tx: casework.pause(memory, tx, command)),
        resume=lambda command: desk.command(lambda memory, tx: casework.resume(memory, tx, command)),
        move=lambda command: desk.command(lambda memory, tx: casework.move(memory, tx, command)),
        reopen=lambda command: desk.command(lambda memory, tx: casework.reopen(memory, tx, command)),
    )


def appeal_desk(desk: Desk) -> appeal_routes.AppealDesk:
    """Return what appeals are given."""
    return appeal_routes.AppealDesk(
        database=desk.database,
        file=lambda command: desk.command(lambda memory, tx: appealing.file_appeal(memory, tx, command)),
        decide=lambda command: desk.command(lambda memory, tx: appealing.decide_appeal(memory, tx, command)),
        read_text=lambda tx, appeal: read_text(desk, tx, appeal),
        deciding_refusals=(CaseMissing, CaseAlreadyClosed, ClaimLost, NotForYou),
    )


def read_text(desk: Desk, tx: Tx, appeal: Appeal) -> str | None:
    """Return what a person wrote in an appeal; None where they were erased."""
    sealed = appeal_store.read_sealed(tx, appeal.id)
    if sealed is None:
        return None
    opened = desk.memory.vault.open(tx, appealing.appeal_person(appeal.id, appeal.account), appeal.id, sealed)
    text = None if opened is None else opened.get("text")
    return text if isinstance(text, str) else None


def works_cases(tx: Tx, staff_id: str) -> bool:
    """Return whether somebody of this id is on the staff and may work cases."""
    one = access_store.staff_by_id(tx, staff_id)
    return (
        one is not None and one.disabled_at is None and any("cases.work" in ROLES.get(role, ()) for role in one.roles)
    )


def sign_links(desk: Desk, key: bytes, public_url: str) -> None:
    """Let notices and webhooks carry a page on which the person can appeal without signing in."""

    def link(sanction: Sanction) -> str:
        return f"{public_url.rstrip('/')}{APPEAL_PATH}/{link_token(key, sanction.id, appeal_until(sanction))}"

    desk.memory.appeal_link = link
