// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IInferenceLedger} from "../src/IInferenceLedger.sol";
import {LedgerTest} from "./support/LedgerTest.sol";
import {ReferenceHead} from "./support/ReferenceHead.sol";

contract VoidNumbersTest is LedgerTest {
    function testFuzz_a_range_is_chained_and_published(uint64 firstSeed, uint64 lastSeed) public {
        uint64 first = uint64(_within(firstSeed, 1, MAX_NUMBER));
        uint64 last = uint64(_within(lastSeed, first, MAX_NUMBER));
        bytes32 head = ReferenceHead.voided(_head(), 1, first, last);
        vm.expectEmit(address(ledger));
        emit IInferenceLedger.NumbersVoided(logId, 1, first, last, head);
        _void(first, last);
        vm.assertEq(_head(), head, "head");
    }

    function test_one_number_and_all_numbers_are_ranges() public {
        _void(1, 1);
        _void(MAX_NUMBER, MAX_NUMBER);
        _void(1, MAX_NUMBER);
    }

    function test_what_is_no_range_is_refused() public {
        _refuse(0, 1);
        _refuse(0, 0);
        _refuse(2, 1);
        _refuse(1, MAX_NUMBER + 1);
        _refuse(type(uint64).max, type(uint64).max);
    }

    function test_void_numbers_change_head_and_entries_alone() public {
        _appendNew(2, 1);
        State memory expected = _state();
        _void(3, 9);
        State memory found = _state();
        (expected.head, expected.entries) = (found.head, 3);
        _assertSame(found, expected);
    }

    function testFuzz_nobody_but_the_writer_voids_numbers(address caller) public {
        vm.assume(caller != WRITER);
        bytes32 head = _head();
        _expectRefusal(caller, abi.encodeWithSelector(IInferenceLedger.NotWriter.selector, logId, caller));
        ledger.voidNumbers(logId, head, 1, 1);
        _void(1, 1);
    }

    function test_a_call_sent_twice_is_refused_by_its_head() public {
        bytes32 before = _head();
        _void(1, 1);
        _expectRefusal(WRITER, abi.encodeWithSelector(IInferenceLedger.StaleHead.selector, logId, _head(), before));
        ledger.voidNumbers(logId, before, 1, 1);
    }

    function test_an_unknown_log_has_no_numbers() public {
        _expectRefusal(WRITER, abi.encodeWithSelector(IInferenceLedger.UnknownLog.selector, UNKNOWN_LOG));
        ledger.voidNumbers(UNKNOWN_LOG, UNKNOWN_LOG, 1, 1);
    }

    function _void(uint64 first, uint64 last) private {
        bytes32 head = _head();
        vm.prank(WRITER);
        ledger.voidNumbers(logId, head, first, last);
    }

    function _refuse(uint64 first, uint64 last) private {
        bytes32 head = _head();
        _expectRefusal(WRITER, abi.encodeWithSelector(IInferenceLedger.BadNumbers.selector, first, last, MAX_NUMBER));
        ledger.voidNumbers(logId, head, first, last);
    }
}
