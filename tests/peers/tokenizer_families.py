"""The `tokenizer.json` layouts that families publish; the vocabularies are trained here on the standard library."""

from __future__ import annotations

import base64
import functools
import inspect
import io
import itertools
import json
import pydoc_data.topics
import random
import textwrap
import typing

import sentencepiece
import tokenizers
from tokenizers import models, normalizers, pre_tokenizers, trainers

from breadth.text.patterns import PATTERNS
from breadth.text.sentencepiece_file import parse_sentencepiece

BYTE_TOKENS = [f"<0x{byte:02X}>" for byte in range(256)]


@functools.cache
def corpus() -> tuple[str, ...]:
    """English and code, with some other scripts."""
    english = list(pydoc_data.topics.topics.values())[::4]
    code = [inspect.getsource(module) for module in (textwrap, typing)]
    others = ["Größe, naïve façade; Привет, мир! 日本語と漢字。한국어 텍스트 देवनागरी العربية 😀👍🏽 ﬁ ½ №" * 3]
    return tuple(english + code + others)


POOLS = [
    "abcXYZ .,!?'-_0123456789",
    "the and'll'S don't  it's ", "  \t\n\r\u00a0\u3000\u2009\u0085\x1c\x0b", "éüñçÀÅßøİ",
    "e\u0301\u0327a\u0308o\u0302\u0323\u1e69\u0307", "ΑΩσςΣάϋ",
    "Привет, мир ЖЁй", "אבגשׁ", "العربية ١٢٣",
    "हिन्दी क्षि", "ไทยำ", "한국어\u1100\u1161\u11a8",
    "日本語カタカナひらがなー漢字", "\ufeff\u200b\u200d\u200c", "😀👍🏽🇫🇷❤️", "ﬁﬂ①½ａＢ㎏Å",
    "$+<=>^`|~#%&*@€£",
    "\u00ad\u2028▁▁", "\n\n\r\n   x",
]  # fmt: skip


def fuzzed(seed: int, n: int, marks: tuple[str, ...]) -> list[str]:
    """Random strings over many scripts, with added tokens among them."""
    rng = random.Random(seed)
    texts = []
    for _ in range(n):
        pools = rng.sample(POOLS, rng.randint(1, 4))
        parts = [rng.choice(rng.choice(pools)) for _ in range(rng.randint(0, 24))]
        for _ in range(rng.randint(1, 3) if marks and rng.random() < 0.3 else 0):
            parts.insert(rng.randint(0, len(parts)), rng.choice(marks))
        texts.append("".join(parts))
    return texts


@functools.cache
def _trained(kind: str) -> str:
    """The model object of a tokenizer trained by Hugging Face, as JSON."""
    if kind == "bytes":
        tokenizer = tokenizers.Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        trainer = trainers.BpeTrainer(
            vocab_size=1500, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
        )
    elif kind == "characters":
        tokenizer = tokenizers.Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
        trainer = trainers.BpeTrainer(
            vocab_size=2000, special_tokens=["<unk>", "<s>", "</s>", *BYTE_TOKENS], limit_alphabet=120,
            show_progress=False,
        )  # fmt: skip
    elif kind == "wordpiece":
        tokenizer = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
        tokenizer.normalizer = normalizers.BertNormalizer()
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
        trainer = trainers.WordPieceTrainer(vocab_size=1500, special_tokens=special, show_progress=False)
    else:
        tokenizer = tokenizers.Tokenizer(models.Unigram())
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
        trainer = trainers.UnigramTrainer(
            vocab_size=1000, special_tokens=["<pad>", "</s>", "<unk>"], unk_token="<unk>", show_progress=False
        )
    tokenizer.train_from_iterator(corpus(), trainer)
    return json.dumps(json.loads(tokenizer.to_str())["model"])


@functools.cache
def _charsmap() -> str:
    """SentencePiece's `nmt_nfkc` rules, compiled, in base64."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(corpus()[0].split("\n")), model_writer=model, vocab_size=200, minloglevel=2,
        hard_vocab_limit=False,
    )  # fmt: skip
    return base64.b64encode(parse_sentencepiece(model.getvalue()).charsmap).decode()


def _special(contents, first=0, **flags):
    given = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True} | flags
    return [{"id": first + i, "content": content, **given} for i, content in enumerate(contents)]


def _split(regex, behavior="Isolated", invert=False):
    return {"type": "Split", "pattern": {"Regex": regex}, "behavior": behavior, "invert": invert}


def _byte_level(prefix=False, trim=True, regex=True):
    return {"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": trim, "use_regex": regex}


def _template(before, after=(), *, ids):
    """Special tokens before and after each text; of a pair, the second text and what goes with it are of type 1."""

    def one(text, kind):
        return [
            *({"SpecialToken": {"id": token, "type_id": kind}} for token in before if not kind or not after),
            {"Sequence": {"id": text, "type_id": kind}},
            *({"SpecialToken": {"id": token, "type_id": kind}} for token in after),
        ]

    special = {token: {"id": token, "ids": [ids[token]], "tokens": [token]} for token in (*before, *after)}
    return {
        "type": "TemplateProcessing",
        "single": one("A", 0),
        "pair": one("A", 0) + one("B", 1),
        "special_tokens": special,
    }


def _sequence(name, *parts):
    return {"type": "Sequence", name: list(parts)}


def _file(model, *, added, normalizer=None, pre_tokenizer=None, post_processor=None, decoder=None):
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": post_processor,
        "decoder": decoder,
        "model": model,
    }


def _bytes_model(**flags):
    return json.loads(_trained("bytes")) | flags


DEEPSEEK_WORDS = (
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
KIMI_PATTERN = "|".join(
    [
        r"[\p{Han}]+",
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+"
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*"
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    ]
)
# as published before tiktoken made it possessive
CL100K = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def gpt2():
    model = _bytes_model(unk_token=None, continuing_subword_prefix="", end_of_word_suffix="", ignore_merges=False)
    model["merges"] = [" ".join(merge) for merge in model["merges"]]  # as files of that age write them
    end = len(model["vocab"])
    model["vocab"]["<|endoftext|>"] = end
    return _file(
        model,
        added=_special(["<|endoftext|>"], end, normalized=True),
        pre_tokenizer=_byte_level(),
        post_processor=_byte_level(prefix=True, trim=False),
        decoder=_byte_level(prefix=True),
    )


def roberta():
    layout = gpt2()
    end = layout["added_tokens"][0]["id"]
    layout["added_tokens"] += _special(["<s>", "</s>"], end + 1, normalized=True)
    layout["added_tokens"] += _special(["<mask>"], end + 3, lstrip=True)
    layout["post_processor"] = {
        "type": "RobertaProcessing", "sep": ["</s>", end + 2], "cls": ["<s>", end + 1], "trim_offsets": True,
        "add_prefix_space": False,
    }  # fmt: skip
    return layout


def bert():
    model = json.loads(_trained("wordpiece"))
    contents = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    return _file(
        model,
        added=_special(contents),
        normalizer={
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": True,
            "strip_accents": None,
            "lowercase": True,
        },
        pre_tokenizer={"type": "BertPreTokenizer"},
        post_processor=_template(["[CLS]"], ["[SEP]"], ids=model["vocab"]),
        decoder={"type": "WordPiece", "prefix": "##", "cleanup": True},
    )


def t5():
    model = json.loads(_trained("unigram"))
    n = len(model["vocab"])
    metaspace = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}
    return _file(
        model,
        added=[*_special(["<pad>", "</s>", "<unk>"]), *_special([f"<extra_id_{i}>" for i in range(100)], n)],
        normalizer={"type": "Precompiled", "precompiled_charsmap": _charsmap()},
        pre_tokenizer=_sequence("pretokenizers", {"type": "WhitespaceSplit"}, metaspace),
        post_processor=_template([], ["</s>"], ids={"</s>": 1}),
        decoder=metaspace,
    )


def llama2():
    replace = {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}
    return _file(
        json.loads(_trained("characters")) | {"unk_token": "<unk>", "fuse_unk": True, "byte_fallback": True},
        added=_special(["<unk>", "<s>", "</s>"]),
        normalizer=_sequence(
            "normalizers",
            {"type": "Prepend", "prepend": "▁"},
            {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
        ),
        post_processor=_template(["<s>"], ids={"<s>": 1}),
        decoder=_sequence(
            "decoders",
            replace,
            {"type": "ByteFallback"},
            {"type": "Fuse"},
            {"type": "Strip", "content": " ", "start": 1, "stop": 0},
        ),
    )


def _llama_like(pattern, contents, bos):
    model = _bytes_model(ignore_merges=True, unk_token=None)
    first = len(model["vocab"])
    return _file(
        model,
        added=_special(contents, first),
        pre_tokenizer=_sequence("pretokenizers", _split(pattern), _byte_level(regex=False)),
        post_processor=_sequence(
            "processors", _byte_level(prefix=True, trim=False), _template([bos], ids={bos: first + contents.index(bos)})
        ),
        decoder=_byte_level(prefix=True),
    )


def llama3():
    reserved = [f"<|reserved_special_token_{i}|>" for i in range(250)]
    return _llama_like(PATTERNS["llama3"], ["<|begin_of_text|>", "<|eot_id|>", *reserved], "<|begin_of_text|>")


def llama4():
    return _llama_like(PATTERNS["o200k"], ["<|begin_of_text|>", "<|eot|>", "<|image|>"], "<|begin_of_text|>")


def smollm3():
    layout = _llama_like(PATTERNS["llama3"], ["<|begin_of_text|>", "<|im_start|>", "<|im_end|>"], "<|begin_of_text|>")
    n = layout["added_tokens"][-1]["id"] + 1
    layout["added_tokens"] += _special(["<think>", "</think>"], n, special=False)
    return layout


def qwen3():
    model = _bytes_model(continuing_subword_prefix="", end_of_word_suffix="", unk_token=None)
    n = len(model["vocab"])
    return _file(
        model,
        added=[
            *_special(["<|endoftext|>", "<|im_start|>", "<|im_end|>"], n),
            *_special(["<tool_call>", "</tool_call>", "<think>", "</think>"], n + 3, special=False),
        ],
        normalizer={"type": "NFC"},
        pre_tokenizer=_sequence("pretokenizers", _split(PATTERNS["qwen2"]), _byte_level(trim=False, regex=False)),
        post_processor=_byte_level(trim=False, regex=False),
        decoder=_byte_level(trim=False, regex=False),
    )


def gemma3():
    model = json.loads(_trained("characters")) | {"unk_token": "<unk>", "fuse_unk": True, "byte_fallback": True}
    for run in ("\n\n", "▁▁▁▁", "<table>"):  # published: in the vocabulary too
        model["vocab"].setdefault(run, len(model["vocab"]))
    n = len(model["vocab"])
    runs = ["\n" * i for i in range(2, 8)] + ["▁" * i for i in range(2, 8)] + ["\t\t", "<table>", "</h1>"]
    new = itertools.count(n + 3)
    ids = {run: model["vocab"][run] if run in model["vocab"] else next(new) for run in runs}
    return _file(
        model,
        added=[
            *_special(["<unk>", "<s>", "</s>"]),
            *_special(["<bos>", "<start_of_turn>", "<end_of_turn>"], n),
            *(_special([run], i, special=False)[0] for run, i in ids.items()),
        ],
        normalizer={"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
        pre_tokenizer={
            "type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False,
        },
        post_processor=_template(["<bos>"], ids={"<bos>": n}),
        decoder=_sequence(
            "decoders", {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"},
            {"type": "Fuse"},
        ),
    )  # fmt: skip


def olmo2():
    model = _bytes_model(unk_token=None)
    n = len(model["vocab"])
    return _file(
        model,
        added=[
            *_special(["<|endoftext|>", "<|fim_prefix|>", "<|pad|>"], n),
            *_special(["|||IP_ADDRESS|||", "|||EMAIL_ADDRESS|||", "  "], n + 3, special=False, normalized=True),
        ],
        pre_tokenizer=_sequence(
            "pretokenizers", _split(CL100K, "Removed", invert=True), _byte_level(regex=False)
        ),
        post_processor=_byte_level(prefix=True, trim=False),
        decoder=_byte_level(prefix=True),
    )  # fmt: skip


def deepseek3():
    model = _bytes_model(unk_token=None)
    n = len(model["vocab"])
    begin, end = "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"
    return _file(
        model,
        added=[
            *_special([begin, end, "<｜User｜>"], n),
            *_special(["<｜fim▁hole｜>"], n + 3, special=False, normalized=True),
        ],
        normalizer=_sequence("normalizers"),
        pre_tokenizer=_sequence(
            "pretokenizers", _split(r"\p{N}{1,3}"), _split("[一-龥\u3040-ゟ゠-ヿ]+"), _split(DEEPSEEK_WORDS),
            _byte_level(regex=False),
        ),
        post_processor=_sequence(
            "processors", _byte_level(prefix=True, trim=False), _template([begin], ids={begin: n})
        ),
        decoder=_byte_level(prefix=True),
    )  # fmt: skip


def kimi2():
    layout = _llama_like(KIMI_PATTERN, ["[BOS]", "[EOS]", "<|im_end|>", "<|im_user|>"], "[BOS]")
    layout["post_processor"] = None
    return layout


def gpt_oss():
    layout = _llama_like(PATTERNS["o200k"], ["<|startoftext|>", "<|endoftext|>", "<|return|>", "<|channel|>"],
                         "<|startoftext|>")  # fmt: skip
    layout["post_processor"] = _byte_level(trim=False)
    return layout


LAYOUTS = {
    layout.__name__: layout
    for layout in (
        gpt2, roberta, bert, t5, llama2, llama3, llama4, smollm3, qwen3, gemma3, olmo2, deepseek3, kimi2, gpt_oss,
    )
}  # fmt: skip


@functools.cache
def layout(family: str) -> str:
    """The `tokenizer.json` of a family."""
    return json.dumps(LAYOUTS[family](), ensure_ascii=False)
