"""A tokenizer: a model, with all that comes before and after it."""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from breadth.text.added_tokens import AddedToken, AddedTokens
from breadth.text.align import Piece
from breadth.text.byte_alphabet import utf8_bytes
from breadth.text.decode import ByteLevel, Decoder, decode_tokens, token_bytes
from breadth.text.encoding import Encoding, Padding, Truncation, pad, truncate
from breadth.text.matching import members
from breadth.text.model import Model
from breadth.text.normalise import ByteLevel as ByteNormalizer
from breadth.text.normalise import Normalizer
from breadth.text.post_process import PostProcessor
from breadth.text.pre_tokenize import Metaspace, PreTokenizer, Words, spells_bytes, words_of
from breadth.text.threads import on_threads

Text = str | tuple[str, str]
Special = Literal["all"] | Collection[str]


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
        for token in self._added.tokens:
            known = model.token_to_id(token.content)
            if known is not None and known != token.id:
                raise ValueError(
                    f"added token {token.content!r} has id {token.id}, but the model's vocabulary has it as {known}; "
                    "give it that id"
                )
        # a byte-level model takes bytes: what comes in their printable alphabet is to be read back
        spelled = spells_bytes(pre_tokenizer) or any(isinstance(each, ByteNormalizer) for each in members(normalizer))
        self._reads_bytes = bool(getattr(model, "byte_level", False)) and spelled
        self._is_direct = self._reads_bytes == spells_bytes(pre_tokenizer)
        self._is_first_special = any(
            isinstance(each, Metaspace) and each.prepend_scheme == "first" for each in members(pre_tokenizer)
        )
        # whether a piece begins the text is known without following its characters only in the plainest case
        plain = normalizer is None and isinstance(pre_tokenizer, Metaspace)
        self._follows = self._is_first_special and not plain

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
        return len(self._token_of)

    def get_vocab(self) -> dict[str, int]:
        """Token -> id, in the order of ids; a copy."""
        return {token: i for i, token in sorted(self._token_of.items())}

    def token_to_id(self, token: str) -> int | None:
        """Id of a token; None if there is none such."""
        added = self._added.by_content.get(token)
        return self.model.token_to_id(token) if added is None else added.id

    def id_to_token(self, i: int) -> str:
        """Token of an id; ValueError for an id that there is none of."""
        return self.tokens_of([i])[0]

    @functools.cached_property
    def _token_of(self) -> dict[int, str]:
        tokens = {i: token for token, i in self.model.get_vocab().items()}
        return tokens | {i: token.content for i, token in self._added.by_id.items()}

    @functools.cached_property
    def _special_ids(self) -> frozenset[int]:
        return frozenset(token.id for token in self._added.tokens if token.special)

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
        ids = self._ids(text, self._ignored(text, allowed_special, disallowed_special))
        if not add_special_tokens or self._frame == ([], []):
            return ids
        before, after = self._frame
        return [*before, *ids, *after]

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

    def _ignored(self, text: str, allowed: Special, disallowed: Special) -> Collection[AddedToken]:
        """Special tokens that count as ordinary text, after those that are not allowed have been looked for."""
        if not isinstance(text, str):
            raise TypeError(f"text must be a string, got {type(text).__name__}; decode bytes first")
        if allowed == "all" and not disallowed:
            return ()
        special = [token for token in self._added.tokens if token.special]
        ignored = [token for token in special if allowed != "all" and token.content not in allowed]
        for token in ignored if disallowed == "all" else special:
            if (disallowed == "all" or token.content in disallowed) and token.content in text:
                raise ValueError(
                    f"text holds the special token {token.content!r} at character {text.index(token.content)}; name "
                    "it in allowed_special to get its id, or leave it out of disallowed_special to encode it as text"
                )
        return ignored

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

    def _ids(self, text: str, ignored: Collection[AddedToken]) -> list[int]:
        added = self._added
        if self.normalizer is None and not self._follows and not added.may_occur(text):
            return self.model.encode_words(*self._words(text, first=True))[0].tolist()
        utf8_bytes(text)  # a lone surrogate is reported at its place in the whole
        ids: list[int] = []
        for piece, token in self._stretches(text, ignored, follow=self._follows):
            if token is not None:
                ids.append(token.id)
                continue
            if piece.spans is None:
                words = self._words(piece.text, first=piece.start == 0)
            else:
                words = words_of(self._cut(piece), as_bytes=self._reads_bytes)
            ids += self.model.encode_words(*words)[0].tolist()
        return ids

    def _words(self, text: str, *, first: bool) -> Words:
        """Bytes and word ends of normalised text without added tokens."""
        if self.pre_tokenizer is None or not self._is_direct:
            return words_of(self._cut(Piece(text)), as_bytes=self._reads_bytes)
        if self._is_first_special and isinstance(self.pre_tokenizer, Metaspace):
            return self.pre_tokenizer.split(text, first=first)
        return self.pre_tokenizer.split(text)

    def _cut(self, piece: Piece) -> list[Piece]:
        pieces = [piece] if self.pre_tokenizer is None else self.pre_tokenizer(piece)
        return [each for each in pieces if each.text]

    def _stretches(
        self, text: str, ignored: Collection[AddedToken], *, follow: bool
    ) -> Iterator[tuple[Piece, AddedToken | None]]:
        """Added tokens and the normalised text between them; `follow` says where each character comes from."""
        for begin, end, token in self._added.in_text.find(text, ignored):
            piece = Piece.original(text[begin:end], begin) if follow else Piece(text[begin:end], None, begin)
            if token is not None:
                yield piece, token
                continue
            if self.normalizer is not None:
                changed = self.normalizer.align(piece.text) if follow else (self.normalizer(piece.text), None)
                piece = piece.rewritten(*changed)
            for inner_begin, inner_end, inner in self._added.in_normalised.find(piece.text, ignored):
                yield piece.cut(inner_begin, inner_end), inner

    def _encoding(
        self, given: Text, add_special_tokens: bool, allowed_special: Special = "all", disallowed_special: Special = ()
    ) -> Encoding:
        texts = (given,) if isinstance(given, str) or not isinstance(given, tuple) else given
        encodings = [
            self._followed(text, i, self._ignored(text, allowed_special, disallowed_special))
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

    def _followed(self, text: str, sequence: int, ignored: Collection[AddedToken]) -> Encoding:
        """One text's ids, and what each stands for."""
        utf8_bytes(text)
        encoding = Encoding()
        n_words = 0
        for piece, token in self._stretches(text, ignored, follow=True):
            if token is not None:
                encoding.ids.append(token.id)
                encoding.tokens.append(piece.text)
                encoding.offsets.append((int(piece.spans[0, 0]), int(piece.spans[-1, 1])))
                encoding.words.append(n_words)
                n_words += 1
                continue
            pieces = self._cut(piece)
            data, ends = words_of(pieces, as_bytes=self._reads_bytes)
            ids, id_ends = self.model.encode_words(data, ends, with_ends=True)
            encoding.ids += ids.tolist()
            encoding.tokens += self.tokens_of(ids.tolist())
            encoding.offsets += self._offsets(pieces, data, id_ends)
            encoding.words += (np.searchsorted(ends, id_ends) + n_words).tolist()
            n_words += len(ends)
        n = len(encoding)
        encoding.type_ids, encoding.sequences = [sequence] * n, [sequence] * n
        encoding.special_tokens_mask, encoding.attention_mask = [0] * n, [1] * n
        return encoding

    def _offsets(
        self, pieces: Sequence[Piece], data: NDArray[np.uint8], id_ends: NDArray[np.int64]
    ) -> list[tuple[int, int]]:
        """Begin and end in the original text of each id, given the bytes that it stands for."""
        if not len(id_ends):
            return []
        spans = np.concatenate([piece.spans for piece in pieces])  # (characters, 2)
        if not self._reads_bytes:
            spans = spans[np.cumsum((data & 0xC0) != 0x80) - 1]  # (bytes, 2)
        begins = np.append(0, id_ends[:-1])
        last = np.maximum(id_ends - 1, begins)
        return list(zip(spans[begins, 0].tolist(), spans[last, 1].tolist(), strict=True))

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
        if isinstance(self.decoder, ByteLevel):
            return self.decode_bytes(ids, skip_special_tokens=skip_special_tokens).decode("utf-8", "replace")
        return decode_tokens(self.decoder, self.tokens_of(ids, skip_special_tokens=skip_special_tokens))

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
        if not isinstance(self.decoder, ByteLevel):
            return self.decode(ids, skip_special_tokens=skip_special_tokens).encode()
        ids = list(ids)
        try:
            return b"".join(map((self._spoken if skip_special_tokens else self._bytes).__getitem__, ids))
        except KeyError:
            raise self._unknown_id(ids) from None

    def tokens_of(self, ids: Iterable[int], *, skip_special_tokens: bool = False) -> list[str]:
        """Tokens of ids as the vocabulary writes them; ValueError for an id that is no token's."""
        ids = list(ids)
        skipped = self._special_ids if skip_special_tokens else ()
        try:
            return [self._token_of[i] for i in ids if i not in skipped]
        except KeyError:
            raise self._unknown_id(ids) from None

    def _unknown_id(self, ids: list[int]) -> ValueError:
        place = next(place for place, i in enumerate(ids) if i not in self._token_of)
        return ValueError(
            f"ids has {ids[place]} at {place}, which is no token's; the {self.vocab_size} tokens have ids up to "
            f"{max(self._token_of)}"
        )

    @functools.cached_property
    def _bytes(self) -> dict[int, bytes]:
        """What each id of a byte-level tokenizer stands for."""
        table = {i: token_bytes(token) for i, token in self._token_of.items()}
        return table | {i: token.content.encode() for i, token in self._added.by_id.items()}

    @functools.cached_property
    def _spoken(self) -> dict[int, bytes]:
        """The same, with nothing for special tokens."""
        return self._bytes | dict.fromkeys(self._special_ids, b"")

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
