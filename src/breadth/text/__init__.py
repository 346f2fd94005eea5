"""Text: tokenizers (BPE, WordPiece, Unigram) with their files, and features of text.

Features are imported on first use: they need scikit-learn and scipy.sparse, whose import takes longer than loading a
tokenizer and encoding with it.
"""

from typing import TYPE_CHECKING

from breadth.lazy_names import lazy_names
from breadth.text.added_tokens import AddedToken
from breadth.text.bpe import BPE
from breadth.text.charsmap import SentencePieceNormalizer
from breadth.text.chat import ChatTemplate
from breadth.text.encoding import Encoding, Padding, Truncation
from breadth.text.load import load_tokenizer
from breadth.text.sentencepiece_file import load_sentencepiece, save_sentencepiece
from breadth.text.stem import PorterStemmer
from breadth.text.stream import DecodeStream
from breadth.text.tiktoken_file import load_tiktoken
from breadth.text.tokenizer import Tokenizer
from breadth.text.unigram import Unigram
from breadth.text.wordpiece import WordPiece

if TYPE_CHECKING:
    from breadth.text.bm25 import BM25
    from breadth.text.hashing import HashingVectorizer
    from breadth.text.lsa import LatentSemanticAnalysis
    from breadth.text.tfidf import CountVectorizer, TfidfVectorizer

__all__ = [
    "BM25",
    "BPE",
    "AddedToken",
    "ChatTemplate",
    "CountVectorizer",
    "DecodeStream",
    "Encoding",
    "HashingVectorizer",
    "LatentSemanticAnalysis",
    "Padding",
    "PorterStemmer",
    "SentencePieceNormalizer",
    "TfidfVectorizer",
    "Tokenizer",
    "Truncation",
    "Unigram",
    "WordPiece",
    "load_sentencepiece",
    "load_tiktoken",
    "load_tokenizer",
    "save_sentencepiece",
]

_MODULES = {
    "bm25": ("BM25",),
    "hashing": ("HashingVectorizer",),
    "lsa": ("LatentSemanticAnalysis",),
    "tfidf": ("CountVectorizer", "TfidfVectorizer"),
}
__getattr__, __dir__ = lazy_names(__name__, _MODULES)
