"""A rack of emulated BMCs, built on sushy-tools."""
