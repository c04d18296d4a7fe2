"""DMTF's Redfish Protocol Validator without its multicast: nothing here speaks to anything but loopback.

The lab has no SSDP, so those assertions are reported as not tested either way; asking the network takes
twelve seconds longer to say so.
"""

from __future__ import annotations

import sys
from typing import Any

from redfish_protocol_validator import console_scripts, utils


def _nobody(**_: Any) -> dict[str, str]:
    return {}


utils.discover_ssdp = _nobody

if __name__ == "__main__":
    sys.exit(console_scripts.main())
