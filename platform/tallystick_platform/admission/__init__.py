"""Whether there is room for one more request: the last question before the journal promises to record it."""

from tallystick_platform.admission.gate import Gate, Slot

__all__ = ["Gate", "Slot"]
