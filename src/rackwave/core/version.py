"""How versions are written, as declared data: which two are the same, and which one is older.

A bundle's element names the *scheme* of its version. It is used for two things only: to see that what
a BMC reports is what the bundle wants though it is written otherwise, and to warn of a downgrade. Which
bundle is newer is told by its seq, never by a version.

Rules:

- Versions that are equal as text are the same, whatever the scheme.
- Others are the same where both match the scheme's pattern, *core* is equal as text in both, and every
  part that both of them have is equal. So ``U46 v2.00 (05/21/2018)`` and ``2.00`` are the same, and those
  of another date, or family, are not.
- ``compare`` says None where it cannot say. Numbers that are equal though written otherwise (``2.04`` and
  ``2.4``) are such a case: one of them is a typing error, or a notation that was not declared.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType

from attrs import frozen


@frozen
class Scheme:
    """One way to write versions.

    *pattern* is matched against the whole text. Its group ``core`` is the version itself; numbers and
    letters in it are compared from left to right, numbers as numbers. Group ``pre`` is a pre-release,
    which is older than the same version without one. Versions of two ``family`` cannot be compared. Other
    groups are not ordered. *source* says who writes versions so.
    """

    name: str
    pattern: re.Pattern[str]
    source: str


def _scheme(name: str, pattern: str, source: str) -> Scheme:
    return Scheme(name, re.compile(pattern, re.ASCII), source)


SCHEMES: Mapping[str, Scheme] = MappingProxyType(
    {
        scheme.name: scheme
        for scheme in (
            _scheme("opaque", r"(?!)", "a text that only equals itself: build ids, hashes, Debian's versions"),
            _scheme("dotted", r"(?P<core>\d+(?:\.\d+)*)", "numbers with dots between: Redfish Manager.FirmwareVersion"),
            _scheme(
                "semver",
                r"v?(?P<core>\d+\.\d+\.\d+)(?:-(?P<pre>[0-9A-Za-z.-]+))?(?:\+(?P<build>[0-9A-Za-z.-]+))?",
                "semver.org 2.0.0; a version of another build is not compared",
            ),
            _scheme("date", r"(?P<core>\d{4}-\d{2}-\d{2})", "year-month-day, as ISO 8601; 20240131 is dotted"),
            _scheme(
                "dell-bios",
                r"(?P<core>\d+\.\d+\.\d+)",
                "PowerEdge: 2.19.1; older ones such as A07 equal only themselves",
            ),
            _scheme(
                "hpe-rom",
                r"(?:(?P<family>[A-Z]\d{2,3}) )?v?(?P<core>\d+(?:\.\d+){1,2})(?: \((?P<date>\d\d/\d\d/\d{4})\))?",
                "ProLiant: 'U46 v2.00 (05/21/2018)' in Redfish, 2.00 on the download",
            ),
            _scheme(
                "lenovo-build",
                r"(?:(?P<family>[A-Z0-9]{3,4}?)(?P<level>[0-9]{2,3}[A-Z])[- ])?(?P<core>\d+\.\d+)",
                "ThinkSystem: 'U8E122L-1.51', build id and version",
            ),
            _scheme("supermicro", r"(?P<core>\d+\.\d+[a-z]?)", "Supermicro's BIOS: 1.4, then 1.4a, 1.4b"),
        )
    }
)
"""Every scheme by its name."""


def same(scheme: str | None, one: str, other: str) -> bool:
    """Whether *one* and *other* write the same version. Without a scheme only equal texts do."""
    if one == other:
        return True
    left, right = _parts(scheme, one), _parts(scheme, other)
    return left is not None and right is not None and left["core"] == right["core"] and _agree(left, right)


def compare(scheme: str | None, one: str, other: str) -> int | None:
    """Return -1 where *one* is older than *other*, 1 where it is newer, 0 where they are the same, else None."""
    if same(scheme, one, other):
        return 0
    left, right = _parts(scheme, one), _parts(scheme, other)
    if left is None or right is None:
        return None
    families = {parts.get("family") for parts in (left, right)} - {None}
    if len(families) > 1:
        return None
    first, second = _key(left["core"] or ""), _key(right["core"] or "")
    if first != second:
        return -1 if first < second else 1
    if left["core"] != right["core"] or left.get("pre") == right.get("pre"):
        return None
    return -1 if _pre_key(left.get("pre")) < _pre_key(right.get("pre")) else 1


@lru_cache(1024)
def _parts(scheme: str | None, version: str) -> Mapping[str, str | None] | None:
    """Take *version* apart. A rack of many nodes runs few versions, and each is looked at again and again."""
    found = SCHEMES[scheme].pattern.fullmatch(version) if scheme is not None and scheme in SCHEMES else None
    if found is None or found.groupdict().get("core") is None:
        return None
    return MappingProxyType(found.groupdict())


def _agree(left: Mapping[str, str | None], right: Mapping[str, str | None]) -> bool:
    """Whether every part that both have is equal; a pre-release or a build is never that of a version without one."""
    for name, value in left.items():
        other = right[name]
        if value != other and (name in ("pre", "build") or None not in (value, other)):
            return False
    return True


@lru_cache(1024)
def _key(core: str) -> tuple[tuple[int, str], ...]:
    """Return the numbers and letters in *core* so that they compare; noughts at its end say nothing."""
    key = [(int(part), "") if part.isdigit() else (-1, part) for part in re.findall(r"\d+|[a-z]+", core)]
    while key and key[-1] == (0, ""):
        key.pop()
    return tuple(key)


def _pre_key(pre: str | None) -> tuple[tuple[int, int, str], ...]:
    """Order pre-releases as semver does: numbers before words, none at all last."""
    if pre is None:
        return ((2, 0, ""),)
    return tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in pre.split("."))
