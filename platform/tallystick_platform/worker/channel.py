"""The worker's end of the socket."""

from __future__ import annotations

import zmq

from tallystick_platform.protocol import MAX_FRAME_BYTES, FromWorker, ToWorker, decode_to_worker, encode

MAX_WAITING_MESSAGES = 10_000  # more step reports than this and the API process is not reading: wait for it


class ZmqChannel:
    """A DEALER connected to the API's ROUTER under this worker's identity."""

    def __init__(self, endpoint: str, worker_id: str) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.setsockopt(zmq.IDENTITY, worker_id.encode())
        self._socket.setsockopt(zmq.LINGER, 1_000)
        self._socket.setsockopt(zmq.SNDHWM, MAX_WAITING_MESSAGES)
        self._socket.setsockopt(zmq.RCVHWM, 0)
        self._socket.setsockopt(zmq.MAXMSGSIZE, MAX_FRAME_BYTES)
        self._socket.connect(endpoint)

    def send(self, message: FromWorker) -> None:
        """Hand over one message; waits while the API does not read."""
        self._socket.send(encode(message))

    def receive(self, timeout_s: float) -> ToWorker | None:
        """The next message, or None after the timeout."""
        if not self._socket.poll(int(timeout_s * 1000)):
            return None
        return decode_to_worker(self._socket.recv())

    def close(self) -> None:
        """Send what waits, within the linger, and close."""
        self._socket.close()
        self._context.term()
