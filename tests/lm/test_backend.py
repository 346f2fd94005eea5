"""Backends: a script, a server, a file of answers and a model in this process keep one contract."""

from __future__ import annotations

import json
import math
import multiprocessing
import sqlite3
import subprocess
import sys

import httpx
import pytest
import torch

from breadth.lm import LM
from breadth.lm.backend import Caps, Completion, Refused, Sampling, Score, Scripted, check_prompts, cut_at_stop
from breadth.lm.backend_cached import Cached
from breadth.lm.backend_http import HTTP, ServerError
from breadth.lm.backend_local import Local
from breadth.lm.config import Layer, LMConfig, Rope
from breadth.text import BPE

CHAT = [{"role": "user", "content": "Hi"}]
TEMPLATE = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}{% if add_generation_prompt %}<a>{% endif %}"
)


def test_only_the_local_kind_needs_torch():
    code = (
        "import sys, breadth.lm.backend, breadth.lm.backend_http, breadth.lm.backend_cached\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


# ---- scripted


def test_a_script_answers_by_prompt_in_turn_or_by_a_function():
    by_prompt = Scripted({"2 + 2 =": " 4", "Hi": "Hello there"})
    first, second = by_prompt.generate(["2 + 2 =", CHAT])
    assert first == Completion(" 4", "stop", (" 4",), None, 4, 1)
    assert second.text == "Hello there"
    assert by_prompt.asked == ["2 + 2 =", CHAT]
    in_turn = Scripted(["one", "two"])
    assert [c.text for c in in_turn.generate(["a", "a"])] == ["one", "two"]
    with pytest.raises(LookupError, match="2 replies, and was asked for one more"):
        in_turn.generate(["a"])
    assert Scripted(lambda prompt: prompt[::-1]).generate(["abc"])[0].text == "cba"
    with pytest.raises(LookupError, match="no reply to 'b'"):
        by_prompt.generate(["b"])


def test_a_script_stops_keeps_its_budget_and_refuses_what_it_cannot():
    script = Scripted(["one two three STOP four"] * 2)
    assert script.generate(["a"], Sampling(stop=("STOP", "three")))[0] == Completion(
        "one two ", "stop", ("one", " two", " "), None, 1, 3
    )
    cut = script.generate(["a"], Sampling(max_tokens=2))[0]
    assert (cut.text, cut.finish) == ("one two", "length")
    with pytest.raises(Refused, match="no log-probabilities"):
        script.generate(["a"], Sampling(logprobs=True))
    with pytest.raises(Refused, match="no probabilities"):
        script.score("a", ["b"])
    assert Scripted([], scores=lambda p, c: -len(p + c)).score("ab", ["c d"]) == [Score(-5, 2)]


@pytest.mark.parametrize(
    ("given", "kind", "words"),
    [
        ("one", TypeError, "got one; put it in a list"),
        (CHAT, TypeError, "got one; put it in a list"),
        ([3], TypeError, r"prompts\[0\] must be a text or a list of messages, got int"),
        ([[]], ValueError, r"prompts\[0\] is a conversation without messages"),
        ([[{"role": "user"}]], ValueError, r"prompts\[0\] must hold messages with role and content"),
    ],
)
def test_prompts_that_are_none_are_named(given, kind, words):
    with pytest.raises(kind, match=words):
        check_prompts(given)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"max_tokens": 0}, "max_tokens must be >= 1, got 0"),
        ({"temperature": -1}, "temperature must be >= 0 and finite, got -1"),
        ({"temperature": math.inf}, "temperature must be >= 0 and finite, got inf"),
        ({"top_p": 0}, r"top_p must be in \(0, 1\], got 0"),
        ({"stop": ("",)}, "stop must be a tuple of texts that are not empty"),
        ({"stop": "x"}, "stop must be a tuple of texts that are not empty"),
    ],
)
def test_options_out_of_range_are_named(options, words):
    with pytest.raises(ValueError, match=words):
        Sampling(**options)


def test_a_text_is_cut_at_the_first_of_its_stops():
    assert cut_at_stop("abcdef", ["ef", "cd"]) == "ab"
    assert cut_at_stop("abc", ["x"]) == cut_at_stop("abc", []) == "abc"


# ---- a server

WORDS = ["1", " 2", " 3", " 4", " 5"]


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
    answers = [httpx.Response(200, json={"choices": [choice]}) for choice in (empty, withheld)]
    made, _ = backend(Server(failures=answers), n_concurrent=1)
    assert made.generate(["a"], Sampling(logprobs=True))[0] == Completion("", "stop", (), ())
    assert made.generate(["a"])[0] == Completion(" so", "filter")


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


# ---- a file of answers


def test_what_was_answered_is_not_asked_again(tmp_path):
    script = Scripted(lambda p: f"to {p}", scores=lambda p, c: -float(len(c)))
    cached = Cached(script, tmp_path / "a.sqlite")
    first = cached.generate(["a", "b", "a"])
    assert len(script.asked) == 2, "the same prompt twice is one question"
    again = Cached(script, tmp_path / "a.sqlite")
    assert again.generate(["b", "a", "a"]) == [first[1], first[0], first[0]]
    assert (again.hits, again.misses, len(script.asked)) == (3, 0, 2)
    again.generate(["a"], Sampling(max_tokens=3))
    assert again.misses == 1, "other options are another question"
    assert cached.score("p", ["x", "yy"]) == [Score(-1.0, 1), Score(-2.0, 1)]
    assert again.score("p", ["yy", "zzz"]) == [Score(-2.0, 1), Score(-3.0, 1)]
    other = Scripted(lambda p: "other", name="other")
    assert Cached(other, tmp_path / "a.sqlite").generate(["a"])[0].text == "other"


def test_draws_without_a_seed_are_never_kept(tmp_path):
    script = Scripted(["one", "two", "three"])
    cached = Cached(script, tmp_path / "a.sqlite")
    hot = Sampling(temperature=1.0)
    assert [cached.generate(["a"], hot)[0].text for _ in range(2)] == ["one", "two"]
    seeded = Sampling(temperature=1.0, seed=1)
    assert [cached.generate(["a"], seeded)[0].text for _ in range(2)] == ["three", "three"]
    deaf, _ = backend(Server(seed=False, echo=False))
    deaf.probe()
    cached = Cached(deaf, tmp_path / "b.sqlite")
    assert len({cached.generate(["a"], seeded)[0].text for _ in range(2)}) == 2, (
        "a seed that is ignored repeats nothing"
    )


def test_a_file_that_is_no_cache_is_named(tmp_path):
    (tmp_path / "x").write_text("not a database, but long enough to be taken for the head of one" * 20)
    with pytest.raises(ValueError, match="is no cache of answers"):
        Cached(Scripted([]), tmp_path / "x")


def _many(path, begin):
    cached = Cached(Scripted(lambda p: p), path)
    for i in range(begin, begin + 40):
        cached.generate([f"p{i}"])


def test_processes_share_one_file(tmp_path):
    path = tmp_path / "a.sqlite"
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_many, args=(path, begin)) for begin in (0, 20)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    with sqlite3.connect(path) as store:
        assert store.execute("SELECT count(*) FROM answers").fetchone() == (60,)


# ---- a model here


@pytest.fixture(scope="module")
def local():
    tokenizer = BPE.train(["one two three four five six seven eight nine ten"] * 3, vocab_size=290, pattern="gpt2")
    tokenizer = tokenizer.replace(chat_template=TEMPLATE)
    torch.manual_seed(0)
    config = LMConfig(
        vocab_size=290, d_model=32, n_heads=4, n_kv_heads=2, head_dim=8, d_ff=48, layers=2 * (Layer(),),
        ropes=(Rope(8),), context_length=128,
    )  # fmt: skip
    return Local(LM(config).eval(), tokenizer, batch_size=2)


def test_a_local_model_scores_what_its_logits_say(local):
    prompt, texts = "one two", [" three", " four five"]
    scores = local.score(prompt, texts)
    for text, score in zip(texts, scores, strict=True):
        ids = local.tokenizer.encode(prompt + text)
        n = len(local.tokenizer.encode(text))
        logprobs = local.model(torch.tensor([ids])).detach().log_softmax(-1)[0]
        rows = range(len(ids) - n - 1, len(ids) - 1)
        assert score.tokens == n
        assert score.logprob == pytest.approx(sum(float(logprobs[t, ids[t + 1]]) for t in rows), rel=1e-5)
        assert score.greedy == all(int(logprobs[t].argmax()) == ids[t + 1] for t in rows)
    with pytest.raises(ValueError, match="lies across the border"):
        local.score("one tw", ["o"])
    with pytest.raises(ValueError, match="prompt must have a token"):
        local.score("", ["one"])


def test_a_local_models_greedy_text_has_the_score_of_its_logprobs(local):
    done = local.generate(["one two"], Sampling(max_tokens=3, logprobs=True))[0]
    assert done.finish == "length" and len(done.logprobs) == done.completion_tokens == 3
    ids = local.tokenizer.encode("one two")
    for token_logprob in done.logprobs:
        logprobs = local.model(torch.tensor([ids])).detach()[0, -1].log_softmax(-1)
        assert token_logprob == pytest.approx(float(logprobs.max()), rel=1e-5)
        ids.append(int(logprobs.argmax()))
    assert local.tokenizer.decode(ids) == "one two" + done.text


def test_a_local_models_draws_depend_on_prompt_and_seed_alone(local):
    hot = Sampling(max_tokens=6, temperature=1.0, seed=3)
    together = local.generate(["one", "two three", "four"], hot)
    assert together == [local.generate([p], hot)[0] for p in ("one", "two three", "four")]
    assert together != local.generate(["one", "two three", "four"], Sampling(max_tokens=6, temperature=1.0, seed=4))


def test_conversations_go_through_the_chat_template(local):
    greedy = Sampling(max_tokens=4)
    assert local.generate([CHAT], greedy)[0].text == local.generate(["<user>Hi<a>"], greedy)[0].text
    bare = Local(local.model, local.tokenizer.replace(chat_template=None))
    assert not bare.caps.chat and local.caps.chat
    with pytest.raises(Refused, match="no chat template"):
        bare.generate([CHAT], greedy)


def test_a_stop_text_ends_a_local_models_answer(local):
    whole = local.generate(["one"], Sampling(max_tokens=12))[0]
    stop = whole.text[4:6]
    cut = local.generate(["one"], Sampling(max_tokens=12, stop=(stop,)))[0]
    assert (cut.text, cut.finish) == (whole.text[: whole.text.index(stop)], "stop")
