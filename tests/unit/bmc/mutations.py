"""What a hostile, broken or half-started BMC may make of a good answer: values, so that a failing case shrinks."""

from __future__ import annotations

import json
from typing import Any

from attrs import evolve, frozen
from hypothesis import strategies as st
from scripted_bmc import Reply

ODD_VALUES: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    10**30,
    1e308,
    float("nan"),
    float("inf"),
    "",
    " ",
    "x" * 5000,
    "\ud800",
    "\0",
    "On",
    "Completed",
    "2026-13-45T99:99:99Z",
    "0001-01-01T00:00:00+99:99",
    "/",
    "//",
    "/redfish/v1/../../etc",
    "http://[",
    "http://evil.example/x",
    "/redfish/v1/\r\nX: y",
    "/redfish/v1/%ff%00",
    "?",
    "#",
    [],
    {},
    [None],
    [[]],
    [{}],
    {"@odata.id": None},
    {"@odata.id": "/redfish/v1/Systems"},
    [{"@odata.id": "/redfish/v1/"}] * 3,
    {"": ""},
    [1, "a", {}],
    {"Message": 1, "MessageArgs": {}, "MessageId": []},
)

ODD_BODIES: tuple[bytes, ...] = (
    b"",
    b"null",
    b"[]",
    b"{}",
    b'"busy"',
    b"0",
    b"<html>restarting</html>",
    b"\xff\xfe\x00",
    b"{",
    b"[" * 3000,
    b'{"a":' * 70 + b"1" + b"}" * 70,
    b'{"n": ' + b"9" * 5000 + b"}",
    b'{"error": "busy"}',
    b'{"error": {"@Message.ExtendedInfo": [1, null, {"MessageId": 7}]}}',
    b"\x1f\x8b\x08\x00",
)

ODD_HEADERS: tuple[tuple[str, str], ...] = (
    ("Retry-After", "99999999999999999999"),
    ("Retry-After", "Fri, 31 Dec 9999 23:59:59 GMT"),
    ("Retry-After", "-5"),
    ("Retry-After", "soon"),
    ("Retry-After", "Mon, 01 Jan 0001 00:00:00 -9999"),
    ("Location", ""),
    ("Location", "http://["),
    ("Location", "/"),
    ("Location", "https://evil.example/redfish/v1/TaskService/Tasks/9"),
    ("Location", "x" * 5000),
    ("Location", "/redfish/v1/TaskService/Tasks/\xff"),
    ("ETag", ""),
    ("ETag", 'W/"'),
    ("ETag", "x" * 4000),
    ("X-Auth-Token", ""),
    ("X-Auth-Token", "\xff"),
    ("X-Auth-Token", "t" * 7000),
    ("Content-Encoding", "gzip"),
    ("Content-Encoding", "br"),
    ("Content-Type", "text/event-stream"),
    ("Set-Cookie", "a=b; Domain=evil.example"),
    ("Connection", "close"),
    ("X", "y" * 9000),
)

ODD_RAW: tuple[bytes, ...] = (
    b"",
    b"\r\n\r\n",
    b"banana\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
    b"HTTP/9.9 200 OK\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{}",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 500 + b"\r\n{}",
    b"\x16\x03\x01\x02\x00\x01\x00",
)

STATUSES = (
    200,
    201,
    202,
    204,
    206,
    301,
    302,
    304,
    307,
    400,
    401,
    403,
    404,
    405,
    409,
    410,
    412,
    418,
    428,
    429,
    500,
    501,
    502,
    503,
    504,
    599,
    999,
)


@frozen
class Mutation:
    """Of the requests, every *every*-th from number *first* on, *times* times, is answered otherwise."""

    first: int
    every: int
    times: int
    kind: str
    pick: int
    value: Any

    def strikes(self, number: int) -> bool:
        """Whether request *number* (from 0) is meant."""
        behind = number - self.first
        return behind >= 0 and behind % self.every == 0 and behind // self.every < self.times

    def of(self, reply: Reply) -> Reply:
        """*reply* as it is sent now."""
        match self.kind:
            case "value" | "gone" | "renamed":
                return evolve(reply, body=_changed(reply.body, self.kind, self.pick, self.value))
            case "body":
                return evolve(reply, body=ODD_BODIES[self.pick % len(ODD_BODIES)])
            case "cut":
                body = reply.bytes().partition(b"\r\n\r\n")[2]
                return evolve(reply, body=body[: self.pick % (len(body) + 1)])
            case "flip":
                body = bytearray(reply.bytes().partition(b"\r\n\r\n")[2] or b"{}")
                body[self.pick % len(body)] ^= 1 << (self.pick % 8)
                return evolve(reply, body=bytes(body))
            case "status":
                return evolve(reply, status=STATUSES[self.pick % len(STATUSES)])
            case "header":
                name, value = ODD_HEADERS[self.pick % len(ODD_HEADERS)]
                return evolve(reply, headers={**reply.headers, name: value})
            case "unheaded":
                return evolve(reply, headers={})
            case "raw":
                return Reply(raw=ODD_RAW[self.pick % len(ODD_RAW)])
            case "drop":
                return Reply(drop=True)
            case _:
                return Reply(hang=True)


KINDS = (
    "value",
    "value",
    "value",
    "gone",
    "gone",
    "renamed",
    "body",
    "cut",
    "flip",
    "status",
    "header",
    "header",
    "unheaded",
    "raw",
    "drop",
)

MUTATIONS = st.lists(
    st.builds(
        Mutation,
        first=st.integers(0, 60),
        every=st.integers(1, 9),
        times=st.sampled_from((1, 1, 2, 5, 1000)),
        kind=st.sampled_from(KINDS),
        pick=st.integers(0, 100_000),
        value=st.one_of(
            st.sampled_from(ODD_VALUES),
            st.recursive(
                st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
                lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
                max_leaves=5,
            ),
        ),
    ),
    min_size=1,
    max_size=5,
)


def _changed(body: Any, kind: str, pick: int, value: Any) -> Any:
    """*body* with one of its parts, the *pick*-th, changed."""
    if isinstance(body, bytes) or not body:
        return value if kind == "value" else body
    copy = json.loads(json.dumps(body))
    places = list(_places(copy))
    holder, key = places[pick % len(places)]
    if kind == "value":
        holder[key] = value
    elif kind == "gone":
        del holder[key]
    elif isinstance(holder, dict):
        holder[f"{key}\u00e9"] = holder.pop(key)
    return copy


def _places(value: Any) -> Any:
    """Every place in *value* where something is held, the outermost first."""
    level = [value]
    while level:
        below = []
        for holder in level:
            for key in holder if isinstance(holder, dict) else range(len(holder)):
                yield holder, key
                if isinstance(holder[key], dict | list):
                    below.append(holder[key])
        level = below
