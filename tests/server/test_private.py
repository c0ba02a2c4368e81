"""What people wrote is opened for a case and a purpose alone, and the trail knows it."""

from tests.server.conftest import Server
from tests.server.test_bad_input import event

LURE = "直取引しませんか"


def test_a_message_is_opened_for_its_case_with_a_purpose_and_logged(server: Server) -> None:
    for number in range(4):
        server.post(event(f"p{number}", sender={"id": "liar"}, text=LURE))
    case = server.client.get("/v1/cases").json()["items"][0]
    detail = server.client.get(f"/v1/cases/{case['id']}").json()
    event_id = detail["signals"][0]["event_id"]
    path = f"/v1/cases/{case['id']}/open"
    assert server.command(path, {"event_id": event_id, "purpose": "short"}).status_code == 422
    assert server.command(path, {"event_id": "p0", "purpose": "to judge the report"}).status_code == 403
    opened = server.command(path, {"event_id": event_id, "purpose": "to judge the report"})
    assert (opened.status_code, opened.json()["fields"]["text"]) == (200, LURE)
    rows = server.client.get("/v1/audit", params={"action": "message.opened"}).json()["items"]
    assert len(rows) == 1
    assert "to judge" not in str(rows)
