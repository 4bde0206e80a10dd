"""Records for tests: the one of the vectors, and hypothesis strategies for any."""

from __future__ import annotations

from hypothesis import strategies as st

from tallystick.ids import Address, RecordId
from tallystick.record import (
    Choice,
    Gpu,
    HttpExchange,
    Instructions,
    Model,
    Price,
    ProofOfCompute,
    Provider,
    Record,
    RecordFault,
    RecordTime,
    Response,
    Sender,
    State,
    Usage,
)

names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
hashes = st.binary(min_size=32, max_size=32)
addresses = st.binary(min_size=20, max_size=20).map(Address)
counts = st.integers(0, 2**53 - 1)
numbers = (
    st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.booleans() | st.none()
)
values = st.recursive(
    numbers | texts | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@st.composite
def record_ids(draw: st.DrawFn) -> RecordId:
    raw = bytearray(draw(st.binary(min_size=16, max_size=16)))
    raw[6] = 0x70 | raw[6] & 0x0F
    raw[8] = 0x80 | raw[8] & 0x3F
    return RecordId(bytes(raw))


def or_none(strategy: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return st.none() | strategy


records = st.builds(
    Record,
    id=record_ids(),
    admission_seq=st.integers(1, 2**53 - 1),
    sender_seq=st.integers(1, 2**53 - 1),
    task=names,
    state=st.sampled_from(State),
    error=or_none(st.builds(RecordFault, code=names, message=texts)),
    time=st.builds(RecordTime, admitted_at=counts, started_at=st.none() | counts, finished_at=counts),
    http=st.builds(
        HttpExchange,
        method=names,
        path=names,
        request_hash=hashes,
        response_hash=st.none() | hashes,
        streamed=st.booleans(),
    ),
    gpu=or_none(
        st.builds(
            Gpu,
            kind=st.sampled_from(["gpu", "cpu"]),
            name=names,
            uuid=st.none() | names,
            count=st.integers(1, 64),
            memory_bytes=counts,
            driver=st.none() | names,
        )
    ),
    provider=or_none(st.builds(Provider, id=names, name=names, address=addresses)),
    price=or_none(
        st.builds(
            Price,
            per_hour_micros=st.integers(0, 10**12),
            currency=names,
            device_time_us=st.integers(0, 10**9),
            charge_micros=counts,
        )
    ),
    model=or_none(
        st.builds(
            Model,
            id=names,
            version=names,
            weights_digest=hashes,
            engine=names,
            engine_version=names,
            dtype=names,
            quantisation=st.none() | names,
            device=names,
        )
    ),
    parameters=st.dictionaries(names, numbers | texts, max_size=6),
    prompt=or_none(st.dictionaries(names.filter(lambda name: name != "blob"), values, max_size=4)),
    instructions=or_none(
        st.builds(
            Instructions,
            system=st.none() | texts,
            chat_template=st.none() | texts,
            chat_template_digest=st.none() | hashes,
        )
    ),
    response=or_none(
        st.lists(st.tuples(texts, st.none() | names), max_size=3).map(
            lambda parts: Response(
                choices=tuple(
                    Choice(index=at, text=text, finish_reason=reason) for at, (text, reason) in enumerate(parts)
                )
            )
        )
    ),
    usage=or_none(st.builds(Usage, input_tokens=counts, output_tokens=counts)),
    sender=st.builds(
        Sender,
        address=addresses,
        proof=st.sampled_from(["token", "signature"]),
        token_id=st.none() | names,
        signature=st.none() | st.binary(min_size=1, max_size=65),
    ),
    proof_of_compute=or_none(
        st.builds(
            ProofOfCompute,
            class_=st.sampled_from(["reproducible", "statistical", "none"]),
            toploc=st.none() | st.binary(min_size=1, max_size=64),
        )
    ),
)
