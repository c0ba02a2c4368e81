"""The simulated marketplace against a running server."""

import pathlib
from typing import Annotated

import typer

from koban.cli.frame import Json, print_json, running_server, settings_of_environment

app = typer.Typer()
sim_app = typer.Typer(help="The simulated marketplace.", no_args_is_help=True)
app.add_typer(sim_app, name="sim")


@sim_app.command("run")
def sim_run(
    truth: Annotated[pathlib.Path, typer.Option(help="Folder for the truth, which Koban never reads.")],
    seed: Annotated[int, typer.Option(help="Equal seeds give equal evenings.")] = 1,
    minutes: Annotated[int, typer.Option(help="How long the evening is.")] = 60,
    speed: Annotated[float, typer.Option(help="How many times faster than life; 0: as fast as Koban answers.")] = 1.0,
    url: Annotated[str | None, typer.Option(help="Address of Koban; default: the server on this data folder.")] = None,
    token: Annotated[str | None, typer.Option(envvar="KOBAN_TOKEN", help="API token.")] = None,
) -> None:
    """Send a simulated evening to a running Koban."""
    import threading

    from koban.base import SystemClock
    from koban.sim import RunOptions, main_run

    where, secret = running_server(url, token)
    options = RunOptions(base_url=where, token=secret, folder=truth, seed=seed, minutes=minutes, speed=speed or None)
    main_run(options, clock=SystemClock(), stop=threading.Event(), say=print)


@sim_app.command("report")
def sim_report(
    truth: Annotated[
        pathlib.Path | None,
        typer.Option(help="Folder that `koban sim run` wrote; default: the one that `make run` writes."),
    ] = None,
    url: Annotated[str | None, typer.Option(help="Address of Koban; default: the server on this data folder.")] = None,
    token: Annotated[str | None, typer.Option(envvar="KOBAN_TOKEN", help="API token.")] = None,
    json: Json = False,  # noqa: FBT002 - a flag
) -> None:
    """Say what was found and missed, by trick and by name, and which honest people were hurt."""
    from koban.app.demo import truth_folder
    from koban.sim import Target, main_report, render

    where, secret = running_server(url, token)
    report = main_report(Target(base_url=where, token=secret), truth or truth_folder(settings_of_environment()))
    if json:
        print_json(report)
    else:
        print(render(report))
