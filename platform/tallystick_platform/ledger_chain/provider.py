"""web3.py over the ledger's own transport.

The transport bounds what a node can do to its caller: the time of a whole answer, its size, its depth, and the number of tries. So reading
and sending share one connection and one set of bounds, and tests put their chains and faults in its place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from web3.providers.base import JSONBaseProvider

from tallystick.chain.rpc import Transport
from tallystick.errors import ChainRejected
from tallystick.ids import to_hex

if TYPE_CHECKING:
    from web3.types import RPCEndpoint, RPCResponse


class TransportProvider(JSONBaseProvider):
    """A web3.py provider. A node's refusal is handed on as JSON-RPC's error object, so that web3.py can fall back where it knows how."""

    def __init__(self, transport: Transport) -> None:
        super().__init__()
        self._transport = transport

    def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        """Answer one method.

        Raises: ChainUnavailable
        """
        response: dict[str, Any] = {"jsonrpc": "2.0", "id": next(self.request_counter)}
        try:
            response["result"] = self._transport.call(str(method), list(params))
        except ChainRejected as rejected:
            response["error"] = {"code": rejected.code, "message": rejected.message, "data": to_hex(rejected.data)}
        return response  # type: ignore[return-value]  # a TypedDict of the same members
