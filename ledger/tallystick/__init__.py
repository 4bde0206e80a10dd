"""The Tallystick ledger: what a record is, how it is sealed and chained, and how anybody checks it.

A tour, from the ground up. Each module imports only those above it.

    errors       one root, typed fields; a failed check names record, expected and found
    ids          names for bytes: record ids, hashes, addresses; and their texts
    hashing      keccak256
    manifest     a model folder's files and the digest that names them in every record
    record       the twenty fields of one request, and their bounds
    encoding     the one canonical encoding of a record, strictly decoded
    compression  zstd with the dictionary of version 1
    merkle       leaves, batch trees, inclusion paths, heads
    keys         wallets, auditor keys, epoch keys and their wraps, key files
    sealing      record -> sealed bytes, and every step back; disclosure of chosen fields
    receipts     what the log's writer signs, as EIP-712
    chain        reading a log from any chain node; writing one
    bundle       one file that proves one record
    pull         fetching an export of a model, checked by digest
    verify       numbered checks over a log, or over a bundle and the model that it names
    report, cli  the verdict for people and for programs: the command `tallystick`

Open a sealed record with its secret, and tie it to its leaf:

    opened = open_sealed(sealed, log_id=log_id, index=40, fields_root=fields_root, secret=secret)
    check_commitments(opened, fields_root)
    print(opened.record.model, opened.record.price)

`ledger/SPEC.md` has every byte; this package never imports the service that writes the records.
"""
