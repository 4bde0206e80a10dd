import pytest

from tallystick.ids import checksum_address
from tallystick.keys import Wallet
from tallystick_platform.embedded_chain.chain import EmbeddedChain, require_head
from tallystick_platform.embedded_chain.errors import ChainStorageFailed, GenesisMismatch
from tallystick_platform.embedded_chain.rules import BLOCK_GAS_LIMIT, PREFUND_WEI
from tallystick_platform.embedded_chain.storage import ChainStorage
from tests.support.accounts import Account
from tests.support.chains import START_S, direct_chain

WHO, OTHER = b"\x01" * 20, b"\x02" * 20


def open_chain(folder, chain_id=7, prefund=(WHO,), now_s=1000.5):
    return EmbeddedChain(folder, chain_id=chain_id, prefund=prefund, now_s=lambda: now_s, durable=False)


def test_the_first_block_funds_whom_it_names(tmp_path):
    chain = open_chain(tmp_path)
    head = chain.head()
    with chain.state() as state:
        assert (state.get_balance(WHO), state.get_balance(OTHER)) == (PREFUND_WEI, 0)
    assert (head.number, head.timestamp, head.header.gas_limit) == (0, 1000, BLOCK_GAS_LIMIT)
    chain.close()


def test_reopening_finds_the_same_block(tmp_path):
    chain = open_chain(tmp_path)
    first = chain.head().hash
    chain.close()
    chain = open_chain(tmp_path, now_s=2000)
    assert chain.head().hash == first
    chain.close()


def test_reopening_with_another_chain_id_is_refused_by_both_names(tmp_path):
    open_chain(tmp_path).close()
    with pytest.raises(GenesisMismatch, match=r"the chain's chain id is 7, not 8$"):
        open_chain(tmp_path, chain_id=8)
    open_chain(tmp_path).close()


def test_an_address_that_got_nothing_is_refused_by_name(tmp_path):
    open_chain(tmp_path).close()
    with pytest.raises(GenesisMismatch, match=checksum_address(OTHER)):
        open_chain(tmp_path, prefund=(WHO, OTHER))


def test_an_address_that_was_paid_since_needs_no_balance_from_the_genesis(tmp_path):
    payer, heir = Wallet(b"\x11" * 32), Wallet(b"\x22" * 32)
    with direct_chain(tmp_path, prefund=[payer.address], chain_id=7) as transport:
        Account(transport=transport, wallet=payer, chain_id=7).send(heir.address, value=1)
    open_chain(tmp_path, prefund=(heir.address,), now_s=START_S).close()


def test_naming_nobody_or_fewer_is_fine(tmp_path):
    open_chain(tmp_path, prefund=(WHO, OTHER)).close()
    open_chain(tmp_path, prefund=()).close()
    open_chain(tmp_path, prefund=(OTHER,)).close()


def test_a_genesis_that_cannot_be_written_leaves_nothing_and_the_next_start_writes_it(tmp_path, monkeypatch):
    def fail(self, nodes, rows):
        raise ChainStorageFailed(path=self.path, reason="disk full")

    with monkeypatch.context() as patch:
        patch.setattr(ChainStorage, "commit", fail)
        with pytest.raises(ChainStorageFailed):
            open_chain(tmp_path)
    chain = open_chain(tmp_path)
    assert chain.head().number == 0
    chain.close()


def test_a_database_without_a_genesis_has_no_head(tmp_path):
    storage = ChainStorage(tmp_path)
    with pytest.raises(LookupError):
        require_head(storage)
    storage.close()
