// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IInferenceLedger} from "../src/IInferenceLedger.sol";
import {LedgerTest} from "./support/LedgerTest.sol";

contract OpenEpochTest is LedgerTest {
    function test_the_event_carries_the_wraps_and_the_next_index() public {
        _appendNew(3, 1);
        bytes[] memory wraps = _wraps(2);
        vm.expectEmit(address(ledger));
        emit IInferenceLedger.EpochOpened(logId, 2, 3, wraps);
        vm.prank(WRITER);
        ledger.openEpoch(logId, 2, wraps);
        (,,,,, uint32 epoch) = ledger.logState(logId);
        vm.assertEq(epoch, 2, "epoch");
    }

    function test_the_first_epoch_is_one() public {
        bytes32 fresh = ledger.createLog(WRITER, bytes32(0));
        vm.expectRevert(abi.encodeWithSelector(IInferenceLedger.EpochOutOfOrder.selector, fresh, 1, 0));
        vm.prank(WRITER);
        ledger.openEpoch(fresh, 0, _wraps(1));
        vm.prank(WRITER);
        ledger.openEpoch(fresh, 1, _wraps(1));
    }

    function testFuzz_an_epoch_out_of_order_is_refused(uint32 given) public {
        vm.assume(given != 2);
        vm.expectRevert(abi.encodeWithSelector(IInferenceLedger.EpochOutOfOrder.selector, logId, 2, given));
        vm.prank(WRITER);
        ledger.openEpoch(logId, given, _wraps(1));
    }

    function test_an_epoch_without_wraps_is_refused() public {
        vm.expectRevert(abi.encodeWithSelector(IInferenceLedger.NoWraps.selector));
        vm.prank(WRITER);
        ledger.openEpoch(logId, 2, new bytes[](0));
    }

    function test_a_stranger_opens_no_epoch() public {
        vm.expectRevert(abi.encodeWithSelector(IInferenceLedger.NotWriter.selector, logId, STRANGER));
        vm.prank(STRANGER);
        ledger.openEpoch(logId, 2, _wraps(1));
    }

    function test_an_unknown_log_has_no_epochs() public {
        vm.expectRevert(abi.encodeWithSelector(IInferenceLedger.UnknownLog.selector, UNKNOWN_LOG));
        vm.prank(WRITER);
        ledger.openEpoch(UNKNOWN_LOG, 1, _wraps(1));
    }

    function test_an_epoch_changes_neither_size_nor_head() public {
        _appendNew(5, 1);
        (,, uint64 size, bytes32 head, uint64 batches,) = ledger.logState(logId);
        vm.prank(WRITER);
        ledger.openEpoch(logId, 2, _wraps(1));
        (,, uint64 sizeAfter, bytes32 headAfter, uint64 batchesAfter,) = ledger.logState(logId);
        vm.assertEq(sizeAfter, size, "size");
        vm.assertEq(headAfter, head, "head");
        vm.assertEq(batchesAfter, batches, "batches");
    }
}
