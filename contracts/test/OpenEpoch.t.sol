// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IInferenceLedger} from "../src/IInferenceLedger.sol";
import {LedgerTest} from "./support/LedgerTest.sol";
import {ReferenceHead} from "./support/ReferenceHead.sol";

contract OpenEpochTest is LedgerTest {
    function test_the_event_carries_the_wraps_and_the_head_that_binds_them() public {
        _appendNew(3, 1);
        bytes memory wraps = _wraps(2);
        bytes32 before = _head();
        bytes32 head = ReferenceHead.opened(before, 2, 2, 3, wraps);
        vm.expectEmit(address(ledger));
        emit IInferenceLedger.EpochOpened(logId, 2, 2, 3, head, wraps);
        vm.prank(WRITER);
        ledger.openEpoch(logId, before, 2, wraps);
        vm.assertEq(_state().epoch, 2, "epoch");
        vm.assertEq(_head(), head, "head");
    }

    function test_the_first_epoch_is_one() public {
        logId = _newLog(APPEND, 0);
        bytes memory wraps = _wraps(1);
        _expectRefusal(WRITER, abi.encodeWithSelector(IInferenceLedger.EpochOutOfOrder.selector, logId, 1, 0));
        ledger.openEpoch(logId, logId, 0, wraps);
        vm.assertFalse(_state().epochOpen, "open before the first");
        _openEpoch(1);
        vm.assertTrue(_state().epochOpen, "not open");
    }

    function testFuzz_an_epoch_out_of_order_is_refused(uint32 given) public {
        vm.assume(given != 2);
        _refuse(abi.encodeWithSelector(IInferenceLedger.EpochOutOfOrder.selector, logId, 2, given), given, _wraps(1));
    }

    function test_1_to_64_wraps_are_taken() public {
        bytes32 head = _head();
        bytes memory wraps = _wraps(64);
        vm.prank(WRITER);
        ledger.openEpoch(logId, head, 2, wraps);
        _openEpoch(3);
    }

    function test_wraps_of_another_number_or_size_are_refused() public {
        uint256[5] memory sizes = [0, 1, WRAP_BYTES - 1, WRAP_BYTES + 1, 65 * WRAP_BYTES];
        for (uint256 i = 0; i < sizes.length; ++i) {
            bytes memory data = abi.encodeWithSelector(IInferenceLedger.BadWraps.selector, sizes[i], WRAP_BYTES, 64);
            _refuse(data, 2, new bytes(sizes[i]));
        }
    }

    function testFuzz_nobody_but_the_writer_opens_an_epoch(address caller) public {
        vm.assume(caller != WRITER);
        bytes32 head = _head();
        bytes memory wraps = _wraps(1);
        _expectRefusal(caller, abi.encodeWithSelector(IInferenceLedger.NotWriter.selector, logId, caller));
        ledger.openEpoch(logId, head, 2, wraps);
        _openEpoch(2);
    }

    function test_an_epoch_sent_twice_is_refused_by_its_head() public {
        bytes32 before = _head();
        _openEpoch(2);
        bytes memory wraps = _wraps(1);
        _expectRefusal(WRITER, abi.encodeWithSelector(IInferenceLedger.StaleHead.selector, logId, _head(), before));
        ledger.openEpoch(logId, before, 2, wraps);
    }

    function test_an_unknown_log_has_no_epochs() public {
        bytes memory wraps = _wraps(1);
        _expectRefusal(WRITER, abi.encodeWithSelector(IInferenceLedger.UnknownLog.selector, UNKNOWN_LOG));
        ledger.openEpoch(UNKNOWN_LOG, UNKNOWN_LOG, 1, wraps);
    }

    function test_an_epoch_changes_head_entries_and_itself_alone() public {
        _appendNew(5, 1);
        State memory expected = _state();
        _openEpoch(2);
        State memory found = _state();
        vm.assertTrue(found.head != expected.head, "head");
        (expected.head, expected.entries, expected.epoch) = (found.head, 3, 2);
        _assertSame(found, expected);
    }

    function _refuse(bytes memory revertData, uint32 epoch, bytes memory wraps) private {
        bytes32 head = _head();
        _expectRefusal(WRITER, revertData);
        ledger.openEpoch(logId, head, epoch, wraps);
    }
}
