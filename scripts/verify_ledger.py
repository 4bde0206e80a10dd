"""The auditor in three lines: `python scripts/verify_ledger.py --rpc URL --contract 0x.. --log 0x.. [--auditor-key FILE]`."""

from sys import argv

from tallystick.cli.program import program

program.main(["verify", *argv[1:]])
