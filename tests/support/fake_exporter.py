"""A program that speaks the exporter's lines and misbehaves as it is told: `fake_exporter.py BEHAVIOUR GATE SPEC_JSON`.

It writes a few small files, or one of `bytes=N`. With `hold` it says that it works and goes on once the file GATE is there.
"""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

PARITY = {
    "kind": "ParityFailed",
    "message": "the exported model differs from its source",
    "parity": {"passed": False, "failures": ["max_logit_difference is 2, bound 0.001"]},
}
NAMES = ("README.md", "config.json", "model.safetensors", "onnx/model.onnx")


def say(**said: object) -> None:
    print(json.dumps(said), flush=True)


def write(target: Path, behaviour: str) -> list[dict[str, object]]:
    files = []
    for name in NAMES:
        data = f"{name}\n".encode() * 100
        if behaviour.startswith("bytes=") and name == "model.safetensors":
            data = bytes(range(256)) * (int(behaviour.removeprefix("bytes=")) // 256)
        path = target / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        files.append({"name": name, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()})
    return files


def digest(files: list[dict[str, object]]) -> str:
    listed = [
        {"algorithm": "sha256", "digest": file["sha256"], "name": file["name"]}
        for file in sorted(files, key=lambda file: str(file["name"]))
    ]
    return hashlib.sha256(json.dumps(listed, separators=(",", ":"), sort_keys=True).encode()).hexdigest()


def spoil(target: Path, behaviour: str, files: list[dict[str, object]]) -> None:
    if behaviour == "extra":
        (target / "left.tmp").write_bytes(b"x")
    elif behaviour == "missing":
        (target / "config.json").unlink()
    elif behaviour == "short":
        (target / "config.json").write_bytes(b"{}")
    elif behaviour == "link":
        (target / "config.json").unlink()
        (target / "config.json").symlink_to("/etc/passwd")
    elif behaviour == "linked-folder":
        (target / "more").symlink_to("/etc")
    elif behaviour == "escape":
        files[0]["name"] = "../escaped"
    elif behaviour == "unsigned":
        (target / "model.sig").unlink()


ENDS = {
    "die": (None, 3),
    "garbage": ("Loading weights: 100%", 0),
    "list": ("[1]", 0),
    "long": ("x" * 9_000_000, 0),
    "mute": (json.dumps({"error": 7}), 1),
    "parity": (json.dumps({"error": PARITY}), 1),
    "refused": (json.dumps({"error": {"kind": "ExportRefused", "message": "the export is refused: no such type"}}), 1),
    "full": (json.dumps({"error": {"kind": "OSError", "message": "No space left on device"}}), 1),
}
"""What is said instead of a result, and the exit status."""


def end(behaviour: str) -> int:
    text, status = ENDS[behaviour]
    if text is not None:
        print(text, flush=True)
    return status


def hold(behaviour: str, target: Path, gate: Path) -> None:
    if behaviour == "parent":
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        (gate.parent / "child.pid").write_text(str(child.pid))
    (target / "half.safetensors").write_bytes(b"half")
    say(stage="writing", fraction=0.5)
    while not gate.exists():
        time.sleep(0.005)
    (target / "half.safetensors").unlink()


def main() -> int:
    behaviour, gate, spec = sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3])
    target = Path(spec["target"])
    if behaviour == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    say(stage="reading", fraction=0.25)
    if behaviour in {"hold", "stubborn", "parent"}:
        hold(behaviour, target, gate)
    if behaviour in ENDS:
        return end(behaviour)
    files = write(target, behaviour)
    (target / "model.sig").write_bytes(b"{}")
    spoil(target, behaviour, files)
    result: dict[str, object] = {
        "files": files,
        "digest": digest(files),
        "parity": {"passed": True, "greedy_tokens": 50},
    }
    if behaviour == "unproved":
        result["parity"] = {"passed": False, "failures": []}
    if behaviour == "unmeasured":
        del result["parity"]
    if behaviour == "lying":
        result["digest"] = "00" * 32
    say(result=result)
    if behaviour == "linger":
        time.sleep(60)
    return 0


if __name__ == "__main__":
    sys.exit(main())
