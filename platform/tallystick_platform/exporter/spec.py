"""What an export is asked for and what comes out of it: the types that the exporter's process speaks, and their JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, get_args

from tallystick_platform.errors import kind_of
from tallystick_platform.exporter.errors import ExportRefused

if TYPE_CHECKING:
    from tallystick.manifest import FileEntry

Format = Literal["safetensors", "onnx", "gguf"]
FORMATS: tuple[str, ...] = get_args(Format)
QUANTIZATIONS: Mapping[Format, tuple[str, ...]] = MappingProxyType(
    {"safetensors": (), "onnx": ("fp32", "int4", "int8"), "gguf": ("F16", "BF16", "Q8_0", "Q4_1")}
)
"""The number formats that each can be asked for; which of ONNX's a model has depends on its kind."""

Progress = Callable[[str, float], None]
"""Called with what is being done and how much of the whole job is done, 0 to 1. May raise ExportCancelled."""


def scaled(progress: Progress, start: float, end: float) -> Progress:
    """Progress of one part of a job, as a share of the whole."""
    return lambda stage, fraction: progress(stage, start + (end - start) * min(1.0, max(0.0, fraction)))


PARITY_TOKENS = 50
MAX_PARITY_TOKENS = 1_024
SHARD_BYTES = 5_000_000_000  # what the hub's own tools write per file
MIN_SHARD_BYTES = 4_096
MAX_SPEC_BYTES = 65_536
DIGEST_BYTES = 32

MAX_LOGIT_DIFFERENCE = "max_logit_difference"
GREEDY_AGREEMENT = "greedy_agreement"
PERPLEXITY_DIFFERENCE = "perplexity_difference"
BOUNDS = frozenset({MAX_LOGIT_DIFFERENCE, GREEDY_AGREEMENT, PERPLEXITY_DIFFERENCE})


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportSpec:
    """One export: which model folder, into which format, into which empty folder. `base` is the folder that an adapter belongs to.

    Units: `parity_tokens` tokens, `shard_bytes` bytes a file.
    """

    source: Path
    source_digest: bytes
    model: str
    version: str
    task: str
    format: Format
    target: Path
    quantization: str | None = None
    parity_tokens: int = PARITY_TOKENS
    shard_bytes: int = SHARD_BYTES
    command: str = ""
    licence: str | None = None
    signing_key: Path | None = None
    base: Path | None = None
    base_digest: bytes | None = None

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise ExportRefused(reason=f"the format {self.format!r} is not known; known are {', '.join(FORMATS)}")
        for digest in (self.source_digest, self.base_digest):
            if digest is not None and len(digest) != DIGEST_BYTES:
                raise ExportRefused(reason=f"a source's digest has {len(digest)} bytes, not {DIGEST_BYTES}")
        if (self.base is None) != (self.base_digest is None):
            raise ExportRefused(reason="an adapter's base is named by its folder and its digest")
        if not 1 <= self.parity_tokens <= MAX_PARITY_TOKENS:
            reason = f"parity over {self.parity_tokens} tokens was asked for; 1 to {MAX_PARITY_TOKENS} can be"
            raise ExportRefused(reason=reason)
        if self.shard_bytes < MIN_SHARD_BYTES:
            raise ExportRefused(reason=f"files of {self.shard_bytes} bytes are too small; at least {MIN_SHARD_BYTES}")

    def to_json(self) -> str:
        """The spec as one line of JSON: paths as text, the digest in hex."""
        values = {name: value.hex() if isinstance(value, bytes) else value for name, value in asdict(self).items()}
        return json.dumps(values, default=str)

    @classmethod
    def from_json(cls, text: str) -> ExportSpec:
        """Read a spec; what it does not name takes its default. Raises: ExportRefused."""
        if len(text) > MAX_SPEC_BYTES:
            raise ExportRefused(reason=f"the job's description is longer than {MAX_SPEC_BYTES} bytes")
        try:
            values = _checked(json.loads(text))
            values |= {name: Path(values[name]) for name in ("source", "target")}
            values["source_digest"] = bytes.fromhex(values["source_digest"])
            for name, kind in (("signing_key", Path), ("base", Path), ("base_digest", bytes.fromhex)):
                if values.get(name) is not None:
                    values[name] = kind(values[name])
            return cls(**values)
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise ExportRefused(reason=f"the job's description cannot be read: {kind_of(error)}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class ParityReport:
    """What came out when the exported file really ran beside the source.

    `greedy_equal` counts the leading tokens that agree, of `greedy_tokens`. `bound` says what was demanded, by the names
    in `BOUNDS`: a difference at most so large, an agreement at least so large (1.0: every token).
    """

    reference: str
    runtime: str
    bound: Mapping[str, float]
    max_logit_difference: float | None = None
    greedy_tokens: int = 0
    greedy_equal: int = 0
    perplexity_reference: float | None = None
    perplexity: float | None = None
    notes: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        unknown = set(self.bound) - BOUNDS
        if unknown or not self.bound:
            raise ValueError(f"bounds are named {sorted(BOUNDS)}, at least one; found {sorted(self.bound)}")

    @property
    def greedy_agreement(self) -> float | None:
        """The share of greedy tokens that agree; None where none were compared."""
        return self.greedy_equal / self.greedy_tokens if self.greedy_tokens else None

    @property
    def perplexity_difference(self) -> float | None:
        """How far the perplexity lies from the source's, as a share of the source's."""
        if self.perplexity is None or self.perplexity_reference is None:
            return None
        return abs(self.perplexity / self.perplexity_reference - 1)

    @property
    def failures(self) -> tuple[str, ...]:
        """Every bound that does not hold, as a sentence. What was not measured or is not a number does not hold."""
        return tuple(
            f"{name} is {'not measured' if found is None else format(found, '.6g')}, bound {limit:g}"
            for name, limit in sorted(self.bound.items())
            if not _holds(name, found := getattr(self, name), limit)
        )

    @property
    def passed(self) -> bool:
        """Whether every bound holds."""
        return not self.failures

    def to_dict(self) -> dict[str, Any]:
        """For JSON: the fields and the verdict. Numbers that JSON cannot carry become null."""
        return {
            "reference": self.reference,
            "runtime": self.runtime,
            "max_logit_difference": _finite(self.max_logit_difference),
            "greedy_tokens": self.greedy_tokens,
            "greedy_equal": self.greedy_equal,
            "perplexity_reference": _finite(self.perplexity_reference),
            "perplexity": _finite(self.perplexity),
            "perplexity_difference": _finite(self.perplexity_difference),
            "bound": dict(self.bound),
            "passed": self.passed,
            "failures": list(self.failures),
            "notes": list(self.notes),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportResult:
    """A finished export: what lies in the target, its manifest digest, and how it compared with the source."""

    files: tuple[FileEntry, ...]
    digest: bytes
    parity: ParityReport

    def to_dict(self) -> dict[str, Any]:
        """For JSON, digests in hex."""
        files = [{"name": entry.name, "size": entry.size, "sha256": entry.sha256.hex()} for entry in self.files]
        return {"files": files, "digest": self.digest.hex(), "parity": self.parity.to_dict()}


def _holds(name: str, found: float | None, limit: float) -> bool:
    if found is None or not math.isfinite(found):
        return False
    return found >= limit if name == GREEDY_AGREEMENT else found <= limit


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _checked(values: Any) -> dict[str, Any]:
    if not isinstance(values, dict):
        raise TypeError("not an object")
    integers, optional = (
        {"parity_tokens", "shard_bytes"},
        {"quantization", "licence", "signing_key", "base", "base_digest"},
    )
    for name, value in values.items():
        kind = int if name in integers else str
        if (value is None and name in optional) or (isinstance(value, kind) and not isinstance(value, bool)):
            continue
        raise TypeError(f"{name} is a {type(value).__name__}")
    return values
