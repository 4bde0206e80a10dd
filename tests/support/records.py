"""Records for tests: the one of the vectors, and hypothesis strategies for any."""

from __future__ import annotations

from hypothesis import strategies as st

from tallystick.ids import Address, RecordId
from tallystick.record import (
    Gpu,
    HttpExchange,
    Instructions,
    Model,
    Output,
    Price,
    ProofOfCompute,
    Provider,
    Record,
    RecordFault,
    RecordTime,
    Request,
    Response,
    Sender,
    SenderSignature,
    State,
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


floats = st.floats(allow_nan=False, allow_infinity=False)
counted = st.dictionaries(names, counts, min_size=1, max_size=4)
rates = st.dictionaries(names, st.integers(0, 10**14), min_size=1, max_size=4)
prices = st.one_of(
    st.builds(
        Price,
        basis=st.just("device-time"),
        currency=names,
        per_hour_micros=st.integers(0, 10**14),
        device_time_us=st.integers(0, 10**11),
        charge_micros=counts,
    ),
    st.builds(
        Price,
        basis=st.just("tokens"),
        currency=names,
        per_hour_micros=st.integers(0, 10**14),
        device_time_us=st.integers(0, 10**11),
        rates=rates,
        charge_micros=counts,
    ),
    st.builds(
        Price,
        basis=st.just("fixed"),
        currency=names,
        per_hour_micros=st.integers(0, 10**14),
        device_time_us=st.integers(0, 10**11),
        rates=st.fixed_dictionaries({"request": st.integers(0, 10**14)}),
        charge_micros=counts,
    ),
)
contents = {
    "text": texts,
    "message": st.fixed_dictionaries(
        {
            "role": texts,
            "content": st.none() | texts,
            "tool_calls": st.lists(st.fixed_dictionaries({"id": texts, "name": texts, "arguments": texts}), max_size=2),
        }
    ),
    "vector": st.binary(max_size=10).map(lambda data: data * 4),
    "labels": st.lists(st.fixed_dictionaries({"label": texts, "score": floats}), max_size=3),
    "scores": st.lists(st.fixed_dictionaries({"index": counts, "score": floats}), max_size=3),
    "media": st.fixed_dictionaries({"type": texts, "digest": hashes, "length": counts}),
    "tensor": st.fixed_dictionaries(
        {"dtype": texts, "shape": st.lists(counts, max_size=3), "data": st.binary(max_size=20)}
    ),
    "document": values,
}
outputs = st.one_of(
    *(
        st.builds(
            Output, kind=st.just(kind), content=content, finish_reason=st.none() | texts, logprobs=st.none() | values
        )
        for kind, content in contents.items()
    )
)
requests = st.builds(
    Request,
    reader=names,
    target=names,
    content_type=st.none() | texts,
    body=st.binary(max_size=80),
    salt=st.binary(min_size=16, max_size=16),
)
signatures = st.builds(SenderSignature, nonce=hashes, deadline=counts, signature=st.binary(min_size=65, max_size=65))
records = st.builds(
    Record,
    id=record_ids(),
    admission_seq=st.integers(1, 2**53 - 1),
    sender_seq=st.integers(1, 2**53 - 1),
    task=names,
    state=st.sampled_from([state for state in State if state is not State.ACCEPTED]),
    error=or_none(st.builds(RecordFault, code=names, message=texts)),
    time=st.builds(RecordTime, admitted_at=counts, started_at=st.none() | counts, finished_at=counts),
    http=st.builds(HttpExchange, method=names, path=names, streamed=st.booleans()),
    request=or_none(requests),
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
    price=or_none(prices),
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
    response=or_none(st.builds(Response, outputs=st.lists(outputs, max_size=3).map(tuple))),
    usage=or_none(counted),
    sender=st.builds(
        Sender,
        address=addresses,
        proof=st.sampled_from(["token", "signature"]),
        token_id=st.none() | names,
        signature=st.none() | signatures,
    ),
    follows=st.none() | record_ids(),
    proof_of_compute=or_none(
        st.builds(
            ProofOfCompute,
            class_=st.sampled_from(["reproducible", "statistical", "none"]),
            toploc=st.none() | st.binary(min_size=1, max_size=64),
        )
    ),
)
