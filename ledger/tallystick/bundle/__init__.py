"""The evidence bundle: everything that proves one record, in one JSON file that verifies offline.

The file may be formatted in any way; it is read strictly, and each value has one spelling. So whatever was read has one canonical form
(RFC 8785), which the writer's attestation is over, and a change to a file either breaks the JSON, or its layout, or a value; and every
value is bound by the attestation, or, for what a holder may add or remove, proves itself.

- `evidence`: what a bundle holds, its JSON form, and the writer's attestation.
- `reading`: the strict reading of a file.
"""
