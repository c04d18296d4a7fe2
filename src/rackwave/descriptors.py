"""How many sockets this process may hold."""

from __future__ import annotations

import contextlib
import resource

_OURS = 256
"""Descriptors beyond one a node: the journal, images that are read, the child, what the host program has."""


def allow_connections(count: int) -> None:
    """Raise this process's limit of open files, where the system lets it, so that *count* BMCs can be kept.

    The limit that processes begin with is 1,024 on most systems, and exists for programs that use
    ``select``; what an administrator means to hold is the hard limit, and that stands. It is only
    ever raised, and only where it would not do.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + _OURS
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with contextlib.suppress(ValueError, OSError):  # then connections fail one by one, and say why
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(most, soft), hard))
