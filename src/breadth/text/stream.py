"""Decoding one id at a time, as a model gives them."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator

from breadth.text.decode import ByteLevel
from breadth.text.tokenizer import Tokenizer


class DecodeStream:
    """Text as its ids come, never half a character.

    What `step` gives for each id and what `end` gives at last make up what `decode` gives for all of them.

    Args:
        tokenizer: whose ids they are.
        skip_special_tokens: leave out special tokens.

    Cost: O(1) amortised for an id: state, not a growing list of ids, tells what the next one adds. Decoders that must
        see the whole text (`Replace` of more than one character after `Fuse`) give it all at the end.
    Deviations: Hugging Face's stream decodes the last few ids anew at each step and has no end; a run of byte tokens is
        given out when it ends, since one byte that is wrong makes all of it U+FFFD.
    Peer: tokenizers.decoders.DecodeStream and Tokenizer.decode, exact (A).
    In production: `for text in stream_text(tokenizer, ids)` behind a model that generates.
    """

    def __init__(self, tokenizer: Tokenizer, *, skip_special_tokens: bool = False) -> None:
        self._tokenizer = tokenizer
        self._skip = skip_special_tokens
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")
        decoder = tokenizer.decoder
        self._is_bytes = isinstance(decoder, ByteLevel)
        self._state = None if decoder is None or self._is_bytes else decoder.begin()
        self._is_first = True
        self._ended = False

    def step(self, i: int) -> str:
        """Take an id and give the text that is certain by then, often one word, sometimes nothing.

        Args:
            i: the next id.

        Returns:
            Whole characters.

        Raises:
            ValueError: if the id is no token's, or the stream has ended.
        """
        if self._ended:
            raise ValueError("step was called after end; begin another DecodeStream")
        if self._is_bytes:
            return self._utf8.decode(self._tokenizer.decode_bytes([i], skip_special_tokens=self._skip))
        tokens = self._tokenizer.tokens_of([i], skip_special_tokens=self._skip)
        if self._state is None:  # no decoder: tokens with spaces between them
            text = "".join(token if self._is_first else f" {token}" for token in tokens)
            self._is_first &= not tokens
            return text
        return "".join(part for token in tokens for part in self._state.push(token))

    def end(self) -> str:
        """What was held back: U+FFFD for half a character that no id completed, most often nothing."""
        if self._ended:
            return ""
        self._ended = True
        if self._is_bytes:
            return self._utf8.decode(b"", final=True)
        return "" if self._state is None else "".join(self._state.end())


def stream_text(tokenizer: Tokenizer, ids: Iterable[int], *, skip_special_tokens: bool = False) -> Iterator[str]:
    """Text of ids as they come: each stretch as soon as it is certain.

    Args:
        tokenizer: whose ids they are.
        ids: one by one.
        skip_special_tokens: leave out special tokens.

    Yields:
        Stretches of text, none empty; together they are what `decode` gives.

    Raises:
        ValueError: if an id is no token's.
    """
    stream = DecodeStream(tokenizer, skip_special_tokens=skip_special_tokens)
    for i in ids:
        if text := stream.step(i):
            yield text
    if text := stream.end():
        yield text
