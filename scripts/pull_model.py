"""Fetch an export of a model and check it: `python scripts/pull_model.py EXPORT DIR [--token-file FILE | --client FILE]`."""

from sys import argv

from tallystick.cli.program import program

program.main(["pull", *argv[1:]])
