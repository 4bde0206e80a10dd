// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IInferenceLedger} from "../src/IInferenceLedger.sol";
import {LedgerTest} from "./support/LedgerTest.sol";

contract WriterRotationTest is LedgerTest {
    address private constant NEXT = address(0xCAFE);

    function test_a_proposal_names_the_next_writer_and_changes_nothing_else() public {
        vm.expectEmit(address(ledger));
        emit IInferenceLedger.WriterProposed(logId, WRITER, NEXT);
        _propose(NEXT);
        _assertWriters(WRITER, NEXT);
        _appendNew(1, 1);
    }

    function test_only_the_writer_proposes() public {
        vm.expectRevert(abi.encodeWithSelector(IInferenceLedger.NotWriter.selector, logId, STRANGER));
        vm.prank(STRANGER);
        ledger.proposeWriter(logId, STRANGER);
    }

    function test_the_proposed_writer_takes_over_by_accepting() public {
        _propose(NEXT);
        vm.expectEmit(address(ledger));
        emit IInferenceLedger.WriterRotated(logId, WRITER, NEXT);
        _accept(NEXT);
        _assertWriters(NEXT, address(0));
    }

    function test_only_the_proposed_writer_accepts() public {
        _propose(NEXT);
        _expectNotPending(STRANGER);
        _expectNotPending(WRITER);
    }

    function test_nobody_accepts_what_was_not_proposed() public {
        _expectNotPending(STRANGER);
        _expectNotPending(WRITER);
    }

    function test_the_zero_address_does_not_pass_for_a_missing_proposal() public {
        _expectNotPending(address(0));
    }

    function test_a_proposal_is_accepted_once() public {
        _propose(NEXT);
        _accept(NEXT);
        _expectNotPending(NEXT);
    }

    function test_the_zero_address_withdraws_a_proposal() public {
        _propose(NEXT);
        vm.expectEmit(address(ledger));
        emit IInferenceLedger.WriterProposed(logId, WRITER, address(0));
        _propose(address(0));
        _expectNotPending(NEXT);
        _assertWriters(WRITER, address(0));
    }

    function test_a_later_proposal_replaces_the_earlier_one() public {
        _propose(NEXT);
        _propose(STRANGER);
        _expectNotPending(NEXT);
        _accept(STRANGER);
    }

    function test_a_rotation_keeps_size_head_and_epoch() public {
        _appendNew(3, 1);
        (,, uint64 size, bytes32 head, uint64 batches, uint32 epoch) = ledger.logState(logId);
        _propose(NEXT);
        _accept(NEXT);
        (,, uint64 sizeAfter, bytes32 headAfter, uint64 batchesAfter, uint32 epochAfter) = ledger.logState(logId);
        vm.assertEq(sizeAfter, size, "size");
        vm.assertEq(headAfter, head, "head");
        vm.assertEq(batchesAfter, batches, "batches");
        vm.assertEq(epochAfter, epoch, "epoch");
    }

    function test_an_unknown_log_has_no_writer_to_propose_or_accept() public {
        vm.expectRevert(abi.encodeWithSelector(IInferenceLedger.UnknownLog.selector, UNKNOWN_LOG));
        ledger.proposeWriter(UNKNOWN_LOG, NEXT);
        // The zero address would match an unknown log's empty proposal.
        vm.expectRevert(abi.encodeWithSelector(IInferenceLedger.UnknownLog.selector, UNKNOWN_LOG));
        vm.prank(address(0));
        ledger.acceptWriter(UNKNOWN_LOG);
    }

    function testFuzz_after_any_chain_of_rotations_only_the_last_writer_writes(address[6] memory writers) public {
        address current = WRITER;
        for (uint256 i = 0; i < writers.length; ++i) {
            vm.assume(writers[i] != address(0) && writers[i] != current);
            vm.prank(current);
            ledger.proposeWriter(logId, writers[i]);
            _accept(writers[i]);
            _assertOnlyWriter(writers[i], current, i);
            current = writers[i];
        }
    }

    function _assertOnlyWriter(address writer, address previous, uint256 seed) private {
        Batch memory batch = _makeBatch(2, seed);
        vm.expectRevert(abi.encodeWithSelector(IInferenceLedger.NotWriter.selector, logId, previous));
        vm.prank(previous);
        ledger.append(logId, batch.firstIndex, batch.fieldsRoots, batch.sealed_);
        vm.prank(writer);
        ledger.append(logId, batch.firstIndex, batch.fieldsRoots, batch.sealed_);
    }

    function _propose(address proposed) private {
        vm.prank(WRITER);
        ledger.proposeWriter(logId, proposed);
    }

    function _accept(address caller) private {
        vm.prank(caller);
        ledger.acceptWriter(logId);
    }

    function _expectNotPending(address caller) private {
        vm.expectRevert(abi.encodeWithSelector(IInferenceLedger.NotPendingWriter.selector, logId, caller));
        _accept(caller);
    }

    function _assertWriters(address writer, address pending) private view {
        (address writerFound, address pendingFound,,,,) = ledger.logState(logId);
        vm.assertEq(writerFound, writer, "writer");
        vm.assertEq(pendingFound, pending, "pending writer");
    }
}
