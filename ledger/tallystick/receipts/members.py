"""The members of a JSON object, read strictly: of a signed message, and of the parts of a bundle.

Each value has one spelling: hashes and signatures in lower-case hex after 0x, addresses with their checksum, integers that every JSON
reader holds exactly. So what is read and what is written again are the same values, and a hash over them is about what was read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tallystick.errors import IdError, ReceiptFormatError, TallystickError
from tallystick.ids import HASH_BYTES, Address, checksum_address, parse_address, parse_hex, to_hex
from tallystick.keys import SIGNATURE_BYTES
from tallystick.receipts.messages import Domain
from tallystick.record import MAX_INTEGER


class Members:
    """One JSON object that must have exactly the members named.

    Raises: what `fault` makes, here and by each reading, naming the member at fault.
    """

    __slots__ = ("_members",)
    _members: Mapping[str, object]

    def __init__(self, data: object, where: str, names: tuple[str, ...]) -> None:
        if not isinstance(data, dict):
            raise ReceiptFormatError(where, "is not an object")
        if set(data) != set(names):
            odd = sorted(set(data) ^ set(names), key=str)
            reason = f"must have exactly the members {', '.join(names)}; at fault: {odd[0]!a:.40}"
            raise ReceiptFormatError(where, reason)
        self._members = data

    def fault(self, name: str, reason: str | IdError) -> TallystickError:
        """The error for a member that cannot be read."""
        return ReceiptFormatError(name, str(reason))

    def __getitem__(self, name: str) -> object:
        return self._members[name]

    def hex(self, name: str, size: int | None = None) -> bytes:
        """Bytes, as many as are asked for."""
        value = self._parsed(name, lambda text: parse_hex(text, size))
        if self._members[name] != to_hex(value):
            raise self.fault(name, "is not in lower-case hex")
        return value

    def hash(self, name: str) -> bytes:
        """32 bytes."""
        return self.hex(name, HASH_BYTES)

    def signature(self, name: str) -> bytes:
        """65 bytes, which need not be a signature yet."""
        return self.hex(name, SIGNATURE_BYTES)

    def address(self, name: str) -> Address:
        """20 bytes, written with their checksum."""
        address = Address(self._parsed(name, parse_address))
        if self._members[name] != checksum_address(address):
            raise self.fault(name, "is not written with its checksum (EIP-55)")
        return address

    def integer(self, name: str, most: int = MAX_INTEGER) -> int:
        """An integer from 0 on that JSON holds exactly."""
        value = self._members[name]
        if type(value) is not int or not 0 <= value <= most:
            raise self.fault(name, f"is not an integer from 0 to {most}")
        return value

    def _parsed(self, name: str, parse: Callable[[str], bytes]) -> bytes:
        text = self._members[name]
        if not isinstance(text, str):
            raise self.fault(name, "is not text")
        try:
            return parse(text)
        except IdError as error:
            raise self.fault(name, error) from error


def domain_to_json(domain: Domain) -> dict[str, object]:
    """The JSON form of a domain."""
    return {"chain_id": domain.chain_id, "contract": checksum_address(domain.contract)}


def domain_from_json(data: object) -> Domain:
    """Read the JSON form of a domain. Raises: ReceiptFormatError."""
    members = Members(data, "domain", ("chain_id", "contract"))
    return Domain(chain_id=members.integer("chain_id"), contract=members.address("contract"))
