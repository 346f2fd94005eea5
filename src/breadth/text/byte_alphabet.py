"""Bytes as text and text as bytes: GPT-2's printable alphabet of the 256 bytes, and UTF-8 with a clear error."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_PRINTABLE = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
_REST = [byte for byte in range(256) if byte not in _PRINTABLE]

BYTE_TO_CHAR: tuple[str, ...] = tuple(
    chr(byte) if byte in _PRINTABLE else chr(256 + _REST.index(byte)) for byte in range(256)
)
CHAR_TO_BYTE: dict[str, int] = {char: byte for byte, char in enumerate(BYTE_TO_CHAR)}

_TO_PRINTABLE = dict(enumerate(BYTE_TO_CHAR))
_UINT8 = np.dtype(np.uint8)  # made once: looking it up takes longer than a short text's UTF-8


def bytes_to_printable(data: bytes) -> str:
    """Bytes in GPT-2's printable alphabet, one character a byte: a space is `Ġ`, a line feed `Ċ`.

    Printable characters of Latin-1 stand for themselves; the other 68 bytes take U+0100 onwards, in order.

    Args:
        data: any bytes.

    Returns:
        As many characters as bytes.

    References: Radford et al. 2019, section 2.2; `bytes_to_unicode` of openai/gpt-2.
    Peer: tokenizers.pre_tokenizers.ByteLevel, exact (A).
    """
    return data.decode("latin-1").translate(_TO_PRINTABLE)


def printable_to_bytes(token: str) -> bytes:
    """The bytes that a token in GPT-2's printable alphabet stands for.

    Args:
        token: characters of the alphabet.

    Returns:
        As many bytes as characters.

    Raises:
        ValueError: if a character is not of the alphabet; it names the character and its place.

    References: Radford et al. 2019, section 2.2.
    Peer: tokenizers.decoders.ByteLevel, exact (A).
    """
    try:
        return bytes(map(CHAR_TO_BYTE.__getitem__, token))
    except KeyError:
        place = next(i for i, char in enumerate(token) if char not in CHAR_TO_BYTE)
        raise ValueError(
            f"token {token!r} has {token[place]!r} at {place}, which stands for no byte in the byte-level alphabet; "
            "such a token can only be an added token"
        ) from None


def utf8_bytes(text: str) -> NDArray[np.uint8]:
    """UTF-8 of a text, read-only.

    Args:
        text: any text without lone surrogates.

    Returns:
        Its bytes, shape (bytes,).

    Raises:
        ValueError: if the text holds a lone surrogate, which UTF-8 cannot say; it names the place.

    Cost: one copy of the text.
    References: RFC 3629, section 3.
    Peer: str.encode (A).
    """
    try:
        return np.frombuffer(text.encode(), _UINT8)
    except UnicodeEncodeError as error:
        raise ValueError(
            f"text has the lone surrogate U+{ord(text[error.start]):04X} at character {error.start}, which UTF-8 "
            "cannot say; read its source with errors='replace', or join halves of pairs by "
            "text.encode('utf-16', 'surrogatepass').decode('utf-16')"
        ) from None


def read_only(data: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The same bytes, not to be written to: kernels are compiled for such arrays only, not for both kinds."""
    data = data.view()
    data.flags.writeable = False
    return data
