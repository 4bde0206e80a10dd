"""What the records of exports and downloads state about the model, the machine and the price."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version

from tallystick.ids import RecordId, to_hex
from tallystick.record import Gpu, Model, Output, Price, Provider, Value
from tallystick_platform.exchange.records import Event
from tallystick_platform.jobs.published import Published
from tallystick_platform.store.jobs import ExportJob, StoredFile

EXPORT_TASK, DOWNLOAD_TASK = "export", "download"
EXPORTER = "exporter"
DOWNLOAD = "download"
DOCUMENT = "document"
UNKNOWN_DTYPE = "unknown"
VERSION = version("tallystick")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportFacts:
    """Who exports, on what, for how much. An export is charged for the time of its process, a download for none."""

    provider: Provider
    gpu: Gpu
    per_hour_micros: int
    currency: str

    def accepted(self, job: ExportJob) -> Event:
        """What the record that takes a job states."""
        return self._event(job, EXPORT_TASK, EXPORTER, _asked(job), gpu=self.gpu)

    def ended(self, job: ExportJob) -> Event:
        """What the record that ends it states."""
        return self._event(job, EXPORT_TASK, EXPORTER, _asked(job), gpu=self.gpu, follows=job.record_id)

    def download(self, of: Published, file: str, span: str | None) -> Event:
        """The event of a download; `span` is the part of the file as in Content-Range, None for the whole."""
        parameters: dict[str, Value] = {**of.asked, "file": file, "range": span}
        return self._event(of, DOWNLOAD_TASK, DOWNLOAD, parameters, gpu=None)

    def _event(
        self,
        of: ExportJob | Published,
        task: str,
        engine: str,
        parameters: Mapping[str, Value],
        *,
        gpu: Gpu | None,
        follows: RecordId | None = None,
    ) -> Event:
        return Event(
            follows=follows,
            task=task,
            model=Model(
                id=of.model,
                version=of.version,
                weights_digest=of.source_digest,
                engine=engine,
                engine_version=VERSION,
                dtype=of.dtype or UNKNOWN_DTYPE,
                quantisation=None,
                device="cpu",
            ),
            parameters=parameters,
            gpu=gpu,
            provider=self.provider,
            price=Price(
                per_hour_micros=self.per_hour_micros, currency=self.currency, device_time_us=0, charge_micros=0
            ),
        )


def export_output(digest: bytes, files: Sequence[StoredFile]) -> Output:
    """What an export's record holds as its response: every file by its content."""
    listed: list[Value] = [{"name": file.name, "size": file.size, "sha256": file.sha256.hex()} for file in files]
    return Output(kind=DOCUMENT, content={"manifest_digest": to_hex(digest), "files": listed})


def download_output(*, sha256: bytes | None, manifest_digest: bytes, sent_bytes: int) -> Output:
    """What a download's record holds: how much was handed over, of what. `sha256` is the whole file's, None for an archive."""
    return Output(
        kind=DOCUMENT,
        content={
            "bytes": sent_bytes,
            "manifest_digest": to_hex(manifest_digest),
            "sha256": None if sha256 is None else sha256.hex(),
        },
    )


def _asked(job: ExportJob) -> dict[str, Value]:
    return {"export": job.id, "format": job.format, "quantization": job.quantization}
