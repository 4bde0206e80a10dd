"""What an export of the demonstration model costs: time beside copying and hashing its files once, and memory beside its size.

Copying and exporting take turns in one process, the files in the page cache for both, both durable at the end. Counted is everything
that an export does to the files: reading, hashing, writing, reading back and comparing, describing, signing. Not counted is the run of
both models that the parity report needs, whose length is the report's and not the files'; it is printed beside. Of each the quickest
turn counts: a machine that does other things only adds. Memory is the largest resident size of a process that does one whole export,
runs included.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from harness import exported, in_child, judged, options

from tallystick_platform.exporter.run import run
from tests.support.exports import spec_for, write_signing_key
from tests.support.real_model import real_model

BAR_TIME = 1.5
BAR_MEMORY = 2.5
MIB = 1_048_576


def copy_and_hash(source: Path, target: Path) -> float:
    """Copy every file durably and hash every file once. Units: seconds."""
    begun = time.perf_counter()
    target.mkdir()
    for path in source.iterdir():
        shutil.copyfile(path, target / path.name)
        with (target / path.name).open("rb") as file:
            os.fsync(file.fileno())
            hashlib.file_digest(file, "sha256")
    return time.perf_counter() - begun


def export(source: Path, target: Path, key: Path) -> tuple[float, float]:
    """One export, in this process: seconds for the files, and seconds for running both models."""
    reached: dict[str, float] = {}

    def progress(stage: str, _fraction: float) -> None:
        reached.setdefault(stage, time.perf_counter())

    spec = spec_for(source, target, signing_key=key, parity_tokens=1)
    begun = time.perf_counter()
    run(spec, progress)
    whole, runs = time.perf_counter() - begun, reached["describing"] - reached["running the source"]
    return whole - runs, runs


def measure_time(folder: Path, rounds: int) -> dict[str, float]:
    """Copies and exports in turns; the first of each warms up and does not count."""
    source, (key, _) = real_model(), write_signing_key(folder)
    plain, files, runs = [], [], []
    for number in range(rounds + 1):
        for name in ("plain", "export"):
            shutil.rmtree(folder / name, ignore_errors=True)
        copied = copy_and_hash(source, folder / "plain")
        exported, ran = export(source, folder / "export", key)
        if number:
            plain.append(copied)
            files.append(exported)
            runs.append(ran)
    return {"plain_s": min(plain), "files_s": min(files), "runs_s": min(runs)}


def peak_bytes(source: Path, folder: Path, format_: str, quantization: str | None, tokens: int) -> int:
    """The largest resident size of a process that exports the model once."""
    target = folder / f"{format_}-{quantization}"
    spec = spec_for(source, target, format=format_, quantization=quantization, parity_tokens=tokens)
    last, peak = exported(spec, folder, OMP_NUM_THREADS="1")
    shutil.rmtree(target, ignore_errors=True)
    if not last.get("result", {}).get("parity", {}).get("passed"):
        raise SystemExit(f"the export as {format_} {quantization} did not pass: {last}")
    return peak


def main() -> int:
    parser = options(__doc__, "fewer rounds and formats, for CI")
    parser.add_argument("--time", nargs=2, metavar=("FOLDER", "ROUNDS"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.time:
        print(json.dumps(measure_time(Path(arguments.time[0]), int(arguments.time[1]))))
        return 0
    source = real_model()
    size = sum(path.stat().st_size for path in source.iterdir())
    print(f"model: {size / MIB:.0f} MiB in {sum(1 for _ in source.iterdir())} files")
    with tempfile.TemporaryDirectory(prefix="tallystick-bench-") as name:
        folder = Path(name)
        times = json.loads(in_child(__file__, "--time", name, "5" if arguments.short else "9"))
        kinds: list[tuple[str, str | None]] = [("safetensors", None), ("gguf", "F16")]
        if not arguments.short:
            kinds.append(("gguf", "Q8_0"))
        tokens = 5 if arguments.short else 50
        peaks = {kind: peak_bytes(source, folder, *kind, tokens) for kind in kinds}
    print(
        f"copying the files and hashing them once: {times['plain_s']:.2f} s; the export's own: {times['files_s']:.2f} s"
    )
    print(f"running both models for the parity report, one token: {times['runs_s']:.1f} s")
    ratio = times["files_s"] / times["plain_s"]
    held = [judged(f"safetensors export, times copy and hash: {ratio:.2f} (bar: {BAR_TIME})", ratio <= BAR_TIME)]
    for (format_, quantization), peak in peaks.items():
        what = f"{format_} {quantization}" if quantization else format_
        figure = f"memory of an export as {what}: {peak / MIB:.0f} MiB, {peak / size:.2f} times the model"
        held.append(judged(f"{figure} (bar: {BAR_MEMORY})", peak <= BAR_MEMORY * size))
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main())
