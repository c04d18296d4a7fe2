"""Tokens: bound to node, digest, attempt and time."""

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rackwave.serving.grants import Grant, parse_path

_KEY = b"k" * 32
_GRANT = Grant("r1n01", "abcd1234", "sha256:" + "a" * 64, "/blobs/a", "bios.bin", 10, 0x6B000000)


def test_form() -> None:
    """The path has the token, the attempt and a real extension last, and no query string."""
    path = _GRANT.url_path(_KEY)

    assert path.startswith("/images/6b000000-")
    assert path.endswith("/attempt-abcd1234/bios.bin")
    assert "?" not in path


def test_own_token() -> None:
    """A token is recognised as its grant's."""
    asked = parse_path(_GRANT.url_path(_KEY))

    assert asked is not None
    assert ("abcd1234", "bios.bin", 0x6B000000) == (asked.attempt, asked.file_name, asked.expires)
    assert asked.is_for(_GRANT, _KEY)


@pytest.mark.parametrize(
    "changes",
    [{"node": "r1n02"}, {"attempt": "abcd1235"}, {"digest": "sha256:" + "b" * 64}, {"expires": 0x6B000001}],
)
def test_anothers_token(changes: dict[str, str]) -> None:
    """Another node's, attempt's or image's token, or one with its expiry moved, is not this grant's."""
    asked = parse_path(attrs.evolve(_GRANT, **changes).url_path(_KEY))  # type: ignore[arg-type]  # unlike fields

    assert asked is not None
    assert not asked.is_for(_GRANT, _KEY)


def test_another_key() -> None:
    """A token of another run, which had another key, is refused."""
    asked = parse_path(_GRANT.url_path(b"x" * 32))

    assert asked is not None
    assert not asked.is_for(_GRANT, _KEY)


@given(st.text() | st.from_regex(r"/images/.*"))
def test_any_path(path: str) -> None:
    """Whatever path is asked for, it is taken apart or refused, never an exception."""
    asked = parse_path(path)

    assert asked is None or not asked.is_for(_GRANT, _KEY)
