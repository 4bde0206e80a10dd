"""The line of one ONNX export: plan, build, quantise where that comes after, run, reference, compare."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tallystick_platform.exporter.onnx.compare import compare
from tallystick_platform.exporter.onnx.plan import Family, plan
from tallystick_platform.exporter.onnx.stages import Stage, run_stage
from tallystick_platform.exporter.spec import ExportSpec, ParityReport, Progress, scaled

_SHARES = {
    Stage.BUILD: (0.0, 0.5),
    Stage.QUANTISE: (0.5, 0.6),
    Stage.RUN: (0.6, 0.8),
    Stage.REFERENCE: (0.8, 0.98),
}


def export_onnx(spec: ExportSpec, progress: Progress) -> ParityReport:
    """Write the model as ONNX into `spec.target` and say how it compares with its source.

    The report may say that parity failed: whoever publishes decides by `passed`. An exception from `progress` ends the running stage's
    process and passes through.
    Raises: ExportRefused, ExportFailed.
    """
    chosen = plan(spec)
    # Inside the target: what a crash leaves there goes away with the staging folder that the target lies in.
    with tempfile.TemporaryDirectory(prefix=".stages-", dir=spec.target) as scratch:
        peaks = {}
        for stage, (begin, end) in _SHARES.items():
            # Encoders are traced in full precision first; language models take few bits while they are written.
            if stage is Stage.QUANTISE and (chosen.family is not Family.ENCODER or chosen.precision == "fp32"):
                continue
            peaks[stage] = run_stage(stage, spec, chosen, Path(scratch), scaled(progress, begin, end))
        progress("comparing", _SHARES[Stage.REFERENCE][1])
        report = compare(spec, chosen, Path(scratch), peaks)
    progress("compared", 1.0)
    return report
