// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IInferenceLedger} from "../src/IInferenceLedger.sol";
import {LedgerTest} from "./support/LedgerTest.sol";

contract ViewsTest is LedgerTest {
    function test_the_state_follows_every_batch() public {
        _appendNew(3, 1);
        _appendNew(4, 2);
        State memory state = _state();
        vm.assertEq(state.writer, WRITER, "writer");
        vm.assertEq(state.size, 7, "size");
        vm.assertEq(state.entries, 3, "entries");
        vm.assertEq(state.batchCount, 2, "batches");
        vm.assertEq(state.epoch, 1, "epoch");
        vm.assertTrue(state.epochOpen, "epoch is not open");
    }

    function test_an_unknown_log_has_no_view() public {
        bytes memory refusal = abi.encodeWithSelector(IInferenceLedger.UnknownLog.selector, UNKNOWN_LOG);
        vm.expectRevert(refusal);
        ledger.logState(UNKNOWN_LOG);
        vm.expectRevert(refusal);
        ledger.logTerms(UNKNOWN_LOG);
        vm.expectRevert(refusal);
        ledger.batchAt(UNKNOWN_LOG, 0);
        vm.expectRevert(refusal);
        ledger.batchOf(UNKNOWN_LOG, 0);
        vm.expectRevert(refusal);
        ledger.writerCount(UNKNOWN_LOG);
        vm.expectRevert(refusal);
        ledger.writerAt(UNKNOWN_LOG, 0);
    }

    function test_batches_are_found_across_the_slots_that_two_share() public {
        for (uint32 count = 1; count <= 9; ++count) {
            vm.warp(1_000 * uint256(count));
            _appendNew(count, count);
            if (count % 3 == 0) _openEpoch(count / 3 + 1);
        }
        uint64 next = 0;
        for (uint64 batch = 0; batch < 9; ++batch) {
            (uint64 firstIndex, uint32 count, uint32 epoch, uint64 time,) = ledger.batchAt(logId, batch);
            vm.assertEq(firstIndex, next, "first index");
            vm.assertEq(count, batch + 1, "count");
            vm.assertEq(epoch, batch / 3 + 1, "epoch");
            vm.assertEq(time, 1_000 * (batch + 1), "time");
            next += count;
        }
    }

    function test_every_index_is_found_in_its_batch() public {
        uint64 index = 0;
        for (uint64 batch = 0; batch < 11; ++batch) {
            uint64 end = index + uint64(_appendNew(1 + batch * 5 % 7, batch).leaves.length);
            for (; index < end; ++index) {
                vm.assertEq(ledger.batchOf(logId, index), batch, "batch");
            }
            for (uint64 again = 0; again < index; ++again) {
                (uint64 firstIndex, uint32 count,,,) = ledger.batchAt(logId, ledger.batchOf(logId, again));
                vm.assertTrue(firstIndex <= again && again < firstIndex + count, "outside its batch");
            }
        }
    }

    function testFuzz_an_index_beyond_the_last_is_in_no_batch(uint64 index) public {
        vm.assume(index >= 4);
        _refuseIndex(0);
        _appendNew(4, 1);
        ledger.batchOf(logId, 3);
        _refuseIndex(4);
        _refuseIndex(index);
    }

    function test_a_batch_beyond_the_last_reverts() public {
        vm.expectRevert(abi.encodeWithSelector(IInferenceLedger.UnknownBatch.selector, logId, 0));
        ledger.batchAt(logId, 0);
        _appendNew(1, 1);
        ledger.batchAt(logId, 0);
        vm.expectRevert(abi.encodeWithSelector(IInferenceLedger.UnknownBatch.selector, logId, 1));
        ledger.batchAt(logId, 1);
    }

    function test_no_call_takes_money() public {
        bytes32 head = _head();
        _refuseMoney("");
        _refuseMoney(abi.encodeCall(ledger.createLog, (WRITER, KEEPER, APPEND, PROMISE, SKEW, 0)));
        _refuseMoney(abi.encodeCall(ledger.openEpoch, (logId, head, 2, _wraps(1))));
        _refuseMoney(abi.encodeCall(ledger.append, (logId, head, _makeBatch(1, 1).records)));
        _refuseMoney(abi.encodeCall(ledger.commit, (logId, head, 1, ROOT)));
        _refuseMoney(abi.encodeCall(ledger.rotateWriter, (logId, head, NEXT, 1)));
        _refuseMoney(abi.encodeCall(ledger.voidNumbers, (logId, head, 1, 1)));
    }

    function test_an_unknown_function_reverts() public {
        (bool done,) = address(ledger).call(abi.encodeWithSignature("owner()"));
        vm.assertFalse(done, "a function outside the interface answered");
    }

    function _refuseIndex(uint64 index) private {
        vm.expectRevert(abi.encodeWithSelector(IInferenceLedger.UnknownIndex.selector, logId, index));
        ledger.batchOf(logId, index);
    }

    /// @dev Each caller has the money, and the right to call.
    function _refuseMoney(bytes memory call) private {
        address[2] memory callers = [WRITER, KEEPER];
        for (uint256 i = 0; i < callers.length; ++i) {
            vm.deal(callers[i], 1);
            vm.prank(callers[i]);
            (bool taken,) = address(ledger).call{value: 1}(call);
            vm.assertFalse(taken, "value was taken");
        }
    }
}
