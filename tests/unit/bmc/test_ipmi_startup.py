"""How far a host has come, from event log and firmware progress sensor."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from rackwave.bmc.ipmi.sel import Entry, Mark, News
from rackwave.bmc.ipmi.sensors import Reading, Sensor
from rackwave.bmc.ipmi.startup import Startup
from rackwave.core.observation import Post, Power, Unknown

PROGRESS = Sensor(3, 0x0F, 0x6F, "POST")


def entries(*events: tuple[int, int] | tuple[int, int, int]) -> tuple[Entry, ...]:
    """Make entries of (sensor type, offset[, event data 2]); a negative offset is a deassertion's."""
    return tuple(
        Entry(
            number=number,
            at=1_700_000_000 + number,
            sensor_type=kind,
            event_type=0x6F,
            offset=abs(offset) % 16,
            asserted=offset >= 0,
            more=bytes([*more, 0xFF, 0xFF][:2]),
        )
        for number, (kind, offset, *more) in enumerate(events, start=1)
    )


def heard(*events: tuple[int, int] | tuple[int, int, int], gap: bool = False, full: bool = False) -> Startup:
    """Return what was witnessed by these events."""
    startup = Startup()
    startup.hear(News(entries(*events), Mark(), gap=gap, full=full))
    return startup


BOOT, PASSED = (0x1D, 1), (0x0F, 2, 0x13)

CASES: list[tuple[Sequence[tuple[int, ...]], int | None, object]] = [
    ([], None, Unknown),
    ([], 0, Unknown),  # a progress sensor that was never seen to move proves nothing: a spoilt BIOS never moves it
    ([], 0b100, Post.RUNNING),
    ([], 0b001, Post.FAILED),
    ([], 0b010, Post.FAILED),
    ([BOOT], None, Unknown),
    ([BOOT], 0, Unknown),
    ([BOOT, (0x0F, 2, 0x07)], None, Post.RUNNING),
    ([BOOT, PASSED], None, Post.COMPLETE),
    ([BOOT, PASSED], 0b100, Post.COMPLETE),  # many leave the last progress standing
    ([BOOT, (0x1F, 1)], None, Post.COMPLETE),
    ([BOOT, (0x0F, 0, 0x0B)], None, Post.FAILED),
    ([BOOT, (0x0F, 1)], None, Post.FAILED),
    ([BOOT, (0x0F, 0, 0x08)], None, Unknown),  # no boot media: POST itself is through
    ([BOOT, (0x0F, 0, 0x0B), PASSED], None, Post.COMPLETE),
    ([BOOT, PASSED, (0x0F, 0, 0x0B)], None, Post.COMPLETE),  # an error noticed in mid-run is none of POST
    ([BOOT, PASSED, BOOT], None, Unknown),
    ([BOOT, PASSED, (0x09, 0), (0x09, -16)], None, Unknown),
    ([(0x0F, 0, 0x0B)], None, Unknown),
]


@pytest.mark.parametrize(("events", "reading", "expected"), CASES)
def test_post(events: Sequence[tuple[int, ...]], reading: int | None, expected: object) -> None:
    """POST is what the last start's witnesses say, and Unknown where none speaks."""
    startup = heard(*events)  # type: ignore[arg-type]
    startup.see(None if reading is None else Reading(PROGRESS, None, reading))
    found = startup.post(Power.ON)

    assert expected is (Unknown if isinstance(found, Unknown) else found)
    assert Post.NOT_RUNNING is startup.post(Power.OFF)


def test_a_quiet_sensor_counts_once_it_moved() -> None:
    """Progress, then none: POST is through. After a restart of ours it must move again."""
    startup = Startup()
    startup.see(Reading(PROGRESS, None, 0b100))
    startup.see(Reading(PROGRESS, None, 0))
    through = startup.post(Power.ON)
    startup.restarted()
    startup.see(Reading(PROGRESS, None, 0))

    assert Post.COMPLETE is through
    assert isinstance(startup.post(Power.ON), Unknown)


def test_the_marker_needs_a_log_that_has_restarts() -> None:
    """A log that has power-ups alone would not show a restart: it marks no boots."""
    assert isinstance(heard((0x1D, 0)).boot(), Unknown)
    assert "ipmi-sel-1-1700000001" == heard(BOOT).boot()
    assert "ipmi-sel-2-1700000002" == heard(BOOT, (0x1D, 0)).boot()


def test_a_full_log_marks_nothing() -> None:
    """A restart would not be entered any more, so the marker would stand still though the host restarted."""
    assert isinstance(heard(BOOT, full=True).boot(), Unknown)


def test_a_gap_forgets() -> None:
    """After a gap nothing of before counts: what lay in it may have been a restart."""
    startup = heard(BOOT, PASSED)
    startup.hear(News((), Mark(), gap=True))

    assert isinstance(startup.boot(), Unknown)
    assert isinstance(startup.post(Power.ON), Unknown)
    assert isinstance(startup.os(Power.ON), Unknown)


def test_the_operating_system() -> None:
    """Started with the last progress, dead with its critical stop, not running during POST."""
    assert True is heard(BOOT, PASSED).os(Power.ON)
    assert False is heard(BOOT, PASSED, (0x20, 1)).os(Power.ON)
    assert heard(BOOT, PASSED, (0x20, 1)).has_stopped
    assert False is heard(BOOT, (0x0F, 2, 0x07)).os(Power.ON)
    assert False is heard(BOOT, PASSED).os(Power.OFF)
    assert isinstance(heard(BOOT).os(Power.ON), Unknown)
