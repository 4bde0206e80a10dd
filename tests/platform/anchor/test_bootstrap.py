from __future__ import annotations

import json

import pytest

from tallystick.chain import LedgerReader, LedgerSender, contract_address
from tallystick.errors import ChainRejected, ChainUnavailable
from tallystick.ids import checksum_address, to_hex
from tallystick.keys import Wallet
from tallystick_platform.anchor.bootstrap import (
    MINED_WITHIN_S,
    POLL_S,
    bootstrap,
    check_log,
    create_log,
    make_embedded_log,
)
from tallystick_platform.anchor.errors import (
    BootstrapError,
    ContractAbsent,
    ContractDiffers,
    LedgerLost,
    LogAbsent,
    NotMinedInTime,
    SetupReverted,
    WriterChanged,
    WrongChain,
)
from tallystick_platform.anchor.location import LedgerLocation, read_location
from tallystick_platform.errors import SettingsError
from tallystick_platform.settings import load_settings
from tests.support.anchoring import WALLET, with_log
from tests.support.chains import direct_chain
from tests.support.fault_plan import Fault, Faulty
from tests.support.model_chain import CHAIN_ID, ModelChain

OTHER = Wallet(bytes.fromhex("22" * 32))
FIRST_CONTRACT = contract_address(WALLET.address, 0)


@pytest.fixture
def chain() -> ModelChain:
    return ModelChain(WALLET.address, OTHER.address)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ledger.json"


def make(chain, path) -> LedgerLocation:
    return make_embedded_log(chain, WALLET, path, CHAIN_ID, sleep=lambda _seconds: None)


def test_an_empty_chain_gets_contract_and_log_and_remembers_them(chain, path):
    made = make(chain, path)
    assert made.contract == FIRST_CONTRACT
    assert read_location(path) == made
    assert LedgerReader(chain, made.contract, made.log_id).log_state().writer == WALLET.address


def test_a_second_start_finds_what_the_first_made(chain, path):
    made, blocks = make(chain, path), len(chain.blocks)
    assert make(chain, path) == made
    assert len(chain.blocks) == blocks


def test_without_its_file_the_log_is_found_on_the_chain(chain, path):
    made, blocks = make(chain, path), len(chain.blocks)
    path.unlink()
    assert make(chain, path) == made
    assert len(chain.blocks) == blocks


def test_a_chain_that_was_lost_brings_the_same_log_back(chain, path):
    made = make(chain, path)
    assert make(ModelChain(WALLET.address), path) == made


def test_a_wallet_that_was_used_before_deploys_under_a_later_nonce_and_finds_it_again(chain, path):
    sender = LedgerSender(chain, WALLET, FIRST_CONTRACT, None, CHAIN_ID)
    sender.send(sender.build_create_log(0, WALLET.address, bytes(32)))  # to an account without code: nothing happens
    made = make(chain, path)
    assert made.contract == contract_address(WALLET.address, 1)
    path.unlink()
    assert make(chain, path) == made


def test_code_of_another_kind_under_an_earlier_nonce_is_passed_over(chain, path, monkeypatch):
    sender = LedgerSender(chain, WALLET, None, None, CHAIN_ID)
    sender.send(sender.build_deploy(0))
    sender.send(sender.build_deploy(1))
    answer = chain._eth_getCode
    first = to_hex(FIRST_CONTRACT)
    monkeypatch.setattr(
        chain, "_eth_getCode", lambda address, tag: "0x6000" if address == first else answer(address, tag)
    )
    assert make(chain, path).contract == contract_address(WALLET.address, 1)


def test_a_refusal_that_no_waiting_mends_is_passed_on(path):
    chain = ModelChain()  # nobody is funded
    with pytest.raises(ChainRejected, match="insufficient funds"):
        make(chain, path)


def test_a_contract_that_cannot_come_back_under_its_address_is_a_lost_ledger(chain, path):
    make(chain, path)
    fresh = ModelChain(WALLET.address)
    sender = LedgerSender(fresh, WALLET, FIRST_CONTRACT, None, CHAIN_ID)
    sender.send(sender.build_create_log(0, WALLET.address, bytes(32)))
    with pytest.raises(LedgerLost) as caught:
        make(fresh, path)
    assert caught.value.contract == checksum_address(FIRST_CONTRACT)


@pytest.mark.parametrize("fault", list(Fault))
@pytest.mark.parametrize("nth", range(1, 25))
def test_a_start_that_broke_anywhere_is_finished_by_the_next_with_one_contract_and_one_log(chain, path, fault, nth):
    node = Faulty(chain, lambda name: ChainUnavailable("node", name), lambda _call, _arguments: "any")
    node.arm("any", fault, nth=nth)
    try:
        make(node, path)
    except ChainUnavailable:
        node.disarm()
        make(node, path)
    made = read_location(path)
    assert made is not None
    assert made.contract == FIRST_CONTRACT
    assert len(chain.state.contracts) == 1
    assert len(chain.state.logs) == 1


def test_a_deployment_that_waits_in_the_pool_since_the_last_start_is_awaited(path):
    chain = ModelChain(WALLET.address, auto_mine=False)
    sender = LedgerSender(chain, WALLET, None, None, CHAIN_ID)
    sender.send(sender.build_deploy(0))
    chain.base_fee += 1  # so that the second attempt is another transaction, too cheap to replace the first
    made = make_embedded_log(chain, WALLET, path, CHAIN_ID, sleep=lambda _seconds: chain.mine())
    assert made.contract == FIRST_CONTRACT


def test_a_deployment_that_is_not_mined_is_given_up_after_a_bound(path):
    chain = ModelChain(WALLET.address, auto_mine=False)
    waited: list[float] = []
    with pytest.raises(NotMinedInTime):
        make_embedded_log(chain, WALLET, path, CHAIN_ID, sleep=waited.append)
    assert sum(waited) == pytest.approx(MINED_WITHIN_S, abs=2 * POLL_S)


def test_a_creation_that_fails_on_the_chain_is_named(chain, path):
    chain.out_of_gas = 1
    with pytest.raises(SetupReverted) as caught:
        make(chain, path)
    assert caught.value.what == "the log's creation"


def test_another_chain_than_the_remembered_one_is_refused(chain, path):
    made = make(chain, path)
    path.write_text(
        json.dumps(
            {"format": 1, "chain_id": 9, "contract": checksum_address(made.contract), "log_id": to_hex(made.log_id)}
        )
    )
    with pytest.raises(WrongChain) as caught:
        make(chain, path)
    assert (caught.value.expected, caught.value.found) == (9, CHAIN_ID)


def test_a_named_log_of_our_own_passes(chain):
    contract, log_id = with_log(chain)
    location = LedgerLocation(chain_id=CHAIN_ID, contract=contract, log_id=log_id)
    assert check_log(chain, WALLET, location) == location


def test_each_thing_that_can_be_wrong_with_a_named_log_has_its_own_error(chain, monkeypatch):
    contract, log_id = with_log(chain)
    good = LedgerLocation(chain_id=CHAIN_ID, contract=contract, log_id=log_id)

    def refused(wallet: Wallet = WALLET, **changes: object) -> type[Exception]:
        fields = {"chain_id": good.chain_id, "contract": good.contract, "log_id": good.log_id} | changes
        with pytest.raises((BootstrapError, WriterChanged)) as caught:
            check_log(chain, wallet, LedgerLocation(**fields))  # type: ignore[arg-type]
        return caught.type

    assert refused(chain_id=1) is WrongChain
    assert refused(contract=OTHER.address) is ContractAbsent
    assert refused(log_id=b"x" * 32) is LogAbsent
    assert refused(wallet=OTHER) is WriterChanged
    monkeypatch.setattr(chain, "_eth_getCode", lambda *_: "0x6000")
    assert refused() is ContractDiffers


def test_on_somebody_else_s_chain_contract_and_log_must_be_named(chain):
    with pytest.raises(SettingsError) as caught:
        bootstrap(load_settings(chain_rpc="http://node.example:8545"), chain, WALLET)
    assert caught.value.setting == "TALLYSTICK_CONTRACT"
    assert "log create" in caught.value.reason
    named = load_settings(chain_rpc="http://node.example:8545", contract=checksum_address(FIRST_CONTRACT))
    with pytest.raises(SettingsError) as caught:
        bootstrap(named, chain, WALLET)
    assert caught.value.setting == "TALLYSTICK_LOG_ID"


def test_named_settings_are_checked_and_used(chain, tmp_path):
    contract, log_id = with_log(chain)
    settings = load_settings(
        home=tmp_path, chain_rpc="http://node.example:8545", contract=checksum_address(contract), log_id=to_hex(log_id)
    )
    assert bootstrap(settings, chain, WALLET).log_id == log_id
    assert not (tmp_path / "ledger.json").exists()


def test_the_embedded_chain_needs_no_settings(chain, tmp_path):
    made = bootstrap(load_settings(home=tmp_path), chain, WALLET, sleep=lambda _seconds: None)
    assert read_location(tmp_path / "ledger.json") == made


def test_a_log_made_on_request_is_found_when_it_is_asked_for_again(chain):
    made = create_log(chain, WALLET, sleep=lambda _seconds: None)
    assert create_log(chain, WALLET, sleep=lambda _seconds: None) == made
    assert check_log(chain, WALLET, made) == made


def test_a_log_may_be_made_in_a_contract_that_another_deployed(chain):
    theirs = create_log(chain, OTHER, sleep=lambda _seconds: None)
    mine = create_log(chain, WALLET, contract=theirs.contract, sleep=lambda _seconds: None)
    assert mine.contract == theirs.contract
    assert mine.log_id != theirs.log_id


def test_a_log_is_not_made_in_a_contract_that_is_not_there(chain):
    with pytest.raises(ContractAbsent):
        create_log(chain, WALLET, contract=OTHER.address, sleep=lambda _seconds: None)


def test_another_salt_makes_another_log_in_the_same_contract(chain):
    first = create_log(chain, WALLET, sleep=lambda _seconds: None)
    second = create_log(chain, WALLET, salt=b"\x01" * 32, sleep=lambda _seconds: None)
    assert second.contract == first.contract
    assert second.log_id != first.log_id


def test_the_real_contract_on_the_embedded_chain_is_made_and_found(path):
    with direct_chain(prefund=[WALLET.address]) as transport:
        made = make_embedded_log(transport, WALLET, path, transport.chain.chain_id, sleep=lambda _seconds: None)
        path.unlink()
        assert make_embedded_log(transport, WALLET, path, transport.chain.chain_id, sleep=lambda _seconds: None) == made
