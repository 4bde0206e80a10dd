// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @dev A tree while its leaves arrive: one finished subtree for each set bit of `count`, the smallest at the lowest level.
struct GrowingTree {
    uint256 count;
    bytes32[11] peaks;
}

/// @title The tree over a batch's leaves, in the shape of RFC 9162 section 2.1 over keccak256
library BatchTree {
    bytes1 private constant NODE_PREFIX = 0x01;

    /// @dev Takes the next leaf. Two subtrees of one size become one of twice that size, as a binary counter carries.
    /// Eleven levels hold 2,047 leaves; the caller adds at most MAX_BATCH_RECORDS.
    function add(GrowingTree memory tree, bytes32 leaf) internal pure {
        bytes32 subtree = leaf;
        uint256 level = 0;
        for (uint256 carry = tree.count; carry % 2 == 1; carry /= 2) {
            subtree = _node(tree.peaks[level], subtree);
            ++level;
        }
        tree.peaks[level] = subtree;
        ++tree.count;
    }

    /// @dev The root over at least one leaf: the smallest subtree stands rightmost, and each larger one to the left of it.
    function root(GrowingTree memory tree) internal pure returns (bytes32 top) {
        bool isRightmost = true;
        uint256 level = 0;
        for (uint256 rest = tree.count; rest > 0; rest /= 2) {
            if (rest % 2 == 1) {
                top = isRightmost ? tree.peaks[level] : _node(tree.peaks[level], top);
                isRightmost = false;
            }
            ++level;
        }
    }

    /// @dev RFC 9162 section 2.1.3.2. The position and the count fix the path's length and every side, so an inner node
    /// cannot pass for a leaf.
    function isIncluded(bytes32 treeRoot, bytes32 leaf, uint256 position, uint256 count, bytes32[] calldata path)
        internal
        pure
        returns (bool)
    {
        uint256 last = count - 1;
        bytes32 node = leaf;
        for (uint256 i = 0; i < path.length; ++i) {
            if (last == 0) return false;
            if (position % 2 == 1 || position == last) {
                node = _node(path[i], node);
                // A node that was carried up has no sibling on the levels that it skipped.
                while (position % 2 == 0 && position != 0) {
                    position /= 2;
                    last /= 2;
                }
            } else {
                node = _node(node, path[i]);
            }
            position /= 2;
            last /= 2;
        }
        return last == 0 && node == treeRoot;
    }

    function _node(bytes32 left, bytes32 right) private pure returns (bytes32) {
        return keccak256(abi.encodePacked(NODE_PREFIX, left, right));
    }
}
