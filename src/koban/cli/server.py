"""Starting the server, with and without a simulated marketplace."""

import contextlib
import dataclasses
import sys
from collections.abc import Iterator
from typing import Annotated

import typer

from koban.cli.frame import settings_of_environment

app = typer.Typer()


@app.command()
def serve() -> None:
    """Start the server: HTTP API and console."""
    from koban.app.serving import serve as run

    _log_to_stderr()
    run(settings_of_environment(), ready=_banner)


@app.command()
def demo(
    seed: Annotated[int, typer.Option(help="Seed of the simulated marketplace.")] = 1,
    speed: Annotated[float, typer.Option(help="How many times faster than life it runs.")] = 6.0,
) -> None:
    """Start the server with a simulated marketplace that sends it events."""
    import contextlib as _contextlib

    from koban.app.demo import simulated_marketplace
    from koban.app.serving import serve as run

    _log_to_stderr()
    # The simulated marketplace listens on this machine, and so will whoever tries webhooks out.
    settings = dataclasses.replace(settings_of_environment(), allow_private_webhooks=True)

    @contextlib.contextmanager
    def ready(koban: object, url: str, token: str, link: str | None) -> Iterator[None]:
        from koban.app import Koban

        assert isinstance(koban, Koban)
        with _contextlib.ExitStack() as stack:
            stack.enter_context(_banner(koban, url, token, link, simulated=True))
            stack.enter_context(
                simulated_marketplace(
                    koban,
                    url,
                    token,
                    seed=seed,
                    speed=speed,
                    truth=settings.data.parent / f"{settings.data.name}-truth",
                    say=lambda _line: None,
                )
            )
            yield

    run(settings, simulated=True, ready=ready)


@contextlib.contextmanager
def _banner(_koban: object, url: str, _token: str, link: str | None, *, simulated: bool = False) -> Iterator[None]:
    print(f"\n  Koban is at {url}" + ("   (模擬データ / simulated data)" if simulated else ""))
    if link is not None:
        print(f"  First sign-in (once, within 24 hours): {link}")
    print(f"  API: {url}/openapi.json   Stop: Ctrl-C\n", flush=True)
    yield


def _log_to_stderr() -> None:
    import logging

    import structlog

    level = {"debug": 10, "info": 20, "warning": 30, "error": 40}[settings_of_environment().log_level]
    logging.basicConfig(level=max(level, logging.WARNING), stream=sys.stderr)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.dev.ConsoleRenderer(colors=False)
            if sys.stderr.isatty()
            else structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
