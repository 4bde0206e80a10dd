"""`tallystick-server config show`."""

from __future__ import annotations

from tallystick_platform.cli.output import show
from tallystick_platform.settings import ENV_PREFIX, load_settings, redacted


def show_settings(*, as_json: bool) -> None:
    """Every setting, redacted."""
    settings = {ENV_PREFIX + name.upper(): value for name, value in redacted(load_settings()).items()}
    width = max(len(name) for name in settings)
    text = "\n".join(f"{name.ljust(width)}  {value or '(unset)'}" for name, value in settings.items())
    show(settings, as_json=as_json, text=text)
