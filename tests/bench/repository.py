"""What a bundle with one large payload costs on its way, beside a plain loop; and a repository of many bundles.

    python tests/bench/repository.py --mib 1024 --bundles 10000

The plain loop reads the payload, hashes it, writes it and fsyncs it: the least that a careful program could
do. Each stage is compared with it, and its peak memory with what was there before it. Push and pull go over
TLS to Debian's docker-registry in a process of its own, on loopback; without it they are left out.
docs/benchmarks.md says what the numbers mean.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import evolve

from rackwave.core.identity import BundleId, Digest
from rackwave.repository.address import RegistryAddress
from rackwave.repository.entry import SEQ, STATE, State
from rackwave.repository.keys import BundleSigner, generate_key
from rackwave.repository.layout import REF_NAME, Descriptor, ImageLayout
from rackwave.repository.registry import Registry
from rackwave.repository.repository import BundleRepository
from rackwave.repository.source import build
from rackwave.repository.trust import KeyringTrust
from rackwave_emulators.tls import Authority

SOURCE = """\
lineage = "A"
seq = {seq}
purpose = "a large image"

[[elements]]
name = "bios"
kind = "bios-image"
component = "BIOS"
version = "1.0.0"
payload = "image.bin"
activation = "host-reset"
reversibility = "reflash"
"""
CONFIGURATION = """\
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {root}}}}}
http: {{addr: {address}, tls: {{certificate: {certificate}, key: {key}}}}}
"""
AIM_WALL, AIM_MIB = 1.5, 32
A1 = BundleId("A", 1)
Stages = dict[str, dict[str, float]]


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Measure what a large bundle, and many bundles, cost.")
    parser.add_argument("--mib", type=int, default=1024, help="size of the payload; 0: leave it out")
    parser.add_argument("--bundles", type=int, default=10_000, help="in one repository; 0: leave it out")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    told: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="rackwave-bench-") as name:
        folder = Path(name)
        signer = generate_key(folder / "key.pem")
        trust = KeyringTrust(()).with_key(signer.public_key, lineages=("*",))
        if options.mib:
            told["payload"] = large(folder / "large", options.mib, signer, trust)
        if options.bundles:
            told["many"] = many(folder / "many", options.bundles, signer, trust)
    if options.json:
        sys.stdout.write(json.dumps(told, indent=2) + "\n")
    else:
        sys.stdout.write("\n".join(table(told)) + "\n")
    return 0


def large(folder: Path, mib: int, signer: BundleSigner, trust: KeyringTrust) -> Stages:
    """Take one bundle the whole way."""
    source = write_source(folder / "source", mib)
    here, there, by_file = (BundleRepository(folder / name, trust) for name in ("here", "there", "by-file"))
    found: Stages = {}

    def stage(name: str, work: Callable[[], object]) -> None:
        found[name] = measured(work)

    stage("plain loop", lambda: plain_loop(source / "image.bin", folder / "plain"))
    stage("build", lambda: build(source, folder / "out", signer))
    stage("publish", lambda: here.publish(folder / "out"))
    shutil.rmtree(folder / "out")
    stage("verify", lambda: sound(here))
    with docker_registry(folder / "registry") as registry:
        if registry is not None:
            stage("push", lambda: here.push(A1, registry))
            stage("pull", lambda: there.pull(A1, registry))
            shutil.rmtree(there.directory)
    stage("export", lambda: here.export(A1, folder / "A.1.tar"))
    stage("publish the file", lambda: by_file.publish(folder / "A.1.tar"))
    stage("plain loop again", lambda: plain_loop(source / "image.bin", folder / "plain"))
    plain = statistics.mean(found[name]["seconds"] for name in ("plain loop", "plain loop again"))
    for spent in found.values():
        spent["ratio"] = spent["seconds"] / plain
    return found


def many(folder: Path, number: int, signer: BundleSigner, trust: KeyringTrust) -> dict[str, float]:
    """Fill an ``index.json`` and measure what is done every day, by a fresh process and by one that runs."""
    repository = BundleRepository(folder / "repository", trust)
    repository.publish(build(write_source(folder / "last", 0, seq=number), folder / "out", signer).directory)
    fill(repository.layout, number)
    following = build(write_source(folder / "next", 0, seq=number + 1), folder / "next-out", signer).directory
    time.sleep(0.2)  # index.json must be at rest to be remembered
    wanted = BundleId("A", number)
    found = {}
    for name, repeat in (("in a fresh process", False), ("in one that runs", True)):
        for what, work in (
            ("get", lambda each: each.get(wanted)),
            ("list", lambda each: each.list()),
        ):
            times = []
            for _ in range(5):
                each = repository if repeat else BundleRepository(repository.directory, trust)
                began = time.perf_counter()
                work(each)
                times.append(time.perf_counter() - began)
            found[f"{what}, {name}"] = statistics.median(times) * 1000
    began = time.perf_counter()
    BundleRepository(repository.directory, trust).publish(following)
    found["publish one more, in a fresh process"] = (time.perf_counter() - began) * 1000
    return found


def fill(layout: ImageLayout, number: int) -> None:
    """Enter *number* - 1 archived bundles before the one that is there. Only ``index.json`` knows of them."""
    with layout.locked() as index:
        (last,) = index.entries

        def older(seq: int) -> Descriptor:
            said = {**last.annotations, REF_NAME: f"A.{seq}", SEQ: str(seq), STATE: State.ARCHIVE.value}
            digest = Digest("sha256:" + hashlib.sha256(str(seq).encode()).hexdigest())
            return evolve(last, digest=digest, annotations=said)

        layout.swap(index.with_entries((*map(older, range(1, number)), last)))


def write_source(folder: Path, mib: int, *, seq: int = 1) -> Path:
    """Write a source whose payload is no plain hole: a page in sixteen holds bytes."""
    folder.mkdir(parents=True)
    (folder / "bundle.toml").write_text(SOURCE.format(seq=seq))
    with (folder / "image.bin").open("wb") as file:
        for place in range(0, mib * 2**20, 2**16):
            file.seek(place)
            file.write(place.to_bytes(8, "big") * 512)
        file.truncate(max(1, mib * 2**20))
    return folder


def plain_loop(source: Path, target: Path) -> None:
    """Hash, write and fsync."""
    hasher = hashlib.sha256()
    with source.open("rb") as reading, target.open("wb") as writing:
        while chunk := reading.read(2**20):
            hasher.update(chunk)
            writing.write(chunk)
        writing.flush()
        os.fsync(writing.fileno())
    target.unlink()


def sound(repository: BundleRepository) -> None:
    """Verify every byte."""
    if problems := [check.problem for check in repository.verify() if not check.is_sound]:
        raise SystemExit(f"verify found {problems}")


def measured(work: Callable[[], object]) -> dict[str, float]:
    """Do *work* and return its seconds and by how many MiB it raised our memory at its highest."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = memory("VmRSS")
    began = time.perf_counter()
    work()
    seconds = time.perf_counter() - began
    return {"seconds": seconds, "growth_mib": memory("VmHWM") - before}


def memory(what: str) -> float:
    """Return one of the kernel's figures about this process, in MiB."""
    found = re.search(rf"{what}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) / 1024 if found else float("nan")


@contextmanager
def docker_registry(folder: Path) -> Iterator[Registry | None]:
    """Start Debian's registry with TLS; None where it is not installed."""
    program = shutil.which("docker-registry")
    if program is None:
        sys.stderr.write("-- docker-registry is not installed; push and pull are left out\n")
        yield None
        return
    folder.mkdir()
    authority = Authority(folder)
    authority.context("registry", "127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    paths = {"certificate": folder / "certificates/registry.pem", "key": folder / "server.key"}
    (folder / "config.yml").write_text(CONFIGURATION.format(root=folder / "storage", address=address, **paths))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL")}
    with subprocess.Popen(
        [program, "serve", folder / "config.yml"], env=environment, stderr=subprocess.DEVNULL
    ) as server:
        try:
            deadline = time.monotonic() + 20
            while not listens(address) and time.monotonic() < deadline:
                time.sleep(0.05)
            with Registry(RegistryAddress(address, "bench"), ca=authority.ca) as registry:
                yield registry
        finally:
            server.terminate()


def listens(address: str) -> bool:
    """Whether somebody takes connections there."""
    host, _, port = address.rpartition(":")
    with socket.socket() as client:
        return client.connect_ex((host, int(port))) == 0


def table(told: dict[str, Any]) -> Iterator[str]:
    """Say it for people."""
    stages: Stages = told.get("payload", {})
    if stages:
        yield f"{'':22}{'s':>8}{'/ plain':>9}{'+ MiB':>8}      aim: <= {AIM_WALL} x the plain loop, <= {AIM_MIB} MiB"
    for name, spent in stages.items():
        yield f"{name:22}{spent['seconds']:8.2f}{spent['ratio']:9.2f}{spent['growth_mib']:8.1f}"
    for name, milliseconds in told.get("many", {}).items():
        yield f"{name:40}{milliseconds:8.1f} ms"


if __name__ == "__main__":
    sys.exit(main())
