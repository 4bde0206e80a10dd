// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IInferenceLedger} from "../src/IInferenceLedger.sol";
import {LedgerTest} from "./support/LedgerTest.sol";
import {ReferenceHead} from "./support/ReferenceHead.sol";

contract WriterRotationTest is LedgerTest {
    function test_the_keeper_names_another_writer_in_one_call() public {
        _appendNew(3, 1);
        bytes32 head = ReferenceHead.rotated(_head(), 2, WRITER, NEXT, 3, 8);
        vm.expectEmit(address(ledger));
        emit IInferenceLedger.WriterRotated(logId, 2, WRITER, NEXT, 3, 8, head);
        _rotate(NEXT, 8);
        vm.assertEq(_state().writer, NEXT, "writer");
        vm.assertEq(_head(), head, "head");
    }

    function testFuzz_nobody_but_the_keeper_names_a_writer(address caller) public {
        vm.assume(caller != KEEPER);
        bytes32 head = _head();
        _expectRefusal(caller, abi.encodeWithSelector(IInferenceLedger.NotKeeper.selector, logId, caller));
        ledger.rotateWriter(logId, head, caller, 0);
        _expectRefusal(WRITER, abi.encodeWithSelector(IInferenceLedger.NotKeeper.selector, logId, WRITER));
        ledger.rotateWriter(logId, head, NEXT, 0);
    }

    function test_the_zero_address_is_no_writer() public {
        bytes32 head = _head();
        _expectRefusal(KEEPER, abi.encodeWithSelector(IInferenceLedger.ZeroWriter.selector));
        ledger.rotateWriter(logId, head, address(0), 0);
    }

    function test_a_rotation_closes_the_epoch_and_changes_nothing_else() public {
        _appendNew(3, 1);
        State memory expected = _state();
        _rotate(NEXT, 3);
        State memory found = _state();
        (expected.writer, expected.epochOpen) = (NEXT, false);
        (expected.head, expected.entries) = (found.head, 3);
        _assertSame(found, expected);
    }

    function test_the_next_writer_appends_once_it_has_opened_an_epoch() public {
        _rotate(NEXT, 0);
        Batch memory batch = _makeBatch(1, 1);
        bytes32 head = _head();
        _expectRefusal(NEXT, abi.encodeWithSelector(IInferenceLedger.NoOpenEpoch.selector, logId));
        ledger.append(logId, head, batch.records);
        _openEpoch(2);
        _append(batch);
    }

    function test_the_former_writer_can_do_nothing_more() public {
        _rotate(NEXT, 0);
        _openEpoch(2);
        bytes32 head = _head();
        bytes memory wraps = _wraps(1);
        bytes memory refusal = abi.encodeWithSelector(IInferenceLedger.NotWriter.selector, logId, WRITER);
        Batch memory batch = _makeBatch(1, 1);
        _expectRefusal(WRITER, refusal);
        ledger.append(logId, head, batch.records);
        _expectRefusal(WRITER, refusal);
        ledger.openEpoch(logId, head, 3, wraps);
        _expectRefusal(WRITER, refusal);
        ledger.voidNumbers(logId, head, 1, 1);
    }

    function test_spans_tell_who_wrote_from_where_and_since_when() public {
        vm.warp(1_000);
        logId = _newLog(APPEND, 0);
        _openEpoch(1);
        _appendNew(4, 1);
        vm.warp(2_000);
        _rotate(NEXT, 6);
        _openEpoch(2);
        _appendNew(2, 2);
        vm.warp(3_000);
        _rotate(STRANGER, 6);
        vm.assertEq(ledger.writerCount(logId), 3, "writers");
        _assertSpan(0, WRITER, 0, 1, 1_000);
        _assertSpan(1, NEXT, 4, 7, 2_000);
        _assertSpan(2, STRANGER, 6, 7, 3_000);
        vm.expectRevert(abi.encodeWithSelector(IInferenceLedger.UnknownSpan.selector, logId, 3));
        ledger.writerAt(logId, 3);
    }

    function testFuzz_numbers_that_bound_a_writer_stay_its_own(uint64 lastSeed, uint64 earlierSeed) public {
        uint64 last = uint64(_within(lastSeed, 1, MAX_NUMBER - 1));
        uint64 earlier = uint64(_within(earlierSeed, 0, last - 1));
        _rotate(NEXT, last);
        bytes32 head = _head();
        _expectRefusal(
            KEEPER, abi.encodeWithSelector(IInferenceLedger.BadLastAdmission.selector, earlier, last, MAX_NUMBER - 1)
        );
        ledger.rotateWriter(logId, head, STRANGER, earlier);
        _rotate(STRANGER, last);
    }

    function testFuzz_a_last_number_leaves_one_to_the_next_writer(uint64 last) public {
        vm.assume(last >= MAX_NUMBER);
        bytes32 head = _head();
        _expectRefusal(
            KEEPER, abi.encodeWithSelector(IInferenceLedger.BadLastAdmission.selector, last, 0, MAX_NUMBER - 1)
        );
        ledger.rotateWriter(logId, head, NEXT, last);
        _rotate(NEXT, MAX_NUMBER - 1);
    }

    function test_a_rotation_sent_twice_is_refused_by_its_head() public {
        bytes32 before = _head();
        _rotate(NEXT, 0);
        _expectRefusal(KEEPER, abi.encodeWithSelector(IInferenceLedger.StaleHead.selector, logId, _head(), before));
        ledger.rotateWriter(logId, before, NEXT, 0);
    }

    function test_an_unknown_log_has_no_keeper() public {
        // The zero address would match an unknown log's keeper.
        _expectRefusal(address(0), abi.encodeWithSelector(IInferenceLedger.UnknownLog.selector, UNKNOWN_LOG));
        ledger.rotateWriter(UNKNOWN_LOG, UNKNOWN_LOG, NEXT, 0);
    }

    function testFuzz_after_any_chain_of_rotations_only_the_last_writer_writes(address[6] memory writers) public {
        address current = WRITER;
        for (uint32 i = 0; i < writers.length; ++i) {
            vm.assume(writers[i] != address(0) && writers[i] != current);
            _rotate(writers[i], i);
            _openEpoch(i + 2);
            Batch memory batch = _makeBatch(2, i);
            bytes32 head = _head();
            _expectRefusal(current, abi.encodeWithSelector(IInferenceLedger.NotWriter.selector, logId, current));
            ledger.append(logId, head, batch.records);
            vm.prank(writers[i]);
            ledger.append(logId, head, batch.records);
            current = writers[i];
        }
    }

    function _assertSpan(uint64 span, address writer, uint64 firstIndex, uint64 firstAdmission, uint64 since)
        private
        view
    {
        (address foundWriter, uint64 foundIndex, uint64 foundAdmission, uint64 foundSince) =
            ledger.writerAt(logId, span);
        vm.assertEq(foundWriter, writer, "writer");
        vm.assertEq(foundIndex, firstIndex, "first index");
        vm.assertEq(foundAdmission, firstAdmission, "first admission");
        vm.assertEq(foundSince, since, "since");
    }
}
