"""Small models to export, whose numbers 16 bits hold exactly, and the specs that ask for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from safetensors.torch import load_file, save_file

from tallystick.manifest import hash_folder
from tallystick_platform.exporter.spec import ExportSpec
from tests.support.tiny_model import write_tiny_model

WIDE = {"hidden_size": 64, "intermediate_size": 96, "num_attention_heads": 8, "num_key_value_heads": 2}
"""Rows that are whole blocks of 32."""


def write_source(folder: Path, dtype: torch.dtype = torch.bfloat16, **changes: Any) -> Path:
    """A tiny model folder with weights in a type that models are stored in."""
    write_tiny_model(folder, **{**WIDE, **changes})
    path = folder / "model.safetensors"
    # Half of 16-bit accuracy, so that neither of the 16-bit types changes a number.
    weights = {name: (value * 64).round().div(64).to(dtype) for name, value in load_file(path).items()}
    save_file(weights, path, metadata={"format": "pt"})
    return folder


def spec_for(source: Path, target: Path, **changes: Any) -> ExportSpec:
    """A spec for this source as it lies there."""
    values: dict[str, Any] = {
        "source": source,
        "source_digest": hash_folder(source).digest,
        "model": "people/tiny",
        "version": "0123456789ab",
        "task": "chat",
        "format": "safetensors",
        "target": target,
        "parity_tokens": 12,
        "command": "tallystick-server model export people/tiny",
        "licence": "Apache-2.0",
    }
    return ExportSpec(**{**values, **changes})


def silent(_stage: str, _fraction: float) -> None:
    """Progress that nobody watches."""


def write_signing_key(folder: Path) -> tuple[Path, Path]:
    """A private key and its public half, as PEM files."""
    key = ec.generate_private_key(ec.SECP256R1())
    private, public = folder / "signing.pem", folder / "signing.pub"
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return private, public
