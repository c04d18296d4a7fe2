from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rackwave.core.version import SCHEMES, compare, same

VERSIONS = st.from_regex(r"v?[0-9]{1,2}(\.[0-9]{1,2}){0,3}[ab]?(-rc\.[0-9])?", fullmatch=True) | st.sampled_from(
    ["U46 v2.00 (05/21/2018)", "U32 v2.00 (05/21/2018)", "U46 v1.40 (01/01/2018)", "2024-01-31", "A07", "", "²"]
)


@pytest.mark.parametrize(
    ("scheme", "one", "other", "expected"),
    [
        ("dotted", "1.9", "1.10", -1),
        ("dotted", "10.0", "9.0", 1),
        ("dotted", "2.0", "2.0.0", None),
        ("dotted", "2.04", "2.4", None),
        ("dotted", "2.0.0", "U46 v2.0.0 (05/21/2018)", None),
        ("semver", "1.0.0-rc.2", "1.0.0-rc.10", -1),
        ("semver", "1.0.0-rc.1", "1.0.0", -1),
        ("semver", "v1.0.0", "1.0.0", 0),
        ("semver", "1.0.0+a", "1.0.0+b", None),
        ("semver", "1.0.0+a", "1.0.0", None),
        ("date", "2024-01-31", "2024-02-01", -1),
        ("dell-bios", "2.9.1", "2.19.1", -1),
        ("dell-bios", "A07", "A07", 0),
        ("dell-bios", "A07", "1.0.0", None),
        ("hpe-rom", "U46 v2.00 (05/21/2018)", "2.00", 0),
        ("hpe-rom", "U32 v2.0.0 (05/21/2018)", "2.0.0", 0),
        ("hpe-rom", "U46 v2.00 (05/21/2018)", "U46 v2.00 (06/21/2018)", None),
        ("hpe-rom", "U46 v2.00 (05/21/2018)", "U46 v1.40 (06/21/2019)", 1),
        ("hpe-rom", "U46 v2.00 (05/21/2018)", "U32 v1.40", None),
        ("lenovo-build", "U8E122L-1.51", "1.51", 0),
        ("lenovo-build", "U8E122L-1.51", "U8E120K-1.50", 1),
        ("supermicro", "1.4", "1.4a", -1),
        ("supermicro", "1.4b", "1.4a", 1),
        ("opaque", "2", "1", None),
        ("opaque", "2", "2", 0),
        (None, "2.0", "2.0", 0),
        (None, "2.0", "1.0", None),
    ],
)
def test_compare(scheme: str | None, one: str, other: str, expected: int | None) -> None:
    """Each scheme orders what its vendor writes, and says None of the rest."""
    assert expected == compare(scheme, one, other)
    assert (expected == 0) is same(scheme, one, other)


@given(st.sampled_from(sorted(SCHEMES)), VERSIONS, VERSIONS)
@settings(deadline=None)
def test_compare_is_the_same_from_both_sides(scheme: str, one: str, other: str) -> None:
    """What is older than another, that is newer than it; nothing is older than itself."""
    there, back = compare(scheme, one, other), compare(scheme, other, one)

    assert 0 == compare(scheme, one, one)
    assert there == (None if back is None else -back)


@given(VERSIONS, VERSIONS, VERSIONS)
@settings(deadline=None, max_examples=300)
def test_order_is_an_order(one: str, other: str, third: str) -> None:
    """Where one is older than another, and that than a third, the first is not newer than the third."""
    for scheme in SCHEMES:
        if compare(scheme, one, other) == -1 and compare(scheme, other, third) == -1:
            assert compare(scheme, one, third) in (-1, None)
