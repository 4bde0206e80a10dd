from __future__ import annotations

from dataclasses import replace

import pytest

from tallystick.chain.reader import LedgerReader
from tallystick.chain.transaction import contract_address
from tallystick.errors import ChainRejected, ChainUnavailable
from tallystick.ids import checksum_address, to_hex
from tallystick.keys import Wallet
from tallystick_platform.anchor.bootstrap import (
    MINED_WITHIN_S,
    POLL_S,
    Promises,
    bootstrap,
    check_log,
    create_log,
    make_embedded_log,
    named_log,
)
from tallystick_platform.anchor.errors import (
    BootstrapError,
    ContractAbsent,
    ContractDiffers,
    LedgerLost,
    LogAbsent,
    LogModeUnknown,
    NotMinedInTime,
    SetupReverted,
    TermsDiffer,
    WriterChanged,
    WrongChain,
)
from tallystick_platform.anchor.location import LedgerLocation, read_location, write_location
from tallystick_platform.errors import SettingsError
from tallystick_platform.ledger_chain.client import LedgerClient
from tallystick_platform.ledger_chain.signers import KeySigner
from tallystick_platform.settings import load_settings
from tests.support.anchoring import KEEPER, LOCATION, TERMS, WALLET, client_of, with_log
from tests.support.chains import direct_chain
from tests.support.fault_plan import Fault, Faulty
from tests.support.model_chain import CHAIN_ID, ModelChain

OTHER = Wallet(bytes.fromhex("22" * 32))
FIRST_CONTRACT = contract_address(WALLET.address, 0)
SIGNER = KeySigner(WALLET)
PROMISES = Promises(keeper=KEEPER.address, promise=3_600, skew=60)


@pytest.fixture
def chain() -> ModelChain:
    return ModelChain(WALLET.address, OTHER.address)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ledger.json"


def make(chain, path) -> LedgerLocation:
    return make_embedded_log(chain, SIGNER, path, CHAIN_ID, PROMISES, sleep=lambda _seconds: None)


def use_a_nonce(chain) -> None:
    client = client_of(chain)
    client.send(client.build_create_log(0, FIRST_CONTRACT, TERMS))  # to an account without code: nothing happens


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
    use_a_nonce(chain)
    made = make(chain, path)
    assert made.contract == contract_address(WALLET.address, 1)
    path.unlink()
    assert make(chain, path) == made


def test_code_of_another_kind_under_an_earlier_nonce_is_passed_over(chain, path, monkeypatch):
    client = client_of(chain)
    client.send(client.build_deploy(0))
    client.send(client.build_deploy(1))
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
    use_a_nonce(fresh)
    with pytest.raises(LedgerLost, match=checksum_address(FIRST_CONTRACT)):
        make(fresh, path)


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
    client = client_of(chain)
    client.send(client.build_deploy(0))
    chain.base_fee += 1  # so that the second attempt is another transaction, too cheap to replace the first
    made = make_embedded_log(chain, SIGNER, path, CHAIN_ID, PROMISES, sleep=lambda _seconds: chain.mine())
    assert made.contract == FIRST_CONTRACT


def test_a_deployment_that_is_not_mined_is_given_up_after_a_bound(path):
    chain = ModelChain(WALLET.address, auto_mine=False)
    waited: list[float] = []
    with pytest.raises(NotMinedInTime):
        make_embedded_log(chain, SIGNER, path, CHAIN_ID, PROMISES, sleep=waited.append)
    assert sum(waited) == pytest.approx(MINED_WITHIN_S, abs=2 * POLL_S)


def test_a_creation_that_fails_on_the_chain_is_named(chain, path):
    chain.out_of_gas = 1
    with pytest.raises(SetupReverted, match=r"^the log's creation failed"):
        make(chain, path)


def test_another_chain_than_the_remembered_one_is_refused(chain, path):
    made = make(chain, path)
    write_location(path, replace(made, chain_id=9))
    with pytest.raises(WrongChain, match=f"of chain {CHAIN_ID}, expected 9:"):
        make(chain, path)


def test_a_log_that_is_remembered_keeps_its_terms_whatever_the_settings_say_now(chain, path):
    made, blocks = make(chain, path), len(chain.blocks)
    other = Promises(keeper=OTHER.address, promise=60, skew=0)
    found = make_embedded_log(chain, SIGNER, path, CHAIN_ID, other, sleep=lambda _seconds: None)
    assert found == made
    assert len(chain.blocks) == blocks


def test_a_new_log_promises_what_it_was_asked_to_on_the_chain(chain, path):
    made = make(chain, path)
    terms = LedgerReader(chain, made.contract, made.log_id).log_terms()
    assert (terms.keeper, terms.promise, terms.skew, terms.mode) == (KEEPER.address, 3_600, 60, 1)


def test_a_named_log_of_our_own_passes(chain):
    with_log(chain)
    assert check_log(chain, WALLET.address, LOCATION) == LOCATION


def test_the_terms_of_a_named_log_are_read_from_its_creation_and_lead_to_its_identifier(chain):
    contract, log_id = with_log(chain)
    assert named_log(chain, CHAIN_ID, contract, log_id) == LOCATION


def test_terms_that_do_not_lead_to_the_identifier_are_refused(chain, monkeypatch):
    contract, log_id = with_log(chain)
    created = chain.call(
        "eth_getLogs", [{"fromBlock": "0x0", "toBlock": "0x9", "address": to_hex(contract), "topics": []}]
    )
    words = created[0]["data"]
    created[0]["data"] = words[:-1] + ("0" if words[-1] != "0" else "1")  # the last word is the skew
    with pytest.raises(TermsDiffer):
        named_log(chain, CHAIN_ID, contract, log_id)


def test_a_known_named_log_is_not_searched_for_again(chain):
    contract, log_id = with_log(chain)
    node = Faulty(chain, lambda name: ChainUnavailable("node", name), lambda _call, _arguments: "any")
    assert named_log(node, CHAIN_ID, contract, log_id, LOCATION) == LOCATION
    assert node.calls.total() == 0


def test_each_thing_that_can_be_wrong_with_a_named_log_has_its_own_error(chain, monkeypatch):
    with_log(chain)

    def refused(writer: Wallet = WALLET, **changes: object) -> type[Exception]:
        with pytest.raises((BootstrapError, WriterChanged)) as caught:
            check_log(chain, writer.address, replace(LOCATION, **changes))  # type: ignore[arg-type]
        return caught.type

    assert refused(chain_id=1) is WrongChain
    assert refused(contract=OTHER.address) is ContractAbsent
    assert refused(terms=replace(TERMS, salt=b"x" * 32)) is LogAbsent
    assert refused(writer=OTHER) is WriterChanged
    monkeypatch.setattr(chain, "_eth_getCode", lambda *_: "0x6000")
    assert refused() is ContractDiffers


def test_a_log_of_roots_alone_is_none_that_this_service_writes(chain):
    terms = replace(TERMS, mode=2)
    with_log(chain, terms)
    with pytest.raises(LogModeUnknown):
        check_log(chain, WALLET.address, replace(LOCATION, terms=terms))


def test_on_somebody_else_s_chain_contract_and_log_must_be_named(chain, tmp_path):
    with pytest.raises(SettingsError) as caught:
        bootstrap(load_settings(home=tmp_path, chain_rpc="http://node.example:8545"), chain, SIGNER, None)
    assert caught.value.setting == "TALLYSTICK_CONTRACT"
    assert "log create" in caught.value.reason
    named = load_settings(
        home=tmp_path, chain_rpc="http://node.example:8545", contract=checksum_address(FIRST_CONTRACT)
    )
    with pytest.raises(SettingsError) as caught:
        bootstrap(named, chain, SIGNER, None)
    assert caught.value.setting == "TALLYSTICK_LOG_ID"


def test_named_settings_are_checked_used_and_remembered_with_their_terms(chain, tmp_path):
    contract, log_id = with_log(chain)
    settings = load_settings(
        home=tmp_path, chain_rpc="http://node.example:8545", contract=checksum_address(contract), log_id=to_hex(log_id)
    )
    assert bootstrap(settings, chain, SIGNER, None) == LOCATION
    assert read_location(tmp_path / "ledger.json") == LOCATION


def test_the_embedded_chain_needs_no_settings_but_a_keeper(chain, tmp_path):
    settings = load_settings(home=tmp_path)
    with pytest.raises(SettingsError) as caught:
        bootstrap(settings, chain, SIGNER, None)
    assert caught.value.setting == "TALLYSTICK_LOG_KEEPER"
    made = bootstrap(settings, chain, SIGNER, KEEPER.address, sleep=lambda _seconds: None)
    assert read_location(tmp_path / "ledger.json") == made
    assert made.terms.promise == settings.log_promise_s


def create(chain, **options: object) -> LedgerLocation:
    return create_log(chain, SIGNER, PROMISES, sleep=lambda _seconds: None, **options)  # type: ignore[arg-type]


def test_a_log_made_on_request_is_found_when_it_is_asked_for_again(chain):
    assert create(chain) == create(chain)


def test_a_log_can_be_made_for_another_writer_than_the_one_who_pays(chain):
    made = create(chain, writer=OTHER.address)
    assert (made.terms.creator, made.terms.writer) == (WALLET.address, OTHER.address)
    assert check_log(chain, OTHER.address, made) == made


def test_a_log_can_be_made_in_a_contract_that_stands_already(chain):
    contract = create(chain).contract
    client = LedgerClient(chain, KeySigner(OTHER), CHAIN_ID)
    made = create_log(chain, KeySigner(OTHER), PROMISES, contract=contract, sleep=lambda _seconds: None)
    assert made.contract == contract
    assert client.nonce() == 1


def test_a_contract_that_is_named_and_not_there_is_absent(chain):
    with pytest.raises(ContractAbsent):
        create(chain, contract=OTHER.address)


def test_another_salt_makes_another_log_in_the_same_contract(chain):
    first, second = create(chain), create(chain, salt=b"\x01" * 32)
    assert second.contract == first.contract
    assert second.log_id != first.log_id


def test_the_real_contract_on_the_embedded_chain_is_made_and_found(path):
    with direct_chain(prefund=[WALLET.address]) as transport:
        made = make_embedded_log(transport, SIGNER, path, transport.chain.chain_id, PROMISES, sleep=lambda _s: None)
        found = named_log(transport, made.chain_id, made.contract, made.log_id)
        assert found == made
        path.unlink()
        again = make_embedded_log(transport, SIGNER, path, transport.chain.chain_id, PROMISES, sleep=lambda _s: None)
        assert again == made
