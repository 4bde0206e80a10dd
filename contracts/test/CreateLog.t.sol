// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IInferenceLedger} from "../src/IInferenceLedger.sol";
import {LedgerTest} from "./support/LedgerTest.sol";

contract CreateLogTest is LedgerTest {
    function test_a_new_log_is_empty_and_its_head_is_its_identifier() public {
        bytes32 created = ledger.createLog(STRANGER, bytes32(0));
        (address writer, address pending, uint64 size, bytes32 head, uint64 batches, uint32 epoch) =
            ledger.logState(created);
        vm.assertEq(writer, STRANGER, "writer");
        vm.assertEq(pending, address(0), "pending writer");
        vm.assertEq(size, 0, "size");
        vm.assertEq(head, created, "head");
        vm.assertEq(batches, 0, "batches");
        vm.assertEq(epoch, 0, "epoch");
    }

    function test_the_event_names_the_log_and_its_writer() public {
        bytes32 expected = _identifier(address(this), bytes32(0));
        vm.expectEmit(address(ledger));
        emit IInferenceLedger.LogCreated(expected, STRANGER);
        ledger.createLog(STRANGER, bytes32(0));
    }

    function test_a_log_without_a_writer_is_refused() public {
        vm.expectRevert(abi.encodeWithSelector(IInferenceLedger.ZeroWriter.selector));
        ledger.createLog(address(0), bytes32(0));
    }

    function test_the_same_caller_and_salt_are_refused_the_second_time() public {
        vm.expectRevert(abi.encodeWithSelector(IInferenceLedger.LogExists.selector, logId));
        ledger.createLog(STRANGER, SALT);
    }

    function test_another_caller_may_use_the_same_salt() public {
        vm.prank(STRANGER);
        vm.assertEq(ledger.createLog(WRITER, SALT), _identifier(STRANGER, SALT), "identifier");
    }

    function test_another_chain_gives_another_identifier() public {
        vm.chainId(block.chainid + 1);
        bytes32 created = ledger.createLog(WRITER, SALT);
        vm.assertTrue(created != logId, "same identifier on two chains");
        vm.assertEq(created, _identifier(address(this), SALT), "identifier");
    }

    function test_another_deployment_gives_another_identifier() public {
        vm.assertTrue(_deploy().createLog(WRITER, SALT) != logId, "same identifier in two contracts");
    }

    function testFuzz_the_identifier_binds_chain_contract_caller_and_salt(address caller, bytes32 salt) public {
        vm.assume(caller != address(this) || salt != SALT);
        vm.prank(caller);
        vm.assertEq(ledger.createLog(WRITER, salt), _identifier(caller, salt), "identifier");
    }

    function _identifier(address caller, bytes32 salt) private view returns (bytes32) {
        return keccak256(abi.encode(block.chainid, address(ledger), caller, salt));
    }
}
