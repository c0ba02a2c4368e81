"""A payment provider inside the process: it keeps what it did, and fails as its seed says.

What a charge does follows from its token, so that one test suite can ask the same of every provider: `declined`,
`challenge`, `challenge_fails`, `short` (a capture of half), `no_void`, `no_refund`, `silent_before` and `silent_after`
(the first call has no answer, before or after doing it); a slip (`konbini`) waits until it is paid; anything else goes
well. Faults come on top, each drawn from the seed, the key and how often it was asked, never from the order of calls.
"""

import contextlib
import datetime
import hashlib
import pathlib
import random
import threading
import zoneinfo
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from koban.base import SECOND, Instant, Unavailable
from koban.payments.types import (
    Answer,
    Approved,
    Declined,
    Flow,
    Instruction,
    ProviderNotice,
    ProviderReportRow,
    ReportKind,
    ThreeDS,
    Waiting,
)

FEE_PER_MILLE: Final = 32  # of a capture, rounded down
PAYOUT_FEE_MINOR: Final = 100
SLIPS: Final = frozenset({"konbini", "convenience_store"})
RETRY_AFTER_S: Final = 2
SCRIPTS: Final = frozenset(
    {"declined", "challenge", "challenge_fails", "short", "no_void", "no_refund", "silent_before", "silent_after"}
)


class Faults(msgspec.Struct, frozen=True, kw_only=True):
    """How often what goes wrong, of a thousand; and how late webhooks come at most."""

    silent_before: int = 0  # no answer, and nothing was done
    silent_after: int = 0  # no answer, and it was done
    declined: int = 0
    challenged: int = 0
    short: int = 0
    notice_doubled: int = 0
    notice_lost: int = 0
    notice_late_us: int = 0  # each comes up to so much later, and so also out of order


class Charge(msgspec.Struct, kw_only=True):
    """What the provider knows of one authorisation or payout. Not frozen: it is the provider's own memory."""

    reference: str
    instruction: Instruction
    state: str  # waiting, authorised, captured, voided, declined, paid, returned
    captured_minor: int = 0
    refunded_minor: int = 0
    charged_back_minor: int = 0
    evidence: ThreeDS | None = None
    declined: str = ""
    begun_at: int = 0


class _Memory(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Everything that the provider keeps; and, as one line of its file, what changed of it since the line before."""

    charges: dict[str, Charge] = {}  # by key, which is that of the charge's own instruction
    answers: dict[str, Answer] = {}  # by key, for what is decided
    asked: dict[str, Instruction] = {}
    attempts: dict[str, int] = {}
    rows: list[ProviderReportRow] = []  # of a change: the new ones
    notices: list[tuple[int, str, ProviderNotice]] | None = None  # due at, message id, what it says; none: unchanged
    lost: list[tuple[str, ProviderNotice]] | None = None  # webhooks that nobody got; none: unchanged
    sent: int = 0  # none: unchanged


class SimulatedProvider:
    """Performs instructions once for each key; may be asked from any thread."""

    def __init__(
        self,
        name: str,
        now: Callable[[], Instant],
        *,
        seed: int = 0,
        faults: Faults | None = None,
        zone: str = "Asia/Tokyo",
        path: pathlib.Path | None = None,
        buyers_answer_after_us: int | None = None,
    ) -> None:
        """Keep everything in memory, and also in the file `path` where one is given, so that it outlives the process.

        The file has a line for each change, so that what a call costs does not grow with what was done before.

        `buyers_answer_after_us`: buyers answer by themselves after so long; None: only when somebody says that they do.
        """
        self._buyers_answer_after_us = buyers_answer_after_us
        self._name = name
        self._now = now
        self._seed = seed
        self.faults = faults or Faults()
        self._zone = zoneinfo.ZoneInfo(zone)
        self._path = path
        self._lock = threading.RLock()
        self.is_out = False  # answers nothing while it is
        self._memory = _Memory() if path is None else _read(path)
        self._changed = _Memory()  # since the file's last line
        self._by_reference = {each.reference: each for each in self._memory.charges.values()}

    @property
    def name(self) -> str:
        """What the installation calls it."""
        return self._name

    def perform(self, instruction: Instruction) -> Answer:
        """Do what is asked, once for each key. Raises Unavailable, before or after it was done."""
        with self._lock:
            attempt = self._memory.attempts.get(instruction.key, 0)
            self._memory.attempts[instruction.key] = self._changed.attempts[instruction.key] = attempt + 1
            dice = self._dice(f"{instruction.key}/{attempt}")
            script = self._script_of(instruction) if attempt == 0 else ""
            if self.is_out or script == "silent_before" or dice.randrange(1_000) < self.faults.silent_before:
                raise Unavailable(f"payment provider {self._name}", RETRY_AFTER_S, "no answer (nothing was done)")
            answer = self._answer(instruction)
            self._keep()
            if script == "silent_after" or dice.randrange(1_000) < self.faults.silent_after:
                raise Unavailable(f"payment provider {self._name}", RETRY_AFTER_S, "no answer (it was done)")
            return answer

    def report(self, day: datetime.date) -> Sequence[ProviderReportRow]:
        """List what moved money on a day. Raises Unavailable."""
        with self._lock:
            if self.is_out:
                raise Unavailable(f"payment provider {self._name}", RETRY_AFTER_S)
            return [row for row in self._memory.rows if row.booked_on == day]

    def report_days(self) -> list[datetime.date]:
        """Return the days on which money moved, oldest first."""
        with self._lock:
            return sorted({row.booked_on for row in self._memory.rows})

    def rows(self) -> list[ProviderReportRow]:
        """Return every row of every report, for whoever checks it."""
        with self._lock:
            return list(self._memory.rows)

    # What buyers, card holders and banks do.

    def buyer_answers(self, key: str, trans_status: str = "Y") -> None:
        """Have the buyer finish a challenge (`Y`: authenticated) or pay a slip; nothing where none waits."""
        with self._lock:
            charge = self._memory.charges.get(key)
            if charge is None or charge.state != "waiting":
                return
            is_slip = charge.instruction.method in SLIPS
            if trans_status == "Y" or is_slip:
                charge.state = "authorised"
                charge.evidence = None if is_slip else self._evidence(key, "challenge", "Y")
            else:
                charge.state, charge.declined = "declined", "authentication_failed"
                charge.evidence = self._evidence(key, "challenge", "N")
            self._touch(charge)
            self._tell(ProviderNotice(kind="changed", key=key))
            self._keep()

    def charge_back(self, capture_key: str, amount_minor: int | None = None) -> str:
        """Have the card holder's bank take a captured amount back; return the provider's name of it."""
        with self._lock:
            charge = self._charge_of(self._memory.asked[capture_key].reference)
            assert charge is not None, "only a charge is taken back"
            left = charge.captured_minor - charge.refunded_minor - charge.charged_back_minor
            amount = min(left, amount_minor or left)
            charge.charged_back_minor += amount
            self._touch(charge)
            # Not by the amount: what was turned away may come again, of the same amount, and is another one.
            reference = f"cb_{charge.reference}_{self._memory.sent + 1}"
            self._book("chargeback", reference, amount, charge, key=None)
            self._tell(self._reversal("chargeback", capture_key, reference, amount))
            self._keep()
            return reference

    def win_chargeback(self, capture_key: str, reference: str) -> None:
        """Have a chargeback turned away."""
        with self._lock:
            row = next(each for each in self._memory.rows if each.provider_ref == reference)
            charge = self._charge_of(self._memory.asked[capture_key].reference)
            assert charge is not None, "only a charge was taken back"
            charge.charged_back_minor -= row.amount_minor
            self._touch(charge)
            self._book("chargeback_won", reference, row.amount_minor, charge, key=None)
            self._tell(self._reversal("chargeback_won", capture_key, reference, row.amount_minor))
            self._keep()

    def return_payout(self, key: str) -> None:
        """Have a paid payout come back from the bank that it was sent to."""
        with self._lock:
            charge = self._memory.charges[key]
            assert charge.state == "paid", "only what was paid comes back"
            charge.state = "returned"
            self._touch(charge)
            reference = f"rt_{charge.reference}"
            self._book("payout_returned", reference, charge.captured_minor, charge, key=None)
            self._tell(self._reversal("payout_returned", key, reference, charge.captured_minor))
            self._keep()

    def due_notices(self, at: Instant) -> list[tuple[str, ProviderNotice]]:
        """Return the webhooks that are to be sent by now: message id and content, in the order in which they go out.

        They are due until they are `answered`: whoever dies between the two is sent them again.
        """
        with self._lock:
            due = sorted(each for each in self._memory.notices or [] if each[0] <= at)
            return [(message_id, notice) for _, message_id, notice in due]

    def answered(self, message_id: str) -> None:
        """Take note that a webhook was taken in; of a doubled one, the one that went out first."""
        with self._lock:
            waiting = self._memory.notices or []
            sent = min((each for each in waiting if each[1] == message_id), default=None)
            if sent is not None:
                # Written with the next change: a kill before that sends it again, which changes nothing.
                waiting = list(waiting)
                waiting.remove(sent)
                self._set_notices(waiting)

    def tell_lost(self) -> None:
        """Send the webhooks that nobody got, as somebody asked for in the provider's own console."""
        with self._lock:
            now, lost = self._now(), self._memory.lost or []
            self._set_notices(
                [*(self._memory.notices or []), *((now, message_id, notice) for message_id, notice in lost)]
            )
            self._memory.lost = self._changed.lost = []
            self._keep()

    def charge_named(self, reference: str) -> Charge | None:
        """Return a charge by the provider's own name of it."""
        with self._lock:
            return self._charge_of(reference)

    def returnable(self, capture_key: str) -> int:
        """Return how much of a capture the card holder's bank could still take back."""
        with self._lock:
            charge = self._charge_of(self._memory.asked[capture_key].reference)
            return 0 if charge is None else charge.captured_minor - charge.refunded_minor - charge.charged_back_minor

    def charge(self, key: str) -> Charge | None:
        """Return what is known of an authorisation or payout, for whoever checks it."""
        with self._lock:
            return self._memory.charges.get(key)

    def has_captured(self, key: str) -> bool:
        """Tell whether a key is that of a capture that was done."""
        with self._lock:
            asked = self._memory.asked.get(key)
            return asked is not None and asked.kind == "capture" and self._charge_of(asked.reference) is not None

    def charges(self) -> list[Charge]:
        """Return everything that is known, for whoever checks it."""
        with self._lock:
            return list(self._memory.charges.values())

    # How it comes to its answers.

    def _answer(self, instruction: Instruction) -> Answer:
        known = self._memory.asked.get(instruction.key)
        if known is not None and known != _kept(instruction):
            return Declined(code="key_reused", detail="this key was sent with another content")
        if known is None:
            self._memory.asked[instruction.key] = self._changed.asked[instruction.key] = _kept(instruction)
        decided = self._memory.answers.get(instruction.key)
        if decided is not None:
            return decided
        match instruction.kind:
            case "authorise":
                answer = self._authorise(instruction)
            case "payout":
                answer = self._pay_out(instruction)
            case _:
                answer = self._follow(instruction)
        if not isinstance(answer, Waiting):
            self._memory.answers[instruction.key] = self._changed.answers[instruction.key] = answer
        return answer

    def _authorise(self, instruction: Instruction) -> Answer:
        charge = self._memory.charges.get(instruction.key)
        if charge is None:
            charge = self._begin(instruction)
        after = self._buyers_answer_after_us
        if charge.state == "waiting" and after is not None and self._now() - charge.begun_at >= after:
            self.buyer_answers(instruction.key, "N" if instruction.token == "challenge_fails" else "Y")  # noqa: S105 - a script
        if charge.state == "waiting":
            slip = instruction.method in SLIPS
            url = f"https://{self._name}.example/{'slips' if slip else 'challenges'}/{charge.reference}"
            return Waiting(reference=charge.reference, why="slip" if slip else "challenge", url=url)
        if charge.state in {"declined", "voided"}:
            return Declined(code=charge.declined or "cancelled", evidence=charge.evidence)
        return Approved(reference=charge.reference, amount_minor=instruction.amount_minor, evidence=charge.evidence)

    def _begin(self, instruction: Instruction) -> Charge:
        dice, script = self._dice(instruction.key), instruction.token
        charge = Charge(
            reference=f"ch_{self._named(instruction.key)}", instruction=_kept(instruction), state="authorised"
        )
        charge.begun_at = self._now()
        self._touch(charge)
        wants = instruction.three_ds == "challenge" or dice.randrange(1_000) < self.faults.challenged
        if script == "declined" or dice.randrange(1_000) < self.faults.declined:
            charge.state, charge.declined = "declined", "do_not_honour"
        elif instruction.method in SLIPS:
            charge.state = "waiting"
        elif instruction.three_ds is not None:
            if wants or script in {"challenge", "challenge_fails"}:
                charge.state = "waiting"
            else:
                charge.evidence = self._evidence(instruction.key, "frictionless", "Y")
        return charge

    def _pay_out(self, instruction: Instruction) -> Answer:
        dice, script = self._dice(instruction.key), instruction.token
        if script == "declined" or dice.randrange(1_000) < self.faults.declined:
            return Declined(code="account_unknown")
        charge = Charge(
            reference=f"po_{self._named(instruction.key)}",
            instruction=_kept(instruction),
            state="paid",
            captured_minor=instruction.amount_minor,
        )
        self._touch(charge)
        self._book("payout", charge.reference, instruction.amount_minor, charge, key=instruction.key)
        return Approved(reference=charge.reference, amount_minor=instruction.amount_minor)

    def _follow(self, instruction: Instruction) -> Answer:
        """Capture, void or refund a charge."""
        charge = self._charge_of(instruction.reference)
        if charge is None:
            return Declined(code="charge_unknown")
        script, reference = charge.instruction.token, f"{instruction.kind[:2]}_{self._named(instruction.key)}"
        if instruction.kind == "void":
            return self._void(charge, reference, script)
        if instruction.kind == "capture":
            if charge.state != "authorised":
                return Declined(code="authorisation_expired" if charge.state == "voided" else "already_captured")
            is_short = script == "short" or self._dice(instruction.key).randrange(1_000) < self.faults.short
            amount = max(1, instruction.amount_minor // 2) if is_short else instruction.amount_minor
            charge.state, charge.captured_minor = "captured", amount
            self._touch(charge)
            self._book("capture", reference, amount, charge, key=instruction.key)
            return Approved(reference=reference, amount_minor=amount)
        left = charge.captured_minor - charge.refunded_minor - charge.charged_back_minor
        if script == "no_refund" or instruction.amount_minor > left:
            return Declined(code="refund_refused" if script == "no_refund" else "more_than_captured")
        charge.refunded_minor += instruction.amount_minor
        self._touch(charge)
        self._book("refund", reference, instruction.amount_minor, charge, key=instruction.key)
        return Approved(reference=reference, amount_minor=instruction.amount_minor)

    def _void(self, charge: Charge, reference: str, script: str) -> Answer:
        if charge.state == "voided":
            return Declined(code="already_voided")
        if script == "no_void" or charge.state == "captured":
            return Declined(code="void_refused")
        charge.state = "voided"
        self._touch(charge)
        return Approved(reference=reference, amount_minor=charge.instruction.amount_minor)

    # Small things.

    def _charge_of(self, reference: str) -> Charge | None:
        return self._by_reference.get(reference)

    def _touch(self, charge: Charge) -> None:
        key = charge.instruction.key
        self._memory.charges[key] = self._changed.charges[key] = self._by_reference[charge.reference] = charge

    def _set_notices(self, notices: list[tuple[int, str, ProviderNotice]]) -> None:
        self._memory.notices = self._changed.notices = notices

    def _script_of(self, instruction: Instruction) -> str:
        if instruction.token:
            return instruction.token
        charge = self._charge_of(instruction.reference)
        return charge.instruction.token if charge is not None else ""

    def _book(self, kind: ReportKind, reference: str, amount: int, charge: Charge, *, key: str | None) -> None:
        at = self._now()
        fee = amount * FEE_PER_MILLE // 1_000 if kind == "capture" else PAYOUT_FEE_MINOR if kind == "payout" else 0
        row = ProviderReportRow(
            provider=self._name,
            provider_ref=reference,
            kind=kind,
            amount_minor=amount,
            fee_minor=fee,
            currency=charge.instruction.currency,
            booked_on=datetime.datetime.fromtimestamp(at // SECOND, tz=self._zone).date(),
            at=at,
            key=key,
            payment=charge.instruction.payment,
        )
        self._memory.rows.append(row)
        self._changed.rows.append(row)

    def _reversal(self, kind: ReportKind, key: str, reference: str, amount: int) -> ProviderNotice:
        assert kind in {"chargeback", "chargeback_won", "payout_returned"}, "what the provider begins itself"
        currency = self._memory.asked[key].currency
        return ProviderNotice(kind=kind, key=key, provider_ref=reference, amount_minor=amount, currency=currency)

    def _tell(self, notice: ProviderNotice) -> None:
        self._memory.sent += 1
        self._changed.sent = self._memory.sent
        message_id = f"msg_{self._name}_{self._memory.sent}"
        dice = self._dice(message_id)
        if dice.randrange(1_000) < self.faults.notice_lost:
            self._memory.lost = self._changed.lost = [*(self._memory.lost or []), (message_id, notice)]
            return
        for _ in range(2 if dice.randrange(1_000) < self.faults.notice_doubled else 1):
            late = dice.randrange(self.faults.notice_late_us + 1)
            self._set_notices([*(self._memory.notices or []), (self._now() + late, message_id, notice)])

    def _evidence(self, key: str, flow: Flow, status: str) -> ThreeDS:
        named = self._named(key)
        return ThreeDS(
            flow=flow,
            trans_status="Y" if status == "Y" else "N",
            version="2.2.0",
            eci="05" if status == "Y" else "07",
            authentication_value=f"AJkB{named}==" if status == "Y" else "",
            ds_trans_id=f"ds-{named}",
            acs_trans_id=f"acs-{named}",
            server_trans_id=f"tds-{named}",
        )

    def _named(self, key: str) -> str:
        return f"{self._dice(f'name/{key}').getrandbits(64):016x}"

    def _dice(self, what: str) -> random.Random:
        return random.Random(f"{self._seed}/{self._name}/{what}")  # noqa: S311 - a simulation

    def _keep(self) -> None:
        """Write what changed as one line. A kill in the middle leaves a line that does not end: it never happened."""
        changed, self._changed = self._changed, _Memory()
        if self._path is not None:
            with self._path.open("ab", buffering=0) as file:
                file.write(msgspec.json.encode(changed) + b"\n")


def _read(path: pathlib.Path) -> _Memory:
    """Read the lines of a file into one memory, and write it as one line, so that the file is short at each start."""
    memory = _Memory()
    if not path.exists():
        return memory
    *whole, last = path.read_bytes().split(b"\n")
    lines = [msgspec.json.decode(each, type=_Memory) for each in whole]
    # Of a file that another version wrote as one whole, the only line does not end either, and can be read.
    with contextlib.suppress(msgspec.DecodeError):
        lines += [msgspec.json.decode(last, type=_Memory)] if last else []
    for line in lines:
        memory.charges |= line.charges
        memory.answers |= line.answers
        memory.asked |= line.asked
        memory.attempts |= line.attempts
        memory.rows += line.rows
        memory.notices = memory.notices if line.notices is None else line.notices
        memory.lost = memory.lost if line.lost is None else line.lost
        memory.sent = line.sent or memory.sent
    fresh = path.with_suffix(".new")
    fresh.write_bytes(msgspec.json.encode(memory) + b"\n")
    fresh.replace(path)
    return memory


def _kept(instruction: Instruction) -> Instruction:
    """Keep a token that says nothing here as its hash alone: the memory may be a plain file in the data folder."""
    if not instruction.token or instruction.token in SCRIPTS:
        return instruction
    return msgspec.structs.replace(instruction, token=hashlib.sha256(instruction.token.encode()).hexdigest()[:16])
