"""Emergency, undo, on-call and rule health against a running server: over HTTP and from the command line."""

import json

from tests.server.conftest import Server, run_koban


def message(event_id: str, text: str) -> dict[str, object]:
    return {
        "specversion": "1.0",
        "id": event_id,
        "source": "shop",
        "type": "message.sent",
        "data": {
            "sender": {"id": f"a-{event_id}"},
            "recipient": {"id": "b1"},
            "message": {"id": f"m-{event_id}"},
            "text": text,
        },
    }


def cli(server: Server, *arguments: str) -> str:
    done = run_koban(*arguments, data=server.data, port=server.port)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_from_a_condition_to_what_it_did_undone(server: Server) -> None:
    assert server.post(message("s1", "zzwave")).json()["verdict"] == "allow"
    started = cli(
        server, "emergency", "start", "text ILIKE '%zzwave%'", "--on", "message.sent", "--then", "hide", "--policy",
        "fraud/lure", "--name", "wave", "--reason", "a wave", "--yes",
    )  # fmt: skip
    assert "1 of 1 events" in started
    assert "emergency.wave decides until" in started
    decided = server.post(message("s2", "zzwave again")).json()
    assert decided["verdict"] == "block"
    assert decided["signals"][0]["rule"] == "emergency.wave"
    (one,) = server.client.get("/v1/emergency").json()["items"]
    assert decided["emergency"] == [one["version"]]
    listed = json.loads(cli(server, "undo", "--rule", "emergency.wave", "--json"))
    assert {line["kind"] for line in listed["items"]} == {"sanction", "verdict"}
    assert "1 sanctions, 0 notices, 1 verdicts" in cli(
        server, "undo", "--rule", "emergency.wave", "--reason", "a mistake"
    )
    assert server.client.get("/v1/undo", params={"rule": "emergency.wave"}).json()["standing"]["lines"] == 0
    cli(server, "emergency", "end", "emergency.wave", "--reason", "over")
    assert server.post(message("s3", "zzwave late")).json()["verdict"] == "allow"
    assert "ended" in cli(server, "emergency", "list")


def test_a_rule_starts_only_as_it_was_previewed(server: Server) -> None:
    body = {
        "name": "unseen", "policy": "fraud/lure", "on": ["message.sent"], "when": "text ILIKE '%zz%'",
        "then": [{"kind": "hide"}], "reason": "because",
    }  # fmt: skip
    assert server.command("/v1/emergency", body).json()["code"] == "emergency_not_previewed"
    made = server.command("/v1/emergency/preview", body).json()
    other = server.command("/v1/emergency", {**body, "when": "text ILIKE '%zy%'", "preview": made["id"]})
    assert other.json()["code"] == "emergency_not_previewed"
    assert server.command("/v1/emergency", {**body, "preview": made["id"]}).status_code == 201
    assert server.command("/v1/emergency/emergency.unseen/extend", {"reason": "more"}).json()["code"] == (
        "emergency_needs_second"
    )


def test_on_call_and_rule_health_from_the_command_line(server: Server) -> None:
    assert "level 1: nobody" in cli(server, "oncall", "who")
    assert "is called" in cli(server, "oncall", "call", "please help")
    page = next(line.split()[0] for line in cli(server, "oncall", "pages").splitlines() if "called" in line)
    assert "is taken" in cli(server, "oncall", "take", page)
    assert "is over" in cli(server, "oncall", "resolve", page)
    steps = [each["what"] for each in server.client.get(f"/v1/oncall/pages/{page}").json()["steps"]]
    assert steps[0] == "opened"
    assert steps[-2:] == ["acknowledged", "resolved"]
    cli(server, "rule-health")
    rules = server.client.get("/v1/rule-health").json()["rules"]
    assert {"lure", "big_payout"} <= {each["rule"] for each in rules}
    expected = server.client.put(
        "/v1/rules/lure/expectation", json={"people": 2_000, "hours": 10, "reason": "backtest"}
    )
    assert expected.json()["ceiling"] > 1_200
    assert (
        server.client.put("/v1/rules/none/expectation", json={"people": 1, "hours": 1, "reason": "x"}).status_code
        == 404
    )


def test_ceilings_and_snoozes_from_the_command_line(server: Server) -> None:
    figures = ("--people", "30", "--hours", "10", "--reason", "backtest")
    assert "from 100 people in an hour on it only opens cases" in cli(server, "rule", "expect", "big_payout", *figures)
    assert "mute for a9 until 20" in cli(server, "rule", "snooze", "lure", "a9", "--reason", "ours", "--until", "3d")
    (one,) = server.client.get("/v1/snoozes?subject=a9").json()
    assert (one["rule"], one["kind"], one["subject"], one["reason"]) == ("lure", "account", "a9", "ours")
    assert server.client.get("/v1/snoozes?rule=big_payout").json() == []
    assert "lure  a9  until 20" in cli(server, "rule", "snoozes", "--rule", "lure")
    assert "speaks for a9 again" in cli(server, "rule", "unsnooze", "lure", "a9", "--reason", "sold")
    assert server.client.get("/v1/snoozes").json() == []
    assert cli(server, "rule", "drafts") == ""
