"""The example bundles that come with rackwave: where their sources are, and how to make them whole."""

from __future__ import annotations

import runpy
from pathlib import Path

from ..errors import BundleError

_PACKAGE = Path(__file__).resolve().parents[1]
# In an installed wheel the sources lie inside of the package, in a checkout beside src/.
_PLACES = (_PACKAGE / "examples", _PACKAGE.parents[1] / "bundles")


def examples_directory() -> Path:
    """Return the folder with the sources of the example bundles.

    Raises:
        BundleError: they were not installed.
    """
    for place in _PLACES:
        if (place / "prepare.py").is_file():
            return place
    raise BundleError("the example bundles are not installed", advice="Install rackwave again, from its wheel.")


def prepare_example(name: str, out: Path) -> tuple[Path, ...]:
    """Write the complete sources of the example set *name* below *out*; return one folder a bundle, by seq.

    ``lab-bios`` and ``broken`` need rackwave-emulators, which makes their images; ``uefi-ovmf`` needs apt.

    Raises:
        BundleError: there is no such set, or a payload cannot be made or fetched.
    """
    script = runpy.run_path(str(examples_directory() / "prepare.py"))
    return tuple(Path(path) for path in script["prepare"](name, out))
