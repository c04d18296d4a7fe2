"""The developer's menu: ``nox -l`` lists it, ``nox`` runs what a change must pass.

Every session has an environment of its own below ``.nox``, made by ``venv`` and pip and kept for the
next time. rackwave itself is installed into it as its users get it: from a wheel, not from ``src/``.
"""

from __future__ import annotations

import nox

nox.needs_version = ">=2024.10"
nox.options.default_venv_backend = "venv"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["tests", "lint", "types", "layers"]

PACKAGES = (".", "./emulators")
WITH_DEV = (".[dev]", "./emulators")


def install(session: nox.Session, *what: str) -> None:
    """Install *what*, saying only what goes wrong."""
    session.install("--quiet", "--disable-pip-version-check", *what)


@nox.session
def tests(session: nox.Session) -> None:
    """Run every test, on two processes; options of pytest may follow after '--'."""
    install(session, *WITH_DEV)
    session.run("pytest", "-n", "2", "--dist", "worksteal", *session.posargs)


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
def demo(session: nox.Session) -> None:
    """Run 'rackwave demo'; its options may follow after '--'."""
    install(session, *PACKAGES)
    session.run("rackwave", "demo", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Measure a rollout to 100 emulated nodes beside two rivals; takes minutes and wants a quiet machine."""
    install(session, *PACKAGES)
    session.run("python", "tests/bench/run.py", *session.posargs)


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
