"""`python -m tallystick_platform.cli`."""

from tallystick_platform.cli.main import main

main()
