"""What a request is charged, by the three bases of a price. Source: SPEC 1."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from tallystick.record.fields import Price, Usage

MICROSECONDS_PER_HOUR: Final = 3_600_000_000
COUNTS_PER_RATE: Final = 1_000_000
"""A rate is the price of a million."""


def charge_micros(price: Price, usage: Usage | None) -> int:
    """What `price.charge_micros` must be, rounded up once at the end. Units: micro-units of the currency.

    Requires: a price that encodes, so that its rates are those of its basis.
    """
    if price.basis == "device-time":
        return -(-price.per_hour_micros * price.device_time_us // MICROSECONDS_PER_HOUR)
    rates = price.rates or {}
    if price.basis == "fixed":
        return rates["request"]
    counts = usage or {}
    return -(-sum(rate * counts.get(name, 0) for name, rate in rates.items()) // COUNTS_PER_RATE)


def charged(price: Price, usage: Usage | None) -> Price:
    """The price with what it comes to; whatever charge stood in it is replaced."""
    return replace(price, charge_micros=charge_micros(price, usage))
