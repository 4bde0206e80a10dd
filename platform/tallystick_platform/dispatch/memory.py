"""What a version will take of memory, and how much there is: the machine's, and that of the container around this process.

Source: Linux `proc_meminfo(5)`; control groups version 2, "Memory Interface Files".
"""

from __future__ import annotations

from pathlib import Path

from tallystick_platform.dispatch.catalog import Servable
from tallystick_platform.formats.memory import estimate

MEMINFO = Path("/proc/meminfo")
CGROUP = Path("/sys/fs/cgroup")
OWN_GROUP = Path("/proc/self/cgroup")
RESERVED_BYTES = 512 * 1_048_576  # for the API, the chain and the requests in flight: models never get the last of it
KV_TOKENS = 8_192  # caches that a worker is expected to fill: eight requests of a thousand tokens


def available_bytes(
    meminfo: Path = MEMINFO,
    cgroup: Path = CGROUP,
    own_group: Path = OWN_GROUP,
    reserved_bytes: int = RESERVED_BYTES,
) -> int:
    """Memory that models may take now, never below zero. Where nothing can be read, none."""
    rooms = [_machine(meminfo), *(_left_in(group) for group in _groups(cgroup, own_group))]
    return max(0, min((room for room in rooms if room is not None), default=0) - reserved_bytes)


def _machine(meminfo: Path) -> int | None:
    """What the kernel would give without swapping."""
    try:
        for line in meminfo.read_text().splitlines():
            name, _, value = line.partition(":")
            if name == "MemAvailable":
                return int(value.split()[0]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return None


def _groups(cgroup: Path, own_group: Path) -> list[Path]:
    """This process's control group and those around it: each may have a limit."""
    try:
        lines = own_group.read_text().splitlines()
    except OSError:
        return [cgroup]
    own = next((line.removeprefix("0::/") for line in lines if line.startswith("0::/")), "")
    group = cgroup / own
    return [group, *(parent for parent in group.parents if parent.is_relative_to(cgroup))]


def _left_in(group: Path) -> int | None:
    """What a control group's limit leaves; file pages that can be dropped do not count as used."""
    try:
        limit = int((group / "memory.max").read_text())
        used = int((group / "memory.current").read_text())
        for line in (group / "memory.stat").read_text().splitlines():
            name, _, value = line.partition(" ")
            if name == "inactive_file":
                used -= int(value)
    except (OSError, ValueError):  # "max" is no number: no limit
        return None
    return limit - used


def needed_bytes(servable: Servable) -> int:
    """What a worker of this version will take, from its files' headers. An adapter comes on top of its base.

    Weights count as float32, which is what a machine without a GPU computes in. Raises: FormatError.
    """
    if servable.base_folder is None:
        return estimate(servable.folder, kv_tokens=KV_TOKENS).total_bytes
    base = estimate(servable.base_folder, kv_tokens=KV_TOKENS).total_bytes
    return base + sum(path.stat().st_size for path in servable.folder.rglob("*") if path.is_file())
