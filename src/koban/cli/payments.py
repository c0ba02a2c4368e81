"""Payments on the command line: look, let go on or refuse, try again, ask a provider for its report, serve a provider."""

import pathlib
import sys
from typing import Annotated, Any

import typer

from koban.cli.frame import DONE, FAILED, Json, print_json, running_server

app = typer.Typer()
payments_app = typer.Typer(help="Payments, payouts and their providers.", no_args_is_help=True)
app.add_typer(payments_app, name="payments")

Payment = Annotated[str, typer.Argument(help="Id of the payment.")]
Step = Annotated[str, typer.Argument(help="Id of the step, as in p1-3.")]


def _call(method: str, path: str, body: dict[str, object] | None = None) -> Any:  # Any: JSON
    from koban.base.remote import call

    return call(running_server(), method, path, body)


def _quoted(text: str) -> str:
    from urllib.parse import quote

    return quote(text, safe="")


def _line(payment: dict[str, Any]) -> str:  # Any: JSON
    why = payment["ended_because"] or payment["held_why"]
    return (
        f"{payment['id']:<28} {payment['status']:<16} {payment['amount_minor']:>12,} {payment['currency']}  "
        f"{payment['account']:<20} {payment['order'] or '-':<20} {why}".rstrip()
    )


@payments_app.command("list")
def payments_list(
    status: Annotated[str | None, typer.Option(help="As in held, stuck, captured.")] = None,
    order: Annotated[str | None, typer.Option(help="Id of an order.")] = None,
    account: Annotated[str | None, typer.Option(help="Id of an account.")] = None,
    json: Json = False,  # noqa: FBT002 - a flag
) -> None:
    """List the newest payments of the running server."""
    wanted = {"status": status, "order": order, "account": account}
    query = "&".join(f"{name}={_quoted(value)}" for name, value in wanted.items() if value)
    found = _call("GET", f"/v1/payments?{query}" if query else "/v1/payments")
    if json:
        print_json(found["items"])
        return
    for each in found["items"]:
        print(_line(each))


@payments_app.command("show")
def payments_show(payment: Payment, json: Json = False) -> None:  # noqa: FBT002 - a flag
    """Show a payment with its parts, steps and calls. Exit code 1 when it needs a person."""
    found = _call("GET", f"/v1/payments/{_quoted(payment)}")
    if json:
        print_json(found)
    else:
        print(_line(found["payment"]))
        for each in found["parts"]:
            proof = f"  3-D Secure {each['three_ds']}" if each["three_ds"] else ""
            print(
                f"  {each['method']:<10} {each['provider'] or 'ledger':<12} {each['amount_minor']:>12,}  {each['state']}{proof}"
            )
        for each in found["steps"]:
            print(
                f"  {each['created_at']}  {each['id']:<28} {each['kind']:<10} {each['status']:<9} {each['trouble']}".rstrip()
            )
            for one in found["calls"]:
                if one["step"] == each["id"]:
                    print(
                        f"    {one['at']}  {one['outcome']:<12} {one['took_us'] // 1000:>6} ms  {one['detail']}".rstrip()
                    )
    sys.exit(FAILED if found["payment"]["status"] == "stuck" else DONE)


@payments_app.command("release")
def payments_release(payment: Payment) -> None:
    """Let a held payment go on."""
    print(_line(_call("POST", f"/v1/payments/{_quoted(payment)}/release", {"because": "judged"})))


@payments_app.command("refuse")
def payments_refuse(payment: Payment) -> None:
    """Call a held payment off for good."""
    print(_line(_call("POST", f"/v1/payments/{_quoted(payment)}/refuse")))


@payments_app.command("retry")
def payments_retry(payment: Payment, step: Step) -> None:
    """Try again what a provider or the ledger refused."""
    print(_line(_call("POST", f"/v1/payments/{_quoted(payment)}/steps/{_quoted(step)}/retry")))


@payments_app.command("outcome")
def payments_outcome(
    payment: Payment,
    step: Step,
    happened: Annotated[bool, typer.Option("--happened/--did-not-happen", help="Whether it came about.")],
    reason: Annotated[str, typer.Option(help="Who said so, and where it is seen.")],
    reference: Annotated[str, typer.Option(help="The provider's own id of it, where it happened.")] = "",
) -> None:
    """Say how a step ended whose person was erased before the answer came; booked once a second person says the same."""
    body: dict[str, object] = {"happened": happened, "reason": reason, "reference": reference}
    print(_line(_call("POST", f"/v1/payments/{_quoted(payment)}/steps/{_quoted(step)}/outcome", body)))


@payments_app.command("providers")
def payments_providers(json: Json = False) -> None:  # noqa: FBT002 - a flag
    """Say which providers there are and whether they answer. Exit code 1 when one is out."""
    found = _call("GET", "/v1/payment-providers")["items"]
    if json:
        print_json(found)
    else:
        for each in found:
            said = (
                f"out, {each['failures']} calls without an answer: {each['last_error']}"
                if each["is_out"]
                else "answers"
            )
            print(f"{each['name']:<16} {said}")
    sys.exit(FAILED if any(each["is_out"] for each in found) else DONE)


@payments_app.command("reroute")
def payments_reroute(
    to: Annotated[str, typer.Option(help="Name of the provider through which it goes now.")],
    payment: Annotated[str, typer.Option(help="Id of one payment.")] = "",
    waiting_for: Annotated[str, typer.Option(help="Name of a provider: all that waits for it unsent.")] = "",
) -> None:
    """Send what was not sent yet through another provider: one payment, or all that waits for one that is out."""
    if bool(payment) == bool(waiting_for):
        raise typer.BadParameter("name either --payment or --waiting-for")
    if payment:
        print(_line(_call("POST", f"/v1/payments/{_quoted(payment)}/reroute", {"to": to})))
        return
    found = _call("POST", f"/v1/payment-providers/{_quoted(waiting_for)}/reroute", {"to": to})
    print(f"{found['moved']:,} go through {to}; {found['left']:,} still wait for {waiting_for} unsent.")


@payments_app.command("report")
def payments_report(
    provider: Annotated[str, typer.Argument(help="Name of the provider.")],
    day: Annotated[str, typer.Argument(help="Day in the provider's zone, as in 2026-11-29.")],
) -> None:
    """Ask a provider for its report of a day, as JSON."""
    print_json(_call("GET", f"/v1/payment-providers/{_quoted(provider)}/report?day={_quoted(day)}")["items"])


@payments_app.command("provider-server")
def payments_provider_server(
    key_file: Annotated[pathlib.Path, typer.Option(help="File with the key that callers must give.")],
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1.")] = 8430,
    state: Annotated[
        pathlib.Path | None, typer.Option(help="File in which it remembers; without one it forgets.")
    ] = None,
    webhook_url: Annotated[str, typer.Option(help="Where webhooks go: …/payment-notices/NAME.")] = "",
    secret_file: Annotated[pathlib.Path | None, typer.Option(help="File with the secret that signs them.")] = None,
) -> None:
    """Serve a simulated payment provider over HTTP, to try payments over a real socket; until Ctrl-C."""
    import threading

    from koban.base import SECOND, SystemClock
    from koban.payments.notices import read_secret
    from koban.payments.server import ProviderServer
    from koban.payments.simulated import SimulatedProvider

    clock = SystemClock()
    provider = SimulatedProvider("simulated", clock.now, path=state, buyers_answer_after_us=3 * SECOND)
    secret = b"" if secret_file is None else read_secret(secret_file.read_text(encoding="utf-8").strip())
    key = key_file.read_text(encoding="utf-8").strip()
    server = ProviderServer(provider, key, clock.now, port=port, webhook_url=webhook_url, secret=secret)
    print(f"A simulated payment provider listens on {server.url}.")
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        pass
    finally:
        server.close()
