"""Reading JSON, headers and dates that nobody vouches for."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rackwave.bmc.redfish.answer import Answer, epoch, error_sentence, retry_after
from rackwave.bmc.redfish.document import MalformedError, attributes, parse, text, uri_path
from rackwave.bmc.redfish.patch import ETAG_FORMS, etag_forms
from rackwave.bmc.redfish.power import allowed_by_info, post, power_state, reset_type
from rackwave.bmc.redfish.resources import last
from rackwave.core.identity import ComponentName, Digest
from rackwave.core.observation import Post, Power, Unknown
from rackwave.ports import Image, ResetKind


@given(raw=st.binary(max_size=200))
def test_parse_never_surprises(raw):
    """Any bytes are JSON or a MalformedError."""
    with suppress(MalformedError):
        parse(raw)


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("/redfish/v1/Systems/1", "/redfish/v1/Systems/1"),
        ("https://other.example/redfish/v1/Systems/1?x=1", "/redfish/v1/Systems/1?x=1"),
        ("//other.example/redfish", "/redfish"),
        ("redfish/v1", None),
        ("/", None),
        ("", None),
        ("/a\r\nX-Evil: 1", None),
        ("/\ud800", None),
        (None, None),
        (5, None),
    ],
)
def test_uri_path(uri, path):
    """A URI is reduced to its path, so that no answer can send us to another host (P10)."""
    assert path == uri_path(uri)


@pytest.mark.parametrize(
    ("value", "found"),
    [("a", "a"), (" a ", "a"), ("", None), (5, None), (None, None), ("\ud800", None), ("x" * 2000, None), ("ü", "ü")],
)
def test_text(value, found):
    """Only strings that can be written down count."""
    assert found == text({"a": value}, "a")


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120.0),
        (" 5 ", 5.0),
        ("0", 0.0),
        ("Thu, 01 Jan 1970 00:01:40 GMT", 90.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("Fri, 01 Jan 2044 00:00:00 GMT", None),
        ("86400", None),
        ("-5", None),
        ("soon", None),
        ("", None),
        (None, None),
        ("²", None),
    ],
)
def test_retry_after(header, seconds):
    """Retry-After is seconds or a date; what a wrong clock makes of it is not believed (P33)."""
    assert seconds == retry_after(header, 10.0)


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (
            {"error": {"message": "general", "@Message.ExtendedInfo": [{"Message": "one"}, {"Message": "two"}]}},
            "one two",
        ),
        ({"error": {"message": "general", "@Message.ExtendedInfo": [{"MessageId": "A.1.0.B"}]}}, "A.1.0.B"),
        ({"error": {"message": "general"}}, "general"),
        ({"error": "busy"}, "busy"),
        (
            {"error": "cannot fetch http://s/images/5-secret/attempt-a1/b.bin, sorry"},
            "cannot fetch …/attempt-a1/b.bin, sorry",
        ),
        ({"Message": "no"}, "no"),
        ({"@Message.ExtendedInfo": [{"Message": "here"}]}, "here"),
        ([], ""),
        ("busy", ""),
        (None, ""),
    ],
)
def test_error_sentence(body, sentence):
    """Error bodies of every shape are understood (P24)."""
    assert sentence == error_sentence(json.dumps(body).encode())


def test_error_page():
    """An HTML page is not read out to the operator."""
    answer = Answer("n1", "GET", "/x", 503, {}, b"<html>boom</html>")

    assert "HTTP 503 (busy)" == answer.error
    assert "boom" not in repr(answer)


@pytest.mark.parametrize(
    ("date", "seconds"), [("1970-01-01T00:01:00Z", 60.0), ("1970-01-01T01:00:00+01:00", 0.0), ("x", None), (1, None)]
)
def test_epoch(date, seconds):
    """Redfish dates are read with their offset."""
    assert seconds == epoch(date)


@pytest.mark.parametrize(
    ("system", "expected"),
    [
        ({"PowerState": "Off", "BootProgress": {"LastState": "OSRunning"}}, Post.NOT_RUNNING),
        ({"PowerState": "On", "BootProgress": {"LastState": "None"}}, Post.NOT_RUNNING),
        ({"PowerState": "On", "BootProgress": {"LastState": "MemoryInitializationStarted"}}, Post.RUNNING),
        ({"PowerState": "On", "BootProgress": {"LastState": "SetupEntered"}}, Post.RUNNING),
        ({"PowerState": "On", "BootProgress": {"LastState": "SystemHardwareInitializationComplete"}}, Post.COMPLETE),
        ({"PowerState": "On", "BootProgress": {"LastState": "OSRunning"}}, Post.COMPLETE),
        ({"PowerState": "On", "BootProgress": {"LastState": "OEM"}}, Unknown("BootProgress is OEM")),
        ({"PowerState": "On", "Status": {"State": "Starting"}}, Post.RUNNING),
        ({"PowerState": "On", "Status": {"State": "Enabled"}}, Unknown("the service has no BootProgress")),
        ({}, Unknown("the service has no BootProgress")),
    ],
)
def test_post(system, expected):
    """POST is what BootProgress says, NOT_RUNNING without power, and honestly unknown where nothing tells."""
    assert expected == post(system, power_state(system))


@pytest.mark.parametrize(
    ("word", "power"),
    [("On", Power.ON), ("Off", Power.OFF), ("PoweringOn", Power.CHANGING), ("PoweringOff", Power.CHANGING)],
)
def test_power(word, power):
    """Every PowerState has its meaning."""
    assert power is power_state({"PowerState": word})


def test_odd_power():
    """A PowerState that nobody knows, or none, is Unknown and not Off (P42)."""
    assert Unknown("PowerState is Paused") == power_state({"PowerState": "Paused"})
    assert isinstance(power_state({}), Unknown)


@pytest.mark.parametrize(
    ("kind", "allowed", "word"),
    [
        (ResetKind.ON, ("On", "ForceOff"), "On"),
        (ResetKind.ON, ("ForceOn",), "ForceOn"),
        (ResetKind.FORCE_RESTART, ("GracefulRestart", "PowerCycle"), "PowerCycle"),
        (ResetKind.FORCE_RESTART, ("On", "ForceOff"), None),
        (ResetKind.FORCE_OFF, ("GracefulShutdown", "PushPowerButton"), None),
        (ResetKind.FORCE_OFF, None, "ForceOff"),
    ],
)
def test_reset_type(kind, allowed, word):
    """A reset is one that the service allows and that does not depend on the OS (P42), or none."""
    assert word == reset_type(kind, allowed)


def test_action_info():
    """Allowed values are read from an ActionInfo, too."""
    info = {"Parameters": [{"Name": "Other"}, {"Name": "ResetType", "AllowableValues": ["On", 5]}]}

    assert ("On",) == allowed_by_info(info, "ResetType")
    assert allowed_by_info({"Parameters": None}, "ResetType") is None


IMAGE = Image(ComponentName("BIOS"), "2", Digest("sha256:" + "0" * 64), 1, Path("/x"), "x", "https://s/x")
PULL = {"target": "/pull"}


@pytest.mark.parametrize(
    ("etag", "forms"),
    [
        ('"abc"', ['"abc"', "abc"]),
        ('W/"abc"', ['W/"abc"', '"abc"', "abc"]),
        ("abc", ["abc", '"abc"']),
        ('"abc-gzip"', ['"abc-gzip"', "abc-gzip", '"abc"']),
    ],
)
def test_etag_forms(etag, forms):
    """An ETag is tried as read first, then in each other form that services compare by (P28), none twice."""
    assert forms == [form for _, form in etag_forms(etag, 0)]


def test_etag_form_that_worked_comes_first():
    """The form that a service took last time is tried first."""
    assert "abc" == etag_forms('W/"abc"', 2)[0][1]
    assert len(ETAG_FORMS) >= len(etag_forms('W/"abc"', 4))


def test_attributes():
    """Only scalars are attributes, and a whole float is an integer."""
    told = {"a": 1, "b": 2.0, "c": 2.5, "d": [1], "e": None, "f": True}

    assert {"a": 1, "b": 2, "e": None, "f": True} == attributes(told)
    assert {} == attributes([1])


def test_last():
    """A member's name is its URI's last segment, unquoted."""
    assert "Disk Bay 0" == last("/redfish/v1/UpdateService/FirmwareInventory/Disk%20Bay%200/")
