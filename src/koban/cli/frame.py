"""What every verb shares: exit codes, settings, JSON, progress, and how a refusal is said."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated, Final, NoReturn, TextIO

import typer

if TYPE_CHECKING:
    from koban.base.settings import Settings

# Done; it was looked at, and is not as it should be; nothing was looked at, or nothing done.
DONE, FAILED, WRONG_USE = 0, 1, 2
LOOKED_AT: Final = frozenset(
    {"pack_invalid", "pack_refused", "not_in_dialect"}
)  # refusals that are the answer to what was asked

_LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}

Json = Annotated[bool, typer.Option("--json", help="Print the result for machines.")]


def refuse(refusal: Exception) -> NoReturn:
    """Say a refusal as one clear message, with the places that it names, and end with its exit code.

    Faults of a pack are what was asked for, whichever command finds them, here or on the server: 1, and 2 for the rest.
    """
    rendered = getattr(refusal, "rendered", "")
    title = getattr(refusal, "title", "Something that this needs is not available.")
    print(f"koban: {title} {refusal}", file=sys.stderr)  # a pack's faults, each at its place, are part of the sentence
    if not rendered:
        for problem in getattr(refusal, "problems", ()):
            hint = f" {problem.hint}" if problem.hint else ""
            said = f"{problem.path}: {problem.detail}{hint}"
            if said != str(refusal):  # the one thing that is wrong may be the sentence itself
                print(f"  {said}", file=sys.stderr)
    code = getattr(refusal, "said_code", "") or getattr(refusal, "code", "")
    sys.exit(FAILED if code in LOOKED_AT else WRONG_USE)


def settings_of_environment() -> "Settings":
    """Read the settings; refusals name the variable. Whatever is logged from here on is no part of a verb's output."""
    from koban.base.settings import read_settings

    settings = read_settings(os.environ)
    structlog = sys.modules.get("structlog")  # a verb that loaded nothing that logs need not wait for it
    if structlog is not None and not structlog.is_configured():
        _own_log_to(sys.stderr, _LEVELS[settings.log_level])
    return settings


def log_to(stream: TextIO, log_level: str) -> None:
    """Write what Koban and the libraries beneath it log to a stream: for people on a terminal, as JSON elsewhere."""
    import logging

    level = _LEVELS[log_level]
    logging.basicConfig(level=max(level, logging.WARNING), stream=stream)
    _own_log_to(stream, level)


def _own_log_to(stream: TextIO, level: int) -> None:
    import structlog

    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.dev.ConsoleRenderer(colors=False)
            if stream.isatty()
            else structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(stream),
    )


def print_json(document: object) -> None:
    """Print a result for machines."""
    import msgspec

    print(msgspec.json.format(msgspec.json.encode(document), indent=2).decode())


@contextlib.contextmanager
def progress_of(what: str, *, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """Show how far a long work is: a bar on a terminal, elsewhere a line for every tenth."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    if quiet:
        yield lambda _done, _of: None
        return
    if not sys.stderr.isatty():
        told = 0

        def tell(done: int, of: int) -> None:
            nonlocal told
            if of and done * 10 // of > told:
                told = done * 10 // of
                print(f"{what}: {done:,} of {of:,}", file=sys.stderr)

        yield tell
        return
    from rich.console import Console

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, of: bar.update(task, completed=done, total=of or None)


def running_server(url: str | None = None, token: str | None = None) -> tuple[str, str]:
    """Return address and token of the server that is named, in the call or in the environment, or holds the data folder.

    Refuses: SettingInvalid, where the environment names a server and no token: the folder owner's stays on this machine.
    """
    from koban.base.remote import find_server
    from koban.base.settings import SettingInvalid

    named, own = os.environ.get("KOBAN_URL", "").rstrip("/"), os.environ.get("KOBAN_TOKEN", "")
    if url is None and named and not (token or own):
        raise SettingInvalid("KOBAN_URL names a server; KOBAN_TOKEN must hold a token of yours for it.")
    return find_server(settings_of_environment().data, url or named or None, token or own or None)
