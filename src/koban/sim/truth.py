"""The record of what is true, in a folder that Koban never reads: `truth.jsonl`, `kept_back.jsonl`, `settings.json`."""

import pathlib
from collections.abc import Iterator
from typing import BinaryIO

import msgspec

from koban.sim.types import KeptBack, Settings, TruthRow

_ENCODER = msgspec.json.Encoder()
_ROWS = msgspec.json.Decoder(TruthRow)
_KEPT = msgspec.json.Decoder(KeptBack)


class TruthFolder:
    """The files of one run, open for writing; a new run in the same folder starts them anew."""

    def __init__(self, folder: pathlib.Path, settings: Settings) -> None:
        """Open the files in `folder`, which is made where it is missing."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "settings.json").write_bytes(_ENCODER.encode(settings))
        self._truth: BinaryIO = (folder / "truth.jsonl").open("wb")
        self._kept: BinaryIO = (folder / "kept_back.jsonl").open("wb")

    def note(self, row: TruthRow) -> None:
        """Write down one truth."""
        self._truth.write(_ENCODER.encode(row) + b"\n")

    def keep_back(self, row: KeptBack) -> None:
        """Write down that an event never happened."""
        self._kept.write(_ENCODER.encode(row) + b"\n")

    def flush(self) -> None:
        """Bring everything to the files, so that a killed run still has the truth of what it sent."""
        self._truth.flush()
        self._kept.flush()

    def close(self) -> None:
        """Close the files."""
        self._truth.close()
        self._kept.close()


def runs_of(folder: pathlib.Path) -> tuple[str, ...]:
    """Return the evenings whose truth lies in a demo's folder, newest first; none where it is one run's own folder."""
    if not folder.is_dir() or (folder / "settings.json").exists():
        return ()
    found = [each for each in folder.iterdir() if (each / "settings.json").is_file()]
    return tuple(each.name for each in sorted(found, key=lambda each: each.name, reverse=True))


def read_truth(folder: pathlib.Path) -> Iterator[TruthRow]:
    """Read `truth.jsonl` in the order written; a last line cut off by a kill is left out."""
    with (folder / "truth.jsonl").open("rb") as lines:
        for line in lines:
            if line.endswith(b"\n"):
                yield _ROWS.decode(line)


def read_kept_back(folder: pathlib.Path) -> Iterator[KeptBack]:
    """Read which events never happened; nothing where the run had no marketplace side."""
    path = folder / "kept_back.jsonl"
    if not path.exists():
        return
    with path.open("rb") as lines:
        for line in lines:
            if line.endswith(b"\n"):
                yield _KEPT.decode(line)


def read_settings(folder: pathlib.Path) -> Settings:
    """Read with which settings the run was made."""
    return msgspec.json.decode((folder / "settings.json").read_bytes(), type=Settings)
