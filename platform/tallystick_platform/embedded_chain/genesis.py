"""The first block: written once, and compared with what is asked for ever after."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import rlp
from eth.constants import BLANK_ROOT_HASH

from tallystick.ids import Address, checksum_address
from tallystick_platform.embedded_chain.errors import GenesisMismatch
from tallystick_platform.embedded_chain.index import BlockRow, head
from tallystick_platform.embedded_chain.nodes import BlockNodes
from tallystick_platform.embedded_chain.rules import BLOCK_GAS_LIMIT, COINBASE, PREFUND_WEI, rules_for
from tallystick_platform.embedded_chain.storage import ChainStorage


def open_genesis(
    storage: ChainStorage, nodes: BlockNodes, *, chain_id: int, prefund: Sequence[Address], now_s: float
) -> None:
    """Write the genesis of a new chain, or check that the chain on disk is the one meant.

    Raises: GenesisMismatch when the chain id differs.
    """
    meta = storage.meta()
    if "chain_id" in meta:
        if meta["chain_id"] != str(chain_id):
            stored = meta["chain_id"]
            raise GenesisMismatch(path=storage.folder, what="chain id", stored=stored, asked=str(chain_id))
        return
    account = {"balance": PREFUND_WEI, "nonce": 0, "code": b"", "storage": {}}
    parameters = {
        "coinbase": COINBASE,
        "difficulty": 0,
        "extra_data": b"",
        "gas_limit": BLOCK_GAS_LIMIT,
        "receipt_root": BLANK_ROOT_HASH,
        "timestamp": int(now_s),
        "transaction_root": BLANK_ROOT_HASH,
    }
    chain = rules_for(chain_id).from_genesis(nodes, parameters, dict.fromkeys(prefund, account))
    header = chain.get_canonical_head()
    size = len(rlp.encode([header, [], [], []]))
    facts = {"chain_id": str(chain_id), "prefund": json.dumps([checksum_address(address) for address in prefund])}
    block = BlockRow(hash=header.hash, header=header, size=size)
    # One transaction: a crash here leaves an empty database, and the next start writes another genesis.
    storage.commit(nodes.written, {"block": [block.values()], "meta": list(facts.items())})
    nodes.clear()


def require_funded(storage: ChainStorage, prefund: Sequence[Address], balance: Callable[[Address], int]) -> None:
    """Refuse an address that was to have a balance, got none in the genesis and has none now: it could not send anything.

    Raises: GenesisMismatch
    """
    funded: list[str] = json.loads(storage.meta()["prefund"])
    for address in prefund:
        if checksum_address(address) not in funded and not balance(address):
            stored, asked = ", ".join(funded) or "nobody", checksum_address(address)
            raise GenesisMismatch(path=storage.folder, what="list of prefunded addresses", stored=stored, asked=asked)


def require_head(storage: ChainStorage) -> BlockRow:
    """Give the newest block of a chain whose genesis is written."""
    block = head(storage.reader())
    if block is None:
        raise LookupError("the chain has no genesis")
    return block
