"""The developer's menu: ``nox -l`` lists it, ``nox`` runs what a change must pass.

Every session has an environment of its own below ``.nox``, made by ``venv`` and pip and kept for the
next time. rackwave itself is installed into it as its users get it: from a wheel, not from ``src/``.
"""

from __future__ import annotations

import os
import shutil

import nox

nox.needs_version = ">=2024.10"
nox.options.default_venv_backend = "venv"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["tests", "lint", "types", "layers"]

PACKAGES = (".", "./emulators")
WITH_DEV = (".[dev]", "./emulators")
# Debian's packages for the session 'machine', and the program that shows that each is there
MACHINE_PACKAGES = {"qemu-system-x86": "qemu-system-x86_64", "ipmitool": "ipmitool"}


def install(session: nox.Session, *what: str) -> None:
    """Install *what*, saying only what goes wrong."""
    session.install("--quiet", "--disable-pip-version-check", *what)


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests, on three processes, which wait more than they work; options of pytest may follow after '--'."""
    install(session, *WITH_DEV)
    session.run("pytest", "-n", "3", "--dist", "worksteal", "--durations", "30", *session.posargs)


@nox.session
def long(session: nox.Session) -> None:
    """Run what a run of all tests leaves out, since others of its kind stand for it."""
    install(session, *WITH_DEV)
    session.run("pytest", "-n", "3", "--dist", "worksteal", "-m", "long", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and format with ruff; changes nothing."""
    install(session, "ruff>=0.8")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")


@nox.session
def types(session: nox.Session) -> None:
    """Check the types of both packages, and of the public API from its user's side, with mypy --strict."""
    install(session, *WITH_DEV)
    session.run("mypy", "--strict", "src", "emulators/src", "tests/typing/api.py")


@nox.session
def layers(session: nox.Session) -> None:
    """Check that imports point down only, and that the core stays pure, with import-linter."""
    install(session, "import-linter>=2.1")
    # It reads the sources and runs none of them, so that nothing else needs to be installed.
    session.run("lint-imports", "--no-cache", env={"PYTHONPATH": "src:emulators/src"})


@nox.session
def docs(session: nox.Session) -> None:
    """Run what README.md and docs/ show, on a lab, and check what they say about JSON and dependencies."""
    install(session, *WITH_DEV)
    session.run("pytest", "tests/docs", "tests/unit/test_schemas.py", *session.posargs)


@nox.session
def pathologies(session: nox.Session) -> None:
    """Show the 50 pathologies of real BMCs to a raw client, then to rollouts on every make; print both tables."""
    install(session, *WITH_DEV)
    shown = ("tests/emulated/pathologies", "tests/emulated/table")
    session.run("pytest", "-q", "-m", "not machine", "--pathology-table", *shown, *session.posargs)


@nox.session
def crash(session: nox.Session) -> None:
    """Kill a rollout at every journal entry and three times in every request, on Redfish and IPMI; takes an hour."""
    install(session, *WITH_DEV)
    tests = ("tests/emulated/crash", "tests/emulated/rollout/test_kill.py", "tests/emulated/rollout/test_frozen.py")
    session.run(
        "pytest", "-n", "2", "--dist", "worksteal", "-m", "not machine", "--every-crash", *tests, *session.posargs
    )


@nox.session
def soak(session: nox.Session) -> None:
    """Roll out to 200 nodes in 50 seasons of bad weather and 3 over the wire; show ten mutants to the judge."""
    install(session, *WITH_DEV)
    much = ("--seeds", "1-50", "--soak-nodes", "200", "--wire-seeds", "1-3", "--wire-nodes", "200")
    session.run("pytest", "-n", "2", "--dist", "worksteal", *much, "tests/soak", *session.posargs)


@nox.session
def demo(session: nox.Session) -> None:
    """Run 'rackwave demo'; its options may follow after '--'."""
    install(session, *PACKAGES)
    session.run("rackwave", "demo", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Measure a rollout to 100 emulated nodes beside two rivals; takes minutes and wants a quiet machine."""
    install(session, *PACKAGES)
    session.run("python", "tests/bench/run.py", *session.posargs)


@nox.session(name="bench-scale")
def bench_scale(session: nox.Session) -> None:
    """Plan 100,000 simulated nodes and roll out to 10,000, on virtual time; tells what a node costs at each size."""
    install(session, *PACKAGES)
    session.run("python", "tests/bench/scale.py", *session.posargs)


@nox.session
def makespan(session: nox.Session) -> None:
    """Compare a rollout to 1,000 emulated nodes with what its machines must take; takes a quarter of an hour."""
    install(session, *PACKAGES)
    session.run("python", "tests/bench/makespan.py", *session.posargs)


@nox.session
def changelog(session: nox.Session) -> None:
    """Show what the next release's part of the changelog will say; writes nothing."""
    install(session, "towncrier>=24.8")
    session.run("towncrier", "build", "--draft", "--version", "(the next release)", *session.posargs)


@nox.session
def picture(session: nox.Session) -> None:
    """Run the demo and draw docs/demo.svg anew from what it printed."""
    install(session, *PACKAGES)
    session.run("python", "docs/draw_demo.py", *session.posargs)


@nox.session
def conformance(session: nox.Session) -> None:
    """Hold the scores that DMTF's validators give every emulated make; '-- --accept' keeps better ones."""
    install(session, *PACKAGES, "redfish_protocol_validator==1.3.2", "redfish_service_validator==3.1.8")
    session.run("python", "tests/conformance/run.py", *session.posargs)


@nox.session
def machine(session: nox.Session) -> None:
    """Boot real guests in qemu: new firmware, firmware that does not boot, and the way back; installs qemu by apt."""
    kit = session.cache_dir / "guest-kit"
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        session.warn("without apt-get and root nothing is installed; what is missing is skipped below")
    elif not_there() or not kit.exists():
        apt = {
            "external": True,
            "silent": True,
            "success_codes": range(256),
            "env": {"DEBIAN_FRONTEND": "noninteractive"},
        }
        session.run("apt-get", "update", "-qq", **apt)
        session.run("apt-get", "install", "-qq", "--yes", "--no-install-recommends", *not_there(), **apt)
    if missing := not_there():
        session.skip(f"{' and '.join(missing)} could not be installed")
    install(session, *WITH_DEV)
    session.run("pytest", "-m", "machine", "tests/machine", *session.posargs, env={"RACKWAVE_GUEST_KIT": str(kit)})


def not_there() -> list[str]:
    """Return which of the packages that the session 'machine' needs are not installed."""
    return [package for package, program in MACHINE_PACKAGES.items() if shutil.which(program) is None]
