// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice The head chain as SPEC section 6 writes it down, without a look at the contract.
library ReferenceHead {
    function batch(bytes32 previous, uint64 entry, uint32 epoch, uint64 firstIndex, uint32 count, bytes32 root)
        internal
        pure
        returns (bytes32)
    {
        return next(previous, hex"01", entry, bytes.concat(bytes4(epoch), bytes8(firstIndex), bytes4(count), root));
    }

    function committed(bytes32 previous, uint64 entry, uint32 epoch, uint64 firstIndex, uint32 count, bytes32 root)
        internal
        pure
        returns (bytes32)
    {
        return next(previous, hex"02", entry, bytes.concat(bytes4(epoch), bytes8(firstIndex), bytes4(count), root));
    }

    function opened(bytes32 previous, uint64 entry, uint32 epoch, uint64 firstIndex, bytes memory wraps)
        internal
        pure
        returns (bytes32)
    {
        return next(previous, hex"03", entry, bytes.concat(bytes4(epoch), bytes8(firstIndex), keccak256(wraps)));
    }

    function rotated(bytes32 previous, uint64 entry, address from, address to, uint64 size, uint64 lastAdmission)
        internal
        pure
        returns (bytes32)
    {
        bytes memory body = bytes.concat(bytes20(from), bytes20(to), bytes8(size), bytes8(lastAdmission));
        return next(previous, hex"04", entry, body);
    }

    function voided(bytes32 previous, uint64 entry, uint64 first, uint64 last) internal pure returns (bytes32) {
        return next(previous, hex"05", entry, bytes.concat(bytes8(first), bytes8(last)));
    }

    function next(bytes32 previous, bytes1 kind, uint64 entry, bytes memory body) internal pure returns (bytes32) {
        return keccak256(bytes.concat(hex"04", previous, kind, bytes8(entry), body));
    }
}
