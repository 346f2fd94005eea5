"""A model in this process as a backend."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from breadth.lm.backend import GREEDY, Caps, Completion, Prompt, Refused, Sampling, Score, check_prompts
from breadth.lm.generation import generate
from breadth.lm.stopping import NO_TEXT
from breadth.text.tokenizer import Tokenizer


class Local:
    """A `breadth.lm.LM` and its tokenizer.

    Args:
        model: a causal model.
        tokenizer: of its vocabulary; conversations need its chat template.
        name: what tells its answers from those of another model.
        eos_token_id: tokens that end a text; None takes those of the checkpoint.
        batch_size: prompts that are continued together, >= 1.

    Deviations: a row's draws depend on its own prompt and seed alone, whatever it is batched with.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Tokenizer,
        *,
        name: str = "local",
        eos_token_id: int | Sequence[int] | None = None,
        batch_size: int = 8,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be >= 1, got {batch_size}")
        self.model, self.tokenizer, self.name, self.batch_size = model, tokenizer, name, batch_size
        origin = getattr(model, "origin", None)
        for told in () if origin is None else (origin.generation, origin.config):
            if eos_token_id is None:
                eos_token_id = (told or {}).get("eos_token_id")
        self._eos = eos_token_id

    @property
    def caps(self) -> Caps:
        has_template = self.tokenizer.chat_template is not None
        return Caps(chat=has_template, score=True, logprobs=True, seed=True, stop=True)

    def probe(self) -> Caps:
        return self.caps

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling = GREEDY) -> list[Completion]:
        """A completion of each prompt; see `Backend`."""
        read = [self._ids(prompt) for prompt in check_prompts(prompts)]
        found: list[Completion] = []
        for start in range(0, len(read), self.batch_size):
            found += self._continue(read[start : start + self.batch_size], sampling)
        return found

    def score(self, prompt: str, continuations: Sequence[str]) -> list[Score]:
        """Log-probability of each continuation, whose tokens must begin where the prompt ends; see `Backend`."""
        return [self._score(prompt, text) for text in continuations]

    def _ids(self, prompt: Prompt) -> list[int]:
        if isinstance(prompt, str):
            return self.tokenizer.encode(prompt)
        if self.tokenizer.chat_template is None:
            raise Refused("the tokenizer has no chat template: give the prompt as a text")
        text = self.tokenizer.apply_chat_template(list(prompt), add_generation_prompt=True)
        return self.tokenizer.encode(text, add_special_tokens=False)

    def _token(self, i: int) -> str:
        """Text of a token; U+FFFD for an id that has none, as `TextStream` has it."""
        try:
            return self.tokenizer.decode([i])
        except ValueError:
            return NO_TEXT

    def _continue(self, read: list[list[int]], sampling: Sampling) -> list[Completion]:
        options: dict[str, Any] = {"max_new_tokens": sampling.max_tokens, "eos_token_id": self._eos}
        if sampling.stop:
            options["stop_strings"] = list(sampling.stop)
        seed = None
        if sampling.temperature > 0:
            options |= {"temperature": sampling.temperature, "top_p": sampling.top_p}
            seed = None if sampling.seed is None else [sampling.seed] * len(read)
        out = generate(self.model, read, tokenizer=self.tokenizer, seed=seed, **options)
        assert out.texts is not None  # a tokenizer was given
        return [
            Completion(
                text,
                "length" if finish in ("length", "time") else "stop",
                tuple(map(self._token, ids)) if sampling.logprobs else None,
                tuple(logprobs) if sampling.logprobs else None,
                len(prompt),
                len(ids),
            )
            for prompt, ids, text, logprobs, finish in zip(
                read, out.ids, out.texts, out.logprobs, out.finish, strict=True
            )
        ]

    @torch.no_grad()
    def _score(self, prompt: str, continuation: str) -> Score:
        if not continuation:
            raise ValueError("continuations must not be empty")
        encoding = self.tokenizer.encode_with_offsets(prompt + continuation)
        border = len(prompt)
        special = encoding.special_tokens_mask
        inside = [
            i for i, (begin, end) in enumerate(encoding.offsets) if end > border and end > begin and not special[i]
        ]
        across = [i for i in inside if encoding.offsets[i][0] < border]
        if across:
            raise ValueError(
                f"the token {self.tokenizer.tokens_of([encoding.ids[across[0]]])[0]!r} lies across the border of "
                f"prompt and continuation {continuation!r}; let white space begin the continuation, not end the prompt"
            )
        if not inside or inside[0] == 0:
            raise ValueError("prompt must have a token: a model gives no probability of a text's first token")
        ids = torch.tensor([encoding.ids], device=self.model.embed.weight.device)
        logits = self.model(ids)[0].float()
        places = torch.tensor(inside, device=logits.device)
        logprobs = logits[places - 1].log_softmax(-1)
        own = ids[0, places]
        found = logprobs.gather(-1, own[:, None]).squeeze(-1)
        return Score(float(found.sum()), len(inside), bool((logprobs.argmax(-1) == own).all()))
