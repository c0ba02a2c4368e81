"""Hold the decisions of a run against what the file says: overall, by rule, by policy; train and test apart."""

from collections.abc import Iterable, Sequence

import msgspec

from koban.base import Refusal, Share, wilson
from koban.db import Database
from koban.insight import store
from koban.insight.metrics import Measured, measure


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One part of a log: train, where rules may have been written by looking, or test, which measures."""

    name: str
    rows: int
    harmful: int
    honest: int
    unlabelled: int
    flagged: Measured  # by any rule
    rules: tuple[Measured, ...]
    policies: tuple[Measured, ...]
    kinds: tuple[tuple[str, Share], ...]


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """How a pack did on a named log."""

    log: str
    pack: str
    events: int  # in the log
    decided: int  # of them, by the run; the pack declares no type for the others
    train: Part
    test: Part


class NotReplayed(Refusal):
    """A log that no pack has been run over."""

    code = "log_not_replayed"
    status = 409
    title = "No pack has been run over this log."


def evaluate(database: Database, *, log: str) -> Evaluation:
    """Measure the last run over a log.

    Refuses: NotReplayed.
    """
    with database.read() as tx:
        events = store.count_entries(tx)
        decided, pack = store.read_run(tx)
        if pack is None:
            raise NotReplayed(f"Run one first: koban replay {log}")
        totals = store.count_truth(tx)
        flagged = store.count_flagged(tx)
        rules = store.count_hits(tx, "rule")
        policies = store.count_hits(tx, "policy")
        kinds = store.count_kinds(tx)

    def part(name: str, is_test: int) -> Part:
        harmful = _sum(totals, is_test, 1)
        honest = _sum(totals, is_test, 0)
        return Part(
            name=name,
            rows=harmful + honest + _sum(totals, is_test, None),
            harmful=harmful,
            honest=honest,
            unlabelled=_sum(totals, is_test, None),
            flagged=measure(
                "any rule",
                true=_sum(flagged, is_test, 1),
                false=_sum(flagged, is_test, 0),
                unknown=_sum(flagged, is_test, None),
                harmful=harmful,
                honest=honest,
            ),
            rules=_by_name(rules, is_test, harmful, honest),
            policies=_by_name(policies, is_test, harmful, honest),
            kinds=tuple((kind, wilson(hits, count)) for kind, count, hits in kinds) if is_test else (),
        )

    return Evaluation(log=log, pack=pack, events=events, decided=decided, train=part("train", 0), test=part("test", 1))


def _sum(rows: Iterable[tuple[int, int | None, int]], is_test: int, harmful: int | None) -> int:
    return sum(count for part, truth, count in rows if part == is_test and truth == harmful)


def _by_name(rows: Sequence[store.Count], is_test: int, harmful: int, honest: int) -> tuple[Measured, ...]:
    found = []
    for name in dict.fromkeys(row[0] for row in rows):
        of_name = [(part, truth, count) for each, part, truth, count, _ in rows if each == name]
        measured = measure(
            name,
            true=_sum(of_name, is_test, 1),
            false=_sum(of_name, is_test, 0),
            unknown=_sum(of_name, is_test, None),
            harmful=harmful,
            honest=honest,
        )
        if measured.flagged:
            found.append(measured)
    return tuple(sorted(found, key=lambda one: -one.flagged))


def render_share(share: Share) -> str:
    """Write a share in per cent with its interval."""
    if share.value is None or share.low is None or share.high is None:
        return "–"
    return f"{share.value * 100:.1f} % ({share.low * 100:.1f}–{share.high * 100:.1f}), {share.hits}/{share.of}"


def render(evaluation: Evaluation) -> str:
    """Write an evaluation as Markdown tables."""
    lines = [
        f"{evaluation.decided:,} of {evaluation.events:,} events decided, pack {evaluation.pack[:12]}.",
        "",
        "| part | rows | harmful | honest | flagged | precision | recall | false alarms |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for part in (evaluation.train, evaluation.test):
        one = part.flagged
        lines.append(
            f"| {part.name} | {part.rows} | {part.harmful} | {part.honest} | {one.flagged} | "
            f"{render_share(one.precision)} | {render_share(one.recall)} | {render_share(one.false_alarms)} |"
        )
    for heading, measured in (("policy", evaluation.test.policies), ("rule", evaluation.test.rules)):
        if measured:
            lines += [
                "",
                f"| {heading} (test part) | flagged | precision | recall | false alarms |",
                "|---|---|---|---|---|",
            ]
        lines += [
            f"| {one.name} | {one.flagged} | {render_share(one.precision)} | {render_share(one.recall)} | "
            f"{render_share(one.false_alarms)} |"
            for one in measured
        ]
    if evaluation.test.kinds:
        lines += ["", "| kind (test part) | flagged |", "|---|---|"]
        lines += [f"| {kind} | {render_share(share)} |" for kind, share in evaluation.test.kinds]
    return "\n".join(lines) + "\n"
