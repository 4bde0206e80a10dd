"""Models from a hub that speaks Hugging Face's protocol, by its own library: its cache, its resumed downloads, its offline mode.

Only files of safe formats are asked for. The revision is pinned to a commit before anything is downloaded.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from tallystick.ids import Address
from tallystick.manifest import SIGNATURE_NAME
from tallystick_platform.errors import kind_of
from tallystick_platform.formats.limits import MAX_FILES
from tallystick_platform.registry.conversion import Progress
from tallystick_platform.registry.copying import copy_files, files_below
from tallystick_platform.registry.errors import SourceUnusable
from tallystick_platform.registry.folders import Staged
from tallystick_platform.registry.registry import Registry
from tallystick_platform.registry.sources import Brought, name_from

HUB_PREFIX = "hf:"
ETAG_TIMEOUT_S = 10.0
WEIGHTS = ("*.safetensors",)
OTHER_WEIGHTS = ("*.onnx", "*.onnx_data", "*.skops")
BESIDE = (
    "*.json",
    "*.jinja",
    "*.txt",
    "*.md",
    "tokenizer.model",
    "*.spm",
    "LICENSE*",
    "LICENCE*",
    "NOTICE*",
    SIGNATURE_NAME,
)
ELSEWHERE = ("onnx/*", "openvino/*", "original/*", "coreml/*", "gguf/*", ".*")
"""Other forms of the same model, which repositories keep in folders of these names."""

_REPO = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}(/[A-Za-z0-9][A-Za-z0-9._-]{0,95})?")
_REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,127}")
DEFAULT_REVISION = "main"

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class HubModel:
    """A repository of a hub at one revision. No endpoint: the library's own setting, HF_ENDPOINT.

    `with_token` lets the library send the operator's token; never on behalf of somebody else.
    """

    repo_id: str
    revision: str = DEFAULT_REVISION
    endpoint: str | None = None
    with_token: bool = False
    cache_dir: Path | None = None

    @property
    def name(self) -> str:
        """The repository's, as it is."""
        return "/".join(name_from(part) for part in self.repo_id.split("/"))

    def bring(self, staged: Staged, registry: Registry, viewer: Address | None, progress: Progress) -> Brought:  # noqa: ARG002
        """Download what is not in the library's cache, and copy it from there.

        Raises: SourceUnusable, DiskFull, OSError
        """
        if _REPO.fullmatch(self.repo_id) is None or ".." in self.repo_id:
            raise SourceUnusable(source=self.repo_id[:128], reason="a repository is called NAME or OWNER/NAME")
        if _REVISION.fullmatch(self.revision) is None or ".." in self.revision:
            raise SourceUnusable(source=self.revision[:128], reason="a revision is a branch, a tag or a commit")
        snapshot, commit = self._snapshot(registry, progress)
        files = files_below(snapshot, links_within=snapshot.parent.parent)
        # Other programs that share the cache may have fetched more of the repository than we would.
        wanted = set(wanted_files([file.name for file in files]))
        files = [file for file in files if file.name in wanted]
        copy_files(files, staged.folder, registry.folders, progress)
        where = {} if self.endpoint is None else {"endpoint": self.endpoint}
        source = {"kind": "hub", "repo_id": self.repo_id, "revision": self.revision, "commit": commit, **where}
        return Brought(source=source)

    def _snapshot(self, registry: Registry, progress: Progress) -> tuple[Path, str]:
        """The folder of the library's cache that holds the revision, and its commit."""
        from huggingface_hub import HfApi, errors, snapshot_download

        progress("asking the hub", 0.0)
        api = HfApi(endpoint=self.endpoint, token=None if self.with_token else False)
        try:
            info: Any = api.model_info(
                self.repo_id, revision=self.revision, files_metadata=True, timeout=ETAG_TIMEOUT_S
            )
        except errors.OfflineModeIsEnabled:
            return self._cached(snapshot_download)
        except Exception as error:  # the library lets several of its HTTP client's through
            raise SourceUnusable(source=self._shown, reason=_said(error)) from error
        siblings = {item.rfilename: item.size or 0 for item in info.siblings or ()}
        wanted = wanted_files(sorted(siblings))
        if not wanted:
            reason = (
                "the repository holds no weights in a safe format; load the model where it was made and save it with "
                "model.save_pretrained(folder, safe_serialization=True)"
            )
            raise SourceUnusable(source=self._shown, reason=reason)
        # Twice: once in the library's cache, once in the store.
        registry.folders.need(2 * sum(siblings[name] for name in wanted))
        return self._downloaded(api.endpoint, wanted, siblings, str(info.sha), progress)

    def _downloaded(
        self, endpoint: str, wanted: Sequence[str], sizes: dict[str, int], commit: str, progress: Progress
    ) -> tuple[Path, str]:
        from huggingface_hub import hf_hub_download

        total, done, folder = sum(sizes[name] for name in wanted), 0, None
        for name in wanted:
            progress(f"downloading {name}", done / total if total else 0.0)
            try:
                path = hf_hub_download(
                    self.repo_id,
                    name,
                    # By its name first, so that the library's cache knows offline what the name stood for.
                    revision=self.revision if folder is None else commit,
                    endpoint=endpoint,
                    token=None if self.with_token else False,
                    cache_dir=self.cache_dir,
                    etag_timeout=ETAG_TIMEOUT_S,
                )
            except Exception as error:
                raise SourceUnusable(source=self._shown, reason=f"{name}: {_said(error)}") from error
            done += sizes[name]
            folder = Path(path)
            for _ in name.split("/"):
                folder = folder.parent
            if folder.name != commit:
                raise SourceUnusable(source=self._shown, reason="the revision moved at this moment; ask again")
        if folder is None:
            raise SourceUnusable(source=self._shown, reason="nothing was downloaded")
        return folder, commit

    def _cached(self, snapshot_download: Any) -> tuple[Path, str]:
        """Offline: what the cache holds already."""
        try:
            found = snapshot_download(
                self.repo_id,
                revision=self.revision,
                endpoint=self.endpoint,
                cache_dir=self.cache_dir,
                local_files_only=True,
                allow_patterns=[*WEIGHTS, *OTHER_WEIGHTS, *BESIDE],
            )
        except Exception as error:
            raise SourceUnusable(source=self._shown, reason=f"offline, and not in the cache: {_said(error)}") from error
        return Path(found), Path(found).name

    @property
    def _shown(self) -> str:
        return f"{self.repo_id}@{self.revision}"


def wanted_files(names: Sequence[str]) -> list[str]:
    """Of a repository's files those that make up a model in a safe format; none where there are no such weights."""
    top = [name for name in names if not _any(name, ELSEWHERE)]
    weights = [name for name in top if _any(name, WEIGHTS)]
    if not weights:
        top = [name for name in names if not name.startswith(".")]
        weights = [name for name in top if _any(name, OTHER_WEIGHTS)]
    if not weights:
        return []
    chosen = {*weights, *(name for name in top if _any(name, BESIDE))}
    return sorted(chosen)[:MAX_FILES]


def parse_hub(text: str, *, endpoint: str | None = None, with_token: bool = False) -> HubModel:
    """`hf:owner/name[@revision]` as a source."""
    repo_id, _, revision = text.removeprefix(HUB_PREFIX).partition("@")
    return HubModel(repo_id=repo_id, revision=revision or DEFAULT_REVISION, endpoint=endpoint, with_token=with_token)


def _any(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _said(error: Exception) -> str:
    """What a failed question means for who asked; the library's own text, which names the hub's address and our cache, is for the log."""
    from huggingface_hub import errors

    _log.warning("hub.failed", error=type(error).__name__, reason=str(error))
    meanings: tuple[tuple[type[Exception], str], ...] = (
        (errors.GatedRepoError, "its publisher asks for an agreement first, and this server has none"),
        (errors.RepositoryNotFoundError, "there is no such repository, or it is private"),
        (errors.RevisionNotFoundError, "there is no such revision"),
        (errors.LocalEntryNotFoundError, "the hub cannot be reached"),
        (errors.EntryNotFoundError, "there is no such file"),
    )
    for kind, meaning in meanings:
        if isinstance(error, kind):
            return meaning
    status = getattr(getattr(error, "response", None), "status_code", None)
    return kind_of(error) if status is None else f"the hub answered {status}"
