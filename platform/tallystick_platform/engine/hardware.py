"""What machine this is, read from the machine. Without a working GPU the CPU is named, as a CPU."""

from __future__ import annotations

import ctypes
from pathlib import Path

from tallystick_platform.engine.cpu import available_cores, probe_cpu
from tallystick_platform.protocol import GpuInfo

__all__ = ["available_cores", "nvidia_driver", "probe_cpu", "probe_cuda"]

NVIDIA_DRIVER = Path("/sys/module/nvidia/version")
_NVML_NAME_BYTES = 96


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
