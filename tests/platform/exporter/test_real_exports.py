"""The demonstration model, exported and loaded by the library as anybody would."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from tallystick_platform.exporter.parity import PROMPT
from tallystick_platform.exporter.run import run
from tallystick_platform.exporter.spec import PERPLEXITY_DIFFERENCE
from tests.support.exports import silent, spec_for
from tests.support.real_model import real_model

pytestmark = [pytest.mark.model, pytest.mark.timeout(600)]
TOKENS = 50


def continued(**where: Any) -> list[int]:
    """Greedy tokens of a model that the library loads whole, in 32 bits."""
    tokenizer: Any = transformers.AutoTokenizer.from_pretrained(**where)
    model: Any = transformers.AutoModelForCausalLM.from_pretrained(**where, dtype=torch.float32)
    ids = tokenizer(PROMPT, return_tensors="pt").input_ids
    with torch.inference_mode():
        answer = model.generate(ids, max_new_tokens=TOKENS, do_sample=False, eos_token_id=None)
    return [int(token) for token in answer[0]]


def test_gguf_f16_of_the_real_model_says_the_same_fifty_tokens(tmp_path: Path) -> None:
    spec = spec_for(real_model(), tmp_path / "out", format="gguf", quantization="F16", parity_tokens=1)
    result = run(spec, silent)
    assert result.parity.max_logit_difference == 0.0
    source = continued(pretrained_model_name_or_path=spec.source)
    assert continued(pretrained_model_name_or_path=spec.target, gguf_file="tiny-F16.gguf") == source


def test_gguf_q8_0_of_the_real_model_is_within_two_per_cent(tmp_path: Path) -> None:
    spec = spec_for(real_model(), tmp_path / "out", format="gguf", quantization="Q8_0", parity_tokens=5)
    result = run(spec, silent)
    assert result.parity.bound[PERPLEXITY_DIFFERENCE] == 0.02
    assert result.parity.perplexity_difference is not None
    assert result.parity.perplexity_difference <= 0.02
    assert result.parity.greedy_equal == 5
