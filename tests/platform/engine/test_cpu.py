from pathlib import Path

import pytest

from tallystick_platform.engine import cpu

MIB = 1_048_576
MEMINFO = "MemTotal:       16384 kB\nMemFree: 1 kB\nMemAvailable:    8192 kB\n"


@pytest.fixture
def machine(tmp_path: Path) -> dict[str, Path]:
    (tmp_path / "meminfo").write_text(MEMINFO)
    (tmp_path / "own").write_text("0::/service\n")
    (tmp_path / "groups" / "service").mkdir(parents=True)
    return {"meminfo": tmp_path / "meminfo", "cgroup": tmp_path / "groups", "own_group": tmp_path / "own"}


def limit(folder: Path, limit: str, used: int, droppable: int = 0) -> None:
    (folder / "memory.max").write_text(f"{limit}\n")
    (folder / "memory.current").write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 5\ninactive_file {droppable}\n")


def test_without_a_limit_the_machine_says_what_there_is(machine):
    assert cpu.available_bytes(**machine, reserved_bytes=0) == 8 * MIB
    limit(machine["cgroup"] / "service", "max", 5 * MIB)
    assert cpu.available_bytes(**machine, reserved_bytes=0) == 8 * MIB


def test_a_container_takes_away_and_pages_that_can_be_dropped_do_not_count(machine):
    limit(machine["cgroup"] / "service", str(6 * MIB), 3 * MIB, 1 * MIB)
    assert cpu.available_bytes(**machine, reserved_bytes=0) == 4 * MIB


def test_the_narrowest_of_the_groups_around_counts(machine):
    limit(machine["cgroup"] / "service", str(6 * MIB), 0)
    limit(machine["cgroup"], str(5 * MIB), 3 * MIB)
    assert cpu.available_bytes(**machine, reserved_bytes=0) == 2 * MIB


def test_the_reserve_is_never_given_out(machine):
    assert cpu.available_bytes(**machine, reserved_bytes=3 * MIB) == 5 * MIB
    assert cpu.available_bytes(**machine, reserved_bytes=9 * MIB) == 0


def test_where_nothing_can_be_read_there_is_nothing(tmp_path):
    nowhere = tmp_path / "nowhere"
    assert cpu.available_bytes(nowhere, nowhere, nowhere) == 0


def test_this_machine_has_some():
    assert cpu.available_bytes(reserved_bytes=0) > 0
