"""`tallystick-server serve`."""

from __future__ import annotations

import click

from tallystick_platform.app import banner
from tallystick_platform.app.serving import serve
from tallystick_platform.logs import configure_logs
from tallystick_platform.settings import load_settings


def run(*, as_json: bool) -> None:
    """Serve until stopped."""
    settings = load_settings()
    configure_logs(settings.log_level, form=settings.log_format)

    def announce(ready: banner.Ready) -> None:
        click.echo(banner.as_json(ready) if as_json else banner.as_text(ready))

    serve(settings, announce)
