import hashlib

import pytest

from tallystick_platform.engine import chat_template
from tallystick_platform.engine.chat_template import ChatTemplate, load_chat_template
from tallystick_platform.errors import ModelUnusable, PromptRejected
from tests.support.tiny_model import TEMPLATE, write_tiny_model

MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?\nÜ"}]
RICH = (
    "{%- for m in messages %}\n    {%- if m.role == 'skip' %}{% continue %}{% endif %}\n"
    "{{ bos_token }}{{ m.role }}: {{ m.content | trim }} {{ m | tojson }}\n{% endfor %}\n"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)


@pytest.mark.parametrize("source", [TEMPLATE, RICH])
def test_a_template_renders_as_the_transformers_library_renders_it(source):
    from transformers.utils.chat_template_utils import render_jinja_template

    theirs, _ = render_jinja_template(
        conversations=[MESSAGES], chat_template=source, add_generation_prompt=True, bos_token="<s>"
    )
    assert ChatTemplate(source, {"bos_token": "<s>"}).render(MESSAGES) == theirs[0]


def test_the_digest_is_the_sha256_of_the_template():
    assert ChatTemplate(TEMPLATE, {}).digest == hashlib.sha256(TEMPLATE.encode()).digest()


def test_a_template_that_refuses_the_messages_rejects_the_prompt():
    template = ChatTemplate("{{ raise_exception('roles must alternate') }}", {})
    with pytest.raises(PromptRejected, match="roles must alternate"):
        template.render(MESSAGES)


def test_a_message_that_lacks_what_the_template_needs_rejects_the_prompt():
    with pytest.raises(PromptRejected):
        ChatTemplate(TEMPLATE, {}).render([{"role": "user"}])


@pytest.mark.parametrize("source", ["{{ messages.append(1) }}", "{{ ''.__class__.__mro__ }}"])
def test_a_template_cannot_reach_out_of_its_sandbox(source):
    with pytest.raises(PromptRejected):
        ChatTemplate(source, {}).render(list(MESSAGES))


def test_a_template_that_does_not_compile_makes_the_model_unusable():
    with pytest.raises(ModelUnusable, match="does not compile"):
        ChatTemplate("{% for %}", {})


def test_a_template_beyond_its_bound_makes_the_model_unusable():
    ChatTemplate("x" * chat_template.MAX_TEMPLATE_BYTES, {})
    with pytest.raises(ModelUnusable, match="the bound is"):
        ChatTemplate("x" * (chat_template.MAX_TEMPLATE_BYTES + 1), {})


def test_a_rendered_prompt_beyond_its_bound_is_rejected(monkeypatch):
    monkeypatch.setattr(chat_template, "MAX_RENDERED_CHARS", 10)
    assert ChatTemplate("{{ 'x' * 10 }}", {}).render([]) == "x" * 10
    with pytest.raises(PromptRejected, match="more than 10 characters"):
        ChatTemplate("{{ 'x' * 11 }}", {}).render([])


def test_a_folder_gives_its_template_and_special_tokens(tmp_path):
    folder = write_tiny_model(tmp_path / "tiny")
    (folder / "chat_template.jinja").write_text("{{ bos_token + eos_token }}")
    assert load_chat_template(folder).render([]) == "<|im_start|><|im_end|>"


def test_a_folder_without_a_template_has_none(tmp_path):
    folder = write_tiny_model(tmp_path / "tiny")
    (folder / "chat_template.jinja").unlink()
    assert load_chat_template(folder) is None


@pytest.mark.parametrize("text", ["{", "[]", "[" * 100_000])
def test_a_tokenizer_configuration_that_is_none_makes_the_model_unusable(tmp_path, text):
    folder = write_tiny_model(tmp_path / "tiny")
    (folder / "chat_template.jinja").unlink()
    (folder / "tokenizer_config.json").write_text(text)
    with pytest.raises(ModelUnusable, match="its chat template cannot be read"):
        load_chat_template(folder)


def test_what_the_library_says_of_a_template_is_not_shown():
    with pytest.raises(PromptRejected) as caught:
        ChatTemplate("{{ messages[0].content + 1 }}", {}).render(MESSAGES)
    assert caught.value.reason == "the model's chat template does not take these messages"
