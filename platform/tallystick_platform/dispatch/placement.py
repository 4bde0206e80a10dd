"""What a record says of the worker that computed its answer: model, hardware, provider."""

from __future__ import annotations

from dataclasses import dataclass, field

from tallystick.ids import Address
from tallystick.record import Gpu, Model, Price, ProofOfCompute, Provider
from tallystick_platform.protocol import GpuInfo, ModelInfo, ProviderInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated:
    """The parts of a record that are the same for every request placed alike, made once."""

    model: Model
    gpu: Gpu
    provider: Provider
    price: Price
    proof_of_compute: ProofOfCompute


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """One worker with its model, hardware and provider."""

    model: ModelInfo
    provider: ProviderInfo
    gpu: GpuInfo
    worker: str
    stated: Stated = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "stated", _stated(self.model, self.gpu, self.provider))


def _stated(model: ModelInfo, gpu: GpuInfo, provider: ProviderInfo) -> Stated:
    return Stated(
        model=Model(
            id=model.id,
            version=model.version,
            weights_digest=model.weights_digest,
            engine=model.engine,
            engine_version=model.engine_version,
            dtype=model.dtype,
            quantisation=model.quantisation,
            device=model.device,
        ),
        gpu=gpu.stated(),
        provider=Provider(id=provider.id, name=provider.name, address=Address(provider.address)),
        price=Price(
            per_hour_micros=provider.price_per_hour_micros,
            currency=provider.currency,
            device_time_us=0,
            charge_micros=0,
        ),
        proof_of_compute=ProofOfCompute(class_=model.reproducibility, toploc=None),
    )
