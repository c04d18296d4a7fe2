"""The ledger of writes: what is a double flash and what is not."""

from __future__ import annotations

import pytest

from rackwave.core.identity import ComponentName, Digest
from rackwave_emulators.ledger import DoubleFlash, Ledger, WriteResult, attempt_of

BIOS, NIC = ComponentName("BIOS"), ComponentName("NIC")
ONE, TWO = Digest("sha256:" + "1" * 64), Digest("sha256:" + "2" * 64)


def accept(ledger: Ledger, component: ComponentName | None = BIOS, attempt: str = "aaaa") -> int:
    """Enter a write that the BMC accepted."""
    return ledger.accept(component=component, attempt=attempt, source="pull", image="x", at=1.0)


def flash(ledger: Ledger, number: int, digest: Digest = ONE, component: ComponentName = BIOS) -> None:
    """Have the bytes of a write programmed."""
    ledger.flash(number, component=component, digest=digest, version="1", at=1.0)


def activate(ledger: Ledger, number: int) -> None:
    """Have a write become what runs."""
    ledger.resolve(number, WriteResult.ACTIVATED, at=1.0)


@pytest.mark.parametrize(
    ("image", "attempt"),
    [
        ("https://10.0.0.1/n1/attempt-ab12/bios.img?x=1", "ab12"),
        ("A.2-attempt-q9.img", "q9"),
        ("https://10.0.0.1/bios.img", ""),
        ("attempt-", ""),
        ("", ""),
    ],
)
def test_the_attempt_is_read_from_the_images_name(image: str, attempt: str) -> None:
    """A path segment or file name may tell the attempt; without one it is the empty one."""
    assert attempt == attempt_of(image)


def test_one_write_is_no_double_flash() -> None:
    """A single write, resolved or not, breaks no rule."""
    ledger = Ledger()
    flash(ledger, accept(ledger))

    assert {} == ledger.double_flashes()


def test_a_write_over_an_unresolved_one_overlaps() -> None:
    """A write that starts while an earlier one to the same component is unresolved is a double flash."""
    ledger = Ledger()
    first = accept(ledger)
    flash(ledger, first)
    ledger.stage(first, at=2.0)
    second = accept(ledger, attempt="bbbb")
    flash(ledger, second, TWO)
    activate(ledger, first)

    assert {second: DoubleFlash.OVERLAP} == ledger.double_flashes()


def test_a_write_after_a_resolved_one_does_not_overlap() -> None:
    """Once the earlier write is resolved another attempt may write, also the same bytes."""
    ledger = Ledger()
    first = accept(ledger)
    flash(ledger, first)
    activate(ledger, first)
    flash(ledger, accept(ledger, attempt="bbbb"))

    assert {} == ledger.double_flashes()


def test_writes_to_two_components_do_not_overlap() -> None:
    """Another component's write may run at the same time."""
    ledger = Ledger()
    flash(ledger, accept(ledger))
    flash(ledger, accept(ledger, NIC), TWO, NIC)

    assert {} == ledger.double_flashes()


def test_the_same_digest_twice_in_one_attempt_repeats() -> None:
    """A second write of one digest within one attempt is a double flash although the first failed."""
    ledger = Ledger()
    first = accept(ledger)
    flash(ledger, first)
    ledger.resolve(first, WriteResult.FAILED, at=2.0)
    second = accept(ledger)
    flash(ledger, second)

    assert {second: DoubleFlash.REPEAT} == ledger.double_flashes()


def test_an_image_that_never_came_was_no_write_of_its_digest() -> None:
    """After a transfer that failed, the same attempt may try again."""
    ledger = Ledger()
    first = accept(ledger)
    ledger.resolve(first, WriteResult.TRANSFER_FAILED, at=2.0)
    flash(ledger, accept(ledger))

    assert {} == ledger.double_flashes()


def test_another_digest_in_the_same_attempt_is_no_repeat() -> None:
    """An attempt may write several images one after the other."""
    ledger = Ledger()
    first = accept(ledger)
    flash(ledger, first)
    activate(ledger, first)
    flash(ledger, accept(ledger), TWO)

    assert {} == ledger.double_flashes()


def test_a_component_that_the_image_names_is_judged_by_when_the_request_came() -> None:
    """Where only the image tells the component, overlap still counts from the request's acceptance."""
    ledger = Ledger()
    first = accept(ledger, None)
    second = accept(ledger, None, "bbbb")
    flash(ledger, first)
    activate(ledger, first)
    flash(ledger, second, TWO)

    assert {second: DoubleFlash.OVERLAP} == ledger.double_flashes()


def test_the_first_end_of_a_write_counts() -> None:
    """A write that is resolved stays as it was resolved."""
    ledger = Ledger()
    number = accept(ledger)
    activate(ledger, number)
    ledger.resolve(number, WriteResult.FAILED, at=9.0)

    assert WriteResult.ACTIVATED is ledger[number].result
    assert ledger[number].resolved_at == 1.0


@pytest.mark.parametrize(
    ("digests", "repeats"), [((ONE, ONE), True), ((ONE, TWO, ONE), False), ((ONE, TWO, TWO), True)]
)
def test_without_an_attempt_another_image_ends_one(digests: tuple[Digest, ...], repeats: bool) -> None:
    """HPM.1 tells no attempt: the same bytes twice in a row are a repeat, forth and back are not."""
    ledger = Ledger()
    for digest in digests:
        number = accept(ledger, attempt="")
        flash(ledger, number, digest)
        activate(ledger, number)

    assert ({number: DoubleFlash.REPEAT} if repeats else {}) == ledger.double_flashes()
