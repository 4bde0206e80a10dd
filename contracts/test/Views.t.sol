// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IInferenceLedger} from "../src/IInferenceLedger.sol";
import {LedgerTest} from "./support/LedgerTest.sol";

contract ViewsTest is LedgerTest {
    function test_the_state_follows_every_batch() public {
        _appendNew(3, 1);
        _appendNew(4, 2);
        (address writer, address pending, uint64 size,, uint64 batches, uint32 epoch) = ledger.logState(logId);
        vm.assertEq(writer, WRITER, "writer");
        vm.assertEq(pending, address(0), "pending writer");
        vm.assertEq(size, 7, "size");
        vm.assertEq(batches, 2, "batches");
        vm.assertEq(epoch, 1, "epoch");
    }

    function test_the_state_of_an_unknown_log_reverts() public {
        vm.expectRevert(abi.encodeWithSelector(IInferenceLedger.UnknownLog.selector, UNKNOWN_LOG));
        ledger.logState(UNKNOWN_LOG);
    }

    function test_batches_are_found_across_the_slots_that_pack_their_ends() public {
        for (uint256 count = 1; count <= 9; ++count) {
            _appendNew(count, count);
        }
        uint64 next = 0;
        for (uint64 batch = 0; batch < 9; ++batch) {
            (uint64 firstIndex, uint32 count,) = ledger.batchAt(logId, batch);
            vm.assertEq(firstIndex, next, "first index");
            vm.assertEq(count, batch + 1, "count");
            next += count;
        }
    }

    function test_a_batch_beyond_the_last_reverts() public {
        vm.expectRevert(abi.encodeWithSelector(IInferenceLedger.UnknownBatch.selector, logId, 0));
        ledger.batchAt(logId, 0);
        _appendNew(1, 1);
        ledger.batchAt(logId, 0);
        vm.expectRevert(abi.encodeWithSelector(IInferenceLedger.UnknownBatch.selector, logId, 1));
        ledger.batchAt(logId, 1);
    }

    function test_a_batch_of_an_unknown_log_reverts() public {
        vm.expectRevert(abi.encodeWithSelector(IInferenceLedger.UnknownLog.selector, UNKNOWN_LOG));
        ledger.batchAt(UNKNOWN_LOG, 0);
    }

    function test_the_contract_takes_no_money() public {
        (bool taken,) = address(ledger).call{value: 1}("");
        vm.assertFalse(taken, "a plain transfer was taken");
        (taken,) = address(ledger).call{value: 1}(abi.encodeCall(ledger.createLog, (WRITER, bytes32(0))));
        vm.assertFalse(taken, "value beside a call was taken");
    }

    function test_an_unknown_function_reverts() public {
        (bool done,) = address(ledger).call(abi.encodeWithSignature("owner()"));
        vm.assertFalse(done, "a function outside the interface answered");
    }
}
