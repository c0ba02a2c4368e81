"""Packs and rules: checking and testing them on disk, pushing and switching them on the running server."""

import pathlib
import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Final

import typer

from koban.cli.frame import DONE, FAILED, Json, print_json, running_server

if TYPE_CHECKING:
    from koban.packs import PackDef

app = typer.Typer()
rule_app = typer.Typer(help="Rules on the running server.", no_args_is_help=True)
pack_app = typer.Typer(help="Packs on the running server.", no_args_is_help=True)
app.add_typer(rule_app, name="rule")
app.add_typer(pack_app, name="pack")


@app.command()
def check(
    pack: Annotated[pathlib.Path, typer.Argument(help="Folder of the pack.")],
    costs: Annotated[bool, typer.Option(help="Also estimate what each rule costs.")] = False,  # noqa: FBT002 - a flag
    language: Annotated[str, typer.Option(help="en or ja: in which errors are said.")] = "en",
) -> None:
    """Check a pack: every name, type and expression. Exit code 1 when something is wrong; warnings leave it 0."""
    from koban.packs import PackInvalid, load_pack, render_fault
    from koban.packs import faults as pack_faults
    from koban.rules import advise, check_pack

    if language not in ("en", "ja"):
        raise typer.BadParameter("--language is en or ja.")
    try:
        loaded = load_pack(pack)
    except PackInvalid as invalid:
        for fault in pack_faults.said_in(language, invalid.faults):
            print(render_fault(fault, invalid.files), file=sys.stderr)
        print(f"koban check: {invalid.detail}", file=sys.stderr)
        sys.exit(FAILED)
    faults = check_pack(loaded)
    for fault in pack_faults.said_in(language, faults):
        print(render_fault(fault, loaded.files), file=sys.stderr)
    if faults:
        print(f"koban check: {len(faults)} to mend", file=sys.stderr)
        sys.exit(FAILED)
    advice = advise(loaded)
    for fault in pack_faults.said_in(language, advice):
        print(f"warning: {render_fault(fault, loaded.files)}", file=sys.stderr)
    if costs:
        _print_costs(loaded)
    print(
        f"{pack}: {len(loaded.events)} event types, {len(loaded.features)} features, {len(loaded.rules)} rules, "
        f"{len(loaded.lists)} lists, {len(loaded.policies)} policies: nothing to mend"
        + (f", {len(advice)} to look at" if advice else "")
    )


def _print_costs(pack: "PackDef") -> None:
    """Print what conditions cost at most, dearest first: a rough estimate, before anything runs."""
    from koban.rules import costs_of

    found = costs_of(pack)
    for name, cost_ns in sorted(found.events.items(), key=lambda each: -each[1]):
        print(f"{name}: at most {cost_ns / 1_000:.2f} µs an event")
    for each in found.rules[:30]:
        own = f"{each.own_ns / 1_000:.2f} µs of it its own"
        print(f"  {each.rule} on {each.event_type}: {each.cost_ns / 1_000:.2f} µs, {own}")


@app.command()
def fmt(
    pack: Annotated[pathlib.Path, typer.Argument(help="Folder of the pack.")],
    only_check: Annotated[bool, typer.Option("--check", help="Change nothing; 1 when one is not in form.")] = False,  # noqa: FBT002 - a flag
) -> None:
    """Put a pack's files into form: spaces, blank lines, line ends. What they say stays as it is."""
    from koban.packs import files_of
    from koban.packs.schema import format_text

    changed = 0
    for name, text in files_of(pack).items():
        formed = format_text(name, text)
        if formed.encode() != (pack / name).read_bytes():
            changed += 1
            print(f"{pack / name}: {'not in form' if only_check else 'put into form'}")
            if not only_check:
                (pack / name).write_text(formed, encoding="utf-8", newline="\n")
    print(f"{pack}: {changed} of the files {'are not in form' if only_check else 'changed'}")
    sys.exit(FAILED if changed and only_check else DONE)


@app.command()
def schema(
    section: Annotated[
        str | None, typer.Argument(help="pack, events, features, policies, lists, queues, rules or cases.")
    ] = None,
    out: Annotated[pathlib.Path | None, typer.Option(help="Write all of them into a folder.")] = None,
) -> None:
    """Print the JSON Schema of a kind of pack file, or write all of them, for editors."""
    from koban.packs.schema import SECTIONS, schemas

    found = schemas()
    if out is not None:
        import json as documents

        out.mkdir(parents=True, exist_ok=True)
        for name, document in found.items():
            (out / f"{name}.schema.json").write_text(documents.dumps(document, indent=1) + "\n", encoding="utf-8")
        print(f"{out}: {len(found)} schemas")
        return
    if section not in found:
        raise typer.BadParameter(f"Name one of {', '.join(SECTIONS)}, or --out FOLDER.")
    print_json(found[section])


@app.command("test")
def run_cases_of(
    pack: Annotated[pathlib.Path, typer.Argument(help="Folder of the pack.")],
    json: Json = False,  # noqa: FBT002 - a flag
) -> None:
    """Run the cases of a pack's rules: what must match and what must not. Exit code 1 when one fails."""
    from koban.ledger import run_ledger_cases
    from koban.packs import load_pack
    from koban.rules import describe_failure, run_cases

    loaded = load_pack(pack)
    report = run_cases(loaded)
    examples = run_ledger_cases(loaded.ledger)
    wrong = [each for each in examples if each.wrong]
    if json:
        print_json({"rules": report.rules, "faults": report.faults, "examples": examples})
    else:
        for result in report.rules:
            for failed in result.failed:
                print(describe_failure(loaded, failed))
        for fault in report.faults:
            print(
                f"{fault.source.file}:{fault.source.line}: {fault.detail}" + (f"; {fault.hint}" if fault.hint else "")
            )
        print(
            f"{len(report.rules)} rules, {sum(each.must_match + each.must_not_match - len(each.failed) for each in report.rules)} cases passed, "
            f"{sum(len(each.failed) for each in report.rules)} failed"
        )
        for each in wrong:
            for line in each.wrong:
                print(f"worked example '{each.name}': {line}")
        if examples:
            print(f"{len(examples)} worked examples of postings, {len(wrong)} failed")
    sys.exit(DONE if report.passed and not wrong else FAILED)


Over = Annotated[
    bool, typer.Option("--over", help="Even if another version came into force since the files were pulled.")
]
DIGEST: Final = re.compile(r"[0-9a-f]{0,64}")
MADE_FROM: Final = ".koban-made-from"  # digests of versions that a folder's files were made from


@pack_app.command("push")
def pack_push(
    pack: Annotated[pathlib.Path, typer.Argument(help="Folder of the pack.")],
    reason: Annotated[str, typer.Option(help="Why.")],
    over: Over = False,  # noqa: FBT002 - a flag
) -> None:
    """Check a pack on the running server and switch to it, or propose it where a second person must look.

    Files that were pulled are refused once another version is in force, so that nobody's change is taken back unseen.
    """
    from koban.base.remote import call

    where = running_server()
    bases = _bases(pack)
    body = _brought(where, pack, reason, () if over else bases)
    switched = call(where, "POST", "/v1/packs", body)
    if bases:
        _note_bases(pack, bases, str(switched["digest"]), waits=bool(switched.get("draft")))
    _say_switched(switched)


def _bases(pack: pathlib.Path) -> list[str]:
    """Return the digests of the versions that a folder's files were made from; none where nobody pulled them."""
    note = pack / MADE_FROM
    return note.read_text(encoding="utf-8").split() if note.is_file() else []


def _brought(where: tuple[str, str], pack: pathlib.Path, reason: str, bases: Sequence[str]) -> dict[str, object]:
    """Return what is sent of a folder: its files, why, and which version they were made from."""
    from koban.base.remote import call
    from koban.packs import files_of

    body: dict[str, object] = {"files": dict(files_of(pack)), "reason": reason}
    if bases:
        newest = str(call(where, "GET", "/v1/packs/activations")["items"][0]["digest"])  # type: ignore[index]  # JSON
        body["base"] = newest if newest in bases else bases[0]
    return body


def _note_bases(pack: pathlib.Path, bases: Sequence[str], digest: str, *, waits: bool) -> None:
    """Note what the files are now: what waits for a second person may be in force at the next push, or not."""
    kept = [*bases, digest] if waits else [digest]
    (pack / MADE_FROM).write_text("\n".join(dict.fromkeys(kept)) + "\n", encoding="utf-8")


@pack_app.command("history")
def pack_history() -> None:
    """Say which versions decided."""
    from koban.base.remote import call

    for one in call(running_server(), "GET", "/v1/packs/activations")["items"]:  # type: ignore[attr-defined]  # JSON
        print(f"{one['seq']:>12}  {one['digest'][:12]}  {one['activated_at']}  {one['author']}  {one['reason']}")


@pack_app.command("rollback")
def pack_rollback(
    digest: Annotated[str, typer.Argument(help="Digest of a version that was active before.")],
    reason: Annotated[str, typer.Option(help="Why.")],
) -> None:
    """Switch back to a version that was active before, or propose that where a second person must look."""
    from koban.base.remote import call
    from koban.packs import PackVersionMissing

    if not digest:
        raise PackVersionMissing("Say which version: the beginning of its digest.")
    where = running_server()
    whole = _digest_of(where, digest)
    _say_switched(call(where, "POST", "/v1/packs/activate", {"digest": whole, "reason": reason}))


@pack_app.command("drafts")
def pack_drafts() -> None:
    """Say which versions were proposed, and which of them wait for a second person."""
    from koban.base.remote import call

    for one in call(running_server(), "GET", "/v1/drafts")["items"]:  # type: ignore[attr-defined]  # JSON
        state = "waits for a second person" if one["state"] == "open" and one["severe"] else one["state"]
        print(f"{one['id']}  {one['digest'][:12]}  {one['proposed_at']}  {one['author']}  {state}  {one['reason']}")


@pack_app.command("propose")
def pack_propose(
    pack: Annotated[pathlib.Path, typer.Argument(help="Folder of the pack.")],
    reason: Annotated[str, typer.Option(help="Why.")],
    over: Over = False,  # noqa: FBT002 - a flag
) -> None:
    """Keep a pack on the running server as a draft, without switching to it.

    Files that were pulled are refused once another version is in force, as at a push.
    """
    from koban.base.remote import call

    where = running_server()
    bases = _bases(pack)
    draft = call(where, "POST", "/v1/drafts", _brought(where, pack, reason, () if over else bases))
    if bases:
        _note_bases(pack, bases, str(draft["digest"]), waits=True)
    print(f"{draft['id']}: proposed" + ("; a second person must approve it" if draft["severe"] else ""))


@pack_app.command("approve")
def pack_approve(draft: Annotated[str, typer.Argument(help="Id of the draft.")]) -> None:
    """Switch to a draft; where a policy is severe, with the token of somebody else than its author."""
    from koban.base.remote import call

    done = call(running_server(), "POST", f"/v1/drafts/{draft}/approve")
    print(f"{str(done['digest'])[:12]} decides from log entry {done['seq']} on")


@pack_app.command("withdraw")
def pack_withdraw(draft: Annotated[str, typer.Argument(help="Id of the draft.")]) -> None:
    """Close a draft unused."""
    from koban.base.remote import call

    call(running_server(), "POST", f"/v1/drafts/{draft}/withdraw")
    print(f"{draft}: withdrawn")


def _say_switched(done: dict[str, object]) -> None:
    if done.get("unchanged"):
        print(f"{str(done['digest'])[:12]} is in force already, from log entry {done['seq']} on; nothing was switched")
        return
    if done["draft"] is None:
        print(f"{str(done['digest'])[:12]} decides from log entry {done['seq']} on")
        return
    print(f"{done['draft']}: proposed, not in force. A second person must approve it, because of:")
    for each in done["needs"]:  # type: ignore[attr-defined]  # JSON
        print(f"  {each}")


@pack_app.command("diff")
def pack_diff(
    old: Annotated[str, typer.Argument(help="Folder, or digest of a version on the running server.")],
    new: Annotated[str | None, typer.Argument(help="The same; without it, OLD is the newer one.")] = None,
) -> None:
    """Say what differs between two packs, or what one would change in the version in force. Exit code 1 when something does."""
    from koban.lab.drafts import text_diff
    from koban.packs import compare_packs, parse_files

    before, after = (_files_named(""), _files_named(old)) if new is None else (_files_named(old), _files_named(new))
    for each in compare_packs(parse_files(before), parse_files(after)):
        print(f"{each.kind} {each.section} {each.name}" + (f": {', '.join(each.fields)}" if each.fields else ""))
    lines = list(text_diff(before, after))
    for line in lines:
        print(line)
    sys.exit(FAILED if lines else DONE)


@pack_app.command("pull")
def pack_pull(
    folder: Annotated[pathlib.Path, typer.Argument(help="Where the files go.")],
    digest: Annotated[str, typer.Option(help="Beginning of a version's digest; otherwise the version in force.")] = "",
) -> None:
    """Write the files of a version of the running server into a folder; other pack files there are removed.

    A hidden file notes which version it was: a push says so.
    """
    from koban.packs import digest_of, files_of

    files = _files_named(digest)
    if folder.exists() and any(folder.iterdir()):
        for name in files_of(folder).keys() - files.keys():
            (folder / name).unlink()
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    (folder / MADE_FROM).write_text(f"{digest_of(files)}\n", encoding="utf-8")
    print(f"{folder}: {len(files)} files")


def _files_named(text: str) -> dict[str, str]:
    """Return the files of a folder, or of a version on the running server; empty: the version in force."""
    from koban.base.remote import call
    from koban.packs import PackVersionMissing, files_of

    if text and pathlib.Path(text).is_dir():
        return dict(files_of(pathlib.Path(text)))
    if not DIGEST.fullmatch(text):  # no server is needed to know
        raise PackVersionMissing(f"{text[:200]!r} is no folder, and no version's digest begins so.")
    where = running_server()
    whole = _digest_of(where, text)
    return {name: str(each) for name, each in call(where, "GET", f"/v1/packs/{whole}/files").items()}


def _digest_of(where: tuple[str, str], text: str) -> str:
    """Return the digest of the one version that was in force and begins so; empty: the one that is.

    Refuses: PackVersionMissing, also where several begin so: the wrong one must not come into force.
    """
    from koban.base.remote import call
    from koban.packs import PackVersionMissing

    digests = [str(one["digest"]) for one in call(where, "GET", "/v1/packs/activations")["items"]]  # type: ignore[attr-defined]  # JSON
    found = dict.fromkeys(each for each in digests if each.startswith(text))
    if not text or len(found) == 1:
        return next(iter(found))
    if found:
        raise PackVersionMissing(
            f"Several versions begin with {text[:80]!r}: {', '.join(each[:16] for each in found)}."
        )
    raise PackVersionMissing(f"No version begins with {text[:80]!r}.")


@pack_app.command("reference")
def pack_reference_page(
    pack: Annotated[pathlib.Path, typer.Argument(help="Folder of the pack.")],
) -> None:
    """Print a reference page of a pack's events, features, rules, policies and lists."""
    from koban.packs import load_pack
    from koban.rules import pack_reference

    print(pack_reference(load_pack(pack)))


@rule_app.command("mode")
def rule_mode(
    rule: Annotated[str, typer.Argument(help="Name of the rule.")],
    mode: Annotated[
        str, typer.Argument(help="retired, off, shadow, review, live, or 'pack' to follow the pack again.")
    ],
    reason: Annotated[str, typer.Option(help="Why, for whoever looks at it next.")],
    percent: Annotated[float, typer.Option(help="Share of accounts for which it is live.")] = 100.0,
) -> None:
    """Switch a rule's mode on the running server."""
    from koban.base.remote import call

    body = {"mode": None if mode == "pack" else mode, "reason": reason, "basis_points": round(percent * 100)}
    entered = call(running_server(), "POST", f"/v1/rules/{rule}/mode", body)
    if entered.get("draft"):
        print(
            f"{rule}: the rule is severe. {entered['draft']} waits for a second person: koban rule approve {entered['draft']}"
        )
        return
    print(f"{rule}: {mode} from log entry {entered['seq']} on")


@rule_app.command("retire")
def rule_retire(
    rule: Annotated[str, typer.Argument(help="Name of the rule.")],
    reason: Annotated[str, typer.Option(help="Why, for whoever looks at it next.")],
) -> None:
    """Take a rule out of service. It gives no signal any more, is kept with its history, and can be brought back."""
    rule_mode(rule, "retired", reason)


@rule_app.command("restore")
def rule_restore(
    rule: Annotated[str, typer.Argument(help="Name of the rule.")],
    reason: Annotated[str, typer.Option(help="Why, for whoever looks at it next.")],
) -> None:
    """Bring a retired rule back, in shadow: its matches are recorded and nothing happens to anybody."""
    rule_mode(rule, "shadow", reason)


@rule_app.command("expect")
def rule_expect(
    rule: Annotated[str, typer.Argument(help="Name of the rule.")],
    people: Annotated[int, typer.Option(help="People whom it touched in the backtest, each once an hour.", min=0)],
    hours: Annotated[int, typer.Option(help="In so many hours.", min=1)],
    reason: Annotated[str, typer.Option(help="Where the figures come from.")],
) -> None:
    """Say what a backtest expects of a rule: from the ceiling that follows on, it only opens cases."""
    from koban.base.remote import call

    body = {"people": people, "hours": hours, "reason": reason}
    said = call(running_server(), "PUT", f"/v1/rules/{rule}/expectation", body)
    if said.get("draft"):
        draft = said["draft"]
        print(f"{rule}: the rule is severe. {draft} waits for a second person: koban rule approve {draft}")
        return
    print(f"{rule}: from {said['ceiling']:,} people in an hour on it only opens cases")


@rule_app.command("snooze")
def rule_snooze(
    rule: Annotated[str, typer.Argument(help="Name of the rule.")],
    subject: Annotated[str, typer.Argument(help="Account, or other subject, for which it is to be mute.")],
    reason: Annotated[str, typer.Option(help="Why, for whoever looks at it next.")],
    until: Annotated[str, typer.Option(help="12h, 7d, 2w, or a moment.")] = "7d",
    kind: Annotated[str, typer.Option(help="Kind of the subject: listing, device, …")] = "account",
) -> None:
    """Mute a rule for one subject until then."""
    from koban.app.lab import parse_until
    from koban.base import SystemClock, to_rfc3339
    from koban.base.remote import call

    end = to_rfc3339(parse_until(until, SystemClock().now()))
    body = {"kind": kind, "subject": subject, "until": end, "reason": reason}
    call(running_server(), "POST", f"/v1/rules/{rule}/snooze", body)
    print(f"{rule}: mute for {_called(kind, subject)} until {end}")


@rule_app.command("unsnooze")
def rule_unsnooze(
    rule: Annotated[str, typer.Argument(help="Name of the rule.")],
    subject: Annotated[str, typer.Argument(help="Account, or other subject, for which it is mute.")],
    reason: Annotated[str, typer.Option(help="Why.")],
    kind: Annotated[str, typer.Option(help="Kind of the subject: listing, device, …")] = "account",
) -> None:
    """Let a rule speak for a subject again."""
    from koban.base.remote import call

    body = {"kind": kind, "subject": subject, "until": None, "reason": reason}
    call(running_server(), "POST", f"/v1/rules/{rule}/snooze", body)
    print(f"{rule}: speaks for {_called(kind, subject)} again")


def _called(kind: str, subject: str) -> str:
    return subject if kind == "account" else f"{kind} {subject}"


@rule_app.command("snoozes")
def rule_snoozes(
    rule: Annotated[str | None, typer.Option(help="Only of this rule.")] = None,
    subject: Annotated[str | None, typer.Option(help="Only for this account or other subject.")] = None,
    kind: Annotated[str | None, typer.Option(help="Only for subjects of this kind.")] = None,
    json: Json = False,  # noqa: FBT002 - a flag
) -> None:
    """List which rules are mute for whom."""
    import urllib.parse

    from koban.base.remote import call

    wanted = urllib.parse.urlencode(
        {name: value for name, value in (("rule", rule), ("kind", kind), ("subject", subject)) if value is not None}
    )
    found: list[dict[str, str]] = call(running_server(), "GET", f"/v1/snoozes?{wanted}")["items"]  # type: ignore[assignment]  # JSON
    if json:
        print_json(found)
        return
    for each in found:
        print(
            f"{each['rule']}  {_called(each['kind'], each['subject'])}  until {each['until']}  {each['set_by']}  {each['reason']}"
        )


@rule_app.command("drafts")
def rule_drafts() -> None:
    """List modes and ceilings of severe rules that somebody proposed."""
    from koban.base.remote import call

    found: list[dict[str, object]] = call(running_server(), "GET", "/v1/mode-drafts")["items"]  # type: ignore[assignment]  # JSON
    for each in found:
        if each["what"] == "expectation":
            wanted = f"ceiling {each['ceiling']} ({each['people']} people in {each['hours']} hours)"
        else:
            share = f" {int(str(each['basis_points'])) / 100:g}%" if each["mode"] == "live" else ""
            wanted = f"{each['mode'] or 'pack'}{share}"
        print(f"{each['id']}  {each['state']:<9}  {each['rule']}: {wanted}  {each['author']}  {each['reason']}")


@rule_app.command("approve")
def rule_approve(draft: Annotated[str, typer.Argument(help="Id of the draft.")]) -> None:
    """Agree that a severe rule acts, or may touch more people, as somebody else than whoever proposed it."""
    from koban.base.remote import call

    entered = call(running_server(), "POST", f"/v1/mode-drafts/{draft}/approve")
    print(f"{draft}: in force from log entry {entered['seq']} on")


@rule_app.command("withdraw")
def rule_withdraw(draft: Annotated[str, typer.Argument(help="Id of the draft.")]) -> None:
    """Close a proposed mode or ceiling unused."""
    from koban.base.remote import call

    call(running_server(), "POST", f"/v1/mode-drafts/{draft}/withdraw")
    print(f"{draft}: withdrawn")


@rule_app.command("undo")
def rule_undo(
    rule: Annotated[str, typer.Argument(help="Name of the rule.")],
    reason: Annotated[str, typer.Option(help="Why.")],
    minutes: Annotated[int, typer.Option(help="How far back.")] = 60,
) -> None:
    """Take back everything a rule did to people lately."""
    from koban.base import MINUTE, Instant, SystemClock, to_rfc3339
    from koban.base.remote import call

    since = to_rfc3339(Instant(SystemClock().now() - minutes * MINUTE))
    done = call(running_server(), "POST", "/v1/undo", {"rule": rule, "since": since, "reason": reason})
    print(
        f"{rule}: taken back: {done['sanctions']} sanctions, {done['notices']} notices, {done['verdicts']} verdicts, {done['accounts']} accounts"
    )


@rule_app.command("review-all")
def rule_review_all(
    switch: Annotated[str, typer.Argument(help="on or off")],
    reason: Annotated[str, typer.Option(help="Why.")],
) -> None:
    """Put every rule to review, or back."""
    from koban.base.remote import call

    entered = call(running_server(), "POST", "/v1/review-all", {"on": switch == "on", "reason": reason})
    print(f"all rules to review: {switch}, from log entry {entered['seq']} on")
