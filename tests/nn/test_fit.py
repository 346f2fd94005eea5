"""The fit loop: exact accumulation, the same bits from a seed and after an interruption, an honest record."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from breadth.nn import schedules
from breadth.nn.clip import NonFiniteGradientWarning
from breadth.nn.fit import fit
from breadth.nn.losses.cross_entropy import binary_cross_entropy_with_logits, brier_loss, cross_entropy
from breadth.nn.losses.imbalance import balanced_softmax_loss, focal_loss
from breadth.nn.optim.adam import AdamW
from breadth.nn.optim.sgd import GD, SGD
from breadth.nn.stopping import EarlyStopping
from breadth.nn.update import evaluate, minibatches, supervised


def network(seed: int = 0, dropout: float = 0.0, dtype: torch.dtype = torch.float64) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Dropout(dropout), nn.Linear(8, 3)).to(dtype)


def rows(n: int = 32, seed: int = 0) -> tuple[Tensor, Tensor]:
    rng = np.random.default_rng(seed)
    return torch.tensor(rng.normal(size=(n, 5))), torch.tensor(rng.integers(3, size=n))


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def state(model: nn.Module) -> Tensor:
    return torch.cat([t.flatten() for t in model.state_dict().values()])


def squared_error(prediction: Tensor, target: Tensor, *, reduction: str) -> Tensor:
    assert reduction == "none"
    return (prediction - target).square()


@pytest.mark.parametrize("weights", ["none", "examples", "examples and classes"])
@pytest.mark.parametrize("sizes", [[32], [8] * 4, [1] * 32, [1, 30, 1], [5, 0, 27]])
def test_micro_batches_of_any_sizes_make_the_step_of_the_large_batch(sizes, weights):
    X, y = rows()
    y[3] = -100  # ignored
    w = torch.linspace(0, 2, 32, dtype=torch.float64)  # the first example counts for nothing
    data = (X, y) if weights == "none" else (X, y, w)
    options = {"weight": torch.tensor([1.0, 5.0, 0.2])} if "classes" in weights else {}
    kept = y >= 0
    reference, by_torch = network(), network()
    optimizer = torch.optim.SGD(by_torch.parameters(), 0.5)
    for _ in range(5):  # the loss written out over all examples at once
        optimizer.zero_grad()
        losses = nn.functional.cross_entropy(by_torch(X[kept]), y[kept], reduction="none")
        total = torch.ones(32, dtype=torch.float64) if weights == "none" else w.clone()
        if options:
            total = total * options["weight"].double()[y.clamp_min(0)]
        ((losses * total[kept]).sum() / total[kept].sum()).backward()
        optimizer.step()
    batches = list(zip(*(t.split(sizes) for t in data), strict=True))
    run = fit(
        reference,
        batches,
        supervised(cross_entropy, **options),
        SGD(reference.parameters(), 0.5),
        epochs=5,
        accumulate=len(sizes),
    )
    assert run.steps == 5
    torch.testing.assert_close(state(reference), state(by_torch), rtol=0, atol=1e-12)  # sums in another order


@pytest.mark.parametrize(
    ("loss", "options"),
    [
        (cross_entropy, {}),
        (cross_entropy, {"label_smoothing": 0.1, "weight": torch.tensor([1.0, 2.0, 0.5])}),
        (balanced_softmax_loss, {"class_counts": [10, 5, 1]}),
        (focal_loss, {"alpha": torch.tensor([1.0, 2.0, 0.5])}),
        (brier_loss, {"weight": torch.tensor([0.0, 2.0, 0.5]), "ignore_index": 1}),
        (nn.functional.cross_entropy, {"weight": torch.tensor([1.0, 2.0, 0.5]).double(), "label_smoothing": 0.1}),
    ],
)
def test_sum_over_count_is_the_mean_as_each_loss_takes_it(loss, options):
    (X, y), model = rows(), network()
    total, count = supervised(loss, **options)(model, (X, y))
    torch.testing.assert_close(total / count, loss(model(X), y, reduction="mean", **options), rtol=1e-12, atol=0)


def test_targets_of_many_outputs_are_counted_by_element():
    X, model = rows()[0], network()
    t = torch.rand(32, 3, dtype=torch.float64)
    w = torch.arange(32.0)
    total, count = supervised(binary_cross_entropy_with_logits)(model, (X, t, w))
    expected = binary_cross_entropy_with_logits(model(X), t, sample_weight=w)
    torch.testing.assert_close(total / count, expected, rtol=1e-12, atol=0)


def test_full_batches_follow_gradient_descents_closed_form_on_least_squares():
    rng = np.random.default_rng(0)
    A, b = rng.normal(size=(40, 3)), rng.normal(size=40)
    H, best = 2 * A.T @ A / 40, np.linalg.lstsq(A, b, rcond=None)[0]
    lr, epochs = 0.3, 25
    expected = best - np.linalg.matrix_power(np.eye(3) - lr * H, epochs) @ best  # from 0
    for optimizer, closure in ((SGD, False), (GD, True)):
        model = nn.Linear(3, 1, bias=False).double()
        nn.init.zeros_(model.weight)
        data = (torch.tensor(A), torch.tensor(b)[:, None])
        loss = supervised(squared_error)
        fit(model, data, loss, optimizer(model.parameters(), lr), epochs=epochs, batch_size=40, closure=closure)
        np.testing.assert_allclose(model.weight.detach()[0], expected, rtol=1e-12)  # 25 products of rounding


def test_an_optimizer_that_asks_for_a_closure_reaches_the_optimum():
    X = rows()[0]
    t = X @ torch.arange(5.0, dtype=torch.float64)[:, None]
    model = nn.Linear(5, 1).double()
    lbfgs = torch.optim.LBFGS(model.parameters(), tolerance_change=0, line_search_fn="strong_wolfe")
    run = fit(model, [(X[:20], t[:20]), (X[20:], t[20:])], supervised(squared_error), lbfgs, steps=3, accumulate=2,
              closure=True)  # fmt: skip
    assert evaluate(model, [(X, t)], supervised(squared_error)) < 1e-12
    assert run.stopped == "steps"


def test_a_seed_gives_the_same_bits_and_leaves_the_global_generator_alone():
    torch.manual_seed(5)
    before, seen = torch.get_rng_state(), []
    for seed, disturb in ((0, False), (0, True), (1, False)):
        torch.manual_seed(5)
        if disturb:
            torch.rand(3)
        model = network(dropout=0.5)
        fit(model, rows(), supervised(cross_entropy), SGD(model.parameters(), 0.1), epochs=2, generator=seeded(seed))
        seen.append(state(model))
        if not disturb:
            assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(seen[0], seen[1])
    assert not torch.equal(seen[0], seen[2])


@pytest.mark.parametrize("interrupted_after", [1, 3, 5])
def test_an_interrupted_run_goes_on_to_the_same_bits(interrupted_after):
    train, held_out = rows(100), rows(50, seed=1)

    def run(epochs: int, resume=None, callbacks=()):
        model = network(dropout=0.3)
        optimizer = AdamW(model.parameters(), 0.05)
        record = fit(
            model,
            train,
            supervised(cross_entropy),
            optimizer,
            epochs=epochs,
            accumulate=2,
            batch_size=16,
            validation=held_out,
            early_stopping=EarlyStopping(3),
            schedule=schedules.cosine(total_steps=40, warmup_steps=3),
            max_norm=0.5,
            generator=seeded(7 if resume is None else 8),
            callbacks=callbacks,
            resume=resume,
        )
        return model, record

    saved = []

    def save_and_fail(run):
        saved.append(run.state_dict())
        if len(run.history) == interrupted_after:
            raise KeyboardInterrupt

    whole, record = run(10)
    assert len(record.history) > interrupted_after
    with pytest.raises(KeyboardInterrupt):
        run(10, callbacks=[save_and_fail])
    rest, resumed = run(10, resume=saved[-1])
    assert torch.equal(state(rest), state(whole))
    assert [e._replace(seconds=0) for e in resumed.history] == [e._replace(seconds=0) for e in record.history]
    assert (resumed.stopped, resumed.best_epoch) == (record.stopped, record.best_epoch)


def test_a_state_that_was_taken_is_not_changed_by_the_steps_after_it():
    model, saved = network(), []
    fit(model, rows(), supervised(cross_entropy), AdamW(model.parameters()), epochs=2,
        callbacks=[lambda run: saved.append(run.state_dict())])  # fmt: skip
    assert not torch.equal(saved[0]["model"]["0.weight"], saved[1]["model"]["0.weight"])
    assert not torch.equal(*(s["optimizer"]["state"][0]["exp_avg"] for s in saved))
    assert len(saved[0]["history"]) == 1


def test_a_batch_with_nan_is_skipped_counted_and_warned_of():
    X, y = rows()
    bad = X.clone()
    bad[0, 0] = torch.nan
    good_batches = [(X[:16], y[:16]), (X[16:], y[16:])]
    with_bad = [good_batches[0], (bad, y), good_batches[1]]
    models = network(), network()
    optimizers = [AdamW(m.named_parameters(), 0.1) for m in models]
    loss = supervised(cross_entropy)
    clean = fit(models[0], good_batches, loss, optimizers[0], epochs=3)
    with pytest.warns(NonFiniteGradientWarning, match=r"step skipped.*0\.weight"):
        run = fit(models[1], with_bad, loss, optimizers[1], epochs=3)
    assert torch.equal(state(models[0]), state(models[1]))
    assert (run.skipped, run.steps) == (3, 9)
    assert [e.skipped for e in run.history] == [1, 1, 1]
    assert [e.loss for e in run.history] == [e.loss for e in clean.history]  # of the steps that were taken


def test_a_batch_in_which_nothing_counts_moves_nothing_and_is_reported():
    (X, y), model = rows(), network()
    before = state(model).clone()
    with pytest.warns(NonFiniteGradientWarning):
        run = fit(model, [(X, torch.full_like(y, -100))], supervised(cross_entropy), SGD(model.parameters()), epochs=1)
    assert torch.equal(state(model), before)
    assert run.skipped == 1
    assert math.isnan(run.history[0].loss)


def test_early_stopping_ends_the_run_and_brings_the_best_weights_back():
    values = iter([3.0, 1.0, 2.0, 1.5, 9.0])
    model, kept = network(), []
    run = fit(
        model,
        rows(),
        supervised(cross_entropy),
        SGD(model.parameters(), 0.1),
        epochs=10,
        validation=lambda model: next(values),
        early_stopping=EarlyStopping(2),
        callbacks=[lambda run: kept.append(state(run.model).clone())],
    )
    assert (run.stopped, run.best_epoch, len(run.history)) == ("patience", 1, 4)
    assert torch.equal(state(model), kept[1])
    assert [e.validation for e in run.history] == [3.0, 1.0, 2.0, 1.5]


def test_validation_data_give_their_mean_loss_in_evaluation_mode():
    X, y = rows(33)
    w = torch.linspace(0, 1, 33, dtype=torch.float64)
    model = network(dropout=0.9)
    run = fit(model, (X, y), supervised(cross_entropy), SGD(model.parameters(), 0.0), epochs=1, validation=(X, y, w),
              batch_size=8)  # fmt: skip
    expected = cross_entropy(model.eval()(X), y, sample_weight=w).item()
    assert run.history[0].validation == pytest.approx(expected, rel=1e-12)
    assert run.best_epoch == 0
    assert not model.training


def test_learning_rates_are_those_of_torchs_lambda_lr():
    shape = schedules.cosine(total_steps=12, warmup_steps=3)
    expected_of = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 0.3)
    scheduler = torch.optim.lr_scheduler.LambdaLR(expected_of, shape)
    expected = []
    for _ in range(8):
        expected.append(scheduler.get_last_lr()[0])
        expected_of.step()
        scheduler.step()
    model = network()
    optimizer, seen = SGD(model.parameters(), 0.3), []
    step = optimizer.step
    optimizer.step = lambda closure=None: (seen.append(optimizer.param_groups[0]["lr"]), step(closure))[1]
    run = fit(model, rows(), supervised(cross_entropy), optimizer, epochs=2, batch_size=8, schedule=shape)
    assert seen == pytest.approx(expected, rel=1e-12)
    assert [e.lr for e in run.history] == [seen[3], seen[7]]


def test_steps_end_the_run_within_an_epoch_and_callbacks_at_its_end():
    model = network()
    loss, optimizer = supervised(cross_entropy), SGD(model.parameters())
    run = fit(model, rows(), loss, optimizer, steps=5, batch_size=8)
    assert ([e.steps for e in run.history], run.stopped) == ([4, 1], "steps")
    called = []
    run = fit(model, rows(), loss, optimizer, epochs=9, callbacks=[lambda run: True, called.append])
    assert (len(run.history), run.stopped, len(called)) == (1, "callback", 1)
    assert fit(model, rows(), loss, optimizer, epochs=0).history == []


def test_each_epoch_sees_every_row_once_in_an_order_of_its_own():
    seen = []

    def loss(model: nn.Module, batch: tuple[Tensor]) -> tuple[Tensor, int]:
        seen.append(batch[0].flatten())
        return model(batch[0].double()).sum() * 0, 1

    model = nn.Linear(1, 1).double()
    fit(model, (torch.arange(10)[:, None],), loss, SGD(model.parameters()), epochs=2, batch_size=3)
    assert [len(b) for b in seen] == [3, 3, 3, 1] * 2
    first, second = torch.cat(seen[:4]), torch.cat(seen[4:])
    assert sorted(first.tolist()) == sorted(second.tolist()) == list(range(10))
    assert not torch.equal(first, second)


def test_batches_may_be_dicts_and_come_from_a_function_of_the_generator():
    X, y = rows()

    def source(generator: torch.Generator):
        i = torch.randint(32, (3,), generator=generator)
        return itertools.repeat({"x": X[i], "y": [y[i]]}, 2)

    def loss(model, batch):
        return cross_entropy(model(batch["x"]), batch["y"][0], reduction="sum"), len(batch["x"])

    model = network()
    assert fit(model, source, loss, SGD(model.parameters()), epochs=3).steps == 6


def test_one_row_and_half_precision_and_views_are_fitted():
    X, y = rows(2)
    model = network(dtype=torch.float32)
    wide = torch.randn(4, 1, dtype=torch.float32).expand(4, 10)[:, ::2]  # stride 0
    loss = supervised(cross_entropy)
    run = fit(model, (wide[:1], y[:1]), loss, AdamW(model.parameters()), epochs=2, autocast=torch.bfloat16,
              validation=(wide, y.repeat(2)))  # fmt: skip
    assert all(math.isfinite(e.loss) and math.isfinite(e.validation) for e in run.history)
    assert next(model.parameters()).dtype == torch.float32
    with pytest.raises(ValueError, match="one number of rows"):
        list(minibatches(X, y[:1], batch_size=1))


def test_the_bar_shows_the_loss(capsys):
    model = network()
    fit(model, rows(), supervised(cross_entropy), SGD(model.parameters()), epochs=2, validation=rows(), progress=True)
    shown = capsys.readouterr().out
    assert "loss" in shown and "validation" in shown and "100%" in shown


def test_calls_that_cannot_be_right_are_refused():
    model = network()
    X, y = rows()
    loss, optimizer = supervised(cross_entropy), SGD(model.parameters())
    used = EarlyStopping(restore_best=False)
    used.update(1.0)
    calls = [
        ({}, "pass epochs, steps or both"),
        ({"epochs": -1}, "epochs must be >= 0, got -1"),
        ({"epochs": 1, "accumulate": 0}, "accumulate must be >= 1, got 0"),
        ({"epochs": 1, "batch_size": 0}, "batch_size must be >= 1, got 0"),
        ({"epochs": 1, "early_stopping": EarlyStopping()}, "early_stopping needs validation"),
        ({"epochs": 1, "early_stopping": used, "validation": (X, y)}, "has seen 1 values of another run"),
    ]
    for options, says in calls:
        with pytest.raises(ValueError, match=says):
            fit(model, (X, y), loss, optimizer, **options)
    with pytest.raises(ValueError, match="data has no batch"):
        fit(model, iter([(X, y)]), loss, optimizer, epochs=2)
    with pytest.raises(ValueError, match="data has no batch"):
        fit(model, (X[:0], y[:0]), loss, optimizer, epochs=1)
