"""Chat templates: a conversation as the text that a model was trained on."""

from __future__ import annotations

import datetime
import functools
import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from breadth.text.tokenizer import Tokenizer

Span = tuple[int, int]


class ChatTemplate:
    """A Jinja template, in a sandbox, with what templates of published models expect.

    Templates see `messages`, `tools`, `documents`, `add_generation_prompt`, special tokens by name (`bos_token`), and
    `raise_exception(message)`, `strftime_now(format)`, the filter `tojson` without HTML escapes, `{% break %}` and
    `{% continue %}`, and `{% generation %}` blocks around what the assistant said.

    Args:
        source: the template.

    Raises:
        ImportError: if jinja2 is not installed.
        ValueError: if the template cannot be read; it names the line.

    References: Jinja 3.1; `apply_chat_template` of transformers, whose names these are.
    Peer: text written by hand from the templates' own rules; jinja2's plain sandbox for templates without blocks (B).
    """

    def __init__(self, source: str) -> None:
        self.source = source
        self._template, self._tracker = _compiled(source)

    @property
    def marks_generation(self) -> bool:
        """Whether the template says what the assistant said."""
        return self._tracker.used

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        documents: Sequence[Mapping[str, Any]] | None = None,
        add_generation_prompt: bool = False,
        special_tokens: Mapping[str, str] | None = None,
        **variables: Any,
    ) -> tuple[str, list[Span]]:
        """Write a conversation.

        Args:
            messages: in order, each with `role` and most often `content`.
            tools: JSON schemas of functions that the assistant may call.
            documents: what it may read, each with `title` and `text`.
            add_generation_prompt: end with what begins the assistant's turn.
            special_tokens: such as `bos_token`.
            variables: further ones that the template knows (`enable_thinking`).

        Returns:
            The text, and begin and end in characters of each stretch that the assistant said.

        Raises:
            TypeError: if `messages` is not a list of mappings, or a variable has no JSON form.
            ValueError: if the template refuses the conversation, does what the sandbox forbids, or fails.
        """
        import jinja2

        for i, message in enumerate(messages):
            if not isinstance(message, Mapping):
                raise TypeError(
                    f"messages[{i}] must be a mapping with 'role' and 'content', got {type(message).__name__}"
                )
        try:
            marked = self._template.render(
                messages=messages,
                tools=tools,
                documents=documents,
                add_generation_prompt=add_generation_prompt,
                **{**(special_tokens or {}), **variables},
            )
        except (jinja2.TemplateError, TypeError) as error:  # the latter: say, a missing content that text is added to
            raise ValueError(f"the chat template refused the conversation: {error}") from error
        return self._tracker.spans(marked)


class _Tracker:
    """Marks where generation blocks begin and end with characters that no text holds."""

    BEGIN, END = "\ue000\udbff", "\ue000\udbfe"  # lone surrogates: text that could hold them could not be encoded

    def __init__(self) -> None:
        self.used = False

    def spans(self, marked: str) -> tuple[str, list[Span]]:
        """The text without marks, and what lay between them."""
        spans: list[Span] = []
        parts = []
        size = 0
        for i, stretch in enumerate(marked.split(self.BEGIN)):
            inside, found, after = stretch.partition(self.END)
            if i and found:
                spans.append((size, size + len(inside)))
            parts += inside, after
            size += len(inside) + len(after)
        return "".join(parts), spans


@functools.lru_cache(maxsize=32)
def _compiled(source: str) -> tuple[Any, _Tracker]:
    try:
        import jinja2
        from jinja2 import nodes
        from jinja2.ext import Extension, loopcontrols
        from jinja2.sandbox import ImmutableSandboxedEnvironment
    except ImportError as error:
        raise ImportError("chat templates need jinja2: pip install breadth[text]") from error
    tracker = _Tracker()

    class Generation(Extension):
        """The block `{% generation %}`."""

        tags: set[str] = {"generation"}  # noqa: RUF012 - as Jinja's extensions declare them

        def parse(self, parser: Any) -> Any:
            tracker.used = True
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return nodes.CallBlock(self.call_method("_marked"), [], [], body).set_lineno(line)

        def _marked(self, caller: Callable[[], str]) -> str:
            return f"{tracker.BEGIN}{caller()}{tracker.END}"

    environment: Any = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    environment.globals.update(raise_exception=_raise, strftime_now=_now)
    try:
        return environment.from_string(source), tracker
    except jinja2.TemplateSyntaxError as error:
        raise ValueError(f"chat template, line {error.lineno}: {error.message}") from None


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """JSON without the escapes for HTML that Jinja's own filter puts in."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _raise(message: str) -> NoReturn:
    import jinja2

    raise jinja2.TemplateError(message)


def _now(form: str) -> str:
    return datetime.datetime.now().strftime(form)


def render_chat(
    tokenizer: Tokenizer, messages: Sequence[Mapping[str, Any]], *, chat_template: str | None = None, **options: Any
) -> tuple[str, list[Span]]:
    """Write a conversation with a tokenizer's own template and special tokens.

    Args:
        tokenizer: which has a template, unless one is given.
        messages: see `ChatTemplate.render`.
        chat_template: another template than the tokenizer's.
        options: of `ChatTemplate.render`.

    Returns:
        The text, and begin and end in characters of each stretch that the assistant said.

    Raises:
        ValueError: if there is no template; and as `ChatTemplate.render` does.
    """
    source = chat_template if chat_template is not None else tokenizer.chat_template
    if source is None:
        raise ValueError("the tokenizer has no chat template; give one as chat_template")
    return ChatTemplate(source).render(messages, special_tokens=tokenizer.special_tokens, **options)


def encode_chat(
    tokenizer: Tokenizer, messages: Sequence[Mapping[str, Any]], *, chat_template: str | None = None, **options: Any
) -> tuple[list[int], list[int]]:
    """Ids of a conversation, and which of them the assistant said.

    Args:
        tokenizer: which has a template, unless one is given.
        messages: see `ChatTemplate.render`.
        chat_template: another template than the tokenizer's.
        options: of `ChatTemplate.render`.

    Returns:
        Ids, without special tokens around them since the template writes its own; and for each 1 if the assistant said
        it, else 0.

    Raises:
        ValueError: if there is no template, or it has no `{% generation %}` blocks, without which nobody knows what the
            assistant said; and as `ChatTemplate.render` does.
    """
    source = chat_template if chat_template is not None else tokenizer.chat_template
    text, spans = render_chat(tokenizer, messages, chat_template=source, **options)
    if not ChatTemplate(source or "").marks_generation:
        raise ValueError(
            "the chat template does not mark what the assistant said; put {% generation %} ... {% endgeneration %} "
            "around it, or encode the text of apply_chat_template without a mask"
        )
    encoding = tokenizer.encode_with_offsets(text, add_special_tokens=False)
    mask = [int(any(begin < last and first < end for first, last in spans)) for begin, end in encoding.offsets]
    return encoding.ids, mask
