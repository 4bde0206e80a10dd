// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

// Written by scripts/compile_contracts.py from limits.json.

/// @dev Records in a batch.
uint256 constant MAX_BATCH_RECORDS = 1_024;

/// @dev Bytes of a ciphertext, at least.
uint256 constant MIN_CIPHERTEXT_BYTES = 17;

/// @dev Bytes of a ciphertext, at most.
uint256 constant MAX_CIPHERTEXT_BYTES = 122_896;

/// @dev Wraps of an epoch.
uint256 constant MAX_WRAPS = 64;

/// @dev Bytes of each wrap.
uint256 constant WRAP_BYTES = 1_176;

/// @dev Promise in seconds, at least.
uint256 constant MIN_PROMISE_S = 60;

/// @dev Promise in seconds, at most.
uint256 constant MAX_PROMISE_S = 2_592_000;

/// @dev Skew in seconds, at most.
uint256 constant MAX_SKEW_S = 3_600;

/// @dev The highest admission number.
uint64 constant MAX_NUMBER = 9_007_199_254_740_991;
