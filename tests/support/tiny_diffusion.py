"""A pipeline from texts to pictures that was never trained, with every file of a real folder: it draws noise in a moment."""

from __future__ import annotations

import json
from pathlib import Path

import torch

SIDE = 32


def write_tiny_diffusion(folder: Path) -> Path:
    """A folder in the layout of Stable Diffusion's."""
    from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        block_out_channels=(4, 8), layers_per_block=1, sample_size=SIDE // 2, in_channels=4, out_channels=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=32, norm_num_groups=2, attention_head_dim=2,
    )  # fmt: skip
    coder = AutoencoderKL(
        block_out_channels=[4, 8], in_channels=3, out_channels=3, down_block_types=["DownEncoderBlock2D"] * 2,
        up_block_types=["UpDecoderBlock2D"] * 2, latent_channels=4, norm_num_groups=2,
    )  # fmt: skip
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["<|startoftext|>", "!", "<|endoftext|>", *letters, *(f"{letter}</w>" for letter in letters)]
    files = folder.parent / f"{folder.name}-words"
    files.mkdir(parents=True)
    (files / "vocab.json").write_text(json.dumps({word: at for at, word in enumerate(words)}))
    (files / "merges.txt").write_text("#version: 0.2\n")
    reader = CLIPTextConfig(
        bos_token_id=0, eos_token_id=2, pad_token_id=1, hidden_size=32, intermediate_size=37, num_attention_heads=4,
        num_hidden_layers=2, vocab_size=len(words), max_position_embeddings=77,
    )  # fmt: skip
    tokenizer = CLIPTokenizer(vocab=str(files / "vocab.json"), merges=str(files / "merges.txt"))
    tokenizer.model_max_length = 77
    StableDiffusionPipeline(
        vae=coder, text_encoder=CLIPTextModel(reader), tokenizer=tokenizer, unet=unet,
        scheduler=DDIMScheduler(clip_sample=False, set_alpha_to_one=False, steps_offset=1), safety_checker=None,
        feature_extractor=None, requires_safety_checker=False,
    ).save_pretrained(folder, safe_serialization=True)  # fmt: skip
    return folder
