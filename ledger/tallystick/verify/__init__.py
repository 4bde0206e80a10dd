"""Verification: what a log, or one record's evidence, proves to somebody who trusts nobody.

A tour. `verify_log` walks a log from its creation to one block, `verify_bundle` checks one file, `verify_signed` what somebody signed or a
saved answer; all give a `Verdict`: seventeen numbered checks, and two more where a model folder is held against a record. Each counts what
was really computed. Of the rest it says why not: it was not asked for, or nobody could, or something is missing that somebody can bring.
Only the last keeps a verdict from reading as proven.

     1 contract-code        whole_log.py           10 canonical-encoding    record_checks.py
     2 index-continuity     log_walk.py            11 field-commitments     record_checks.py
     3 leaves               log_walk.py            12 request-binding       binding_checks.py
     4 roots                log_walk.py            13 response-binding      binding_checks.py, promise_checks.py
     5 heads                log_walk.py            14 sequences             sequence_checks.py
     6 authorship           author_checks.py       15 times                 field_checks.py
     7 completeness         completeness.py        16 price-arithmetic      field_checks.py
     8 receipts             receipt_checks.py      17 sender-proof          field_checks.py
     9 decryption           record_checks.py       18 model-digest, 19 replay   model_checks.py

`whole_log.py` puts them in order for a log, `bundle_checks.py` and `bundle_on_chain.py` for a bundle, `signed_checks.py` for the rest;
`one_record.py` fetches and opens a single record. `vouching.py` says whose log it is; `blocks.py` holds the blocks of a walk;
`sequences.py` holds what a walk remembers, within bounds. `promise_checks.py` holds one signed message against a record or another
message, `claims.py` counts statements of a record that nothing can prove or contradict. `verdict.py` is the result, `tally.py` collects it.
"""
