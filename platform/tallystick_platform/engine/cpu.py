"""The CPU of this machine, read from the machine, and how its cores are shared.

Nothing of the rest of this package is imported here, so that any process may ask.
"""

from __future__ import annotations

import os
from pathlib import Path

from tallystick_platform.protocol import GpuInfo

CPUINFO = Path("/proc/cpuinfo")
MEMINFO = Path("/proc/meminfo")
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
