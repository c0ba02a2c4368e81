"""Lists in time at the border: as of a moment or an entry, under the pack of then; the way back; what expires."""

from tests.app.test_versions import FILES, House, house, site

from koban.base import DAY, HOUR, SECOND, Instant, to_rfc3339

__all__ = ["house", "site"]  # fixtures

FURTHER = FILES | {
    "lists.yaml": FILES["lists.yaml"].replace("  of: account\n", "  of: account\n  entries: [p1, p2]\n", 1)
}


def put(house: House, *values: str, who: str = "mika", expires_at: str | None = None) -> int:
    body = {"values": list(values), "note": "known well", "expires_at": expires_at}
    status, said = house.ask(who, "POST", "/v1/lists/trusted/entries", body)
    assert status == 201, said
    return int(said["seq"])


def on(house: House, query: str = "") -> list[str]:
    status, found = house.ask("ken", "GET", f"/v1/lists/trusted/members{query}")
    assert status == 200, found
    return [each["value"] for each in found["values"]]


def test_membership_as_of_a_moment_stands_under_the_pack_of_then(house: House) -> None:
    clock = house.koban.clock
    first = put(house, "a1", "a2")
    clock.advance(SECOND)  # type: ignore[attr-defined]  # a manual clock
    then = to_rfc3339(clock.now())
    clock.advance(HOUR)  # type: ignore[attr-defined]  # a manual clock
    house.bring(FURTHER)
    put(house, "a3", expires_at=to_rfc3339(Instant(clock.now() + 3 * DAY)))
    assert on(house) == ["a1", "a2", "a3", "p1", "p2"]
    assert on(house, f"?at={then}") == ["a1", "a2"]
    assert on(house, f"?seq={first}") == ["a1", "a2"]
    assert on(house, f"?seq={first - 1}") == []
    assert on(house, "?limit=2") == ["a1", "a2"]
    assert on(house, "?limit=2&after=a2") == ["a3", "p1"]
    for wrong in ("?at=yesterday", f"?at={then}&seq=1"):
        status, said = house.ask("ken", "GET", f"/v1/lists/trusted/members{wrong}")
        assert (status, said["code"]) == (422, "list_moment_invalid")
    assert house.ask("ken", "GET", "/v1/lists/nothing/members")[1]["code"] == "list_missing"
    clock.advance(4 * DAY)  # type: ignore[attr-defined]  # a manual clock
    assert on(house) == ["a1", "a2", "p1", "p2"]

    kinds = [(each["kind"], each["added"]) for each in house.ask("ken", "GET", "/v1/lists/trusted/versions")[1]]
    assert kinds == [("people", 1), ("pack", 2), ("people", 2)]


def test_a_list_goes_back_to_a_version_and_says_first_what_changes(house: House) -> None:
    first = put(house, "a1", "a2")
    put(house, "a3")
    house.ask("mika", "POST", "/v1/lists/trusted/remove", {"value": "a1", "note": "sold"})
    wanted = {"added": ["a1"], "removed": ["a3"]}
    assert house.ask("ken", "GET", f"/v1/lists/trusted/rollback?seq={first}") == (200, wanted)
    assert on(house) == ["a2", "a3"]
    body = {"seq": first, "note": "it was right"}
    assert house.ask("ken", "POST", "/v1/lists/trusted/rollback", body) == (200, wanted)
    assert on(house) == ["a1", "a2"]
    memory = house.koban.memory
    assert list(memory.lists.members("trusted", memory.log_time.peek())) == ["a1", "a2"]
    assert house.ask("ken", "POST", "/v1/lists/trusted/rollback", body) == (200, {"added": [], "removed": []})
    status, said = house.ask("ken", "POST", "/v1/lists/trusted/rollback", {"seq": 99_999, "note": "x"})
    assert (status, said["code"]) == (422, "list_place_unknown")


def test_what_expires_soon_is_named_to_whoever_put_it_there(house: House) -> None:
    now = house.koban.clock.now()
    put(house, "a1", expires_at=to_rfc3339(Instant(now + 2 * DAY)))
    put(house, "a2", who="ken", expires_at=to_rfc3339(Instant(now + DAY)))
    put(house, "a3", expires_at=to_rfc3339(Instant(now + 20 * DAY)))
    put(house, "a4")

    def soon(who: str, query: str = "") -> list[str]:
        return [each["value"] for each in house.ask(who, "GET", f"/v1/lists-expiring{query}")[1]]

    assert soon("mika") == ["a2", "a1"]
    assert soon("mika", "?mine=true") == ["a1"]
    assert soon("ken", "?mine=true") == ["a2"]
    assert soon("mika", "?days=30") == ["a2", "a1", "a3"]
