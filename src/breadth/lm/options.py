"""What decoding can be asked for: options with transformers' names, checked against each other."""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Literal

from breadth.lm.pipeline import Pipeline, Step

SAMPLING = ("temperature", "top_k", "top_p", "min_p", "typical_p", "epsilon_cutoff", "eta_cutoff")
WHOLE = (
    "max_new_tokens", "min_new_tokens", "top_k", "no_repeat_ngram_size", "num_beams", "num_return_sequences",
    "draft_tokens",
)  # fmt: skip
PENALTIES = ("repetition_penalty", "frequency_penalty", "presence_penalty", "no_repeat_ngram_size")


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of `generate`, each None or neutral unless set.

    Which strategy runs follows from them: beam search if num_beams > 1, contrastive search if penalty_alpha is set,
    sampling if do_sample or any of the sampling options is, else greedy decoding.

    Args:
        max_new_tokens: budget of tokens for a row; None means what the model's context leaves.
        max_time: budget in seconds for the call, checked after each token.
        min_new_tokens: end-of-sequence tokens are left out before.
        do_sample: None means True if a sampling option is set. With False they may not be.
        temperature: >= 0; 0 is greedy decoding.
        top_k, top_p, min_p, typical_p, epsilon_cutoff, eta_cutoff: filters, see `breadth.lm.sampling`.
        repetition_penalty, presence_penalty, frequency_penalty, no_repeat_ngram_size: see `breadth.lm.penalties`.
        num_beams: beams a prompt, 1 for none.
        length_penalty: exponent of the length that a beam's sum of log-probabilities is divided by.
        early_stopping: True, False or "never", see `breadth.lm.beam.beam_search`.
        num_return_sequences: rows returned for each prompt: samples, or the best beams.
        penalty_alpha: weight of contrastive search's degeneration penalty, in [0, 1]; top_k is then the number of
            candidates.
        draft_tokens: how many tokens the draft model of speculative decoding proposes at a time.
        contrast_alpha: plausibility threshold of contrastive decoding with an amateur, in (0, 1].
        amateur_temperature: of the amateur's distribution, > 0.
        steps: a list for `Pipeline` in place of the penalties and sampling options.
        allowed: the tokens that may follow a row's generated ids.
        eos_token_id: one or several tokens that end a row.
        stop_strings: texts that end a row, wherever in the tokens they lie; a tokenizer is needed.
        include_stop_strings: whether the text keeps the stop string that ended it.

    Raises:
        ValueError: if a value is out of its range, or two contradict each other; the message names them.

    Deviations: from transformers, no top_k of 50 that nobody asked for; temperature 0 is greedy and no error; options
        that would be ignored are an error and no warning.
    References: transformers.GenerationConfig; OpenAI API reference (presence and frequency penalties).
    Peer: the steps that follow from them, in order and scores, are transformers' (A).
    """

    max_new_tokens: int | None = None
    max_time: float | None = None
    min_new_tokens: int | None = None
    do_sample: bool | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    typical_p: float | None = None
    epsilon_cutoff: float | None = None
    eta_cutoff: float | None = None
    repetition_penalty: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    no_repeat_ngram_size: int | None = None
    num_beams: int = 1
    length_penalty: float = 1.0
    early_stopping: bool | Literal["never"] = False
    num_return_sequences: int = 1
    penalty_alpha: float | None = None
    draft_tokens: int = 4
    contrast_alpha: float = 0.1
    amateur_temperature: float = 1.0
    steps: Sequence[Step] | None = None
    allowed: Callable[[list[int]], list[int]] | None = None
    eos_token_id: int | Sequence[int] | None = None
    stop_strings: str | Sequence[str] | None = None
    include_stop_strings: bool = False

    def __post_init__(self) -> None:
        self._check_ranges()
        self._check_contradictions()

    def _check_ranges(self) -> None:
        for name in WHOLE:
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, Integral)):
                raise ValueError(f"{name} must be an integer, got {value!r}")
        for name in ("max_new_tokens", "num_beams", "num_return_sequences", "draft_tokens"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be >= 1, got {value}")
        # what may be anything in a range: (name, lowest, highest, whether the ends belong to it)
        for name, low, high, closed in (
            ("temperature", 0, math.inf, True),
            ("top_k", 0, math.inf, True),
            ("top_p", 0, 1, True),
            ("min_p", 0, 1, True),
            ("typical_p", 0, 1, True),
            ("epsilon_cutoff", 0, 1, True),
            ("eta_cutoff", 0, 1, True),
            ("repetition_penalty", 0, math.inf, False),
            ("presence_penalty", -2, 2, True),
            ("frequency_penalty", -2, 2, True),
            ("no_repeat_ngram_size", 0, math.inf, True),
            ("penalty_alpha", 0, 1, True),
            ("amateur_temperature", 0, math.inf, False),
            ("max_time", 0, math.inf, False),
            ("min_new_tokens", 0, math.inf, True),
        ):
            if not isinstance(getattr(self, name), Real | None):
                raise ValueError(f"{name} must be a number, got {getattr(self, name)!r}")
            value = getattr(self, name)
            if value is not None and not (low <= value <= high if closed else low < value < high):
                ends = "[]" if closed else "()"
                raise ValueError(f"{name} must be in {ends[0]}{low}, {high}{ends[1]}, got {value}")
        if self.typical_p == 0:
            raise ValueError("typical_p must be > 0, got 0: no token has no mass")
        if not 0 < self.contrast_alpha <= 1:
            raise ValueError(f"contrast_alpha must be in (0, 1], got {self.contrast_alpha}")
        if self.early_stopping not in (True, False, "never"):
            raise ValueError(f"early_stopping must be True, False or 'never', got {self.early_stopping!r}")
        if not all(isinstance(text, str) for text in self.stops):
            raise ValueError(f"stop_strings must be texts, got {self.stop_strings!r}")
        if "" in self.stops:
            raise ValueError("stop_strings hold an empty string, which every text holds")
        if not all(isinstance(token, Integral) and token >= 0 for token in self.ends):
            raise ValueError(f"eos_token_id must be one id or several, each >= 0, got {self.eos_token_id!r}")

    def _check_contradictions(self) -> None:
        asked = [name for name in SAMPLING if getattr(self, name) is not None]
        if self.penalty_alpha is not None:
            asked = [name for name in asked if name != "top_k"]
            for name, given in (
                ("num_beams", self.num_beams > 1),
                ("do_sample", self.do_sample),
                *((a, 1) for a in asked),
            ):
                if given:
                    raise ValueError(f"penalty_alpha is contrastive search, which takes no {name}")
            if not self.top_k:
                raise ValueError("penalty_alpha needs top_k >= 1, the number of candidates of contrastive search")
            if self.num_return_sequences > 1:
                raise ValueError("num_return_sequences > 1 needs sampling or beams: contrastive search finds one text")
            return
        if self.do_sample is False and asked:
            raise ValueError(f"do_sample=False contradicts {asked[0]}={getattr(self, asked[0])}, which is for sampling")
        if self.num_beams > 1 and (self.do_sample or asked):
            raise ValueError(
                f"num_beams={self.num_beams} contradicts {asked[0] if asked else 'do_sample'}: beams are not sampled"
            )
        if self.num_beams == 1 and (self.length_penalty != 1.0 or self.early_stopping is not False):
            raise ValueError("length_penalty and early_stopping need num_beams > 1")
        if self.num_beams > 1 and self.num_return_sequences > self.num_beams:
            raise ValueError(f"num_return_sequences={self.num_return_sequences} exceeds num_beams={self.num_beams}")
        if self.num_beams == 1 and not self.samples and self.num_return_sequences > 1:
            raise ValueError(
                "num_return_sequences > 1 needs sampling or beams: greedy decoding gives the same each time"
            )
        if self.steps is not None:
            doubled = [name for name in (*SAMPLING, *PENALTIES) if getattr(self, name) is not None]
            if doubled:
                raise ValueError(f"steps stand in place of {doubled[0]}: put ({doubled[0]!r}, value) into the list")
        if self.include_stop_strings and not self.stops:
            raise ValueError("include_stop_strings needs stop_strings")
        if self.min_new_tokens and not self.ends:
            raise ValueError("min_new_tokens needs eos_token_id: nothing else ends a row early")
        if self.min_new_tokens and self.max_new_tokens is not None and self.min_new_tokens > self.max_new_tokens:
            raise ValueError(f"min_new_tokens={self.min_new_tokens} exceeds max_new_tokens={self.max_new_tokens}")

    @property
    def samples(self) -> bool:
        """Whether tokens are drawn, not chosen."""
        if self.temperature == 0:
            return False
        return bool(self.do_sample) or (
            self.do_sample is None
            and self.penalty_alpha is None
            and any(getattr(self, name) is not None for name in SAMPLING)
        )

    @property
    def ends(self) -> tuple[int, ...]:
        """End-of-sequence tokens."""
        given = self.eos_token_id
        return () if given is None else (given,) if isinstance(given, int | Integral) else tuple(given)

    @property
    def stops(self) -> tuple[str, ...]:
        """Stop strings."""
        given = self.stop_strings
        return () if given is None else (given,) if isinstance(given, str) else tuple(given)

    def pipeline(self) -> Pipeline:
        """The steps, in transformers' order: penalties, what is allowed, temperature, then filters.

        Presence and frequency penalties, which transformers lacks, follow the repetition penalty.
        """
        first: list[Step] = [
            (name, getattr(self, name))
            for name in PENALTIES
            if getattr(self, name) is not None and getattr(self, name) != (1 if name == "repetition_penalty" else 0)
        ]
        if self.min_new_tokens and self.ends:
            first.append(("min_new_tokens", (self.min_new_tokens, self.ends)))
        if self.allowed is not None:
            first.append(("allowed", self.allowed))
        if self.steps is not None:
            return Pipeline([*first, *self.steps])
        if not self.samples:
            return Pipeline(first)
        neutral = {"temperature": 1, "top_k": 0, "top_p": 1, "typical_p": 1}
        cutoffs = ("epsilon_cutoff", "eta_cutoff")  # 0 and 1 switch them off, as in transformers
        filters = [
            (name, getattr(self, name))
            for name in SAMPLING
            if getattr(self, name) is not None
            and getattr(self, name) != neutral.get(name)
            and not (name in cutoffs and getattr(self, name) in (0, 1))
        ]
        return Pipeline([*first, *filters])

    def __repr__(self) -> str:
        changed = [f for f in dataclasses.fields(self) if getattr(self, f.name) != f.default]
        return f"Options({', '.join(f'{f.name}={getattr(self, f.name)!r}' for f in changed)})"


NAMES = tuple(field.name for field in dataclasses.fields(Options))


def make_options(given: Mapping[str, Any], base: Options | None = None) -> Options:
    """Options by name, over others.

    Where do_sample=False, or a strategy that does not sample, is asked for, the sampling options of `base` no longer
    hold.

    Args:
        given: names and values.
        base: what holds where nothing is given, for example of a checkpoint's file.

    Returns:
        Checked options.

    Raises:
        ValueError: if a name is unknown, with the nearest that is known; or as `Options`.
    """
    for name in given:
        if name not in NAMES:
            near = difflib.get_close_matches(name, NAMES, 1)
            raise ValueError(f"{name} is no option of generate" + (f": do you mean {near[0]}?" if near else ""))
    kept = {} if base is None else {name: getattr(base, name) for name in NAMES}
    if given.get("do_sample") is False or given.get("num_beams", 1) > 1 or given.get("penalty_alpha") is not None:
        kept = {name: value for name, value in kept.items() if name not in (*SAMPLING, "do_sample")}
    return Options(**{**kept, **given})


def load_options(path: str | Path) -> Options:
    """What a checkpoint's `generation_config.json` asks for.

    Args:
        path: the file, or the folder that holds it. A folder without it asks for the end-of-sequence tokens that its
            `config.json` names, if any.

    Returns:
        Its options.

    Raises:
        ValueError: if a file is no JSON object, or its values contradict each other or are out of range; the message
            names the file.

    Deviations: names that are no option here (bos_token_id, pad_token_id, cache and output switches) are left out;
        sampling values beside do_sample false or absent are left out too, as transformers ignores them; `max_length`,
        which counts the prompt, is left out.
    References: transformers.GenerationConfig.
    """
    file = Path(path)
    if file.is_dir():
        folder, file = file, file / "generation_config.json"
        if not file.exists():
            file = folder / "config.json"
            ends = _object(file).get("eos_token_id") if file.exists() else None
            return Options(eos_token_id=ends)
    kept = {name: value for name, value in _object(file).items() if name in NAMES and value is not None}
    if not kept.get("do_sample"):
        dropped = SAMPLING if kept.get("penalty_alpha") is None else [name for name in SAMPLING if name != "top_k"]
        kept = {name: value for name, value in kept.items() if name not in (*dropped, "do_sample")}
    if kept.get("num_beams", 1) == 1:
        kept.pop("length_penalty", None)
        kept.pop("early_stopping", None)
    try:
        return Options(**kept)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error


def _object(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{file} is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise ValueError(f"{file} must hold a JSON object, got {type(found).__name__}")
    return found
