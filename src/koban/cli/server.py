"""Starting the server, with and without a simulated marketplace."""

import dataclasses
import io
import os
import pathlib
import sys
from collections.abc import Mapping
from typing import Annotated, Final, TextIO, cast

import typer

from koban.cli.frame import log_to, settings_of_environment

app = typer.Typer()
DEMO_LOG: Final = "demo.log"


@app.command()
def serve() -> None:
    """Start the server: HTTP API and console."""
    from koban.app.serving import serve as run

    _log_to_stderr()
    run(settings_of_environment(), ready=lambda _koban, url, link, _demo: _banner(url, link))


@app.command()
def demo(
    seed: Annotated[int, typer.Option(help="Equal seeds give equal evenings.")] = 1,
    speed: Annotated[float, typer.Option(help="How many times faster than life it plays.", min=1, max=600)] = 12.0,
    minutes: Annotated[int, typer.Option(help="How long the evening is, in minutes of the story.", min=1)] = 60,
    past: Annotated[  # noqa: FBT002 - a flag
        bool, typer.Option(help="Import the day before into an empty log, and keep its books.")
    ] = True,
    verbose: Annotated[  # noqa: FBT002 - a flag
        bool, typer.Option(help="Write what the server logs to the terminal, and not to demo.log in the data folder.")
    ] = False,
) -> None:
    """Start the server with a simulated evening that plays by itself: 20:30 to 21:30 in five minutes."""
    import functools
    import random

    from koban.app import demo as parts
    from koban.app.serving import serve as run
    from koban.audit import SystemSecrets
    from koban.base import SystemClock
    from koban.sim.evening import evening_of

    # The simulated marketplace listens on this machine, and so will whoever tries webhooks out.
    settings = dataclasses.replace(settings_of_environment(), allow_private_webhooks=True)
    if verbose:
        _log_to_stderr()
    else:
        # Its write, flush and isatty are all that is used of it.
        log_to(cast("TextIO", _LateFile(settings.data / DEMO_LOG)), settings.log_level)
    showing = parts.Showing(seed=seed, speed=speed, minutes=minutes)
    evening = evening_of(seed, SystemClock().now(), minutes=minutes, speed=speed)

    warmed: list[parts.Warmed] = []

    def before() -> None:
        if past:
            warmed.append(parts.warm(settings, evening, random.Random(seed), SystemSecrets()))  # noqa: S311 - ids of simulated rows

    def ready(_koban: object, url: str, link: str | None, told: parts.Demo | None) -> None:
        assert told is not None, "this is a demo"
        told.story.begin(evening)
        places = _Places(truth=told.truth, log=settings.data / DEMO_LOG)
        _demo_banner(url, link, places, seed=seed, speed=speed, one_click=bool(told.roles))

    run(
        settings,
        before=before,
        demonstration=functools.partial(
            parts.demonstration, truth=parts.truth_folder(settings), showing=showing, warmed=warmed
        ),
        ready=ready,
    )


def _banner(url: str, link: str | None) -> None:
    print(f"\n  Koban is at {url}")
    if link is not None:
        print(f"  First sign-in (once, within 24 hours): {link}")
    print(f"  API: {url}/openapi.json   Stop: Ctrl-C\n", flush=True)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Places:
    truth: pathlib.Path
    log: pathlib.Path


def _demo_banner(url: str, link: str | None, places: _Places, *, seed: int, speed: float, one_click: bool) -> None:
    """Say where to go and what to open next, in the language of the environment."""
    japanese = is_japanese(os.environ)
    lines = list(_DEMO_JA if japanese else _DEMO_EN)
    if not one_click:
        lines[1] = _OWN_JA if japanese else _OWN_EN
    own = (
        "自分の管理者を作る（1回、24時間以内）" if japanese else "An administrator of your own (once, within 24 hours)"
    )
    told = "\n".join(f"  {line}" for line in lines)
    print("\n" + told.format(url=url, seed=seed, speed=f"{speed:g}", truth=places.truth, log=places.log))
    if link is not None:
        print(f"  {own}: {link}")
    print(flush=True)


_DEMO_EN: Final = (
    "Koban is at {url}   (simulated data)",
    "Sign in: open it and choose a role; no password.",
    "The evening of 20:30 to 21:30 plays by itself, {speed} times faster than life (seed {seed}).",
    "Open next: {url}/board, then follow the bar on top: takeover, raid, a fan muted by mistake; {url}/truth",
    "Money: {url}/money. As Finance: {url}/money/exceptions, {url}/bank and {url}/money/bookings wait for a second person.",
    "Your own data: {url}/logs   The truth, which Koban's rules never see: {truth}   Log: {log}   Stop: Ctrl-C",
)
_DEMO_JA: Final = (
    "Koban: {url} （模擬データ）",
    "サインイン: 開いて役割を選ぶだけです。パスワードは要りません。",
    "20:30から21:30までの一夜が{speed}倍速で自動的に進みます（種 {seed}）。",
    "次に見るもの: {url}/board 、上の帯に沿って乗っ取り・荒らし・誤ミュート、最後に {url}/truth",
    "お金: {url}/money 。経理担当なら {url}/money/exceptions 、 {url}/bank 、 {url}/money/bookings に承認待ちがあります。",
    "自分のデータ: {url}/logs  正解（ルールからは見えません）: {truth}  ログ: {log}  終了: Ctrl-C",
)
_OWN_EN: Final = "Sign in with the link below; one-click roles open only when Koban listens on this machine alone."
_OWN_JA: Final = "下のリンクからサインインしてください。役割の選択は、この端末だけで待ち受けるときに使えます。"


def is_japanese(environment: Mapping[str, str]) -> bool:
    """Tell whether the environment asks for Japanese: the first of LC_ALL, LC_MESSAGES, LANG that is set decides."""
    chosen = next((environment[name] for name in ("LC_ALL", "LC_MESSAGES", "LANG") if environment.get(name)), "")
    return chosen.lower().startswith("ja")


class _LateFile(io.TextIOBase):
    """A file that is opened with its first line: a server that cannot start leaves no folder behind."""

    def __init__(self, path: pathlib.Path) -> None:
        """Remember where; nothing is opened."""
        self._path = path
        self._file: TextIO | None = None

    def write(self, text: str) -> int:
        """Append; where the folder does not take it, write to the terminal."""
        if self._file is None:
            try:
                self._file = self._path.open("a", encoding="utf-8")
            except OSError:
                self._file = sys.stderr
        return self._file.write(text)

    def flush(self) -> None:
        """Bring out what was written."""
        if self._file is not None:
            self._file.flush()


def _log_to_stderr() -> None:
    log_to(sys.stderr, settings_of_environment().log_level)
