"""What every consumer of a language model speaks to: a model here, a server, a script, or what was answered before.

Nothing here needs torch: `breadth.lm.backend_local` is the one kind that does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

Message = Mapping[str, str]  # {"role": "user", "content": "..."}
Prompt = str | Sequence[Message]
Finish = Literal["stop", "length", "filter"]


class Refused(RuntimeError):
    """A backend cannot do what was asked of it, and says so rather than answering something else."""


@dataclass(frozen=True)
class Sampling:
    """How a text is continued.

    Args:
        max_tokens: budget, >= 1.
        temperature: >= 0; 0 takes the likeliest token.
        top_p: mass of the likeliest tokens that are drawn from, in (0, 1].
        stop: texts that end it; they are not part of what is returned.
        seed: of what is drawn; None draws anew each time.
        logprobs: ask for each token's log-probability.

    Raises:
        ValueError: if a value is out of its range; the message names it.
    """

    max_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    seed: int | None = None
    logprobs: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.stop, str) or not all(isinstance(text, str) and text for text in self.stop):
            raise ValueError(f"stop must be a tuple of texts that are not empty, got {self.stop!r}")
        if self.max_tokens < 1:
            raise ValueError(f"max_tokens must be >= 1, got {self.max_tokens}")
        if not 0 <= self.temperature < math.inf:
            raise ValueError(f"temperature must be >= 0 and finite, got {self.temperature}")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must be in (0, 1], got {self.top_p}")


GREEDY = Sampling()


@dataclass(frozen=True)
class Completion:
    """What a model answered.

    Attributes:
        text: without the stop text.
        finish: "stop" at its end or at a stop text, "length" at the budget, "filter" where a server withheld the rest.
        tokens: texts of its tokens, or None where the backend does not tell.
        logprobs: theirs in nats, or None.
        prompt_tokens, completion_tokens: what was read and written, or None where the backend does not tell.
    """

    text: str
    finish: Finish
    tokens: tuple[str, ...] | None = None
    logprobs: tuple[float, ...] | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


@dataclass(frozen=True)
class Score:
    """Log-probability of a continuation given a prompt.

    Attributes:
        logprob: sum over its tokens, in nats.
        tokens: how many they are.
        greedy: whether each was the likeliest, or None where the backend does not tell.
    """

    logprob: float
    tokens: int
    greedy: bool | None = None


@dataclass(frozen=True)
class Caps:
    """What a backend honours.

    Attributes:
        chat: prompts may be conversations.
        text: prompts may be plain text.
        score: `score` works.
        logprobs: completions carry log-probabilities.
        seed: the same seed gives the same text.
        stop: stop texts end a completion.
    """

    chat: bool = True
    text: bool = True
    score: bool = False
    logprobs: bool = False
    seed: bool = False
    stop: bool = False


class Backend(Protocol):
    """A language model, wherever it is.

    Attributes:
        name: what tells its answers from those of another model; part of the key under which they are cached.
    """

    @property
    def name(self) -> str: ...

    @property
    def caps(self) -> Caps:
        """What it says it can do; `probe` finds out what it does."""
        ...

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling = ...) -> list[Completion]:
        """A completion of each prompt, in order; `Refused` for what the backend cannot do."""
        ...

    def score(self, prompt: str, continuations: Sequence[str]) -> list[Score]:
        """Log-probability of each continuation after the prompt; `Refused` where the backend cannot tell."""
        ...

    def probe(self) -> Caps:
        """What it does, found out by asking."""
        ...


def check_prompts(prompts: Any) -> list[Prompt]:
    """The prompts as a list.

    Raises:
        TypeError: if they are one text or conversation, or hold something else.
        ValueError: if a conversation is empty or a message lacks role or content.
    """
    if isinstance(prompts, (str, Mapping)) or (len(prompts) and isinstance(prompts[0], Mapping)):
        raise TypeError("prompts must be a list of texts or conversations, got one; put it in a list")
    for i, prompt in enumerate(prompts):
        if isinstance(prompt, str):
            continue
        if not isinstance(prompt, Sequence):
            raise TypeError(f"prompts[{i}] must be a text or a list of messages, got {type(prompt).__name__}")
        if not prompt:
            raise ValueError(f"prompts[{i}] is a conversation without messages")
        for message in prompt:
            if not isinstance(message, Mapping) or not {"role", "content"} <= message.keys():
                raise ValueError(f"prompts[{i}] must hold messages with role and content, got {message!r}")
    return list(prompts)


def cut_at_stop(text: str, stop: Sequence[str]) -> str:
    """The text up to the first of the stop texts."""
    return text[: min((place for place in map(text.find, stop) if place >= 0), default=len(text))]


class Scripted:
    """Answers that are written down, for tests and for trying out what consumes them.

        Scripted({"2 + 2 =": " 4"})
        Scripted(["first answer", "second answer"])
        Scripted(lambda prompt: prompt[::-1])

    Args:
        replies: by prompt (of a conversation, its last message), one after the other, or a function of the prompt. A
            token is a word with the white space before it.
        scores: log-probability of (prompt, continuation); without it `score` refuses.

    Raises:
        LookupError: from `generate`, if there is no reply to a prompt, or none left.
    """

    def __init__(
        self,
        replies: Mapping[str, str] | Sequence[str] | Callable[[Prompt], str],
        *,
        scores: Callable[[str, str], float] | None = None,
        name: str = "scripted",
    ) -> None:
        if isinstance(replies, str):
            raise TypeError("replies must be a mapping, a list or a function, got a text; put it in a list")
        self.name, self._replies, self._scores, self._next = name, replies, scores, 0
        self.asked: list[Prompt] = []

    @property
    def caps(self) -> Caps:
        return Caps(score=self._scores is not None, seed=True, stop=True)

    def probe(self) -> Caps:
        return self.caps

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling = GREEDY) -> list[Completion]:
        if sampling.logprobs:
            raise Refused("a script has no log-probabilities; ask without logprobs")
        return [self._completion(prompt, sampling) for prompt in check_prompts(prompts)]

    def score(self, prompt: str, continuations: Sequence[str]) -> list[Score]:
        if self._scores is None:
            raise Refused("a script has no probabilities; give Scripted a function as scores")
        return [Score(self._scores(prompt, text), len(_words(text))) for text in continuations]

    def _completion(self, prompt: Prompt, sampling: Sampling) -> Completion:
        self.asked.append(prompt)
        words = _words(cut_at_stop(self._reply(prompt), sampling.stop))
        kept = words[: sampling.max_tokens]
        finish: Finish = "length" if len(words) > len(kept) else "stop"
        read = prompt if isinstance(prompt, str) else " ".join(message["content"] for message in prompt)
        return Completion("".join(kept), finish, tuple(kept), None, len(_words(read)), len(kept))

    def _reply(self, prompt: Prompt) -> str:
        if callable(self._replies):
            return self._replies(prompt)
        if isinstance(self._replies, Mapping):
            key = prompt if isinstance(prompt, str) else prompt[-1]["content"]
            if key not in self._replies:
                raise LookupError(f"the script has no reply to {key!r}")
            return self._replies[key]
        if self._next >= len(self._replies):
            raise LookupError(f"the script has {len(self._replies)} replies, and was asked for one more")
        self._next += 1
        return self._replies[self._next - 1]


def _words(text: str) -> list[str]:
    """Words with the white space before them; what is left at the end goes to the last."""
    words: list[str] = []
    for piece in text.split(" "):
        words.append(piece if not words else " " + piece)
    return [word for word in words if word]
