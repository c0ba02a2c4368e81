"""The verbs of `koban pack` that speak to a running server: push, history, diff, rollback, pull, drafts and their ends."""

import pathlib
import shutil

from tests.server.conftest import SMALL_PACK, Server, run_koban


def verb(server: Server, *arguments: str, code: int = 0) -> str:
    done = run_koban("pack", *arguments, data=server.data, port=server.port)
    assert done.returncode == code, (done.stdout, done.stderr)
    return done.stdout + done.stderr


def changed(folder: pathlib.Path, file: str, old: str, new: str) -> str:
    shutil.copytree(SMALL_PACK, folder)
    text = (folder / file).read_text(encoding="utf-8")
    assert old in text
    (folder / file).write_text(text.replace(old, new, 1), encoding="utf-8")
    return str(folder)


def test_a_pack_is_pushed_compared_pulled_and_rolled_back(server: Server, tmp_path: pathlib.Path) -> None:
    first = verb(server, "history").splitlines()[0].split()[1]
    quieter = changed(tmp_path / "quieter", "rules/rules.yaml", "cap: 5 per hour", "cap: 4 per hour")
    assert "changed rules lure: " in verb(server, "diff", first, quieter, code=1)
    assert "decides from log entry" in verb(server, "push", quieter, "--reason", "fewer people")
    newest = verb(server, "history").splitlines()[0]
    assert newest.endswith("fewer people")
    again = verb(server, "push", quieter, "--reason", "merged without a change")
    assert again.strip().endswith(f"is in force already, from log entry {newest.split()[0]} on; nothing was switched")
    assert verb(server, "history").splitlines()[0] == newest
    assert "-  cap: 4 per hour" in verb(server, "diff", first, code=1), "what going back to it would change"
    other = changed(tmp_path / "other", "rules/rules.yaml", "cap: 5 per hour", "cap: 3 per hour")
    assert "+  cap: 3 per hour" in verb(server, "diff", other, code=1), "what a push of it would change"
    for none in ("", "ffff", "zz"):
        assert "There is no such pack version." in verb(server, "rollback", none, "--reason", "typed wrong", code=2)
    assert verb(server, "diff", quieter) == ""
    verb(server, "pull", str(tmp_path / "pulled"))
    assert (tmp_path / "pulled/rules/rules.yaml").read_text() == (tmp_path / "quieter/rules/rules.yaml").read_text()
    assert first in verb(server, "rollback", first[:6], "--reason", "it was right before")
    assert verb(server, "diff", str(SMALL_PACK)) == ""


def test_faults_that_the_server_finds_end_as_those_found_here_do(server: Server, tmp_path: pathlib.Path) -> None:
    before = verb(server, "history")
    faulty = changed(tmp_path / "faulty", "rules/rules.yaml", "messages_1h >= 3", "mesages_1h >= 3")
    assert "rules/rules.yaml:12:37" in verb(server, "push", faulty, "--reason", "quick", code=1)
    assert "rules/rules.yaml:12:37" in verb(server, "propose", faulty, "--reason", "quick", code=1)
    assert "No pack.yaml is in" in verb(server, "push", str(tmp_path), "--reason", "quick", code=2)
    assert (verb(server, "history"), verb(server, "drafts")) == (before, "")


def test_what_is_severe_waits_for_somebody_else_and_can_be_withdrawn(server: Server, tmp_path: pathlib.Path) -> None:
    severe = changed(tmp_path / "severe", "policies.yaml", "severity: high", "severity: severe")
    before = verb(server, "history")
    said = verb(server, "push", severe, "--reason", "it is worse than we thought")
    assert "proposed, not in force. A second person must approve it, because of:" in said
    assert verb(server, "history") == before
    draft = said.partition(":")[0]
    line = next(each for each in verb(server, "drafts").splitlines() if each.startswith(draft))
    assert "waits for a second person" in line
    assert line.endswith("it is worse than we thought")
    assert "A second person must approve this" in verb(server, "approve", draft, code=2), (
        "the server's own token is nobody"
    )
    assert verb(server, "withdraw", draft) == f"{draft}: withdrawn\n"
    assert "withdrawn" in next(each for each in verb(server, "drafts").splitlines() if each.startswith(draft))
    assert verb(server, "history") == before


def test_a_proposal_that_is_not_severe_is_approved_by_its_author(server: Server, tmp_path: pathlib.Path) -> None:
    folder = changed(tmp_path / "mild", "rules/rules.yaml", "cap: 5 per hour", "cap: 3 per hour")
    draft, _, said = verb(server, "propose", folder, "--reason", "a try").partition(": ")
    assert said == "proposed\n"
    assert "decides from log entry" in verb(server, "approve", draft)
    assert verb(server, "history").splitlines()[0].endswith("a try")


def test_what_was_pulled_is_not_proposed_over_another_version_but_knowingly(
    server: Server, tmp_path: pathlib.Path
) -> None:
    folder = tmp_path / "mine"
    verb(server, "push", str(SMALL_PACK), "--reason", "from the beginning")
    verb(server, "pull", str(folder))
    path = folder / "rules/rules.yaml"
    path.write_text(path.read_text().replace("cap: 5 per hour", "cap: 4 per hour", 1))
    other = changed(tmp_path / "other", "rules/rules.yaml", "cap: 5 per hour", "cap: 2 per hour")
    verb(server, "push", other, "--reason", "of somebody else")
    drafts = verb(server, "drafts")
    said = verb(server, "propose", str(folder), "--reason", "fewer", code=2)
    assert "Another version is in force by now." in said
    assert verb(server, "drafts") == drafts
    draft = verb(server, "propose", str(folder), "--reason", "fewer", "--over").partition(":")[0]
    assert "decides from log entry" in verb(server, "approve", draft)
    path.write_text(path.read_text().replace("cap: 4 per hour", "cap: 3 per hour", 1))
    assert "decides from log entry" in verb(server, "push", str(folder), "--reason", "fewer still")


def test_two_people_who_pulled_the_same_version_do_not_take_each_others_change_back(
    server: Server, tmp_path: pathlib.Path
) -> None:
    def edit(folder: pathlib.Path, old: str, new: str) -> None:
        path = folder / "rules/rules.yaml"
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new, 1), encoding="utf-8")

    verb(server, "push", str(SMALL_PACK), "--reason", "from the beginning")
    one, other = tmp_path / "one", tmp_path / "other"
    for folder in (one, other):
        verb(server, "pull", str(folder))
    edit(one, "cap: 5 per hour", "cap: 4 per hour")
    assert "decides from log entry" in verb(server, "push", str(one), "--reason", "of one")
    edit(other, "cap: 5 per hour", "cap: 2 per hour")
    history = verb(server, "history")
    said = verb(server, "push", str(other), "--reason", "of the other", code=2)
    assert "Another version is in force by now." in said
    assert verb(server, "history") == history
    edit(one, "cap: 4 per hour", "cap: 3 per hour")
    assert "decides from log entry" in verb(server, "push", str(one), "--reason", "of one again")
    assert "decides from log entry" in verb(server, "push", str(other), "--reason", "knowingly", "--over")
    verb(server, "pull", str(one))
    edit(one, "cap: 2 per hour", "cap: 5 per hour")
    assert "decides from log entry" in verb(server, "push", str(one), "--reason", "as it was")


def test_from_another_machine_a_pack_is_pushed_with_a_token_of_ones_own(server: Server, tmp_path: pathlib.Path) -> None:
    """No server runs on the other machine's folder, and the folder owner's token never leaves its own."""
    issued = server.client.post("/v1/tokens", json={"name": "mika", "scopes": ["packs.read", "packs.activate"]}).json()
    there = {"KOBAN_URL": f"http://127.0.0.1:{server.port}/", "KOBAN_TOKEN": str(issued["secret"])}

    def elsewhere(*arguments: str, **named: str) -> tuple[int, str]:
        done = run_koban("pack", *arguments, data=tmp_path / "elsewhere", port=0, **named)
        return done.returncode, done.stdout + done.stderr

    quieter = changed(tmp_path / "quieter", "rules/rules.yaml", "cap: 5 per hour", "cap: 4 per hour")
    code, said = elsewhere("push", quieter, "--reason", "fewer people", **there)
    assert (code, "decides from log entry" in said) == (0, True), said
    assert issued["token"]["id"] in verb(server, "history").splitlines()[0]
    code, said = elsewhere("history", KOBAN_URL=there["KOBAN_URL"])
    assert (code, "KOBAN_TOKEN must hold a token of yours" in said) == (2, True), said
    assert not (tmp_path / "elsewhere").exists()
