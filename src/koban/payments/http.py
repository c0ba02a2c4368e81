"""A payment provider behind HTTP: every answer that is not a clear yes or no is an unknown outcome.

The protocol is small, so that an adapter for a real provider is a small server in front of it: `POST {url}/v1/instructions`
with an `Idempotency-Key` and the instruction as JSON gives an answer; `GET {url}/v1/report?day=2026-11-29` gives rows.
"""

import datetime
from collections.abc import Sequence
from typing import Final

import httpx
import msgspec

from koban.base import Unavailable
from koban.payments.types import Answer, Instruction, ProviderReportRow

CONNECT_S: Final = 3.0
ANSWER_S: Final = 15.0
RETRY_AFTER_S: Final = 5
BODY_BYTES_MAX: Final = 8 * 1024 * 1024


class ReportBody(msgspec.Struct, frozen=True, kw_only=True):
    """A provider's report of one day."""

    rows: list[ProviderReportRow]


class HttpProvider:
    """Speaks to a provider over a real socket; may be asked from any thread. `close` when done."""

    def __init__(self, name: str, url: str, key: str, *, answer_s: float = ANSWER_S) -> None:
        """Take the provider's address and the key that it gave us."""
        self._name = name
        self._url = url.rstrip("/")
        self._client = httpx.Client(
            headers={"authorization": f"Bearer {key}", "user-agent": "koban-payments"},
            timeout=httpx.Timeout(answer_s, connect=CONNECT_S),
            follow_redirects=False,
            trust_env=False,
        )

    @property
    def name(self) -> str:
        """What the installation calls it."""
        return self._name

    def perform(self, instruction: Instruction) -> Answer:
        """Send an instruction. Raises Unavailable: it may or may not have been done."""
        body = msgspec.json.encode(instruction)
        headers = {"idempotency-key": instruction.key, "content-type": "application/json"}
        response = self._send(
            self._client.build_request("POST", f"{self._url}/v1/instructions", content=body, headers=headers)
        )
        try:
            answer: Answer = msgspec.json.decode(response, type=Answer)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise self._unknown(f"its answer cannot be read: {error}") from None
        return answer

    def report(self, day: datetime.date) -> Sequence[ProviderReportRow]:
        """Ask for a day's report. Raises Unavailable."""
        request = self._client.build_request("GET", f"{self._url}/v1/report", params={"day": day.isoformat()})
        try:
            rows = msgspec.json.decode(self._send(request), type=ReportBody).rows
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise self._unknown(f"its report cannot be read: {error}") from None
        # The provider knows not what we call it.
        return [msgspec.structs.replace(each, provider=self._name) for each in rows]

    def close(self) -> None:
        """Close connections."""
        self._client.close()

    def _send(self, request: httpx.Request) -> bytes:
        try:
            response = self._client.send(request, stream=True)
            try:
                found = bytearray()
                for piece in response.iter_bytes():
                    found += piece
                    if len(found) > BODY_BYTES_MAX:
                        raise self._unknown("its answer does not end")
            finally:
                response.close()
        except httpx.HTTPError as error:
            raise self._unknown(f"{type(error).__name__}: {error}") from None
        if response.status_code != 200:
            raise self._unknown(f"it answered {response.status_code}")
        return bytes(found)

    def _unknown(self, why: str) -> Unavailable:
        return Unavailable(f"payment provider {self._name}", RETRY_AFTER_S, why[:300])
