"""Chat templates: what they see, what the sandbox forbids, which characters the assistant said."""

from __future__ import annotations

import datetime

import pytest

from breadth.text.chat import ChatTemplate, encode_chat

from .test_tokenizer import byte_level

CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
MARKED = (
    "{{ bos_token }}{% for message in messages %}{% if message.role == 'assistant' %}A:{% generation %}"
    "{{ message.content }}<|end|>{% endgeneration %}{% else %}U:{{ message.content }}{% endif %}\n{% endfor %}"
)
TALK = [
    {"role": "user", "content": "Wie geht's? 😀"},
    {"role": "assistant", "content": "Gut – <danke> & du?"},
    {"role": "user", "content": "{{ 7 * 7 }}"},
]


def test_a_conversation_is_written_as_the_template_says():
    text, spans = ChatTemplate(CHATML).render(TALK, add_generation_prompt=True)
    assert text == (
        "<|im_start|>user\nWie geht's? 😀<|im_end|>\n"
        "<|im_start|>assistant\nGut – <danke> & du?<|im_end|>\n"
        "<|im_start|>user\n{{ 7 * 7 }}<|im_end|>\n<|im_start|>assistant\n"
    )
    assert spans == []


def test_blocks_are_trimmed_as_published_templates_expect():
    source = "{% for m in messages %}\n    {% if m.role == 'user' %}\nU{{ m.content }}\n    {% endif %}\n{% endfor %}\n"
    assert ChatTemplate(source).render([{"role": "user", "content": "x"}])[0] == "Ux\n"


def test_json_has_no_html_escapes_and_keeps_unicode():
    source = "{{ tools | tojson }}{{ documents[0] | tojson(indent=1) }}"
    text, _ = ChatTemplate(source).render([], tools=[{"name": "a<b>&'é"}], documents=[{"title": "t"}])
    assert text == '[{"name": "a<b>&\'é"}]{\n "title": "t"\n}'


def test_templates_can_break_loops_tell_the_date_and_refuse():
    source = "{% for m in messages %}{% if loop.index > 1 %}{% break %}{% endif %}{{ m.content }}{% endfor %}"
    assert ChatTemplate(source).render(TALK)[0] == TALK[0]["content"]
    assert ChatTemplate("{{ strftime_now('%Y') }}").render([])[0] == str(datetime.datetime.now().year)
    with pytest.raises(ValueError, match="refused the conversation: roles must alternate"):
        ChatTemplate("{{ raise_exception('roles must alternate') }}").render([])


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ messages.append(1) }}",
        "{{ raise_exception.__globals__[0] }}",
        "{{ nothing.x }}",
    ],
)
def test_the_sandbox_forbids_what_a_template_has_no_business_with(source):
    with pytest.raises(ValueError, match="the chat template refused"):
        ChatTemplate(source).render([])


def test_the_mask_covers_exactly_what_the_assistant_said():
    tokenizer = byte_level(chat_template=MARKED, special_tokens={"bos_token": "<|end|>"})
    text, spans = ChatTemplate(MARKED).render(TALK, special_tokens={"bos_token": "<|end|>"})
    assert [text[begin:end] for begin, end in spans] == ["Gut – <danke> & du?<|end|>"]
    ids, mask = encode_chat(tokenizer, TALK)
    assert tokenizer.decode(ids) == text == tokenizer.apply_chat_template(TALK)
    said = [i for i, counts in zip(ids, mask, strict=True) if counts]
    assert tokenizer.decode(said) == "Gut – <danke> & du?<|end|>"


def test_what_is_missing_or_malformed_is_named():
    with pytest.raises(ValueError, match="has no chat template"):
        byte_level().apply_chat_template(TALK)
    with pytest.raises(ValueError, match="does not mark what the assistant said"):
        encode_chat(byte_level(chat_template=CHATML), TALK)
    with pytest.raises(ValueError, match="chat template, line 2"):
        ChatTemplate("x\n{% if %}")
    with pytest.raises(TypeError, match=r"messages\[1\] must be a mapping with 'role' and 'content', got str"):
        ChatTemplate(CHATML).render([TALK[0], "hello"])
