"""A voice that was never trained, with every file of a real folder: small enough to speak in a test."""

from __future__ import annotations

import json
from pathlib import Path

import torch
import transformers

SIGNS = " abcdefghijklmnopqrstuvwxyz'-"
RATE_HZ = 8_000


def write_tiny_vits(folder: Path, *, speakers: int = 1, phonemize: bool = False) -> Path:
    """A folder in the layout of facebook/mms-tts-*."""
    folder.mkdir(exist_ok=True)
    torch.manual_seed(3)
    config = transformers.VitsConfig(
        vocab_size=len(SIGNS), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, window_size=2, ffn_dim=16,
        flow_size=16, spectrogram_bins=17, use_stochastic_duration_prediction=False, num_speakers=speakers,
        speaker_embedding_size=8 if speakers > 1 else 0, upsample_initial_channel=16, upsample_rates=[8, 8],
        upsample_kernel_sizes=[16, 16], resblock_kernel_sizes=[3], resblock_dilation_sizes=[[1, 3]],
        prior_encoder_num_flows=1, prior_encoder_num_wavenet_layers=1, posterior_encoder_num_wavenet_layers=1,
        duration_predictor_filter_channels=16, sampling_rate=RATE_HZ, layerdrop=0.0,
    )  # fmt: skip
    transformers.VitsModel(config).save_pretrained(folder)
    (folder / "vocab.json").write_text(json.dumps({sign: at for at, sign in enumerate(SIGNS)}))
    told = {"tokenizer_class": "VitsTokenizer", "phonemize": phonemize, "is_uroman": False, "add_blank": True,
            "normalize": True, "pad_token": " ", "language": "eng"}  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps(told))
    return folder
