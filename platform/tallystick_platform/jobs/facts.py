"""What the records of exports and downloads state about the model, the machine and the price."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version

import rfc8785

from tallystick.ids import RecordId, format_record_id, to_hex
from tallystick.record import Gpu, Model, Price, Provider, Value
from tallystick_platform.auth import Principal
from tallystick_platform.exchange import Event, HttpFacts
from tallystick_platform.registry.entries import ModelVersion
from tallystick_platform.store.jobs import ExportJob, JobState, StoredFile

TASK = "export"
EXPORTER = "exporter"
DOWNLOAD = "download"
UNKNOWN_DTYPE = "unknown"
VERSION = version("tallystick")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportFacts:
    """Who exports, on what, for how much. An export is charged for the time of its process, a download for none."""

    provider: Provider
    gpu: Gpu
    per_hour_micros: int
    currency: str

    def export(self, job: ExportJob, http: HttpFacts, resumes: RecordId | None = None) -> Event:
        """The event of an export; `resumes` is the record of the attempt that a restart cut off."""
        parameters: dict[str, Value] = {"export": job.id, "format": job.format, "quantization": job.quantization}
        if resumes is not None:
            parameters["resumes"] = format_record_id(resumes)
        return self._event(job, EXPORTER, parameters, http, gpu=self.gpu)

    def download(self, job: ExportJob, file: str, span: str | None, http: HttpFacts) -> Event:
        """The event of a download; `span` is the part of the file as in Content-Range, None for the whole."""
        parameters: dict[str, Value] = {"export": job.id, "file": file, "range": span}
        return self._event(job, DOWNLOAD, parameters, http, gpu=None)

    def _event(
        self, job: ExportJob, engine: str, parameters: Mapping[str, Value], http: HttpFacts, *, gpu: Gpu | None
    ) -> Event:
        return Event(
            task=TASK,
            model=Model(
                id=job.model,
                version=job.version,
                weights_digest=job.source_digest,
                engine=engine,
                engine_version=VERSION,
                dtype=job.dtype or UNKNOWN_DTYPE,
                quantisation=None,
                device="cpu",
            ),
            parameters=parameters,
            http=http,
            gpu=gpu,
            provider=self.provider,
            price=Price(
                per_hour_micros=self.per_hour_micros, currency=self.currency, device_time_us=0, charge_micros=0
            ),
        )


def new_job(
    job_id: str,
    principal: Principal,
    version: ModelVersion,
    wanted: tuple[str, str | None],
    http: HttpFacts,
    now_us: int,
) -> ExportJob:
    """A job as it is when it is asked for; `wanted` is the format and the quantization. Its number and record come with its row."""
    return ExportJob(
        id=job_id,
        number=0,
        owner=principal.address,
        model_owner=version.model.owner,
        token_id=principal.token_id,
        path=http.path,
        request_hash=http.request_hash,
        model=version.model.id,
        version=version.version,
        source_digest=version.digest,
        dtype=version.dtype,
        format=wanted[0],
        quantization=wanted[1],
        state=JobState.QUEUED,
        stage=None,
        progress=0.0,
        attempts=0,
        record_id=RecordId(bytes(16)),
        error=None,
        files=(),
        signature=None,
        digest=None,
        parity=None,
        created_at=now_us,
        finished_at=None,
    )


def export_text(digest: bytes, files: Sequence[StoredFile]) -> str:
    """The response of an export's record: canonical JSON that names every file by its content."""
    listed = [{"name": file.name, "size": file.size, "sha256": file.sha256.hex()} for file in files]
    return _canonical({"manifest_digest": to_hex(digest), "files": listed})


def download_text(*, sha256: bytes | None, manifest_digest: bytes, sent_bytes: int) -> str:
    """The response of a download's record: how much was handed over, of what. `sha256` is the whole file's, None for an archive."""
    return _canonical(
        {
            "bytes": sent_bytes,
            "manifest_digest": to_hex(manifest_digest),
            "sha256": None if sha256 is None else sha256.hex(),
        }
    )


def _canonical(value: dict[str, object]) -> str:
    return rfc8785.dumps(value).decode()  # type: ignore[arg-type]  # plain JSON values
