"""The Tallystick ledger: what a record is, how it is sealed and chained, and how anybody checks it.

A tour, from the ground up. Each module imports only those above it.

    errors       one root, typed fields; a failed check names record, expected and found
    ids          names for bytes: record ids, hashes, addresses; and their texts
    hashing      keccak256
    manifest     a model folder's files and the digest that names them in every record
    strict_json  JSON that can be read in one way only, within bounds
    record       the twenty-two fields of one request, their bounds, and what is charged
    encoding     the one canonical encoding of a record, strictly decoded
    compression  zstd with the dictionary of version 2
    merkle       leaves, batch trees, inclusion paths
    keys         wallets, auditor keys, epoch keys and their wraps, key files
    heads        the log's identifier, and the one hash chain over all that it says
    binding      the hashes that tie a record to the request and response as they crossed the wire
    sealing      record -> sealed bytes, and every step back; disclosure of chosen fields
    receipts     what the log's writer signs, as EIP-712
    tasks        what a request asks and an answer says, read by pure functions
    chain        reading a log from any chain node
    bundle       one file that proves one record
    trust        whose logs a reader believes
    evidence_files  what a file is that somebody kept: a bundle, a receipt, a saved answer
    pull         fetching an export of a model, checked by digest
    predicting   asking a hosted model: `from tallystick import predict`
    verify       numbered checks over a log, or over a bundle and the model that it names
    report, cli  the verdict for people and for programs: the command `tallystick`

Open a sealed record with its secret, and tie it to its leaf:

    opened = open_sealed(sealed, log_id=log_id, index=40, epoch=3, fields_root=fields_root, secret=secret)
    check_commitments(opened, fields_root)
    print(opened.record.model, opened.record.price)

`ledger/SPEC.md` has every byte; this package never imports the service that writes the records.
"""

from tallystick.predicting import predict

__all__ = ["predict"]
