from __future__ import annotations

import pytest
from workshop import Workshop

from rackwave.bundle_manager import BundleManager
from rackwave.errors import TrustError


def test_build_and_publish(workshop: Workshop) -> None:
    """A bundle is built and published, as a value or by its folder, and the reason is kept."""
    manager = BundleManager(workshop.repository, workshop.signer)
    manager.publish(manager.build(workshop.source(1), workshop.fresh("out")), "first")
    manager.publish(manager.build(workshop.source(2), workshop.fresh("out")).directory, "second")

    assert [("A.1", "first"), ("A.2", "second")] == [
        (str(entry.id), entry.reason) for entry in workshop.repository.list()
    ]


def test_no_key(workshop: Workshop) -> None:
    """Without a key nothing is built, and the error says how to get one; publishing needs none."""
    manager = BundleManager(workshop.repository)
    out = workshop.fresh("out")
    with pytest.raises(TrustError, match="no key") as caught:
        manager.build(workshop.source(1), out)

    assert "rackwave trust key" in caught.value.advice
    assert not out.exists()
    assert not manager.publish(workshop.build(1)).was_published
