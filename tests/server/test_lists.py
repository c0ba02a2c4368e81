"""Lists from the command line: what is on them, versions and the way back, what expires, previews, and whose they are."""

import json
import pathlib
import re

from tests.server.conftest import Server, run_koban, start_server
from tests.server.test_emergency import cli, message


def test_a_list_is_filled_seen_in_time_and_brought_back(server: Server) -> None:
    assert "trusted  values  0 from the pack  nobody" in cli(server, "list", "all")
    assert "2 on from log entry" in cli(
        server, "list", "add", "trusted", "a1", "a2", "--reason", "shops", "--until", "3d"
    )
    first = json.loads(cli(server, "list", "versions", "trusted", "--json"))[0]
    assert (first["added"], first["note"]) == (2, "shops")
    assert "off from log entry" in cli(server, "list", "remove", "trusted", "a1", "--reason", "sold")
    shown = cli(server, "list", "show", "trusted")
    assert "a2  " in shown
    assert "  shops" in shown
    assert "a1  " not in shown
    then = json.loads(cli(server, "list", "show", "trusted", "--seq", str(first["seq"]), "--json"))
    assert [each["value"] for each in then] == ["a1", "a2"]
    assert "trusted  a2" in cli(server, "list", "expiring", "--days", "5", "--mine")
    assert cli(server, "list", "expiring", "--days", "1") == ""

    back = ("list", "rollback", "trusted", str(first["seq"]))
    assert "trusted: would be 1 on, 0 off; give --reason to do it" in cli(server, *back)
    assert "+ a1\ntrusted: 1 on, 0 off" in cli(server, *back, "--reason", "a mistake")
    assert "a1  " in cli(server, "list", "show", "trusted")
    assert cli(server, "list", "versions", "trusted").splitlines()[0].endswith("a mistake")


def test_a_preview_says_what_further_values_would_have_hit_and_changes_nothing(tmp_path: pathlib.Path) -> None:
    with start_server(tmp_path / "data") as own:
        assert own.post(message("p1", "let us use zzpreview")).json()["verdict"] == "allow"
        told = cli(own, "list", "preview", "lures", "zzpreview", "--since", "1h")
        assert re.search(r"^lure +1 +0 ", told, re.MULTILINE), told
        assert "zzpreview" not in cli(own, "list", "show", "lures")
        cli(own, "list", "add", "lures", "zzpreview", "--reason", "seen")
        assert own.post(message("p2", "let us use zzpreview")).json()["verdict"] == "block"
        told = cli(own, "list", "preview", "lures", "zzpreview", "--since", "1h", "--off")
        assert re.search(r"^lure +0 +1 ", told, re.MULTILINE), told
        refused = run_koban("list", "preview", "nothing", "x", data=own.data, port=own.port)
        assert refused.returncode != 0
        assert "declares no list 'nothing'" in refused.stderr


def test_a_list_has_an_owner_of_the_staff_and_those_before(server: Server) -> None:
    new = {"email": "mio@example.jp", "name": "Mio", "roles": ["specialist"]}
    mio = server.client.post("/v1/staff", json=new).json()["staff"]["id"]
    given = cli(server, "list", "owner", "lures", "mio@example.jp", "--reason", "speaks the language")
    assert given == f"lures: {mio}\n"
    assert f"lures  phrases  2 from the pack  {mio}" in cli(server, "list", "all")
    refused = run_koban("list", "owner", "lures", "staff_none", "--reason", "x", data=server.data, port=server.port)
    assert refused.returncode != 0
    assert server.client.put("/v1/lists/none/owner", json={"owner": mio, "reason": "x"}).status_code == 404
    assert server.client.put("/v1/lists/lures/owner", json={"owner": mio, "reason": " "}).status_code == 422
    silent = server.client.put("/v1/lists/lures/owner", json={"owner": mio, "reason": "\u200b"})
    assert (silent.status_code, silent.json()["errors"][0]["path"]) == (422, "/reason")
    assert cli(server, "list", "owner", "lures", "nobody", "--reason", "on leave") == "lures: nobody\n"
    lines = cli(server, "list", "owner", "lures").splitlines()
    assert [
        (mio in line, line.endswith(reason)) for line, reason in zip(lines, ("on leave", "the language"), strict=True)
    ] == [
        (False, True),
        (True, True),
    ]
    rows = server.client.get("/v1/audit?action=list.owner_set").json()["items"]
    assert len(rows) == 2
