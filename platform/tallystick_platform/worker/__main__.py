"""`python -m tallystick_platform.worker CONFIG`: one worker process. CONFIG is `protocol.WorkerConfig` as JSON."""

from __future__ import annotations

import sys

import msgspec
import structlog

from tallystick_platform.errors import PlatformError, kind_of
from tallystick_platform.logs import configure_logs
from tallystick_platform.parent import leave_with_parent
from tallystick_platform.protocol import Fatal, Loading, WorkerConfig
from tallystick_platform.worker.channel import ZmqChannel
from tallystick_platform.worker.engines import build_engine
from tallystick_platform.worker.loop import serve

EXIT_UNUSABLE = 3

_log = structlog.get_logger(__name__)


def main(arguments: list[str]) -> int:
    """Load the engine, say hello, serve until told to stop."""
    leave_with_parent(0)
    configure_logs("info")
    config = msgspec.json.decode(arguments[0], type=WorkerConfig)
    channel = ZmqChannel(config.endpoint, config.worker_id)
    try:
        engine = build_engine(config, lambda stage, fraction: channel.send(Loading(stage, fraction)))
        serve(engine, channel, heartbeat_s=config.heartbeat_s)
    except (PlatformError, OSError, MemoryError) as error:
        _log.error("worker.not_loaded", exc_info=error)
        channel.send(Fatal(str(error) if isinstance(error, PlatformError) else kind_of(error)))
        return EXIT_UNUSABLE
    finally:
        channel.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
