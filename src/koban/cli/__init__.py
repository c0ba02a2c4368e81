"""The command line. Heavy parts are imported by the command that needs them, so that `koban --help` is quick."""

import typer

from koban.cli import (
    bank,
    casework,
    emergency,
    keeping,
    lab,
    ledger,
    lists,
    logs,
    oncall,
    packs,
    payments,
    reconcile,
    server,
    simulation,
)
from koban.cli.frame import refuse

__all__ = ["app", "main"]

app = typer.Typer(
    name="koban",
    help="Koban: an open Trust & Safety platform for consumer-to-consumer marketplaces.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
for part in (
    server,
    packs,
    casework,
    lab,
    emergency,
    oncall,
    logs,
    simulation,
    keeping,
    ledger,
    bank,
    payments,
    reconcile,
    lists,
):
    app.add_typer(part.app)


def main() -> None:
    """Run the command line; refusals become one clear message and an exit code."""
    from koban.base import Refusal, Unavailable

    try:
        app()
    except (Refusal, Unavailable) as refusal:
        refuse(refusal)
