"""A server's answers, its failures, and what it honours."""

from __future__ import annotations

import json

import httpx
import pytest

from breadth.lm.backend import Caps, Completion, Refused, Sampling, Score, cut_at_stop
from breadth.lm.backend_http import HTTP, ServerError

CHAT = [{"role": "user", "content": "Hi"}]


class Server:
    """Answers as OpenAI's protocol has it; each token of a text is a word with the space before it."""

    def __init__(self, *, echo=True, seed=True, stop=True, failures=()):
        self.echo, self.seed, self.stop, self.failures = echo, seed, stop, list(failures)
        self.asked: list[dict] = []
        self.calls = 0

    def __call__(self, request):
        if self.failures:
            failure = self.failures.pop(0)
            if isinstance(failure, Exception):
                raise failure
            return failure
        asked = json.loads(request.content)
        self.asked.append(asked)
        self.calls += 1
        start = asked.get("seed", 0) if self.seed else self.calls
        text = "".join(f" {start * (asked['temperature'] > 0) + k}" for k in range(asked["max_tokens"]))
        finish = "length"
        if self.stop and asked.get("stop"):
            text, finish = cut_at_stop(text, asked["stop"]), "stop"
        usage = {"prompt_tokens": 3, "completion_tokens": asked["max_tokens"]}
        if request.url.path.endswith("/chat/completions"):
            rows = [{"token": t, "logprob": -0.5} for t in text.split()]
            choice = {"message": {"content": text}, "finish_reason": finish, "logprobs": {"content": rows}}
            return httpx.Response(200, json={"choices": [choice], "usage": usage})
        choice = {"text": text, "finish_reason": finish}
        if asked.get("echo") and self.echo:
            choice["text"] = asked["prompt"] + text
        if "logprobs" in asked:
            words = [w if i == 0 else " " + w for i, w in enumerate(choice["text"].split(" "))]
            words = [w for w in words if w]
            begins = [sum(map(len, words[:i])) for i in range(len(words))]
            values = [None if i == 0 and asked.get("echo") else -float(i) for i in range(len(words))]
            best = [None if v is None else {"x": -2.0} for v in values]
            told = {"tokens": words, "token_logprobs": values, "text_offset": begins, "top_logprobs": best}
            choice["logprobs"] = told
        return httpx.Response(200, json={"choices": [choice], "usage": usage})


def backend(server, **options):
    slept: list[float] = []
    made = HTTP("http://host/v1/", "m", transport=httpx.MockTransport(server), sleep=slept.append, **options)
    return made, slept


def test_a_server_continues_texts_and_conversations_in_order():
    server = Server()
    made, _ = backend(server, extra={"min_p": 0.1})
    texts = made.generate(["a", CHAT, "b"], Sampling(max_tokens=2, temperature=0.5, seed=5, logprobs=True))
    assert [c.text for c in texts] == [" 5 6"] * 3
    assert texts[0] == Completion(" 5 6", "length", (" 5", " 6"), (-0.0, -1.0), 3, 2)
    assert texts[1].logprobs == (-0.5, -0.5)
    assert {json.dumps(a.get("prompt", a.get("messages"))) for a in server.asked} == {'"a"', '"b"', json.dumps(CHAT)}
    assert all(a["min_p"] == 0.1 and a["seed"] == 5 and a["model"] == "m" for a in server.asked)
    assert made.generate([]) == []


def test_a_score_is_the_sum_over_the_continuations_tokens_alone():
    made, _ = backend(Server())
    assert made.score("1 2", [" 3 4", " 3"]) == [Score(-2.0 - 3.0, 2, False), Score(-2.0, 1, True)]
    with pytest.raises(ValueError, match="the token ' 23' lies across the border"):
        made.score("1 2", ["3"])
    with pytest.raises(ValueError, match="prompt must not be empty"):
        made.score("", ["3"])


def test_a_server_that_does_not_echo_is_refused_and_not_answered_with_zeros():
    made, _ = backend(Server(echo=False))
    with pytest.raises(Refused, match="does not echo log-probabilities"):
        made.score("1 2", [" 3"])


def test_probe_finds_what_is_honoured():
    assert backend(Server())[0].probe() == Caps(True, True, True, True, True, True)
    made, _ = backend(Server(echo=False, seed=False, stop=False))
    assert made.probe() == made.caps == Caps(score=False, logprobs=True, seed=False, stop=False)
    with pytest.raises(Refused, match=r"as probe\(\) found"):
        made.score("1", [" 2"])
    with pytest.raises(ServerError, match="answers neither"):
        backend(lambda request: httpx.Response(404))[0].probe()
    with pytest.raises(ServerError, match="answered 401: who are you"):
        backend(lambda request: httpx.Response(401, text="who are you"))[0].probe()


def test_probe_asks_for_scores_whatever_the_tokens_are():
    class Characters(Server):
        """Tokens of two characters, which lie across any border of words."""

        def __call__(self, request):
            answer = json.loads(super().__call__(request).content)
            for choice in answer["choices"]:
                text = choice.get("text", "")
                begins = list(range(0, len(text), 2))
                values = [None, *[-1.0] * (len(begins) - 1)]
                tokens = [text[i : i + 2] for i in begins]
                choice["logprobs"] = {"tokens": tokens, "token_logprobs": values, "text_offset": begins}
            return httpx.Response(200, json=answer)

    made, _ = backend(Characters())
    assert made.probe().score
    assert made.score("1 2 ", ["3 4 "]) == [Score(-2.0, 2, None)]
    gaps = {"tokens": ["1 2", " 3", " 4"], "token_logprobs": [None, None, -1.0], "text_offset": [0, 3, 5]}
    made, _ = backend(lambda request: httpx.Response(200, json={"choices": [{"text": "1 2 3 4", "logprobs": gaps}]}))
    with pytest.raises(Refused, match="leaves out log-probabilities"):
        made.score("1 2", [" 3"])


def test_passing_failures_are_tried_again_and_others_are_not():
    busy = httpx.Response(429, headers={"retry-after": "3"})
    made, slept = backend(Server(failures=[httpx.ConnectError("no"), busy, httpx.Response(503)]))
    assert made.generate(["a"], Sampling(max_tokens=1))[0].text == " 0"
    assert len(slept) == 3 and 0.5 <= slept[0] < 0.7 and slept[1] == 3.0 and 2.0 <= slept[2] < 2.6
    made, slept = backend(Server(failures=[httpx.Response(400, text="no such model")]))
    with pytest.raises(ServerError, match="answered 400: no such model"):
        made.generate(["a"])
    assert slept == []
    made, slept = backend(Server(failures=[httpx.ReadTimeout("slow")] * 3), retries=2)
    with pytest.raises(httpx.ReadTimeout):
        made.generate(["a"])
    assert len(slept) == 2


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (httpx.Response(200, text="<html>"), "what is not JSON: '<html>'"),
        (httpx.Response(200, json=[]), "must answer with an object"),
        (httpx.Response(200, json={"choices": []}), "gave no choices"),
        (httpx.Response(200, json={"choices": [{}]}), "gave no text"),
        (httpx.Response(200, json={"choices": [{"text": "", "finish_reason": "tool_calls"}]}), "reason 'tool_calls'"),
    ],
)
def test_what_the_protocol_does_not_have_is_an_error(answer, words):
    with pytest.raises(ServerError, match=words):
        backend(Server(failures=[answer]))[0].generate(["a"])


def test_an_answer_may_be_empty_or_withheld():
    told = {"tokens": [], "token_logprobs": []}
    empty = {"text": "", "finish_reason": "stop", "logprobs": told}
    withheld = {"text": " so", "finish_reason": "content_filter"}
    thinking = {"message": {"content": None}, "finish_reason": "length"}
    answers = [httpx.Response(200, json={"choices": [choice]}) for choice in (empty, withheld, thinking)]
    made, _ = backend(Server(failures=answers), n_concurrent=1)
    assert made.generate(["a"], Sampling(logprobs=True))[0] == Completion("", "stop", (), ())
    assert made.generate(["a"])[0] == Completion(" so", "filter")
    assert made.generate([CHAT])[0] == Completion("", "length")


def test_lists_of_unequal_length_are_the_servers_fault():
    told = {"tokens": ["1", " 2"], "token_logprobs": [None, -1.0], "text_offset": [0]}
    answer = httpx.Response(200, json={"choices": [{"text": "1 2", "logprobs": told}]})
    with pytest.raises(ServerError, match="not of one length"):
        backend(Server(failures=[answer]))[0].score("1", [" 2"])


def test_bad_arguments_of_a_server_are_named():
    with pytest.raises(ValueError, match="url must begin with http"):
        HTTP("localhost:8000", "m")
    with pytest.raises(ValueError, match="n_concurrent >= 1, got 0 and 0"):
        HTTP("http://x", "m", retries=0, n_concurrent=0)
