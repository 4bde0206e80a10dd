"""A worker: one process that owns one engine and serves the API process over one socket.

`python -m tallystick_platform.worker` starts it; `service` is its loop, `lifeline` ends it when its parent is gone,
`loading` builds the engine while the worker already gives signs of life.
"""
