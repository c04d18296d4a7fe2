from __future__ import annotations

import pytest
from attrs import evolve

from rackwave.core.bundle import (
    Activation,
    AppliesTo,
    Element,
    ElementKind,
    Manifest,
    Payload,
    PayloadRole,
    Reversibility,
    Witness,
)
from rackwave.core.identity import BundleId, ComponentPattern
from rackwave.core.lint import Level, lint, refuse_errors
from rackwave.errors import BundleError
from values import BIOS, BMC, NIC, bios_settings, bundle, digest, image

CHECKS = (Witness.INSTALLED_VERSION, Witness.POST, Witness.HEALTH)


def good(element: Element, **more: object) -> Element:
    """*element* with nothing to be said of it."""
    scheme = "dotted" if element.version is not None else None
    checks = CHECKS if element.version is not None else CHECKS[1:]
    return evolve(element, **{"scheme": scheme, "checks": checks, **more})


def manifest(*elements: Element, payloads: tuple[Payload, ...] = ()) -> Manifest:
    """A manifest of *elements*, with further *payloads*."""
    made = bundle("A.2", *elements).manifest
    return evolve(made, payloads=(*made.payloads, *payloads))


def told(*elements: Element, payloads: tuple[Payload, ...] = ()) -> list[tuple[str, str, str | None]]:
    """What lint says: id, level and element."""
    return [(f.id, str(f.level), f.element) for f in lint(manifest(*elements, payloads=payloads))]


GOOD_BIOS, GOOD_BMC, GOOD_NIC = good(image(BIOS, "2")), good(image(BMC, "2")), good(image(NIC, "2"))
SETTINGS = good(bios_settings({"A": 1}))


def test_nothing_is_said_of_a_good_bundle() -> None:
    """BMC, BIOS, settings and a device, in their order, checked and with schemes: no finding."""
    assert [] == told(GOOD_BMC, evolve(GOOD_BIOS, after=("bmc",)), evolve(SETTINGS, after=("bios", "bmc")), GOOD_NIC)


def test_one_way() -> None:
    """What cannot be undone is told of, and refused where something stands after it."""
    nic = evolve(GOOD_NIC, reversibility=Reversibility.ONE_WAY)

    assert [("no-way-back", "warning", "nic")] == told(GOOD_BIOS, nic)
    assert [("one-way-not-last", "error", "nic"), ("no-way-back", "warning", "nic")] == told(nic, GOOD_BIOS)


def test_order() -> None:
    """BMC before BIOS before settings is to be said; the other way round, unsaid, is an error."""
    assert [("no-order", "warning", "bios")] == told(GOOD_BMC, GOOD_BIOS)
    assert [("no-order", "error", "bios")] == told(GOOD_BIOS, GOOD_BMC)
    assert [("order-unusual", "warning", "bios")] == told(GOOD_BIOS, evolve(GOOD_BMC, after=("bios",)))
    assert [("no-order", "warning", "settings")] == told(GOOD_BIOS, SETTINGS)


def test_settings_that_a_new_bios_would_lose() -> None:
    """Settings before a BIOS image are an error."""
    assert [("settings-lost", "error", "settings")] == told(SETTINGS, evolve(GOOD_BIOS, after=("settings",)))


def test_activation_that_does_not_fit() -> None:
    """A BMC does not start with the host, nor a BIOS with the BMC."""
    bmc = evolve(GOOD_BMC, activation=Activation.HOST_RESET)
    bios = evolve(GOOD_BIOS, activation=Activation.BMC_RESET)

    assert [("activation-misfit", "error", "bmc")] == told(bmc)
    assert [("activation-misfit", "error", "bios")] == told(bios)


def test_checks() -> None:
    """A restart without a health check, and an image whose version nobody checks, are told of."""
    assert [("no-health-check", "warning", "bios")] == told(evolve(GOOD_BIOS, checks=()))
    assert [("version-unchecked", "warning", "bios")] == told(evolve(GOOD_BIOS, checks=(Witness.POST,)))


def test_selectors() -> None:
    """A pattern over everything is refused; one over the parts of any make, or for the one BIOS, is told of."""
    nics = evolve(GOOD_NIC, component=None, selector=ComponentPattern("NIC.*"))
    everything = evolve(nics, selector=ComponentPattern("*"), applies_to=AppliesTo(vendor="Dell*"))
    bios = evolve(GOOD_BIOS, component=None, selector=ComponentPattern("BIOS*"), applies_to=AppliesTo(vendor="Dell*"))

    assert [("wildcard-any-make", "warning", "nic")] == told(nics)
    assert [] == told(evolve(nics, applies_to=AppliesTo(vendor="Dell*")))
    assert [("wildcard-too-wide", "error", "nic")] == told(everything)
    assert [("wildcard-of-one", "warning", "bios")] == told(bios)


def test_time() -> None:
    """A limit in which a slow BMC could not even fetch the image is told of."""
    made = manifest(evolve(GOOD_BIOS, time_limit=60.0))
    large = evolve(made, payloads=(evolve(made.payloads[0], size=64 * 2**20),))

    (found,) = lint(large)

    assert ("time-limit-small", Level.WARNING) == (found.id, found.level)
    assert "Write time_limit = 1624 or more: what runs longer counts as lost." == found.advice


def test_payloads() -> None:
    """A payload that nobody uses is told of, unless it is metadata; metadata that is written, too."""
    spare = Payload("spare.bin", PayloadRole.DATA, digest("spare"), 7)
    made = manifest(GOOD_BIOS)
    misnamed = evolve(made, payloads=(evolve(made.payloads[0], role=PayloadRole.METADATA),))

    assert [("payload-unused", "warning", "spare.bin")] == told(GOOD_BIOS, payloads=(spare,))
    assert [] == told(GOOD_BIOS, payloads=(evolve(spare, role=PayloadRole.METADATA),))
    assert ["payload-role"] == [finding.id for finding in lint(misnamed)]


def test_notes() -> None:
    """A version without a scheme, and a kind without an executor, are worth a note."""
    driver = Element("driver", ElementKind.DRIVER, Activation.IMMEDIATE, Reversibility.REFLASH)

    assert [("no-scheme", "note", "bios")] == told(evolve(GOOD_BIOS, scheme=None))
    assert [("no-executor", "note", "driver")] == told(driver)


def test_errors_are_refused() -> None:
    """What publishing asks: the first error is told with its advice, the others are counted."""
    refuse_errors(manifest(GOOD_BIOS))
    nic = evolve(GOOD_NIC, reversibility=Reversibility.ONE_WAY)
    with pytest.raises(BundleError) as caught:
        refuse_errors(Manifest(BundleId("A", 2), "", (nic, evolve(GOOD_BMC, activation=Activation.HOST_RESET))))

    assert "A.2 is not fit to be published: nic: it cannot be undone" in str(caught.value)
    assert "(and 1 more)" in str(caught.value)
    assert "Put it last." == caught.value.advice
