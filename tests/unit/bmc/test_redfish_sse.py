"""An event stream taken apart: the same events however the bytes come, and nothing that fills memory."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rackwave.bmc.redfish.events import is_news
from rackwave.bmc.redfish.sse import MOST_EVENT, MOST_LINE, Parser, Sent, StreamTooLongError


def parsed(*chunks: bytes) -> list[Sent]:
    """Feed *chunks* to a new parser and return what comes out."""
    parser = Parser()
    return [event for chunk in chunks for event in parser.feed(chunk)]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"data: a\n\n", [Sent("a")]),
        (b"data:a\n\n", [Sent("a")]),
        (b"data:  a\n\n", [Sent(" a")]),
        (b"data: a\ndata: b\n\n", [Sent("a\nb")]),
        (b"data\n\n", [Sent("")]),
        (b"id: 7\ndata: a\n\ndata: b\n\n", [Sent("a", "7"), Sent("b", "7")]),
        (b"id: 7\n\n", []),
        (b"id: a\0b\ndata: a\n\n", [Sent("a")]),
        (b": a comment\n\nevent: x\ndata: a\n\n", [Sent("a")]),
        (b"\xef\xbb\xbfdata: a\n\n", [Sent("a")]),
        (b"data: a\r\rdata: b\r\n\r\n", [Sent("a"), Sent("b")]),
        (b"data: \xff\n\n", [Sent("\ufffd")]),
        (b"data: cut off\n", []),
    ],
)
def test_fields(raw: bytes, expected: list[Sent]) -> None:
    """Each rule of the format, on the smallest stream that shows it."""
    assert expected == parsed(raw)


@given(
    lines=st.lists(
        st.sampled_from([b"data: a", b"data: \xc3\xa9", b"id: 1", b"id", b": x", b"", b"retry: 10", b"zzz"])
    ),
    ends=st.lists(st.sampled_from([b"\n", b"\r", b"\r\n"]), min_size=1),
    cuts=st.lists(st.integers(0, 200)),
)
def test_it_makes_no_difference_where_the_bytes_are_cut(lines: list[bytes], ends: list[bytes], cuts: list[int]) -> None:
    """Any line ends, cut anywhere, give the events of the whole."""
    raw = b"".join(line + ends[index % len(ends)] for index, line in enumerate(lines))
    places = sorted({min(cut, len(raw)) for cut in cuts} | {0, len(raw)})
    pieces = [raw[begin:end] for begin, end in itertools.pairwise(places)]

    assert parsed(raw) == parsed(*pieces)


@given(st.binary(max_size=400), st.binary(max_size=400))
def test_any_bytes_give_events_or_nothing(first: bytes, second: bytes) -> None:
    """What is no event stream raises nothing."""
    events = parsed(first, second)

    assert all(isinstance(event, Sent) for event in events)


@pytest.mark.parametrize(
    "chunks",
    [
        [b"x" * 1000] * (MOST_LINE // 1000 + 2),
        [b"data: " + b"x" * 1000 + b"\n"] * (MOST_EVENT // 1000 + 2),
    ],
)
def test_what_has_no_end_is_broken_off(chunks: list[bytes]) -> None:
    """A line without a newline, or an event without its blank line, does not fill memory."""
    with pytest.raises(StreamTooLongError):
        parsed(*chunks)


@pytest.mark.parametrize(("told", "seconds"), [(b"1500", 1.5), (b"-1", None), (b"1e3", None), (b"9" * 30, None)])
def test_retry_is_whole_milliseconds(told: bytes, seconds: float | None) -> None:
    """Anything else is ignored."""
    parser = Parser()
    list(parser.feed(b"retry: " + told + b"\n\n"))

    assert seconds == parser.retry


def event(*message_ids: str) -> str:
    """Return an Event as services send it."""
    return json.dumps({"@odata.type": "#Event.v1_7_0.Event", "Events": [{"MessageId": m} for m in message_ids]})


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (event("TaskEvent.1.0.TaskProgressChanged"), False),
        (event("TaskEvent.1.0.3.TaskStarted"), False),
        (event("TaskEvent.1.0.TaskCompletedOK"), True),
        (event("TaskEvent.1.0.TaskProgressChanged", "TaskEvent.1.0.TaskAborted"), True),
        (event("ResourceEvent.1.3.ResourcePoweredOn"), True),
        (event("IDRAC.2.8.SYS1003"), True),
        (event(), True),
        ('{"@odata.type": "#MetricReport.v1_4_2.MetricReport", "MetricValues": []}', False),
        ("not JSON", True),
        ("[" * 100_000, True),
        ("{}", True),
    ],
)
def test_only_what_may_have_ended_is_news(data: str, *, expected: bool) -> None:
    """Progress and reports of sensors wake nobody; what cannot be understood may be news."""
    assert expected is is_news(data)
