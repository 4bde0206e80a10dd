"""`tallystick-server serve`."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, TextIO

import click

from tallystick_platform.cli.progress import start_display
from tallystick_platform.logs import configure_logs, takes_more_than_lines
from tallystick_platform.settings import load_settings

if TYPE_CHECKING:
    from tallystick_platform.app.banner import Ready


def run(*, as_json: bool) -> None:
    """Serve until stopped. At a terminal, what the start waits for is shown from the first moment: the imports take a while, too."""
    settings = load_settings()
    with ExitStack() as stack:
        display = None
        if is_shown(sys.stderr, log_format=settings.log_format, as_json=as_json):
            display = stack.enter_context(start_display())
            display.show("service", "loading its packages", 0.0)
        configure_logs(settings.log_level, form=settings.log_format)

        from tallystick_platform.app import banner
        from tallystick_platform.app.serving import serve
        from tallystick_platform.dispatch.pool import unseen

        def announce(ready: Ready) -> None:
            stack.close()
            click.echo(banner.as_json(ready) if as_json else banner.as_text(ready))

        serve(settings, announce, unseen if display is None else display.show)


def is_shown(stream: TextIO, *, log_format: str, as_json: bool) -> bool:
    """Whether a person wants to see how the start goes on."""
    return not as_json and log_format != "json" and takes_more_than_lines(stream)
