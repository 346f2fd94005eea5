"""A model behind any server that speaks OpenAI's protocol: vLLM, llama.cpp, a hosted API."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

from breadth.lm.backend import GREEDY, Caps, Completion, Finish, Prompt, Refused, Sampling, Score, check_prompts

_AGAIN = (408, 409, 425, 429, 500, 502, 503, 504)
_LACKING = (None, 400, 404, 405, 415, 422, 501)  # what a server answers to a request that it has no such thing for
_FINISH: dict[str | None, Finish] = {
    "stop": "stop", "eos_token": "stop", "stop_sequence": "stop", None: "stop", "length": "length",
    "content_filter": "filter",
}  # fmt: skip


class ServerError(RuntimeError):
    """The server answered with an error of this status, or with what the protocol does not have."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class HTTP:
    """A model behind a server with `/completions` and `/chat/completions`.

    Texts go to the first, conversations to the second. A request that failed for a passing reason (no connection, a
    time-out, status 408, 409, 425, 429 or 5xx) is sent again after a pause that doubles, or that the server names.

    Args:
        url: up to the version: "http://localhost:8000/v1".
        model: name that the server knows it by.
        api_key: sent as a bearer token; None sends none.
        timeout: seconds for one answer.
        retries: how often a request is sent again, >= 0.
        n_concurrent: requests at a time, >= 1.
        extra: further fields of every request.
        transport: of httpx, for tests.
        sleep: called with the seconds of a pause.

    Raises:
        ServerError: from its methods, with the server's own words; httpx.TransportError if it cannot be reached.

    Deviations: `score` needs a server whose `/completions` honours echo with logprobs (vLLM does); others are refused,
        never answered with zeros. A token across the border of prompt and continuation is an error.
    References: OpenAI API reference, "Completions" and "Chat completions".
    """

    def __init__(
        self,
        url: str,
        model: str,
        *,
        api_key: str | None = None,
        timeout: float = 120.0,
        retries: int = 4,
        n_concurrent: int = 8,
        extra: Mapping[str, Any] | None = None,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if not url.startswith(("http://", "https://")):
            raise ValueError(f"url must begin with http:// or https://, got {url!r}")
        if retries < 0 or n_concurrent < 1:
            raise ValueError(f"retries must be >= 0 and n_concurrent >= 1, got {retries} and {n_concurrent}")
        self.url, self.model, self.retries, self.n_concurrent = url.rstrip("/"), model, retries, n_concurrent
        self._extra, self._sleep = dict(extra or {}), sleep
        headers = {} if api_key is None else {"Authorization": f"Bearer {api_key}"}
        self._client = httpx.Client(timeout=timeout, headers=headers, transport=transport)
        self._caps: Caps | None = None

    @property
    def name(self) -> str:
        return f"{self.url} {self.model}" + (f" {sorted(self._extra.items())}" if self._extra else "")

    @property
    def caps(self) -> Caps:
        """What was found by `probe`; before it, that of the protocol."""
        return self._caps or Caps(score=True, logprobs=True, seed=True, stop=True)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling = GREEDY) -> list[Completion]:
        """A completion of each prompt, several at a time; see `Backend`."""
        prompts = check_prompts(prompts)
        with ThreadPoolExecutor(min(self.n_concurrent, max(len(prompts), 1))) as pool:
            return list(pool.map(lambda prompt: self._complete(prompt, sampling), prompts))

    def score(self, prompt: str, continuations: Sequence[str]) -> list[Score]:
        """Log-probabilities by letting the server echo prompt and continuation; see `Backend`."""
        if not prompt:
            raise ValueError("prompt must not be empty: a server gives no log-probability of the first token")
        if self._caps is not None and not self._caps.score:
            raise Refused(f"{self.name} does not echo log-probabilities, as probe() found")
        with ThreadPoolExecutor(self.n_concurrent) as pool:
            return list(pool.map(lambda text: self._score(prompt, text), continuations))

    def probe(self) -> Caps:
        """Ask for a few tokens in each way, and see what is honoured."""
        found = {
            "text": self._tries(lambda: self._complete("1 2 3", Sampling(max_tokens=2))),
            "chat": self._tries(lambda: self._complete([{"role": "user", "content": "Hi"}], Sampling(max_tokens=2))),
            "score": self._tries(lambda: self._echo("1 2 3 4 5")),
        }
        if not found["text"] and not found["chat"]:
            raise ServerError(f"{self.url} answers neither /completions nor /chat/completions for {self.model!r}")
        prompt: Prompt = "1 2 3 4 5 6" if found["text"] else [{"role": "user", "content": "Count to nine."}]
        found["logprobs"] = self._tries(lambda: self._complete(prompt, Sampling(max_tokens=2, logprobs=True)))
        hot = Sampling(max_tokens=12, temperature=1.5, seed=7)
        texts = [self._complete(prompt, hot).text for _ in range(3)]
        others = [self._complete(prompt, Sampling(max_tokens=12, temperature=1.5, seed=s)).text for s in (8, 9, 10)]
        found["seed"] = len(set(texts)) == 1 and len({*texts, *others}) > 1
        whole = self._complete(prompt, Sampling(max_tokens=12)).text
        inner = whole[len(whole) // 2 : len(whole) // 2 + 2]
        cut = self._complete(prompt, Sampling(max_tokens=12, stop=(inner,))).text if inner else whole
        found["stop"] = bool(inner) and cut == whole[: whole.find(inner)]
        self._caps = Caps(**found)
        return self._caps

    def _tries(self, ask: Callable[[], Any]) -> bool:
        try:
            ask()
        except Refused:
            return False
        except ServerError as error:
            if error.status not in _LACKING:  # busy, or no entry: nothing was found out
                raise
            return False
        return True

    def _complete(self, prompt: Prompt, sampling: Sampling) -> Completion:
        asked: dict[str, Any] = {
            "model": self.model, "max_tokens": sampling.max_tokens, "temperature": sampling.temperature,
            "top_p": sampling.top_p,
        }  # fmt: skip
        if sampling.stop:
            asked["stop"] = list(sampling.stop)
        if sampling.seed is not None:
            asked["seed"] = sampling.seed
        is_text = isinstance(prompt, str)
        if sampling.logprobs:
            asked["logprobs"] = 1 if is_text else True
        path, given = ("/completions", {"prompt": prompt}) if is_text else ("/chat/completions", {"messages": prompt})
        answer = self._post(path, {**asked, **given, **self._extra})
        choice = self._choice(answer)
        text = choice.get("text") if is_text else (choice.get("message") or {}).get("content")
        if text is None and choice.get("finish_reason") in ("length", "content_filter"):
            text = ""  # of a model that had not begun to answer, or of which all was withheld
        if not isinstance(text, str):
            raise ServerError(f"{self.url}{path} gave no text: {choice}")
        tokens, logprobs = self._logprobs(choice) if sampling.logprobs else (None, None)
        usage = answer.get("usage") or {}
        if choice.get("finish_reason") not in _FINISH:
            raise ServerError(
                f"{self.url}{path} ended for the reason {choice['finish_reason']!r}, which is none of text"
            )
        return Completion(
            text, _FINISH[choice.get("finish_reason")], tokens, logprobs,
            usage.get("prompt_tokens"), usage.get("completion_tokens"),
        )  # fmt: skip

    def _logprobs(self, choice: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[float, ...]]:
        told = choice.get("logprobs") or {}
        rows = told.get("content")  # as of conversations; some servers have it of texts too
        if rows is None:
            tokens, values = told.get("tokens"), told.get("token_logprobs")
        else:
            tokens, values = [row.get("token") for row in rows], [row.get("logprob") for row in rows]
        if tokens is None or values is None or len(tokens) != len(values) or None in values:
            raise Refused(f"{self.name} gives no log-probabilities")
        return tuple(tokens), tuple(map(float, values))

    def _score(self, prompt: str, continuation: str) -> Score:
        if not continuation:
            raise ValueError("continuations must not be empty")
        tokens, values, offsets, best, length = self._echo(prompt + continuation)
        ends = [*offsets[1:], length]
        border, end = len(prompt), len(prompt) + len(continuation)
        across = [t for t, b, e in zip(tokens, offsets, ends, strict=True) if b < border < e]
        if across:
            raise ValueError(
                f"the token {across[0]!r} lies across the border of prompt and continuation {continuation!r}; let "
                "white space begin the continuation, not end the prompt"
            )
        inside = [i for i, begin in enumerate(offsets) if border <= begin < end]
        if not inside or values[inside[0]] is None:
            raise Refused(f"{self.name} gives no log-probability of the continuation {continuation!r}")
        greedy = None
        if all(isinstance(best[i], Mapping) and best[i] for i in inside):
            greedy = all(values[i] >= max(best[i].values()) for i in inside)
        return Score(float(sum(values[i] for i in inside)), len(inside), greedy)

    def _echo(self, text: str) -> tuple[list[str], list[Any], list[int], list[Any], int]:
        """Tokens of a text, their log-probabilities, where they begin, the likeliest ones, and where the last ends."""
        asked = {"model": self.model, "prompt": text, "max_tokens": 1, "temperature": 0, "echo": True, "logprobs": 1}
        choice = self._choice(self._post("/completions", {**asked, **self._extra}))
        told = choice.get("logprobs") or {}
        tokens, values, offsets = told.get("tokens"), told.get("token_logprobs"), told.get("text_offset")
        best = told.get("top_logprobs") or [None] * len(tokens or ())
        if not tokens or not values or not offsets or not str(choice.get("text", "")).startswith(text):
            raise Refused(f"{self.name} does not echo log-probabilities: it cannot score")
        if not len(tokens) == len(values) == len(offsets) == len(best):
            raise ServerError(f"{self.url}/completions gave lists of log-probabilities that are not of one length")
        if None in values[1:]:
            raise Refused(f"{self.name} leaves out log-probabilities of what it echoes: it cannot score")
        return tokens, values, offsets, best, len(choice["text"])

    def _choice(self, answer: Mapping[str, Any]) -> Mapping[str, Any]:
        choices = answer.get("choices")
        if not isinstance(choices, list) or not choices:
            raise ServerError(f"{self.url} gave no choices: {str(answer)[:200]}")
        return choices[0]

    def _post(self, path: str, asked: Mapping[str, Any]) -> Mapping[str, Any]:
        pause = 0.5
        for attempt in range(self.retries + 1):
            last, wait = attempt == self.retries, pause * (1 + random.random() / 4)
            try:
                response = self._client.post(self.url + path, json=asked)
            except httpx.TransportError:
                if last:
                    raise
            else:
                if response.status_code == 200:
                    return self._parsed(response, path)
                if last or response.status_code not in _AGAIN:
                    words = response.text.strip()[:300]
                    raise ServerError(
                        f"{self.url}{path} answered {response.status_code}: {words or 'nothing'}", response.status_code
                    )
                wait = _named_pause(response) or wait
            self._sleep(wait)
            pause *= 2
        raise AssertionError("the loop ends with an answer or an error")

    def _parsed(self, response: httpx.Response, path: str) -> Mapping[str, Any]:
        try:
            answer = response.json()
        except ValueError as error:
            raise ServerError(f"{self.url}{path} answered what is not JSON: {response.text[:200]!r}") from error
        if not isinstance(answer, Mapping):
            raise ServerError(f"{self.url}{path} must answer with an object, got {str(answer)[:200]}")
        return answer


def _named_pause(response: httpx.Response) -> float | None:
    """Seconds that the server asks to wait, a minute at the most."""
    try:
        return min(max(float(response.headers["retry-after"]), 0.0), 60.0)
    except (KeyError, ValueError):
        return None
