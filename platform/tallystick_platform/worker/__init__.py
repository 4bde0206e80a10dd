"""A worker: one process that owns one engine and serves the API process over one socket.

`python -m tallystick_platform.worker CONFIG` starts it; `engines` builds the engine, `loop` drives it, `channel` is the socket.
"""
