"""One answer of a BMC: status, headers, bounded body, and the sentence to be read out of an error."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from attrs import field, frozen

from ...errors import BmcAnswerError, BmcRefusedError
from .document import Document, MalformedError, messages, parse, parse_object, text, without_grants

_STATUS_WORDS = {
    400: "bad request",
    401: "not authenticated",
    403: "forbidden",
    404: "not found",
    405: "not allowed",
    409: "conflict",
    412: "precondition failed",
    413: "too large",
    428: "precondition required",
    429: "too many requests",
    500: "internal error",
    501: "not implemented",
    502: "bad gateway",
    503: "busy",
    504: "gateway timeout",
}


@frozen
class Answer:
    """What one request brought back. Headers may hold tokens and bodies secrets: neither is in the repr."""

    node: str
    method: str
    uri: str
    status: int
    headers: Mapping[str, str] = field(repr=False)
    """Case-insensitive."""
    raw: bytes = field(repr=False)

    @property
    def ok(self) -> bool:
        """Whether the status is a 2xx."""
        return 200 <= self.status < 300

    @property
    def document(self) -> Document:
        """The body as a JSON object.

        Raises:
            BmcAnswerError: it is something else; says node, URI and what is wrong.
        """
        try:
            return parse_object(self.raw)
        except MalformedError as bad:
            raise BmcAnswerError(
                f"{self.node}: the answer to {self.method} {self.uri} cannot be read: {bad}",
                node=self.node,
                advice="The BMC may be restarting or out of memory; look at its log, or reset the BMC.",
            ) from None

    @property
    def document_or_empty(self) -> Document:
        """The body as a JSON object, or an empty one: for answers whose status decides."""
        try:
            return parse_object(self.raw)
        except MalformedError:
            return {}

    @property
    def etag(self) -> str | None:
        """The ETag of header or body."""
        return self.headers.get("ETag") or text(self.document_or_empty, "@odata.etag")

    @property
    def error(self) -> str:
        """What a person should read of an error answer, whatever its shape (P24)."""
        words = _STATUS_WORDS.get(self.status)
        status = f"HTTP {self.status} ({words})" if words else f"HTTP {self.status}"
        told = error_sentence(self.raw)
        return f"{status}: {told}" if told else status

    def retry_after(self, now: float) -> float | None:
        """Seconds to wait by its Retry-After; None where it says nothing usable."""
        return retry_after(self.headers.get("Retry-After"), now)

    def refusal(self, now: float, *, advice: str = "") -> BmcRefusedError:
        """This answer as the error to raise."""
        return BmcRefusedError(
            f"{self.node}: {self.method} {self.uri} was answered with {self.error}",
            node=self.node,
            status=self.status,
            retry_after=self.retry_after(now),
            advice=advice,
        )


def retry_after(header: str | None, now: float) -> float | None:
    """Read a Retry-After header: seconds, or an HTTP date against *now*.

    A date by a BMC clock that is years off (P33) is no reason to wait for years: more than an hour
    is not believed.
    """
    if header is None:
        return None
    header = header.strip()
    if header.isascii() and header.isdigit() and len(header) < 10:
        seconds = float(header)
    else:
        try:
            date = parsedate_to_datetime(header)
            seconds = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now
        except (ValueError, OverflowError, TypeError):
            return None
    return max(0.0, seconds) if seconds <= 3600 else None


def error_sentence(raw: bytes) -> str:
    """The most telling words of an error body: of its messages, its ``error`` text, or none of an HTML page."""
    try:
        body = parse(raw)
    except MalformedError:
        return ""
    told = []
    for message in messages(body):
        words = text(message, "Message") or text(message, "MessageId")
        if words and words not in told:
            told.append(words)
    if not told:
        for path in (("error", "message"), ("error",), ("message",), ("Message",)):
            if words := text(body, *path):
                told.append(words)
                break
    return without_grants(" ".join(told[:3]))[:400]


def epoch(date: object) -> float | None:
    """Read a Redfish date-time as seconds since the epoch; None for what is none."""
    if not isinstance(date, str):
        return None
    try:
        parsed = datetime.fromisoformat(date.strip())
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
