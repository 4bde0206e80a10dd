"""What machine this is, read from the machine. Without a working GPU the CPU is named, as a CPU."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

from tallystick_platform.protocol import GpuInfo

CPUINFO = Path("/proc/cpuinfo")
MEMINFO = Path("/proc/meminfo")
NVIDIA_DRIVER = Path("/sys/module/nvidia/version")
_NAME_KEYS = ("model name", "Hardware", "Processor", "cpu model")
_NVML_NAME_BYTES = 96


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


def probe_cuda() -> GpuInfo | None:
    """The NVIDIA devices that torch can compute on, or None. Memory is the sum over all of them."""
    import torch  # only worker processes that run torch come here

    if not torch.cuda.is_available():
        return None
    count = torch.cuda.device_count()
    properties = [torch.cuda.get_device_properties(index) for index in range(count)]
    uuid = getattr(properties[0], "uuid", None)
    return GpuInfo(
        kind="gpu",
        name=properties[0].name,
        uuid=None if uuid is None else str(uuid),
        count=count,
        memory_bytes=sum(int(device.total_memory) for device in properties),
        driver=nvidia_driver(),
    )


def available_cores() -> int:
    """Cores that the scheduler lets this process use: fewer than the machine has, inside most containers."""
    return len(os.sched_getaffinity(0))


def nvidia_driver(version_file: Path = NVIDIA_DRIVER) -> str | None:
    """The driver's version, from the kernel module or else from NVML."""
    try:
        return version_file.read_text().strip() or None
    except OSError:
        return _nvml_driver()


def _nvml_driver() -> str | None:
    try:
        nvml = ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return None
    buffer = ctypes.create_string_buffer(_NVML_NAME_BYTES)
    if nvml.nvmlInit_v2() != 0:
        return None
    try:
        if nvml.nvmlSystemGetDriverVersion(buffer, _NVML_NAME_BYTES) != 0:
            return None
    finally:
        nvml.nvmlShutdown()
    return buffer.value.decode("ascii", "replace") or None


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
