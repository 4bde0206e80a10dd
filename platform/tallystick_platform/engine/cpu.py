"""The CPU and memory of this machine, read from the machine, and how its cores are shared.

Nothing of the rest of this package is imported here, so that any process may ask.

Source: Linux `proc_meminfo(5)`; control groups version 2, "Memory Interface Files".
"""

from __future__ import annotations

import os
from pathlib import Path

from tallystick_platform.protocol import GpuInfo

CPUINFO = Path("/proc/cpuinfo")
MEMINFO = Path("/proc/meminfo")
CGROUP = Path("/sys/fs/cgroup")
OWN_GROUP = Path("/proc/self/cgroup")
RESERVED_BYTES = 512 * 1_048_576  # for the API, the chain and the requests in flight: models never get the last of it
_NAME_KEYS = ("model name", "Hardware", "Processor", "cpu model")


def share_cores() -> None:
    """Let torch's threads sleep while they wait for each other, unless the operator chose otherwise.

    They spin by default, which steals the core that a sibling or the API process needs: with all cores busy a step took 3 to 8
    times longer. The OpenMP runtime reads these when torch is first imported. A short spin first costs nothing and saves a wake-up.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")


def probe_cpu(cpuinfo: Path = CPUINFO, meminfo: Path = MEMINFO) -> GpuInfo:
    """The CPU: its model's name, the cores that this process may use, all memory of the machine."""
    return GpuInfo(
        kind="cpu",
        name=_cpu_name(cpuinfo),
        uuid=None,
        count=available_cores(),
        memory_bytes=_total_memory(meminfo),
        driver=None,
    )


def available_cores() -> int:
    """Cores that the scheduler lets this process use: fewer than the machine has, inside most containers."""
    return len(os.sched_getaffinity(0))


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


def _cpu_name(cpuinfo: Path) -> str:
    """The first name that the kernel gives; ARM kernels give none, so the architecture stands in."""
    try:
        lines = cpuinfo.read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    for key in _NAME_KEYS:
        for line in lines:
            name, _, value = line.partition(":")
            if name.strip() == key and value.strip():
                return value.strip()
    return f"{os.uname().machine} CPU"


def _total_memory(meminfo: Path) -> int:
    try:
        for line in meminfo.read_text().splitlines():
            name, _, value = line.partition(":")
            if name == "MemTotal":
                return int(value.split()[0]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
