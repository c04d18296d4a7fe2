"""What is taken out before anything is handed on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rackwave.core.redact import REMOVED, redacted


@pytest.mark.parametrize(
    "name",
    [
        "Password",
        "AdminPassword",
        "X-Auth-Token",
        "session_token",
        "SNMPCommunity",
        "LicenseKey",
        "PrivateKey",
        "api_key",
        "Key",
    ],
)
def test_secret_properties_lose_their_text(name: str) -> None:
    """A text under a telling name goes, whatever its case."""
    assert {name: REMOVED} == redacted({name: "s3cret"})


@pytest.mark.parametrize("name", ["PublicKey", "Keyboard", "PasswordExpiration@odata.id", "Name"])
def test_other_properties_stay(name: str) -> None:
    """What only sounds alike stays."""
    value = {"@odata.id": "/redfish/v1/x"} if "@odata" in name else "word"

    assert {name: value} == redacted({name: value})


def test_what_is_nested_is_reached() -> None:
    """Lists and objects are looked into; URLs lose their credentials; a flag under a telling name stays."""
    found = redacted({"A": [{"Password": "x", "Url": "nfs://joe:pw@host/a"}], "PasswordChangeRequired": False})

    assert {"A": [{"Password": REMOVED, "Url": f"nfs://{REMOVED}@host/a"}], "PasswordChangeRequired": False} == found


_VALUES = st.recursive(
    st.none() | st.booleans() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=10,
)


@pytest.mark.parametrize(
    ("url", "left"),
    [
        ("https://10.0.0.1:8443/images/68a1f2-" + "0f" * 16 + "/attempt-abcd/bios.bin", "/attempt-abcd/bios.bin"),
        ("https://10.0.0.1:8443/events/" + "0f" * 16 + "/node/r1n01", "/node/r1n01"),
    ],
)
def test_what_grants_access_to_our_own_server_is_cut_out(url: str, left: str) -> None:
    """A BMC lists where it pulls from and where it sends its events; that alone would let others do so."""
    (told,) = redacted([url])

    assert "0f0f" not in told
    assert told.endswith(REMOVED + left)


@given(_VALUES, st.text(min_size=4, max_size=12))
def test_a_known_secret_is_nowhere_left(value: Any, secret: str) -> None:
    """Wherever the secret itself stands, in names and in the middle of texts, it is gone."""
    found = redacted({"a": value, "b": f"x{secret}y", secret: 1}, [secret])
    left = [piece for told in texts(found) for piece in told.split(REMOVED)]

    assert not [piece for piece in left if secret in piece]


def texts(value: Any) -> Iterator[str]:
    """Yield every name and text in *value*."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for inner in value:
            yield from texts(inner)
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield name
            yield from texts(inner)
