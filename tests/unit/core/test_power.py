"""Power by hand: what a service lacks is made of what it has."""

from __future__ import annotations

import pytest

from rackwave.core.observation import Power
from rackwave.core.power import Beat, Lacking, PowerAct, PowerWish, beats

ALL = frozenset(PowerAct)
ONLY_ON_AND_OFF = frozenset({PowerAct.ON, PowerAct.FORCE_OFF})
A = PowerAct


def acts(
    wish: PowerWish, can: frozenset[PowerAct] | None = ALL, power: Power = Power.ON, force_after: float | None = None
) -> list[PowerAct]:
    """The acts that fulfil *wish*."""
    found = beats(wish, can, power, force_after=force_after)
    assert not isinstance(found, Lacking), found
    return [beat.act for beat in found]


@pytest.mark.parametrize(
    ("wish", "all_there", "only_on_and_off"),
    [
        (PowerWish.ON, [A.ON], [A.ON]),
        (PowerWish.OFF, [A.FORCE_OFF], [A.FORCE_OFF]),
        (PowerWish.RESET, [A.FORCE_RESTART], [A.FORCE_OFF, A.ON]),
        (PowerWish.CYCLE, [A.CYCLE], [A.FORCE_OFF, A.ON]),
        (PowerWish.SHUTDOWN, [A.SHUTDOWN], None),
        (PowerWish.RESTART, [A.RESTART], None),
        (PowerWish.NMI, [A.NMI], None),
        (PowerWish.BUTTON, [A.BUTTON], None),
    ],
)
def test_what_a_service_lacks(wish, all_there, only_on_and_off):
    """A reset or a cycle is off, seen off, on where there is no such act (P42); nothing is made of the rest."""
    assert all_there == acts(wish)
    assert all_there == acts(wish, None)
    if only_on_and_off is None:
        assert isinstance(beats(wish, ONLY_ON_AND_OFF, Power.ON), Lacking)
    else:
        assert only_on_and_off == acts(wish, ONLY_ON_AND_OFF)


def test_a_reset_by_a_cycle():
    """A service with a cycle and no restart is reset by the cycle."""
    assert [A.CYCLE] == acts(PowerWish.RESET, ALL - {A.FORCE_RESTART})


@pytest.mark.parametrize("wish", [PowerWish.RESET, PowerWish.CYCLE])
def test_a_host_that_is_off(wish):
    """A host that is off is switched on; there is no system on it that could be restarted."""
    assert [A.ON] == acts(wish, power=Power.OFF)
    assert isinstance(beats(PowerWish.RESTART, ALL, Power.OFF), Lacking)


def test_force_only_when_asked():
    """A shutdown is forced after a time only where that was asked for; a restart then is a shutdown and a start."""
    (gentle,) = beats(PowerWish.SHUTDOWN, ALL, Power.ON)
    (forced,) = beats(PowerWish.SHUTDOWN, ALL, Power.ON, force_after=30)

    assert (None, A.FORCE_OFF) == (gentle.forced, forced.forced)
    assert 30 == forced.within
    assert [A.SHUTDOWN, A.ON] == acts(PowerWish.RESTART, force_after=30)
    assert [A.SHUTDOWN, A.ON] == acts(PowerWish.RESTART, ALL - {A.RESTART})


@pytest.mark.parametrize("wish", list(PowerWish))
@pytest.mark.parametrize("power", list(Power))
def test_every_wish_ends_in_acts_that_exist(wish, power):
    """Whatever a service has, only acts that it has are asked of it, and off is seen before on."""
    for lacking in PowerAct:
        found = beats(wish, ALL - {lacking}, power)
        if isinstance(found, Lacking):
            assert found.why
            continue

        assert lacking not in {beat.act for beat in found}
        assert all(isinstance(beat, Beat) and beat.until is not None for beat in found[:-1])
