"""A pack that is in force, of which a later release would refuse something: the server starts, decides, and says so."""

import dataclasses
import json
import pathlib

import pytest
from tests.app.conftest import SMALL_PACK, MakeSite, send

from koban.app import Koban
from koban.app.running import switch_pack
from koban.packs import PackDef, PackInvalid, files_of, parse_files, save_activation
from koban.packs.draft_store import Permit
from koban.pipeline.explain import explain

RULES = "rules/rules.yaml"
CAN_BE_READ = "recipients_1h >= 5 OR messages_1h / 0 > 1"  # nobody should want it, and it runs
CANNOT_BE_READ = "recipients_1h >= 0"


def changed(condition: str) -> PackDef:
    files = dict(files_of(SMALL_PACK))
    assert files[RULES].count("when: recipients_1h >= 5\n") == 1
    files[RULES] = files[RULES].replace("when: recipients_1h >= 5\n", f"when: {condition}\n")
    return parse_files(files)


def in_force_since_an_earlier_release(koban: Koban, pack: PackDef) -> None:
    with koban.database.write() as tx:
        save_activation(tx, koban.memory.last_seq, koban.clock.now(), pack, author="staff_1", reason="was fine then")


def alerts(koban: Koban) -> list[str]:
    with koban.database.read() as tx:
        return [str(detail) for (detail,) in tx.rows("SELECT detail FROM alerts WHERE kind = 'pack.outdated'")]


@pytest.mark.parametrize(
    ("condition", "fault", "what_runs"),
    [
        (CAN_BE_READ, "dividing by zero is NULL, whatever is divided", "Its rules run as before."),
        (CANNOT_BE_READ, "this is true for every value", "These rules do not run: many_recipients."),
    ],
)
def test_a_start_decides_with_what_can_be_run_and_says_what_would_be_refused(
    site_of: MakeSite, condition: str, fault: str, what_runs: str
) -> None:
    site, old = site_of("one"), changed(condition)
    with site.open() as koban:
        with pytest.raises(PackInvalid):
            switch_pack(
                koban.desk,
                old,
                Permit(base=koban.memory.compiled.pack.digest, by="staff_1", reason="now", ground="ordinary"),
            )
        send(koban, site.event("e1"))
        in_force_since_an_earlier_release(koban, old)
    with site.open() as koban:
        assert koban.memory.compiled.pack.digest == old.digest
        answer = json.loads(send(koban, site.event("e2", text="直取引しませんか", sender="lurer")))
        assert [signal["rule"] for signal in answer["signals"]] == ["lure"]
        assert koban.memory.compiled.pack.digest.startswith(answer["pack"])
        explained = explain(koban.database, koban.vault, answer["seq"])
        assert ("many_recipients" in {each.rule for each in explained.rules}) == (condition == CAN_BE_READ)
        (said,) = alerts(koban)
        assert said.startswith(f"This release would refuse {old.digest[:12]}, which is in force: {RULES}:")
        assert fault in said
        assert said.endswith(what_runs)
        mended = changed("recipients_1h >= 7")
        switch_pack(koban.desk, mended, Permit(base=old.digest, by="staff_1", reason="mended", ground="ordinary"))
    with site.open() as koban:
        assert koban.memory.compiled.pack.digest == mended.digest
        assert koban.memory.compiled.outdated == ()


def test_the_pack_given_at_start_is_refused_as_before(site_of: MakeSite, tmp_path: pathlib.Path) -> None:
    site = site_of("one")
    folder = tmp_path / "pack"
    for name, text in changed(CANNOT_BE_READ).files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    given = dataclasses.replace(site, settings=dataclasses.replace(site.settings, pack=folder))
    with pytest.raises(PackInvalid), given.open():
        pass
