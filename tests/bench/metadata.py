"""What signed metadata costs over a lineage of many bundles: to publish one more, and to learn of it.

``python tests/bench/metadata.py --bundles 10000``; payloads are left out, since the metadata does not grow with them.
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from rackwave.core.canonical import canonical_json
from rackwave.core.channel import first_channel
from rackwave.core.identity import BundleId, Digest, Lineage
from rackwave.repository.metadata.author import Change
from rackwave.repository.metadata.ceremony import Setup, adopt, delegate, init
from rackwave.repository.metadata.key_box import KeyBox
from rackwave.repository.metadata.memory import HOME, Memory
from rackwave.repository.metadata.roles import bundle_path, channel_path
from rackwave.repository.metadata.trust import MetadataTrust

LINE = Lineage("A")


def ask(what: str) -> bytes:
    """Say the passphrase of every key."""
    return b"bench"


def payload(seq: int) -> tuple[bytes, Digest]:
    """Return something of a payload manifest's size, and its digest."""
    data = canonical_json({"seq": seq, "layers": ["x" * 1000]})
    return data, Digest(f"sha256:{hashlib.sha256(data).hexdigest()}")


def best(work: Callable[[], object], times: int = 5) -> float:
    """Return the shortest of some runs, in milliseconds."""
    found = []
    for _ in range(times):
        begun = time.perf_counter()
        work()
        found.append((time.perf_counter() - begun) * 1000)
    return min(found)


def trust(state: Path, repository: Path, memory: Path) -> MetadataTrust:
    """Open the trust anew, as by a command."""
    return MetadataTrust(repository, Memory(memory / HOME), KeyBox.load(state, ask))


def fill(place: Path, bundles: int) -> None:
    """Publish all but one, in one change."""
    init(place, place / "repository", place / "publisher.pem", Setup(), ask=ask)
    mine = trust(place, place / "repository", place)
    delegate(mine, [LINE], [], 1)
    add = {bundle_path(BundleId(LINE, seq)): payload(seq)[0] for seq in range(1, bundles)}
    channel = first_channel(BundleId(LINE, 1), payload(1)[1], reason="")
    for seq in range(2, bundles):
        channel = channel.published(BundleId(LINE, seq), payload(seq)[1], reason="")
    mine.author.change(LINE, Change({**add, channel_path(LINE): canonical_json(channel.document())}))


def measure(bundles: int) -> None:
    """Print what each takes."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        fill(place, bundles)
        repository = place / "repository"
        seqs = iter(range(bundles, bundles + 100))

        def publish() -> None:
            seq = next(seqs)
            data, digest = payload(seq)
            trust(place, repository, place).enter(BundleId(LINE, seq), data, digest, reason="bench", min_seq=None)

        nodes = iter(range(100))

        def cold() -> None:
            node = place / f"node-{next(nodes)}"
            adopt(node, place / HOME / "root.json")
            _, digest = payload(bundles - 1)
            trust(node, repository, node).check_forward(BundleId(LINE, bundles - 1), digest)

        def warm() -> None:
            _, digest = payload(bundles - 1)
            trust(place, repository, place).client.check_forward(BundleId(LINE, bundles - 1), digest)

        print(f"{bundles:>6} bundles: publish {best(publish):.1f} ms", end=", ")  # noqa: T201
        print(f"cold refresh {best(cold):.1f} ms, warm {best(warm):.1f} ms", end=", ")  # noqa: T201
        newest = [path for path in (place / "node-0" / HOME / "metadata").glob("*.json") if path.is_file()]
        print(f"{sum(path.stat().st_size for path in newest) / 1000:.0f} kB fetched")  # noqa: T201


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundles", type=int, nargs="+", default=[10, 200, 2000, 10_000])
    for count in parser.parse_args().bundles:
        measure(count)
