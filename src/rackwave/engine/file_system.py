"""Whether a file lies where SQLite's locks hold."""

from __future__ import annotations

import re
from pathlib import Path

from ..errors import StateError

# SQLite's locks and its shared-memory file hold only among processes of one kernel. These either
# cross machines or are another kernel's files seen through a share, where two writers would not see
# each other (sqlite.org/wal.html, "All processes using a database must be on the same host").
_SHARED = frozenset(
    name
    for line in (
        "nfs nfs4 cifs smb smb2 smb3 smbfs ncpfs afs coda 9p virtiofs vboxsf prl_fs ceph lustre gpfs beegfs",
        "orangefs glusterfs davfs fuse.sshfs fuse.ceph fuse.ceph-fuse fuse.glusterfs fuse.s3fs fuse.gcsfuse",
        "fuse.rclone fuse.davfs fuse.curlftpfs fuse.smbnetfs fuse.vmhgfs-fuse fuse.grpcfuse fuse.juicefs",
    )
    for name in line.split()
)


def refuse_shared_file_system(path: Path, mounts: str | None = None) -> None:
    """Raise StateError where *path* lies on a file system that other machines may write to.

    Args:
        path: the file, which need not exist yet.
        mounts: the text of ``/proc/self/mountinfo``; read from there by default. Where the system
            has no such file, nothing can be told and nothing is refused.
    """
    if mounts is None:
        try:
            mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape")
        except OSError:
            return
    target = path.resolve()
    best, kind = -1, ""
    for line in mounts.splitlines():
        fields, _, rest = line.partition(" - ")
        parts = fields.split(" ")
        if len(parts) < 5 or not rest:
            continue
        mount_point = Path(re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), parts[4]))
        if target.is_relative_to(mount_point) and len(mount_point.parts) >= best:  # a later mount hides an earlier
            best, kind = len(mount_point.parts), rest.split(" ", 1)[0]
    if kind in _SHARED:
        raise StateError(
            f"{path} lies on a network or shared file system ({kind}), where the journal's locks do not hold.",
            advice="Choose a state directory on a local disk.",
        )
