"""The packaged MiniLM: its vectors are the transformers library's, and sentences that mean the same lie close together."""

import numpy as np
import pytest
import torch

from tallystick_platform.engine.loading import EngineConfig, load_engine
from tallystick_platform.engine.model_store import packaged_file
from tallystick_platform.protocol import Finished, Piece
from tests.support.tiny_model import embedding

pytestmark = [pytest.mark.model, pytest.mark.xdist_group("model")]

TEXTS = (
    "A man is eating food.",
    "Somebody has a meal.",
    "The moon pulls at the sea, and so there are tides.",
    "Quarterly profits rose by 12.5 % to 3,000 €.",
    "x",
    "tide " * 200,
)


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    config = EngineConfig(model="demo-embedding", models_dir=tmp_path_factory.mktemp("models"), device="cpu")
    return load_engine(config, lambda stage, fraction: None)


def vectors_of(engine, texts, dimensions=384):
    engine.submit(embedding(1, tuple(texts), dimensions))
    events = []
    while engine.has_work():
        events += engine.step()
    assert isinstance(events[-1], Finished)
    return [event.data for event in events if isinstance(event, Piece)]


def test_the_model_describes_itself(engine):
    model = engine.model
    assert (model.id, model.tasks, model.dimensions) == ("all-minilm-l6-v2", ("embedding", "rerank"), 384)
    assert (model.max_prompt_tokens, model.reproducibility) == (256, "reproducible")


def test_vectors_are_those_of_the_transformers_library(engine):
    from transformers import AutoModel, AutoTokenizer

    folder = packaged_file("demo-embedding").parent
    tokenizer, library = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    batch = tokenizer(list(TEXTS), padding=True, truncation=True, max_length=256, return_tensors="pt")
    with torch.inference_mode():
        states = library(**batch).last_hidden_state
    mask = batch["attention_mask"][..., None].float()
    expected = torch.nn.functional.normalize((states * mask).sum(1) / mask.sum(1), dim=1).numpy()
    found = np.stack([np.frombuffer(vector, "<f4") for vector in vectors_of(engine, TEXTS)])
    assert np.abs(found - expected).max() < 1e-5


def test_sentences_that_mean_the_same_lie_closer_together(engine):
    found = [np.frombuffer(vector, "<f4") for vector in vectors_of(engine, TEXTS[:4])]
    assert found[0] @ found[1] > 0.4 > max(found[0] @ found[2], found[0] @ found[3], 0.2)


def test_neighbours_do_not_change_a_vector(engine):
    together = vectors_of(engine, TEXTS * 3)
    assert together[:6] == together[6:12] == [vectors_of(engine, [text])[0] for text in TEXTS]
