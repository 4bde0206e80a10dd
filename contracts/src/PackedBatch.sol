// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @dev What a log keeps of a batch beside its root, in half a slot: 56 bits of the log's size after it, 32 of the epoch, 40 of
/// the block's time. Solidity packs numbers into a slot, but not structs.
type PackedBatch is uint128;

using {sizeAfter, epoch, time} for PackedBatch global;

/// @dev A log would need 2^56 records, or the clock 34,000 years, to lose a bit here.
function packBatch(uint64 sizeAfter_, uint32 epoch_, uint256 time_) pure returns (PackedBatch) {
    return PackedBatch.wrap((uint128(sizeAfter_) << 72) | (uint128(epoch_) << 40) | uint40(time_));
}

function sizeAfter(PackedBatch batch) pure returns (uint64) {
    return uint64(PackedBatch.unwrap(batch) >> 72);
}

function epoch(PackedBatch batch) pure returns (uint32) {
    return uint32(PackedBatch.unwrap(batch) >> 40);
}

function time(PackedBatch batch) pure returns (uint64) {
    return uint40(PackedBatch.unwrap(batch));
}
