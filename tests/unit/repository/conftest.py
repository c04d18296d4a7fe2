"""Lets the tests here import ``workshop``, which stands beside them, and sets one up for each."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from workshop import Workshop

from rackwave.repository.keys import BundleSigner, generate_key
from rackwave.repository.repository import BundleRepository
from rackwave.repository.trust import KeyringTrust


@pytest.fixture
def signer(tmp_path: Path) -> BundleSigner:
    """A key that may sign A and B."""
    return generate_key(tmp_path / "key.pem")


@pytest.fixture
def trust_file(tmp_path: Path, signer: BundleSigner) -> Path:
    """A trust file that allows the key the lineages A and B."""
    path = tmp_path / "trust.json"
    KeyringTrust(()).with_key(signer.public_key, lineages=("A", "B")).save(path)
    return path


@pytest.fixture
def workshop(tmp_path: Path, signer: BundleSigner, trust_file: Path) -> Workshop:
    """A workshop with an empty repository; its clock stands still."""
    trust = KeyringTrust.load(trust_file)
    return Workshop(tmp_path, signer, BundleRepository(tmp_path / "repository", trust, now=lambda: 1_700_000_000.25))
