"""Refusals and outages: the two kinds of failure that callers are expected to meet."""

import dataclasses
from typing import ClassVar


@dataclasses.dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing wrong with an input: where (a JSON pointer or a file position), what, and what to do."""

    path: str
    detail: str
    hint: str = ""


class Refusal(Exception):
    """An expected no. Each subclass has a stable `code`, an HTTP `status` and a `title` that reads as a sentence."""

    code: ClassVar[str] = "refused"
    status: ClassVar[int] = 400
    title: ClassVar[str] = "The request was refused."

    def __init__(self, detail: str, *, problems: tuple[Problem, ...] = ()) -> None:
        """Say what was refused and why in `detail`; `problems` point at the single places."""
        super().__init__(detail)
        self.detail = detail
        self.problems = problems


class Unavailable(Exception):
    """An outage behind a seam. Each call site states whether it fails open or closed, and why."""

    def __init__(self, seam: str, retry_after_s: int, detail: str = "") -> None:
        """Name the seam that is out and when a retry makes sense."""
        super().__init__(detail or f"{seam} is unavailable")
        self.seam = seam
        self.retry_after_s = retry_after_s
        self.detail = detail or f"{seam} is unavailable; try again in {retry_after_s} s"
