import os

from tallystick_platform.engine import hardware
from tallystick_platform.engine.hardware import nvidia_driver, probe_cpu


def files(tmp_path, cpuinfo, meminfo="MemTotal:        1000 kB\n"):
    (tmp_path / "cpuinfo").write_text(cpuinfo)
    (tmp_path / "meminfo").write_text(meminfo)
    return tmp_path / "cpuinfo", tmp_path / "meminfo"


def test_a_cpu_is_named_as_a_cpu(tmp_path):
    found = probe_cpu(*files(tmp_path, "processor\t: 0\nmodel name\t: Fast CPU 9000 @ 3 GHz: turbo\n"))
    assert (found.kind, found.name, found.memory_bytes) == ("cpu", "Fast CPU 9000 @ 3 GHz: turbo", 1_024_000)
    assert (found.uuid, found.driver) == (None, None)
    assert found.count == len(os.sched_getaffinity(0))


def test_a_cpu_without_a_name_is_named_by_its_architecture(tmp_path):
    found = probe_cpu(*files(tmp_path, "processor\t: 0\nCPU part\t: 0xd0c\n"))
    assert found.name == f"{os.uname().machine} CPU"


def test_memory_that_proc_does_not_tell_comes_from_the_system(tmp_path):
    found = probe_cpu(*files(tmp_path, "", meminfo="nonsense"))
    assert found.memory_bytes == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def test_this_machine_is_read():
    found = probe_cpu()
    assert found.name
    assert found.memory_bytes > 2**28
    assert found.count >= 1


def test_the_drivers_version_comes_from_the_kernel_module(tmp_path):
    (tmp_path / "version").write_text("570.86.15\n")
    assert nvidia_driver(tmp_path / "version") == "570.86.15"


def test_without_a_driver_there_is_no_version(tmp_path, monkeypatch):
    def missing(name):
        raise OSError(name)

    monkeypatch.setattr(hardware.ctypes, "CDLL", missing)
    assert nvidia_driver(tmp_path / "missing") is None


class FakeCuda:
    """Stands for torch.cuda on a machine with two devices."""

    def is_available(self):
        return True

    def device_count(self):
        return 2

    def get_device_properties(self, index):
        class Properties:
            name, uuid, total_memory = "NVIDIA H200", "GPU-1", 100 + index

        return Properties()


def test_gpus_are_counted_and_their_memory_added_up(monkeypatch):
    import torch

    monkeypatch.setattr(torch, "cuda", FakeCuda())
    monkeypatch.setattr(hardware, "nvidia_driver", lambda: "570")
    found = hardware.probe_cuda()
    assert (found.kind, found.name, found.uuid, found.count) == ("gpu", "NVIDIA H200", "GPU-1", 2)
    assert (found.memory_bytes, found.driver) == (201, "570")


def test_without_a_gpu_none_is_found(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert hardware.probe_cuda() is None
