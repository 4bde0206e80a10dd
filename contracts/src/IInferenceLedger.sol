// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title A registry of append-only logs of sealed inference records
/// @notice Each log has one writer. What the writer says, batches of sealed records above all, is chained into the log's head,
/// entry by entry; the contract computes every leaf, root and head itself. Nobody can edit, remove, pause or upgrade anything.
/// @dev Byte forms are those of ledger/SPEC.md sections 4 to 6, limits those of section 11. Indices, batches, entries and
/// spans count from 0, epochs and admission numbers from 1. Each call that makes an entry names the head that it follows: a
/// call sent twice is refused, and the signature of its transaction covers the whole log before it.
interface IInferenceLedger {
    /// @notice A log exists from this block on. `logId` is the hash of all that stands here, of the chain and of the contract.
    event LogCreated(
        bytes32 indexed logId,
        address indexed creator,
        bytes32 salt,
        address writer,
        address keeper,
        uint16 format,
        uint8 mode,
        uint32 promise_,
        uint32 skew
    );

    /// @notice A batch of sealed records, with its records.
    /// @param entry Its place among all that the log says
    /// @param batch The batch's number
    /// @param epoch The epoch under which the records are sealed
    /// @param root Tree root over the batch's leaves
    /// @param head The log's head after this entry, as in every event
    /// @param records The packed records
    event BatchAppended(
        bytes32 indexed logId,
        uint64 indexed entry,
        uint64 batch,
        uint64 firstIndex,
        uint32 count,
        uint32 epoch,
        bytes32 root,
        bytes32 head,
        bytes records
    );

    /// @notice A batch of records that are kept elsewhere: only their root stands here, as the writer gave it.
    event BatchCommitted(
        bytes32 indexed logId,
        uint64 indexed entry,
        uint64 batch,
        uint64 firstIndex,
        uint32 count,
        uint32 epoch,
        bytes32 root,
        bytes32 head
    );

    /// @notice Records from `firstIndex` on are sealed under `epoch`; `wraps` are its key, once per auditor.
    event EpochOpened(
        bytes32 indexed logId, uint64 indexed entry, uint32 epoch, uint64 firstIndex, bytes32 head, bytes wraps
    );

    /// @notice `writer` follows `previous`, which admission numbers above `lastAdmission` do not bind.
    event WriterRotated(
        bytes32 indexed logId,
        uint64 indexed entry,
        address previous,
        address writer,
        uint64 size,
        uint64 lastAdmission,
        bytes32 head
    );

    /// @notice The writer does not know the admission numbers from `first` to `last`, both included.
    event NumbersVoided(bytes32 indexed logId, uint64 indexed entry, uint64 first, uint64 last, bytes32 head);

    /// @notice No log has this identifier.
    error UnknownLog(bytes32 logId);

    /// @notice The caller has created a log with the same terms and salt before.
    error LogExists(bytes32 logId);

    /// @notice A log always has a writer.
    error ZeroWriter();

    /// @notice A log's mode is 1 (append) or 2 (commit).
    error BadMode(uint8 given);

    /// @notice A promise lies between `min` and `max` seconds.
    error BadPromise(uint256 given, uint256 min, uint256 max);

    /// @notice A skew is at most `max` seconds.
    error BadSkew(uint256 given, uint256 max);

    /// @notice Only the log's writer may do this.
    error NotWriter(bytes32 logId, address caller);

    /// @notice Only the log's keeper may do this.
    error NotKeeper(bytes32 logId, address caller);

    /// @notice The call follows another head: it was already made, or an entry came between.
    error StaleHead(bytes32 logId, bytes32 expected, bytes32 given);

    /// @notice The log is of the other mode; `mode` is its own.
    error WrongMode(bytes32 logId, uint8 mode);

    /// @notice Epochs are numbered without gaps.
    error EpochOutOfOrder(bytes32 logId, uint32 expected, uint32 given);

    /// @notice An epoch has 1 to `max` wraps of `size` bytes each; `given` are the bytes of all.
    error BadWraps(uint256 given, uint256 size, uint256 max);

    /// @notice No epoch is open: there was none yet, or none since the writer changed.
    error NoOpenEpoch(bytes32 logId);

    /// @notice A batch holds 1 to `max` records.
    error BadCount(uint256 given, uint256 max);

    /// @notice The packed records end within the one at this position of the batch.
    error TruncatedRecord(uint256 position);

    /// @notice The ciphertext of the record at this position has another size than any record.
    error BadCiphertext(uint256 position, uint256 given, uint256 min, uint256 max);

    /// @notice The header of the record at this position has other flags, or an admission number outside 1 to 2^53 - 1.
    error BadHeader(uint256 position);

    /// @notice Void numbers are a range within 1 to `max`.
    error BadNumbers(uint64 first, uint64 last, uint64 max);

    /// @notice The last admission number of a writer lies between `min`, where it began, and `max`.
    error BadLastAdmission(uint64 given, uint64 min, uint64 max);

    /// @notice The log has no batch of this number.
    error UnknownBatch(bytes32 logId, uint64 batch);

    /// @notice The log has no record at this index.
    error UnknownIndex(bytes32 logId, uint64 index);

    /// @notice The log has had fewer writers.
    error UnknownSpan(bytes32 logId, uint64 span);

    /// @notice Starts a log.
    /// @dev Reverts with ZeroWriter, BadMode, BadPromise, BadSkew or LogExists, in this order.
    /// @param writer The only address that may write, until the keeper names another
    /// @param keeper The only address that may name another writer; zero for a log whose writer never changes
    /// @param mode 1 where the sealed records stand on the chain, 2 where only their roots do
    /// @param promise_ The most seconds from a receipt's signature to its record's block, and from an admission to its record's
    /// @param skew The most seconds between the writer's clock and the chain's
    /// @param salt Tells apart the logs that one caller creates on the same terms
    /// @return logId keccak256(abi.encode(chain id, this contract, caller, salt, writer, keeper, 2, mode, promise_, skew))
    function createLog(address writer, address keeper, uint8 mode, uint32 promise_, uint32 skew, bytes32 salt)
        external
        returns (bytes32 logId);

    /// @notice Publishes the next epoch's wrapped keys. Entry of kind 3.
    /// @dev Reverts with UnknownLog, NotWriter, StaleHead, EpochOutOfOrder or BadWraps, in this order.
    /// @param head The log's head, as in every call below
    /// @param epoch The previous epoch plus one
    /// @param wraps The epoch key, encrypted once per auditor (SPEC section 2), one after another
    function openEpoch(bytes32 logId, bytes32 head, uint32 epoch, bytes calldata wraps) external;

    /// @notice Appends one batch of sealed records. Entry of kind 1.
    /// @dev Reverts with UnknownLog, NotWriter, StaleHead, WrongMode or NoOpenEpoch, in this order; then with BadCount,
    /// TruncatedRecord, BadCiphertext or BadHeader for the first record at fault.
    /// @param records The packed records (SPEC section 6)
    function append(bytes32 logId, bytes32 head, bytes calldata records) external;

    /// @notice Commits to one batch of records that are kept elsewhere. Entry of kind 2.
    /// @dev Reverts with UnknownLog, NotWriter, StaleHead, WrongMode, NoOpenEpoch or BadCount, in this order.
    /// @param count The batch's records
    /// @param root Tree root over their leaves
    function commit(bytes32 logId, bytes32 head, uint32 count, bytes32 root) external;

    /// @notice Gives the log another writer. Entry of kind 4; the new writer opens an epoch before it appends.
    /// @dev Called by the keeper. Reverts with UnknownLog, NotKeeper, StaleHead, ZeroWriter or BadLastAdmission, in this order.
    /// @param writer The next writer
    /// @param lastAdmission The last admission number that the previous writer's signature may stand under
    function rotateWriter(bytes32 logId, bytes32 head, address writer, uint64 lastAdmission) external;

    /// @notice Declares admission numbers that the writer lost. Entry of kind 5.
    /// @dev Reverts with UnknownLog, NotWriter, StaleHead or BadNumbers, in this order.
    function voidNumbers(bytes32 logId, bytes32 head, uint64 first, uint64 last) external;

    /// @notice A log as it stands.
    /// @dev Reverts with UnknownLog.
    /// @return writer The address that may write
    /// @return size Number of records
    /// @return entries Number of entries
    /// @return head Chained hash over all entries; the log's identifier while there is none
    /// @return batchCount Number of batches
    /// @return epoch The newest epoch, or zero
    /// @return epochOpen Whether records may be appended under it
    function logState(bytes32 logId)
        external
        view
        returns (
            address writer,
            uint64 size,
            uint64 entries,
            bytes32 head,
            uint64 batchCount,
            uint32 epoch,
            bool epochOpen
        );

    /// @notice What a log promised when it was created, in the block whose time is `createdAt`.
    /// @dev Reverts with UnknownLog.
    function logTerms(bytes32 logId)
        external
        view
        returns (address keeper, uint16 format, uint8 mode, uint32 promise_, uint32 skew, uint64 createdAt);

    /// @notice One batch of a log; `time` is that of its block.
    /// @dev Reverts with UnknownLog or UnknownBatch.
    function batchAt(bytes32 logId, uint64 batch)
        external
        view
        returns (uint64 firstIndex, uint32 count, uint32 epoch, uint64 time, bytes32 root);

    /// @notice The batch that holds the record at `index`.
    /// @dev Reverts with UnknownLog or UnknownIndex.
    function batchOf(bytes32 logId, uint64 index) external view returns (uint64 batch);

    /// @notice How many writers the log has had, each with a span of its own.
    /// @dev Reverts with UnknownLog.
    function writerCount(bytes32 logId) external view returns (uint64);

    /// @notice One writer and where its span begins: the next one's beginning is its end.
    /// @dev Reverts with UnknownLog or UnknownSpan.
    /// @return writer The writer
    /// @return firstIndex The log's size when the span began
    /// @return firstAdmission The first admission number that this writer's signature may stand under
    /// @return since The time of the block in which it began
    function writerAt(bytes32 logId, uint64 span)
        external
        view
        returns (address writer, uint64 firstIndex, uint64 firstAdmission, uint64 since);

    /// @notice Says whether `leaf` stands at `index` of the log, in `batch`.
    /// @dev Reverts with UnknownLog or UnknownBatch; any other wrong argument gives false.
    /// @param path Inclusion path, from the leaf's sibling to the root's child (RFC 9162 section 2.1.3)
    function verify(bytes32 logId, uint64 batch, uint64 index, bytes32 leaf, bytes32[] calldata path)
        external
        view
        returns (bool);
}
