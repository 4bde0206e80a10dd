// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IInferenceLedger} from "../src/IInferenceLedger.sol";
import {LedgerFixture} from "./support/LedgerFixture.sol";
import {ReferenceHead} from "./support/ReferenceHead.sol";
import {Vm} from "./support/Vm.sol";

/// @notice Does what a writer, a keeper and strangers may try with one log, in any order, and keeps every event.
contract LedgerHandler is LedgerFixture {
    address public writer = WRITER;
    uint64 public lastNumber;
    uint64 public size;
    uint64 public entries;
    Vm.Log[] private _events;

    constructor(uint8 mode) {
        ledger = _deploy();
        logId = _newLog(mode, SALT);
    }

    function target() external view returns (IInferenceLedger, bytes32) {
        return (ledger, logId);
    }

    function eventCount() external view returns (uint256) {
        return _events.length;
    }

    function eventAt(uint256 place) external view returns (bytes32[] memory topics, bytes memory data) {
        return (_events[place].topics, _events[place].data);
    }

    function writeBatch(uint256 countSeed, uint256 seed) external {
        (, bytes memory call) = _batchCall(countSeed, seed);
        State memory state = _state();
        (,, uint8 mode,,,) = ledger.logTerms(logId);
        uint256 count = _within(countSeed, 1, 12);
        if (!state.epochOpen) {
            _refused(writer, call);
        } else {
            _taken(writer, call);
            size += uint64(count);
        }
        // A call of the other mode is refused, whatever else it is.
        bytes memory other = mode == APPEND
            ? abi.encodeCall(ledger.commit, (logId, _head(), 1, ROOT))
            : abi.encodeCall(ledger.append, (logId, _head(), _makeBatch(1, seed).records));
        _refused(writer, other);
    }

    function openEpoch(uint256 wrapsSeed) external {
        State memory state = _state();
        bytes memory wraps = _wraps(_within(wrapsSeed, 1, 3));
        _taken(writer, abi.encodeCall(ledger.openEpoch, (logId, state.head, state.epoch + 1, wraps)));
        _refused(writer, abi.encodeCall(ledger.openEpoch, (logId, _head(), state.epoch + 3, wraps)));
    }

    function rotateWriter(address next, uint64 lastSeed) external {
        if (next == address(0)) return;
        uint64 last = uint64(_within(lastSeed, lastNumber, lastNumber + 1_000));
        _taken(KEEPER, abi.encodeCall(ledger.rotateWriter, (logId, _head(), next, last)));
        (writer, lastNumber) = (next, last);
    }

    function voidNumbers(uint64 firstSeed, uint64 lastSeed) external {
        uint64 first = uint64(_within(firstSeed, 1, MAX_NUMBER));
        uint64 last = uint64(_within(lastSeed, first, MAX_NUMBER));
        _taken(writer, abi.encodeCall(ledger.voidNumbers, (logId, _head(), first, last)));
    }

    function writeAfterAnotherHead(bytes32 head, uint256 seed) external {
        if (head == _head()) return;
        bytes memory wraps = _wraps(1);
        uint32 epoch = _state().epoch + 1;
        _refused(writer, abi.encodeCall(ledger.append, (logId, head, _makeBatch(1, seed).records)));
        _refused(writer, abi.encodeCall(ledger.commit, (logId, head, 1, ROOT)));
        _refused(writer, abi.encodeCall(ledger.openEpoch, (logId, head, epoch, wraps)));
        _refused(writer, abi.encodeCall(ledger.voidNumbers, (logId, head, 1, 1)));
        _refused(KEEPER, abi.encodeCall(ledger.rotateWriter, (logId, head, NEXT, lastNumber)));
    }

    function writeAsAStranger(address caller, uint256 seed) external {
        bytes32 head = _head();
        if (caller != writer) {
            (, bytes memory batchCall) = _batchCall(1, seed);
            _refused(caller, batchCall);
            _refused(caller, abi.encodeCall(ledger.openEpoch, (logId, head, _state().epoch + 1, _wraps(1))));
            _refused(caller, abi.encodeCall(ledger.voidNumbers, (logId, head, 1, 1)));
        }
        if (caller != KEEPER) _refused(caller, abi.encodeCall(ledger.rotateWriter, (logId, head, caller, lastNumber)));
    }

    function sendMoney(uint256 seed) external {
        (, bytes memory call) = _batchCall(1, seed);
        vm.deal(writer, 1);
        vm.prank(writer);
        (bool taken,) = address(ledger).call{value: 1}(call);
        vm.assertFalse(taken, "money was taken");
    }

    function _batchCall(uint256 countSeed, uint256 seed) private view returns (uint8 mode, bytes memory call) {
        (,, mode,,,) = ledger.logTerms(logId);
        uint256 count = _within(countSeed, 1, 12);
        call = mode == APPEND
            ? abi.encodeCall(ledger.append, (logId, _head(), _makeBatch(count, seed).records))
            : abi.encodeCall(ledger.commit, (logId, _head(), uint32(count), keccak256(abi.encode(seed))));
    }

    /// @dev Nothing that was there may shrink, and one entry more is there.
    function _taken(address caller, bytes memory call) private {
        State memory before = _state();
        vm.recordLogs();
        vm.prank(caller);
        (bool taken,) = address(ledger).call(call);
        vm.assertTrue(taken, "a call that must be taken was refused");
        Vm.Log[] memory logs = vm.getRecordedLogs();
        vm.assertEq(logs.length, 1, "an entry has one event");
        _events.push(logs[0]);
        ++entries;

        State memory after_ = _state();
        vm.assertEq(after_.entries, before.entries + 1, "entries");
        vm.assertTrue(after_.head != before.head, "an entry without a head");
        vm.assertTrue(after_.size >= before.size, "the size shrank");
        vm.assertTrue(after_.batchCount >= before.batchCount, "a batch was lost");
        vm.assertTrue(after_.epoch >= before.epoch, "an epoch was lost");
    }

    function _refused(address caller, bytes memory call) private {
        State memory before = _state();
        vm.prank(caller);
        (bool taken,) = address(ledger).call(call);
        vm.assertFalse(taken, "a call that must be refused was taken");
        _assertSame(_state(), before);
    }
}

/// @notice What holds after any calls, for a log of each mode.
abstract contract LogInvariants is LedgerFixture {
    LedgerHandler internal handler;

    function _mode() internal pure virtual returns (uint8);

    function setUp() public {
        handler = new LedgerHandler(_mode());
        (ledger, logId) = handler.target();
    }

    /// @notice Forge calls nothing but the handler.
    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(handler);
    }

    function invariant_no_index_stands_twice_and_none_is_missing() public view {
        State memory state = _state();
        uint64 sum = 0;
        for (uint64 batch = 0; batch < state.batchCount; ++batch) {
            (uint64 firstIndex, uint32 count,,,) = ledger.batchAt(logId, batch);
            vm.assertEq(firstIndex, sum, "a gap or an overlap between batches");
            vm.assertTrue(count > 0, "an empty batch");
            vm.assertEq(ledger.batchOf(logId, firstIndex), batch, "the first index is in another batch");
            vm.assertEq(ledger.batchOf(logId, firstIndex + count - 1), batch, "the last index is in another batch");
            sum += count;
        }
        vm.assertEq(state.size, sum, "size");
        vm.assertEq(state.size, handler.size(), "size in the account");
    }

    /// @notice From the events alone: every head, and every batch as the contract keeps it.
    function invariant_the_head_recomputes_from_the_events() public view {
        bytes32 head = logId;
        vm.assertEq(handler.eventCount(), handler.entries(), "events");
        for (uint64 entry = 0; entry < handler.eventCount(); ++entry) {
            (bytes32[] memory topics, bytes memory data) = handler.eventAt(entry);
            vm.assertEq(topics[1], logId, "log");
            vm.assertEq(uint256(topics[2]), entry, "entry");
            bytes32 shown;
            (head, shown) = _headAfter(topics[0], head, entry, data);
            vm.assertEq(shown, head, "the head that the event shows");
        }
        State memory state = _state();
        vm.assertEq(state.head, head, "head");
        vm.assertEq(state.entries, handler.entries(), "entries");
    }

    function invariant_nobody_but_the_keeper_changes_the_writer() public view {
        vm.assertEq(_state().writer, handler.writer(), "writer");
        uint64 spans = ledger.writerCount(logId);
        uint64 firstIndex = 0;
        uint64 firstAdmission = 1;
        for (uint64 span = 0; span < spans; ++span) {
            (, uint64 foundIndex, uint64 foundAdmission,) = ledger.writerAt(logId, span);
            vm.assertTrue(foundIndex >= firstIndex, "a span begins before the one before it");
            vm.assertTrue(foundAdmission >= firstAdmission, "numbers were taken back from a writer");
            (firstIndex, firstAdmission) = (foundIndex, foundAdmission);
        }
        (address last,,,) = ledger.writerAt(logId, spans - 1);
        vm.assertEq(last, handler.writer(), "the last span's writer");
    }

    function invariant_no_value_is_stuck() public view {
        vm.assertEq(address(ledger).balance, 0, "balance");
    }

    function _headAfter(bytes32 topic, bytes32 head, uint64 entry, bytes memory data)
        private
        view
        returns (bytes32 computed, bytes32 shown)
    {
        if (topic == IInferenceLedger.BatchAppended.selector || topic == IInferenceLedger.BatchCommitted.selector) {
            return _headAfterBatch(topic == IInferenceLedger.BatchAppended.selector, head, entry, data);
        }
        if (topic == IInferenceLedger.EpochOpened.selector) {
            (uint32 epoch, uint64 firstIndex, bytes32 after_, bytes memory wraps) =
                abi.decode(data, (uint32, uint64, bytes32, bytes));
            return (ReferenceHead.opened(head, entry, epoch, firstIndex, wraps), after_);
        }
        if (topic == IInferenceLedger.WriterRotated.selector) {
            (address from, address to, uint64 size, uint64 last, bytes32 after_) =
                abi.decode(data, (address, address, uint64, uint64, bytes32));
            return (ReferenceHead.rotated(head, entry, from, to, size, last), after_);
        }
        vm.assertEq(topic, IInferenceLedger.NumbersVoided.selector, "an event of no entry");
        (uint64 first, uint64 lastVoid, bytes32 next) = abi.decode(data, (uint64, uint64, bytes32));
        return (ReferenceHead.voided(head, entry, first, lastVoid), next);
    }

    function _headAfterBatch(bool isAppended, bytes32 head, uint64 entry, bytes memory data)
        private
        view
        returns (bytes32 computed, bytes32 shown)
    {
        uint64 batch;
        uint64 firstIndex;
        uint32 count;
        uint32 epoch;
        bytes32 root;
        (batch, firstIndex, count, epoch, root, shown) =
            abi.decode(data, (uint64, uint64, uint32, uint32, bytes32, bytes32));
        vm.assertEq(_root(batch), root, "the root that the contract keeps");
        computed = isAppended
            ? ReferenceHead.batch(head, entry, epoch, firstIndex, count, root)
            : ReferenceHead.committed(head, entry, epoch, firstIndex, count, root);
    }
}

contract AppendInvariantTest is LogInvariants {
    function _mode() internal pure override returns (uint8) {
        return APPEND;
    }
}

contract CommitInvariantTest is LogInvariants {
    function _mode() internal pure override returns (uint8) {
        return COMMIT;
    }
}
