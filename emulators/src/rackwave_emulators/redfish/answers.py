"""Answers and refusals, before any HTTP library has a say."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from attrs import field, frozen

JSON = "application/json; charset=utf-8"


def encode(body: Mapping[str, Any]) -> bytes:
    """Serialise *body* as compactly as JSON allows."""
    return json.dumps(body, separators=(",", ":")).encode()


@frozen
class Answer:
    """What a BMC says to one request."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(factory=dict)

    @classmethod
    def of(cls, body: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
        """Answer with a JSON object."""
        return cls(status, encode(body), headers or {})


# Redfish Base registry 1.x: the message for each status that this service refuses with.
_MESSAGE_IDS = {
    400: "PropertyValueError",
    401: "NoValidSession",
    403: "InsufficientPrivilege",
    404: "ResourceMissingAtURI",
    405: "OperationNotAllowed",
    409: "ResourceInUse",
    411: "HeaderMissing",
    412: "PreconditionFailed",
    413: "PayloadTooLarge",
    415: "UnsupportedMediaType",
    501: "QueryNotSupported",
    503: "ServiceTemporarilyUnavailable",
}
_MESSAGE_ID = "Base.1.18.{}"


def error_body(status: int, message: str, message_id: str | None = None) -> dict[str, Any]:
    """Build a Redfish error body (DSP0266, "Error responses")."""
    short = message_id or _MESSAGE_IDS.get(status, "GeneralError")
    code = short if "." in short else _MESSAGE_ID.format(short)
    severity = "Critical" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "Warning"
    return {"error": {"code": code, "message": message, "@Message.ExtendedInfo": [extended(code, message, severity)]}}


def extended(message_id: str, message: str, severity: str = "Warning") -> dict[str, Any]:
    """Build one entry of @Message.ExtendedInfo; a short *message_id* is of the Base registry."""
    return {
        "@odata.type": "#Message.v1_1_2.Message",
        "MessageId": message_id if "." in message_id else _MESSAGE_ID.format(message_id),
        "Message": message,
        "Severity": severity,
        "MessageSeverity": severity,
        "Resolution": "Correct the request and send it again.",
    }


class RefusalError(Exception):
    """The BMC understood the request and says no."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        message_id: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message_id = message_id
        self.headers = headers or {}

    def answer(self) -> Answer:
        """What goes over the wire."""
        return Answer.of(error_body(self.status, str(self), self.message_id), self.status, self.headers)


def json_object(raw: bytes) -> dict[str, Any]:
    """Read a request body that must be a JSON object.

    Raises:
        RefusalError: it is not one (400).
    """
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        raise RefusalError(400, "The request body is not JSON.", message_id="MalformedJSON") from None
    if not isinstance(value, dict):
        raise RefusalError(400, "The request body must be a JSON object.", message_id="UnrecognizedRequestBody")
    return value


def text_property(body: Mapping[str, Any], name: str) -> str:
    """Return the string property *name*, which must be there.

    Raises:
        RefusalError: it is missing, empty or no string (400).
    """
    value = body.get(name)
    if value is None:
        raise RefusalError(400, f"The property {name} is required.", message_id="PropertyMissing")
    if not isinstance(value, str) or not value:
        raise RefusalError(400, f"The property {name} must be a string.", message_id="PropertyValueTypeError")
    return value
