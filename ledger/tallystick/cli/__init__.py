"""The `tallystick` command: what an auditor, or anybody with a receipt, runs.

A tour. `program` is the command with the one place where errors become exit codes; `options` and `output` are shared by the commands:
`verifying` (verify; `verify_options` is what it can be asked, `evidence_files` what it reads, `model_folder` what it does with --model),
`records` (show, disclose), `trusting` (trust), `fetching` (fetch), `pulling` (pull), `key_files` (keys new) and `doctor`. Commands
import what they need when they run, so that `--help` is quick.
"""

from tallystick.cli.program import main

__all__ = ["main"]
