"""The simulated marketplace: honest people and adversaries who speak the same HTTP API as anyone.

Owns: the plan of a run (a pure function of its settings), the runner, the marketplace's webhook side, the truth and
the report that holds decisions against it. Everything sent carries the source `sim://NAME/SEED` and `simulated: true`.
Guarantees: equal settings give equal bytes; Koban is never shown the truth; the texts of adversaries are written apart
from the rules.
"""

from koban.sim.main import RunOptions, main_report, main_run
from koban.sim.market import Market
from koban.sim.plan import TRICKS, plan, wire
from koban.sim.receiver import Receiver
from koban.sim.report import Decision, SimReport, render, report
from koban.sim.runner import Rejected, Target, run
from koban.sim.story import Connection, Story, StoryNow
from koban.sim.types import Outage, Raid, Scenario, Settings, SimEvent, Size, Takeover

__all__ = [
    "TRICKS",
    "Connection",
    "Decision",
    "Market",
    "Outage",
    "Raid",
    "Receiver",
    "Rejected",
    "RunOptions",
    "Scenario",
    "Settings",
    "SimEvent",
    "SimReport",
    "Size",
    "Story",
    "StoryNow",
    "Takeover",
    "Target",
    "main_report",
    "main_run",
    "plan",
    "render",
    "report",
    "run",
    "wire",
]
