import pathlib
from collections.abc import Mapping

import pytest

from koban.access import SYSTEM, Call, Endpoint, Page, PageQuery, authorise
from koban.audit import SeededSecrets
from koban.base import Instant
from koban.db import Database
from koban.vault import HoldMissing, PersonOnLegalHold, Vault, erase
from koban.vault.routes import ErasedView, ErasureQuery, ErasureView, HoldBody, HoldView, PersonBody, endpoints
from koban.vault.types import Erasure

AT = Instant(1_792_584_000_000_000)


@pytest.fixture
def vault(database: Database, tmp_path: pathlib.Path) -> Vault:
    with database.write() as tx:
        return Vault.open_file(tx, tmp_path / "master.key", SeededSecrets(1))


@pytest.fixture
def table(database: Database, vault: Vault) -> Mapping[tuple[str, str], Endpoint]:
    def forget(person: str, by: str) -> Erasure:
        with database.write() as tx:
            return erase(tx, AT, vault, person, by=by)

    return {(one.method, one.path): one for one in endpoints(database, vault, forget)}


def call(one: Endpoint, *, body: object = None, params: object = None) -> object:
    return one.handler(
        Call(
            principal=SYSTEM, grant=authorise(SYSTEM, one.permission), at=AT, request_id="", method=one.method,
            url_path=one.path, path={}, query={}, params=params, headers={}, body=body, raw=b"", form={},
            language="en", csrf="", session_id="", address="",
        )
    )  # fmt: skip


def test_a_held_person_is_forgotten_only_after_the_release(
    table: Mapping[tuple[str, str], Endpoint], vault: Vault
) -> None:
    person = PersonBody(person="account_1")
    pseudonym = vault.pseudonym("person", "account_1")
    held = call(table["POST", "/v1/people/hold"], body=HoldBody(person="account_1", reference="R8-123"))
    view = HoldView(pseudonym=pseudonym, reference="R8-123", placed_at="2026-10-21T12:00:00.000000Z", placed_by="koban")
    assert held == view
    assert call(table["GET", "/v1/people/holds"], params=PageQuery()) == Page(items=[view])
    with pytest.raises(PersonOnLegalHold):
        call(table["POST", "/v1/people/erase"], body=person)
    assert call(table["GET", "/v1/people/erasures"], params=ErasureQuery()) == Page(items=[])
    call(table["POST", "/v1/people/release"], body=person)
    with pytest.raises(HoldMissing):
        call(table["POST", "/v1/people/release"], body=person)
    assert call(table["POST", "/v1/people/erase"], body=person) == ErasedView(
        pseudonym=pseudonym, erased_at="2026-10-21T12:00:00.000000Z", had_data=False
    )
    assert call(table["GET", "/v1/people/erasures"], params=ErasureQuery()) == Page(
        items=[ErasureView(pseudonym=pseudonym, erased_at="2026-10-21T12:00:00.000000Z", erased_by="koban")]
    )


def test_holds_and_erasures_come_in_pages(table: Mapping[tuple[str, str], Endpoint]) -> None:
    for number in range(5):
        call(table["POST", "/v1/people/hold"], body=HoldBody(person=f"held_{number}", reference="R"))
        call(table["POST", "/v1/people/erase"], body=PersonBody(person=f"gone_{number}"))
    for path, query in (("/v1/people/holds", PageQuery), ("/v1/people/erasures", ErasureQuery)):
        seen: list[str] = []
        cursor = None
        for _ in range(3):
            page = call(table["GET", path], params=query(cursor=cursor, limit=2))
            assert isinstance(page, Page)
            seen.extend(one.pseudonym for one in page.items)
            cursor = page.next_cursor
        assert cursor is None
        assert len(set(seen)) == len(seen) == 5
