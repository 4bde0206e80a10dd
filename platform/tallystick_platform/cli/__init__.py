"""The operator's command line, `tallystick-server`.

Results go to standard output, everything else to standard error. Exit codes: 0 done, or nothing wrong was found; 1 something wrong was
found; 2 could not do it. Each command imports what it needs when it runs, so that `--help` needs neither a web framework nor a database.
"""

from tallystick_platform.cli.main import main

__all__ = ["main"]
