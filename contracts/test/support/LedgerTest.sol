// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {LedgerFixture} from "./LedgerFixture.sol";

/// @notice A test that starts with a ledger and one log that is ready for records.
abstract contract LedgerTest is LedgerFixture {
    function setUp() public virtual {
        _start();
    }
}
