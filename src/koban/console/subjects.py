"""One subject, an account above all: what it may do now and why, and everything that was decided about it."""

from typing import Final

from koban.access import Answer, Call, Endpoint, endpoint
from koban.cases import store as case_store
from koban.console import store
from koban.console.kit import ConsoleKit
from koban.console.pages import page
from koban.console.watch import with_facts
from koban.decisions import store as decision_store
from koban.enforcement import SubjectRef, derive_state
from koban.enforcement import store as sanction_store
from koban.labels import labels_of

DECISIONS_SHOWN: Final = 20
CASES_SHOWN: Final = 20
ACTIONS_SHOWN: Final = 20
ACCOUNT: Final = "account"


def endpoints(kit: ConsoleKit) -> tuple[Endpoint, ...]:
    """Return the page of this part."""

    def show(call: Call) -> Answer:
        subject = SubjectRef(kind=call.path["kind"], id=call.path["id"])
        wanted = {"subject_kind": subject.kind, "subject_id": subject.id}
        with kit.database.read() as tx:
            sanctions = sanction_store.read_of_subject(tx, subject)
            decisions = (
                decision_store.search(tx, before_seq=None, limit=DECISIONS_SHOWN, acting=subject.id)
                if subject.kind == ACCOUNT
                else []
            )
            lines = with_facts(tx, decisions)
            cases = [
                *case_store.search_cases(tx, status="open", limit=CASES_SHOWN, filters=wanted),
                *case_store.search_cases(tx, status="closed", limit=CASES_SHOWN, filters=wanted),
            ]
            labels = labels_of(tx, subject.kind, subject.id)
            asked = store.actions_about(tx, subject, limit=ACTIONS_SHOWN)
        return page(
            kit,
            call,
            "subject.html",
            subject=subject,
            state=derive_state(sanctions, call.at),
            sanctions=sanctions[::-1],
            lines=lines,
            more=len(lines) == DECISIONS_SHOWN,
            cases=cases,
            labels=labels,
            asked=asked,
            pack=kit.pack(),
        )

    return (endpoint("GET", "/subjects/{kind}/{id:path}", "subjects.read", show, summary="A subject", page=True),)
