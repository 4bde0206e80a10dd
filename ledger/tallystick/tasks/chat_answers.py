"""The old address of `tallystick.tasks.chat`, until nobody asks for it."""

from tallystick.tasks.chat import ANSWERING as ROLE

__all__ = ["ROLE"]
