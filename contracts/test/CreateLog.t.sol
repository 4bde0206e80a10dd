// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IInferenceLedger} from "../src/IInferenceLedger.sol";
import {LedgerTest} from "./support/LedgerTest.sol";

contract CreateLogTest is LedgerTest {
    uint32 private constant MAX_PROMISE = 30 days;

    function test_a_new_log_is_empty_and_its_head_is_its_identifier() public {
        logId = _newLog(COMMIT, 0);
        State memory state = _state();
        vm.assertEq(state.writer, WRITER, "writer");
        vm.assertEq(state.size, 0, "size");
        vm.assertEq(state.entries, 0, "entries");
        vm.assertEq(state.head, logId, "head");
        vm.assertEq(state.batchCount, 0, "batches");
        vm.assertEq(state.epoch, 0, "epoch");
        vm.assertFalse(state.epochOpen, "an epoch is open");
    }

    function test_a_new_log_keeps_its_terms_and_its_time() public {
        vm.warp(1_760_000_000);
        logId = ledger.createLog(WRITER, KEEPER, COMMIT, 7_200, 5, 0);
        (address keeper, uint16 format, uint8 mode, uint32 promise_, uint32 skew, uint64 createdAt) =
            ledger.logTerms(logId);
        vm.assertEq(keeper, KEEPER, "keeper");
        vm.assertEq(format, 2, "format");
        vm.assertEq(mode, COMMIT, "mode");
        vm.assertEq(promise_, 7_200, "promise");
        vm.assertEq(skew, 5, "skew");
        vm.assertEq(createdAt, 1_760_000_000, "created at");
    }

    function test_the_event_carries_all_that_the_identifier_binds() public {
        bytes32 expected = _identifier(address(this), STRANGER, NEXT, APPEND, 60, 0, 0);
        vm.expectEmit(address(ledger));
        emit IInferenceLedger.LogCreated(expected, address(this), 0, STRANGER, NEXT, 2, APPEND, 60, 0);
        vm.assertEq(ledger.createLog(STRANGER, NEXT, APPEND, 60, 0, 0), expected, "identifier");
    }

    function testFuzz_the_identifier_binds_caller_and_terms(
        address caller,
        address writer,
        address keeper,
        uint8 modeSeed,
        uint32 promiseSeed,
        uint32 skewSeed,
        bytes32 salt
    ) public {
        vm.assume(writer != address(0));
        uint8 mode = uint8(_within(modeSeed, 1, 2));
        uint32 promise_ = uint32(_within(promiseSeed, 60, MAX_PROMISE));
        uint32 skew = uint32(_within(skewSeed, 0, 3_600));
        bytes32 words = keccak256(
            bytes.concat(
                abi.encode(block.chainid, address(ledger), caller, salt, writer, keeper),
                abi.encode(uint256(2), uint256(mode), uint256(promise_), uint256(skew))
            )
        );
        vm.prank(caller);
        vm.assertEq(ledger.createLog(writer, keeper, mode, promise_, skew, salt), words, "identifier");
    }

    function test_a_log_without_a_writer_is_refused() public {
        vm.expectRevert(abi.encodeWithSelector(IInferenceLedger.ZeroWriter.selector));
        ledger.createLog(address(0), KEEPER, APPEND, PROMISE, SKEW, 0);
    }

    function test_a_log_without_a_keeper_keeps_its_writer() public {
        logId = ledger.createLog(WRITER, address(0), APPEND, PROMISE, SKEW, 0);
        _expectRefusal(WRITER, abi.encodeWithSelector(IInferenceLedger.NotKeeper.selector, logId, WRITER));
        ledger.rotateWriter(logId, logId, NEXT, 0);
    }

    function testFuzz_a_mode_is_1_or_2(uint8 mode) public {
        vm.assume(mode != APPEND && mode != COMMIT);
        vm.expectRevert(abi.encodeWithSelector(IInferenceLedger.BadMode.selector, mode));
        ledger.createLog(WRITER, KEEPER, mode, PROMISE, SKEW, 0);
    }

    function test_a_promise_at_its_bounds_is_taken() public {
        ledger.createLog(WRITER, KEEPER, APPEND, 60, SKEW, 0);
        ledger.createLog(WRITER, KEEPER, APPEND, MAX_PROMISE, SKEW, 0);
    }

    function testFuzz_a_promise_beyond_its_bounds_is_refused(uint32 promise_) public {
        vm.assume(promise_ > MAX_PROMISE);
        _refusePromise(promise_);
        _refusePromise(59);
        _refusePromise(0);
        _refusePromise(MAX_PROMISE + 1);
    }

    function test_a_skew_at_its_bounds_is_taken() public {
        ledger.createLog(WRITER, KEEPER, APPEND, PROMISE, 0, 0);
        ledger.createLog(WRITER, KEEPER, APPEND, PROMISE, 3_600, 0);
    }

    function test_a_skew_beyond_its_bound_is_refused() public {
        vm.expectRevert(abi.encodeWithSelector(IInferenceLedger.BadSkew.selector, 3_601, 3_600));
        ledger.createLog(WRITER, KEEPER, APPEND, PROMISE, 3_601, 0);
    }

    function test_the_same_caller_terms_and_salt_are_refused_the_second_time() public {
        vm.expectRevert(abi.encodeWithSelector(IInferenceLedger.LogExists.selector, logId));
        _newLog(APPEND, SALT);
    }

    function test_another_caller_or_another_term_gives_another_log() public {
        vm.prank(STRANGER);
        bytes32 other = _newLog(APPEND, SALT);
        vm.assertTrue(other != logId, "same identifier for two callers");
        vm.assertTrue(_newLog(COMMIT, SALT) != logId, "same identifier for two modes");
    }

    function test_another_chain_gives_another_identifier() public {
        vm.chainId(block.chainid + 1);
        bytes32 created = _newLog(APPEND, SALT);
        vm.assertTrue(created != logId, "same identifier on two chains");
        vm.assertEq(created, _identifier(address(this), WRITER, KEEPER, APPEND, PROMISE, SKEW, SALT), "identifier");
    }

    function test_another_deployment_gives_another_identifier() public {
        bytes32 other = _deploy().createLog(WRITER, KEEPER, APPEND, PROMISE, SKEW, SALT);
        vm.assertTrue(other != logId, "same identifier in two contracts");
    }

    function _refusePromise(uint32 promise_) private {
        vm.expectRevert(abi.encodeWithSelector(IInferenceLedger.BadPromise.selector, promise_, 60, MAX_PROMISE));
        ledger.createLog(WRITER, KEEPER, APPEND, promise_, SKEW, 0);
    }

    function _identifier(
        address caller,
        address writer,
        address keeper,
        uint8 mode,
        uint32 promise_,
        uint32 skew,
        bytes32 salt
    ) private view returns (bytes32) {
        return keccak256(
            abi.encode(block.chainid, address(ledger), caller, salt, writer, keeper, uint16(2), mode, promise_, skew)
        );
    }
}
