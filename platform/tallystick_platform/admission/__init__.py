"""Bounds on requests: whether there is room for one more. Asked last, before the journal promises to record it."""
