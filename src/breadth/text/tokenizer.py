"""A tokenizer: a model, with all that comes before and after it."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from breadth.text.added_tokens import AddedToken, AddedTokens
from breadth.text.cutter import Cutter, Special
from breadth.text.decode import ByteLevel, Decoder
from breadth.text.decode_table import DecodeTable
from breadth.text.encoding import Encoding, Padding, Truncation, pad, truncate
from breadth.text.id_table import IdTable
from breadth.text.model import Model
from breadth.text.normalise import Normalizer
from breadth.text.post_process import PostProcessor
from breadth.text.pre_tokenize import PreTokenizer
from breadth.text.threads import Text, on_threads


class Tokenizer:
    """Text to ids and back.

    A text is cut at the added tokens it holds; what lies between is normalised and cut into words, each of which the
    model turns into ids. Special tokens may be put around the result. Every part may be absent but the model.

    Args:
        model: ids and tokens: `BPE`, `WordPiece`, `Unigram`.
        normalizer: what happens to the text first, see `breadth.text.normalise`.
        pre_tokenizer: how it is cut into words, see `breadth.text.pre_tokenize`; None makes each stretch one word.
        post_processor: special tokens around it, see `breadth.text.post_process`.
        decoder: tokens back to text, see `breadth.text.decode`; None joins them by spaces.
        added_tokens: texts that are ids by themselves.
        truncation: the most ids of an encoding; None for any number.
        padding: to what length encodings are filled up; None for not at all.
        chat_template: a Jinja template that writes a conversation as text.
        special_tokens: which token serves as what: `{"bos_token": "<s>", "eos_token": "</s>"}`; templates see these.

    Attributes:
        truncation: may be set.
        padding: may be set.
        model, normalizer, pre_tokenizer, post_processor, decoder, chat_template, special_tokens: as given; to change
            one, make another tokenizer with `replace`.

    Raises:
        ValueError: if two added tokens have one id, or one has another id in the model.

    Cost: with a byte-level model and a published pattern, what surrounds the model's kernels takes about a nanosecond a
        byte and 20 microseconds a text. Threads may share a tokenizer.
    Deviations: where Hugging Face drops ids that it does not know, `decode` raises. An added token decodes to its own
        text, where Hugging Face reads the characters of a byte-level one as bytes (an added `é` becomes U+FFFD). Tokens
        of an `Encoding` are the vocabulary's, also where Unigram does not know a word.
    References: Radford et al. 2019, section 2.2; Kudo & Richardson 2018; Devlin et al. 2019.
    Peer: tokenizers.Tokenizer, the `tokenizer.json` layouts of twelve families: ids, offsets, decoded text, exact (A).
    In production: `breadth.text.load_tokenizer(path)` for a published one, `BPE.train(texts)` for a new one.
    """

    def __init__(
        self,
        model: Model,
        *,
        normalizer: Normalizer | None = None,
        pre_tokenizer: PreTokenizer | None = None,
        post_processor: PostProcessor | None = None,
        decoder: Decoder | None = None,
        added_tokens: Iterable[AddedToken] = (),
        truncation: Truncation | None = None,
        padding: Padding | None = None,
        chat_template: str | None = None,
        special_tokens: Mapping[str, str] | None = None,
    ) -> None:
        self.model = model
        self.normalizer = normalizer
        self.pre_tokenizer = pre_tokenizer
        self.post_processor = post_processor
        self.decoder = decoder
        self.truncation = truncation
        self.padding = padding
        self.chat_template = chat_template
        self.special_tokens = dict(special_tokens or {})
        self._added = AddedTokens(added_tokens, normalizer)
        self._ids = IdTable(model, self._added)
        self._cutter = Cutter(self._ids, normalizer, pre_tokenizer)
        self._texts = DecodeTable(decoder, self._ids)
        self._is_byte_level = isinstance(decoder, ByteLevel)

    def replace(self, **changes: Any) -> Self:
        """Another tokenizer with some of the arguments changed."""
        arguments = {name: getattr(self, name) for name in _ARGUMENTS} | {"added_tokens": self.added_tokens} | changes
        return type(self)(**arguments)

    # ids and tokens

    @property
    def added_tokens(self) -> tuple[AddedToken, ...]:
        """Texts that are ids by themselves."""
        return self._added.tokens

    @functools.cached_property
    def vocab_size(self) -> int:
        """Number of tokens, the model's and the added ones."""
        return len(self._ids.token_of)

    def get_vocab(self) -> dict[str, int]:
        """Token -> id, in the order of ids; a copy."""
        return {token: i for i, token in sorted(self._ids.token_of.items())}

    def token_to_id(self, token: str) -> int | None:
        """Id of a token; None if there is none such."""
        added = self._added.by_content.get(token)
        return self.model.token_to_id(token) if added is None else added.id

    def id_to_token(self, i: int) -> str:
        """Token of an id; ValueError for an id that there is none of."""
        return self.tokens_of([i])[0]

    # text to ids

    def encode(
        self,
        text: str,
        pair: str | None = None,
        *,
        add_special_tokens: bool = True,
        allowed_special: Special = "all",
        disallowed_special: Special = (),
    ) -> list[int]:
        """Ids of a text, or of a pair of texts.

        Args:
            text: the text.
            pair: a second text, for models that read two.
            add_special_tokens: put in what the post-processor says.
            allowed_special: special tokens that count as such where the text holds them; others are ordinary text.
            disallowed_special: special tokens that the text must not hold; "all" for those that are not allowed.

        Returns:
            The ids, truncated and padded if the tokenizer is set so.

        Raises:
            TypeError: if the text is no string.
            ValueError: if the text holds a lone surrogate or a disallowed special token, or cannot be truncated.
        """
        if pair is not None or self.truncation is not None or self.padding is not None or self._frame is None:
            given = text if pair is None else (text, pair)
            options = {"allowed_special": allowed_special, "disallowed_special": disallowed_special}
            return self._padded([self._encoding(given, add_special_tokens, **options)])[0].ids
        ignored = ()
        if allowed_special != "all" or disallowed_special or type(text) is not str:
            ignored = self._cutter.ignored(text, allowed_special, disallowed_special)
        ids = self._cutter.ids(text, ignored)
        if not add_special_tokens:
            return ids
        before, after = self._frame
        return [*before, *ids, *after] if before or after else ids

    def encode_with_offsets(
        self,
        text: str,
        pair: str | None = None,
        *,
        add_special_tokens: bool = True,
        allowed_special: Special = "all",
        disallowed_special: Special = (),
    ) -> Encoding:
        """Ids with the characters that each stands for, and more; see `Encoding`.

        Args:
            text: the text.
            pair: a second text, for models that read two.
            add_special_tokens: put in what the post-processor says.
            allowed_special: see `encode`.
            disallowed_special: see `encode`.

        Returns:
            The encoding, truncated and padded if the tokenizer is set so.

        Raises:
            TypeError: if the text is no string.
            ValueError: as `encode` does.
        """
        given = text if pair is None else (text, pair)
        options = {"allowed_special": allowed_special, "disallowed_special": disallowed_special}
        return self._padded([self._encoding(given, add_special_tokens, **options)])[0]

    def encode_batch(
        self, texts: Iterable[Text], *, add_special_tokens: bool = True, n_threads: int | None = None, **options: Any
    ) -> list[list[int]]:
        """Ids of many texts, on threads.

        Args:
            texts: texts, or pairs of them.
            add_special_tokens: put in what the post-processor says.
            n_threads: how many at once, >= 1; None takes the cores that this process may use.
            options: `allowed_special` and `disallowed_special`, see `encode`.

        Returns:
            The ids of each text, in order; padded to the longest if the tokenizer is set so.

        Raises:
            TypeError: if `texts` is one text, or holds something else than texts.
            ValueError: as `encode` does.
        """
        if self.padding is not None:
            encodings = self.encode_batch_with_offsets(
                texts, add_special_tokens=add_special_tokens, n_threads=n_threads, **options
            )
            return [encoding.ids for encoding in encodings]

        def encode(text: Text) -> list[int]:
            first, second = (text, None) if isinstance(text, str) else text
            return self.encode(first, second, add_special_tokens=add_special_tokens, **options)

        return on_threads(encode, texts, n_threads)

    def encode_batch_with_offsets(
        self, texts: Iterable[Text], *, add_special_tokens: bool = True, n_threads: int | None = None, **options: Any
    ) -> list[Encoding]:
        """Encodings of many texts, on threads; arguments as of `encode_batch`."""
        return self._padded(
            on_threads(lambda text: self._encoding(text, add_special_tokens, **options), texts, n_threads)
        )

    def _padded(self, encodings: list[Encoding]) -> list[Encoding]:
        return encodings if self.padding is None else pad(encodings, self.padding)

    @functools.cached_property
    def _frame(self) -> tuple[list[int], list[int]] | None:
        """Ids that go before and after those of one text; None if that is not all that happens to them."""
        if self.post_processor is None:
            return [], []
        text = Encoding.of_special([-1], [""], 0)
        ids = [i for part in self.post_processor([text], add_special_tokens=True) for i in part.ids]
        if ids.count(-1) != 1:
            return None
        at = ids.index(-1)
        return ids[:at], ids[at + 1 :]

    def _encoding(
        self, given: Text, add_special_tokens: bool, allowed_special: Special = "all", disallowed_special: Special = ()
    ) -> Encoding:
        texts = (given,) if isinstance(given, str) or not isinstance(given, tuple) else given
        encodings = [
            self._cutter.follow(text, i, self._cutter.ignored(text, allowed_special, disallowed_special))
            for i, text in enumerate(texts)
        ]
        if self.truncation is not None:
            pair = len(encodings) > 1
            n_added = self.post_processor.n_added(pair=pair) if self.post_processor and add_special_tokens else 0
            first, second = truncate(encodings[0], encodings[1] if pair else None, self.truncation, n_added=n_added)
            encodings = [first] if second is None else [first, second]
        if self.post_processor is not None:
            encodings = self.post_processor(encodings, add_special_tokens=add_special_tokens)
        return functools.reduce(Encoding.then, encodings) if encodings else Encoding()

    # ids to text

    def decode(self, ids: Iterable[int], *, skip_special_tokens: bool = False) -> str:
        """Text of ids.

        Args:
            ids: of this tokenizer.
            skip_special_tokens: leave out special tokens.

        Returns:
            The text; for byte-level tokenizers, what is not UTF-8 becomes U+FFFD.

        Raises:
            ValueError: if an id is of no token; it names the id and its place.

        Peer: tokenizers.Tokenizer.decode, exact (A).
        """
        if self._is_byte_level:
            return self._ids.bytes_of(ids, skip_special_tokens=skip_special_tokens).decode("utf-8", "replace")
        return self._texts.text(self._ids.listed_ids(ids, skip_special_tokens=skip_special_tokens))

    def decode_batch(self, batch: Iterable[Iterable[int]], *, skip_special_tokens: bool = False) -> list[str]:
        """Texts of many lists of ids."""
        return [self.decode(ids, skip_special_tokens=skip_special_tokens) for ids in batch]

    def decode_bytes(self, ids: Iterable[int], *, skip_special_tokens: bool = False) -> bytes:
        """Bytes of ids: half a character where a byte-level tokenizer's ids end in one; else the UTF-8 of `decode`.

        Args:
            ids: of this tokenizer.
            skip_special_tokens: leave out special tokens.

        Returns:
            The bytes.

        Raises:
            ValueError: if an id is of no token; it names the id and its place.
        """
        if not self._is_byte_level:
            return self.decode(ids, skip_special_tokens=skip_special_tokens).encode()
        return self._ids.bytes_of(ids, skip_special_tokens=skip_special_tokens)

    def tokens_of(self, ids: Iterable[int], *, skip_special_tokens: bool = False) -> list[str]:
        """Tokens of ids as the vocabulary writes them; ValueError for an id that is no token's."""
        return self._ids.tokens_of(ids, skip_special_tokens=skip_special_tokens)

    # files and conversations

    def save(self, path: str | Path) -> None:
        """Write the tokenizer to a file, in the format that its suffix names, or to a folder.

        Args:
            path: `*.json` (Hugging Face), `*.tiktoken` (ranks alone) or `*.model` (SentencePiece); without a suffix, a
                folder that gets `tokenizer.json`, `tokenizer_config.json` and, if there is one, `chat_template.jinja`.

        Raises:
            ValueError: if the suffix is none of these, or the format cannot hold this tokenizer.
        """
        from breadth.text.load import save_tokenizer

        save_tokenizer(self, path)

    def apply_chat_template(self, messages: Sequence[Mapping[str, Any]], **options: Any) -> str:
        """A conversation as the text that the model was trained on; see `breadth.text.chat.render_chat`."""
        from breadth.text.chat import render_chat

        return render_chat(self, messages, **options)[0]


_ARGUMENTS = (
    "model", "normalizer", "pre_tokenizer", "post_processor", "decoder", "truncation", "padding", "chat_template",
    "special_tokens",
)  # fmt: skip
