"""The child process that reads somebody's file: with a cap on memory and time, so that a bad file harms nobody else.

Speaks JSON: one document on standard input, lines of progress and one result on standard output.
"""

import json
import os
import pathlib
import resource
import sys
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from koban.packs import PackDef

MEMORY_MAX: Final = 4 << 30  # of address space, which is several times what is used
CPU_S_MAX: Final = 900
FILE_BYTES_MAX: Final = 4 << 30


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What the child is asked to do."""

    do: str  # look, preview or judge
    data: str
    database_url: str
    pack: str  # digest of the pack in force; empty: the one in `pack_folder`
    pack_folder: str
    file: str
    log: str
    event: str = ""
    encoding: str = ""
    chosen: msgspec.Raw = msgspec.Raw(b"null")
    about: str = ""


def main() -> int:
    """Do one job; refusals become a result with their problems."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_MAX, MEMORY_MAX))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S_MAX, CPU_S_MAX))
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_BYTES_MAX, FILE_BYTES_MAX))
    os.nice(10)  # whoever waits for a decision goes first
    job = msgspec.json.decode(sys.stdin.buffer.read(), type=Job)
    from koban.base import Refusal

    try:
        _say({"result": {"look": _look, "preview": _preview, "judge": _judge}[job.do](job)})
    except Refusal as refusal:
        problems = [msgspec.to_builtins(each) for each in refusal.problems]
        _say({"refused": {"code": refusal.code, "detail": str(refusal), "problems": problems}})
    except MemoryError:
        _say({"refused": {"code": "too_large", "detail": "It needs more memory than it may take.", "problems": []}})
    return 0


def _say(document: object) -> None:
    sys.stdout.write(json.dumps(document, ensure_ascii=True, default=str) + "\n")
    sys.stdout.flush()


def _pack(job: Job) -> "PackDef":
    from koban.app.running import open_to_read
    from koban.audit import SystemSecrets
    from koban.base.settings import read_settings
    from koban.packs import load_pack, load_version

    if not job.pack:
        return load_pack(pathlib.Path(job.pack_folder))
    settings = read_settings({"KOBAN_DATA": job.data, "KOBAN_DATABASE_URL": job.database_url})
    database, _ = open_to_read(settings, SystemSecrets())
    try:
        with database.read() as tx:
            return load_version(tx, job.pack)
    finally:
        database.close()


def _look(job: Job) -> object:
    from koban.insight.columns import look

    file = pathlib.Path(job.file)
    return msgspec.to_builtins(look(file, _pack(job), file.parent, event=job.event, encoding=job.encoding))


def _preview(job: Job) -> object:
    from koban.insight.columns import Chosen, map_of
    from koban.pipeline.logs import preview

    pack = _pack(job)
    chosen = msgspec.json.decode(job.chosen, type=Chosen)
    mapping = map_of(chosen, pack, about=job.about, source="own data")
    return msgspec.to_builtins(preview(pathlib.Path(job.file), pack, mapping))


def _judge(job: Job) -> object:
    from koban.audit import SystemSecrets
    from koban.insight.columns import Chosen, map_of
    from koban.pipeline.logs import import_files, open_log, replay

    pack = _pack(job)
    chosen = msgspec.json.decode(job.chosen, type=Chosen)
    mapping = map_of(chosen, pack, about=job.about, source="own data")
    with open_log(pathlib.Path(job.data), job.database_url, job.log, SystemSecrets(), make=True) as log:
        imported = import_files(
            log,
            pack,
            mapping,
            [pathlib.Path(job.file)],
            progress=lambda done, of: _say({"progress": ["importing", done, of]}),
        )
        judged = replay(log, pack, progress=lambda done, of: _say({"progress": ["judging", done, of]}))
    return {"imported": msgspec.to_builtins(imported), "judged": msgspec.to_builtins(judged)}


if __name__ == "__main__":
    sys.exit(main())
