"""The sanctions that decisions read, in memory: those in force, and strikes that still count."""

import itertools
from collections.abc import Iterable
from typing import Final

from koban.base import Instant, limits
from koban.enforcement import logic
from koban.enforcement.types import Change, Sanction, Step, SubjectRef, SubjectState

# A batch of the decider imposes no more by one rule: each entry brings one sanction of a kind and policy.
NEWEST_MAX: Final = 4 * limits.DECIDER_BATCH_MAX


class LiveSanctions:
    """Owned by the decider's thread alone; nobody else may read or change it."""

    def __init__(self, sanctions: Iterable[Sanction] = ()) -> None:
        """Start with these; `enforcement.load` reads them from the table."""
        self._by_id: dict[str, Sanction] = {}
        self._by_subject: dict[SubjectRef, dict[str, None]] = {}
        self._by_rule: dict[str, dict[str, None]] = {}
        for sanction in sanctions:
            self._put(sanction)

    def __len__(self) -> int:
        return len(self._by_id)

    def get(self, sanction_id: str) -> Sanction | None:
        """Return a sanction that is held here."""
        return self._by_id.get(sanction_id)

    def of_subject(self, subject: SubjectRef) -> tuple[Sanction, ...]:
        """Return what is held of a subject, oldest first: the `history` that `plan_actions` wants."""
        return tuple(self._by_id[each] for each in self._by_subject.get(subject, ()))

    def in_force(self, subject: SubjectRef, at: Instant) -> tuple[Sanction, ...]:
        """Return the sanctions that stand at a moment."""
        return tuple(each for each in self.of_subject(subject) if each.stands_at(at))

    def state(self, subject: SubjectRef, at: Instant) -> SubjectState:
        """Return what a subject may do."""
        return logic.derive_state(self.of_subject(subject), at)

    def newest_of_rule(self, rule: str, since_at: Instant) -> tuple[str, ...]:
        """Return which sanctions a rule imposed or joined last, since a moment: all of one batch, and no fixed number more.

        Those withdrawn are left out.
        """
        newest = itertools.islice(reversed(self._by_rule.get(rule, {})), NEWEST_MAX)
        return tuple(
            each
            for each in newest
            if (sanction := self._by_id.get(each)) is not None
            and any(ground.rule == rule and ground.at >= since_at for ground in sanction.grounds)
        )

    def apply(self, change: Change) -> Step:
        """Carry out a change, live or in a replay; keep the step to be able to undo it.

        A change to a sanction that is no longer held (it ended long ago) must go through `restore` first.
        """
        before = self._by_id.get(logic.sanction_id_of(change))
        step = Step(change=change, before=before, after=logic.applied_to(before, change))
        self._put(step.after)
        return step

    def undo(self, step: Step) -> None:
        """Take a change back; steps are undone in the reverse of their order."""
        if step.before is None:
            self._drop(step.after)
        else:
            self._put(step.before)

    def restore(self, sanction: Sanction) -> None:
        """Bring back a sanction read from the table, because a command is about to change it."""
        if sanction.id not in self._by_id:
            self._put(sanction)

    def forget(self, at: Instant) -> int:
        """Let go of what no decision reads any more; only after the changes to it are committed."""
        gone = [each for each in self._by_id.values() if not each.stands_at(at) and not each.counts_at(at)]
        for sanction in gone:
            if sanction.status != "in_force":  # its end is still to be entered into the log
                self._drop(sanction)
        return len(gone)

    def _put(self, sanction: Sanction) -> None:
        before = self._by_id.get(sanction.id)
        self._by_id[sanction.id] = sanction
        if before is None:
            self._by_subject.setdefault(sanction.subject, {})[sanction.id] = None
        for ground in (*sanction.grounds, *sanction.withdrawn):
            if ground.rule is not None:
                of_rule = self._by_rule.setdefault(ground.rule, {})
                of_rule.pop(sanction.id, None)  # the newest stands last
                of_rule[sanction.id] = None

    def _drop(self, sanction: Sanction) -> None:
        del self._by_id[sanction.id]
        of_subject = self._by_subject[sanction.subject]
        del of_subject[sanction.id]
        if not of_subject:
            del self._by_subject[sanction.subject]
        for ground in (*sanction.grounds, *sanction.withdrawn):
            of_rule = self._by_rule.get(ground.rule or "", {})
            of_rule.pop(sanction.id, None)
            if not of_rule:
                self._by_rule.pop(ground.rule or "", None)
