"""The old address of `tallystick.tasks.neutral`, until nobody asks for it."""

from tallystick.tasks.neutral import CHAT as PARAMETERS
from tallystick.tasks.neutral import MESSAGE, PART, Neutral, acting

__all__ = ["MESSAGE", "PARAMETERS", "PART", "Neutral", "acting"]
