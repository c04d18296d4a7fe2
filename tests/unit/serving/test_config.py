"""How the image server is told to listen."""

from pathlib import Path

import pytest

from rackwave.errors import InventoryError
from rackwave.serving.config import ServingConfig, split_address


@pytest.mark.parametrize(
    ("text", "expected"),
    [("127.0.0.1:0", ("127.0.0.1", 0)), ("127.9.9.9:8443", ("127.9.9.9", 8443)), ("[::1]:65535", ("::1", 65535))],
)
def test_address(text: str, expected: tuple[str, int]) -> None:
    """Numeric IPv4 and bracketed IPv6 addresses are taken."""
    assert expected == split_address(text)


@pytest.mark.parametrize(
    "text", ["8443", "localhost:1", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:65536", "1.2.3:4", ":1"]
)
def test_no_address(text: str) -> None:
    """Anything else is refused with an example."""
    with pytest.raises(InventoryError, match="listen"):
        ServingConfig(listen=text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ("", None)),
        ("images.example", ("images.example", None)),
        ("images.example:8443", ("images.example", 8443)),
        ("[2001:db8::1]:8443", ("2001:db8::1", 8443)),
        ("[2001:db8::1]", ("2001:db8::1", None)),
    ],
)
def test_advertised(text: str, expected: tuple[str, int | None]) -> None:
    """A host with or without a port is understood."""
    assert expected == ServingConfig(advertise=text).advertised()


@pytest.mark.parametrize("text", ["https://images.example", "a b", "2001:db8::1", "x:y"])
def test_not_advertisable(text: str) -> None:
    """URLs and bare IPv6 addresses are refused."""
    with pytest.raises(InventoryError, match="advertise"):
        ServingConfig(advertise=text)


@pytest.mark.parametrize("half", [{"cert": Path("c")}, {"key": Path("k")}])
def test_half_a_certificate(half: dict[str, Path]) -> None:
    """A certificate needs its key."""
    with pytest.raises(InventoryError, match="both"):
        ServingConfig(**half)  # type: ignore[arg-type]  # one of two Path fields


def test_tls_or_not() -> None:
    """Plain http with a certificate is a contradiction."""
    with pytest.raises(InventoryError, match="plain_http"):
        ServingConfig(plain_http=True, cert=Path("c"), key=Path("k"))
