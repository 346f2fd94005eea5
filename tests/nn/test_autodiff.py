"""NumPy automatic differentiation against torch, central differences, and broadcasting of every operator."""

import functools
import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import mutually_broadcastable_shapes
from sklearn.datasets import load_digits

from breadth.nn import autodiff as ad
from breadth.nn.autodiff import Tensor

# rtol: two float64 implementations that sum in different orders
EXACT = {"rtol": 1e-10, "atol": 1e-13}


def gradients(f, *arrays):
    leaves = [Tensor(a, requires_grad=True) for a in arrays]
    f(*leaves).backward()
    return [leaf.grad for leaf in leaves]


def torch_gradients(f, *arrays):
    leaves = [torch.tensor(a, requires_grad=True) for a in arrays]
    f(*leaves).backward()
    return [leaf.grad.numpy() for leaf in leaves]


def central_differences(f, *arrays, step=1e-6):
    found = []
    for which, array in enumerate(arrays):
        slope = np.zeros_like(array)
        for index in np.ndindex(array.shape):
            ends = []
            for sign in (1, -1):
                moved = [a.copy() for a in arrays]
                moved[which][index] += sign * step
                ends.append(float(f(*map(Tensor, moved)).data))
            slope[index] = (ends[0] - ends[1]) / (2 * step)
        found.append(slope)
    return found


def mlp(lib, x, w1, b1, w2, b2, onehot):
    hidden = lib.tanh(x @ w1 + b1)
    logits = lib.relu(hidden * 2 - 0.5) @ w2 + b2
    shifted = logits - (lib.logsumexp(logits, -1, keepdims=True) if lib is ad else lib.logsumexp(logits, -1, True))
    return -(shifted * onehot).sum() / 7


def conv_net(lib, x, w1, b1, w2, head):
    conv = lib.conv2d if lib is ad else torch.nn.functional.conv2d
    gelu = lib.gelu if lib is ad else torch.nn.functional.gelu
    h = gelu(conv(x, w1, b1, stride=2, padding=1))  # (N, 4, 4, 4)
    h = conv(h, w2)  # (N, 3, 3, 3)
    pooled = h.max((2, 3)) if lib is ad else torch.amax(h, (2, 3))
    return ((lib.sigmoid(pooled) @ head) ** 2).mean()


def attention_head(lib, x, wq, wk, wv, causal):
    q, k, v = x @ wq, x @ wk, x @ wv  # (N, T, d)
    scores = q @ (k.transpose(0, 2, 1) if lib is ad else k.transpose(1, 2)) / math.sqrt(q.shape[-1])
    if lib is ad:
        weights = ad.softmax(scores, where=causal)
    else:
        weights = torch.softmax(scores.masked_fill(~torch.tensor(causal), -torch.inf), -1)
    return ((weights @ v) ** 3).sum()


def _networks():
    rng = np.random.default_rng(0)

    def normal(*shape):
        return rng.normal(size=shape)

    onehot = np.eye(3)[rng.integers(0, 3, 7)]
    constant = {ad: onehot, torch: torch.tensor(onehot)}
    causal = np.tril(np.ones((5, 5), bool))
    return {
        "mlp": (
            lambda lib, *a: mlp(lib, *a, constant[lib]),
            [normal(7, 5), normal(5, 6), normal(6), normal(6, 3), normal(3)],
        ),
        "conv net": (conv_net, [normal(2, 3, 7, 8), normal(4, 3, 3, 3), normal(4), normal(3, 4, 2, 2), normal(3, 2)]),
        "attention head": (
            lambda lib, *a: attention_head(lib, *a, causal),
            [normal(2, 5, 6), normal(6, 4), normal(6, 4), normal(6, 3)],
        ),
    }


NETWORKS = _networks()


@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_of_a_network_equal_those_of_torch(name):
    network, arrays = NETWORKS[name]
    ours = gradients(functools.partial(network, ad), *arrays)
    theirs = torch_gradients(functools.partial(network, torch), *arrays)
    for our, their in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(our, their, **EXACT)


@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_of_a_network_equal_central_differences(name):
    network, arrays = NETWORKS[name]
    ours = gradients(functools.partial(network, ad), *arrays)
    for our, slope in zip(ours, central_differences(functools.partial(network, ad), *arrays), strict=True):
        # atol: rounding of f over a step of 1e-6 is 1e-10 relative to values of up to 1e2
        np.testing.assert_allclose(our, slope, rtol=1e-6, atol=1e-6)


BINARY = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "divide": lambda a, b: a / b,
}


@pytest.mark.parametrize("name", [*BINARY, "where"])
@settings(max_examples=40, deadline=None, derandomize=True)
@given(shapes=mutually_broadcastable_shapes(num_shapes=2, min_side=0, max_side=3), seed=st.integers(0, 99))
def test_binary_operators_broadcast_and_their_gradients_are_summed_back(name, shapes, seed):
    rng = np.random.default_rng(seed)
    a, b = (rng.uniform(0.5, 2, shape) for shape in shapes.input_shapes)
    taken, weight = rng.random(shapes.result_shape) < 0.5, rng.normal(size=shapes.result_shape)
    if name == "where":
        ours = gradients(lambda x, y: (ad.where(taken, x, y) * weight).sum(), a, b)
        condition = torch.tensor(taken)
        theirs = torch_gradients(lambda x, y: (torch.where(condition, x, y) * torch.tensor(weight)).sum(), a, b)
    else:
        ours = gradients(lambda x, y: (BINARY[name](x, y) * weight).sum(), a, b)
        theirs = torch_gradients(lambda x, y: (BINARY[name](x, y) * torch.tensor(weight)).sum(), a, b)
    for our, their, operand in zip(ours, theirs, (a, b), strict=True):
        assert our.shape == operand.shape
        np.testing.assert_allclose(our, their, **EXACT)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    shapes=mutually_broadcastable_shapes(signature="(m?,n),(n,p?)->(m?,p?)", min_side=1, max_side=3),
    seed=st.integers(0, 99),
)
def test_matrix_products_broadcast_over_batches_and_take_vectors(shapes, seed):
    rng = np.random.default_rng(seed)
    a, b = (rng.normal(size=shape) for shape in shapes.input_shapes)
    weight = rng.normal(size=shapes.result_shape)
    ours = gradients(lambda x, y: ((x @ y) * weight).sum(), a, b)
    theirs = torch_gradients(lambda x, y: ((x @ y) * torch.tensor(weight)).sum(), a, b)
    for our, their in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(our, their, **EXACT)


UNARY = {
    "exp": (ad.exp, torch.exp),
    "log": (lambda x: ad.log(x * x + 1), lambda x: torch.log(x * x + 1)),
    "tanh": (ad.tanh, torch.tanh),
    "sigmoid": (ad.sigmoid, torch.sigmoid),
    "relu": (ad.relu, torch.relu),
    "gelu": (ad.gelu, torch.nn.functional.gelu),
    "gelu by tanh": (
        lambda x: ad.gelu(x, approximate="tanh"),
        lambda x: torch.nn.functional.gelu(x, approximate="tanh"),
    ),
    "square": (lambda x: x**2, lambda x: x**2),
    "power of a half": (lambda x: (x * x + 1) ** 0.5, lambda x: (x * x + 1) ** 0.5),
    "power of zero": (lambda x: x**0, lambda x: x**0),
    "negative": (lambda x: -x, lambda x: -x),
    "one over": (lambda x: 2 / (3 + x * x), lambda x: 2 / (3 + x * x)),
    "one minus": (lambda x: 1 - x, lambda x: 1 - x),
    "softmax": (ad.softmax, lambda x: torch.softmax(x, -1)),
    "log softmax": (ad.log_softmax, lambda x: torch.log_softmax(x, -1)),
    "softmax of rows": (lambda x: ad.softmax(x, 0), lambda x: torch.softmax(x, 0)),
    "logsumexp": (ad.logsumexp, lambda x: torch.logsumexp(x, -1)),
    "sum": (lambda x: x.sum(1), lambda x: x.sum(1)),
    "sum, axis kept": (lambda x: x.sum((0, -1), keepdims=True), lambda x: x.sum((0, -1), keepdim=True)),
    "mean": (lambda x: x.mean((1, 2)), lambda x: x.mean((1, 2))),
    "max": (lambda x: x.max(-1), lambda x: torch.amax(x, -1)),
    "max of all": (lambda x: x.max(), torch.max),
    "max of rows and columns": (
        lambda x: x.max((0, 2), keepdims=True),
        lambda x: torch.amax(x, (0, 2), keepdim=True),
    ),
    "slice": (lambda x: x[1:, ..., ::2], lambda x: x[1:, ..., ::2]),
    "the same rows twice": (lambda x: x[[0, 1, 0, 0]], lambda x: x[[0, 1, 0, 0]]),
    "transpose": (lambda x: x.transpose(2, 0, -2), lambda x: x.permute(2, 0, 1)),
    "reverse axes": (lambda x: x.transpose(), lambda x: x.permute(2, 1, 0)),
    "reshape": (lambda x: x.reshape(4, -1), lambda x: x.reshape(4, -1)),
    "concatenate": (lambda x: ad.concatenate([x, x * 2, x], 1), lambda x: torch.cat([x, x * 2, x], 1)),
}
INPUTS = {
    "plain": np.random.default_rng(1).normal(size=(2, 3, 4)),
    "wide": np.random.default_rng(1).uniform(-30, 30, size=(2, 3, 4)),
    "strided": np.random.default_rng(2).normal(size=(4, 3, 4)).transpose(2, 1, 0)[::2],
    "all equal": np.ones((2, 3, 4)),
}


@pytest.mark.parametrize("regime", INPUTS)
@pytest.mark.parametrize("name", UNARY)
def test_operators_of_one_tensor_equal_torch_in_value_and_gradient(name, regime):
    ours, theirs = UNARY[name]
    x = INPUTS[regime]
    value = ours(Tensor(x)).data
    expected = theirs(torch.tensor(x)).numpy()
    np.testing.assert_allclose(value, expected, **EXACT)
    weight = np.random.default_rng(3).normal(size=value.shape)
    [our] = gradients(lambda a: (ours(a) * weight).sum(), x)
    [their] = torch_gradients(lambda a: (theirs(a) * torch.tensor(weight)).sum(), x)
    np.testing.assert_allclose(our, their, **EXACT)


@pytest.mark.parametrize("sample", [(1, 1, 1, 1, 1, 1, 0), (3, 2, 5, 3, 2, 2, 1), (1, 4, 7, 2, 3, 3, 2)])
def test_convolution_equals_torch_over_strides_paddings_and_odd_sizes(sample):
    channels, filters, size, rows, columns, stride, padding = sample
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=s) for s in ((2, channels, size, size + 1), (filters, channels, rows, columns))]
    arrays.append(rng.normal(size=filters))
    ours = gradients(lambda x, w, b: (ad.conv2d(x, w, b, stride=stride, padding=padding) ** 2).sum(), *arrays)
    conv = functools.partial(torch.nn.functional.conv2d, stride=stride, padding=padding)
    theirs = torch_gradients(lambda x, w, b: (conv(x, w, b) ** 2).sum(), *arrays)
    for our, their in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(our, their, **EXACT)


def test_huge_logits_neither_overflow_nor_lose_their_gradient():
    x = np.array([[1e4, 0.0, -1e4], [-1e4, -1e4, -1e4], [1e4, 1e4, 1e4]])
    with np.errstate(over="raise", invalid="raise"):
        [slope] = gradients(lambda a: ad.log_softmax(a)[:, 1].sum(), x)
        assert np.isfinite(ad.sigmoid(Tensor(x)).data).all()
    np.testing.assert_allclose(slope, [[-1, 1, 0], [-1 / 3, 2 / 3, -1 / 3], [-1 / 3, 2 / 3, -1 / 3]], rtol=1e-15)


def test_a_fully_masked_row_has_weights_and_gradients_of_zero():
    scores = np.random.default_rng(0).normal(size=(3, 4))
    allowed = np.array([[True] * 4, [False] * 4, [False, True, False, False]])
    assert ad.softmax(Tensor(scores), where=allowed).data[1].tolist() == [0] * 4
    [slope] = gradients(lambda s: (ad.softmax(s, where=allowed) ** 2).sum(), scores)
    assert (slope[1:] == 0).all() and (slope[0] != 0).all()
    [slope] = gradients(lambda s: ad.exp(ad.logsumexp(s)).sum(), np.full((2, 3), -np.inf))
    assert (slope == 0).all()


def test_a_tensor_used_many_times_gathers_every_path():
    x = Tensor(3.0, requires_grad=True)
    y = x * x
    z = y * x + y + x  # x^3 + x^2 + x
    z.backward()
    assert x.grad == 3 * 9 + 2 * 3 + 1
    z.backward()
    assert x.grad == 2 * (3 * 9 + 2 * 3 + 1), "a second call adds to what is there"
    assert y.grad is None, "only leaves keep a gradient"


def test_a_graph_may_be_deeper_than_the_recursion_limit():
    x = Tensor(1.0, requires_grad=True)
    y = x
    for _ in range(10 * sys.getrecursionlimit()):
        y = y + x
    y.backward()
    assert x.grad == 10 * sys.getrecursionlimit() + 1
    del y  # takes the chain apart without recursion, too


def test_the_dtype_is_kept_and_arrays_on_the_left_defer():
    x = Tensor(np.ones(3, np.float32), requires_grad=True)
    y = (np.arange(3.0, dtype=np.float32) * x * 2 + 1 - 0.5) / 3
    assert isinstance(y, Tensor) and y.data.dtype == np.float32
    (y * np.arange(3.0)).sum().backward()  # float64 from here on
    assert x.grad.dtype == np.float32
    np.testing.assert_allclose(x.grad, [0, 2 / 3, 8 / 3], rtol=1e-6)
    matrix = np.arange(6.0).reshape(2, 3) @ Tensor(np.ones(3))
    assert isinstance(matrix, Tensor) and matrix.data.tolist() == [3, 12]


def test_errors_name_what_was_given_and_what_would_be_right():
    x = Tensor(np.ones((2, 3)), requires_grad=True)
    with pytest.raises(ValueError, match=r"gradient must be given for a tensor of shape \(2, 3\)"):
        (x * 2).backward()
    with pytest.raises(ValueError, match=r"gradient must have the tensor's shape \(2, 3\), got \(3,\)"):
        (x * 2).backward(np.ones(3))
    with pytest.raises(ValueError, match="requires_grad=True"):
        Tensor(1.0).backward()
    with pytest.raises(ValueError, match=r"as many columns left as rows right, got shapes \(2, 3\) and \(2, 3\)"):
        x @ x
    with pytest.raises(ValueError, match=r"could not be broadcast together with shapes \(2,3\) \(2,\)"):
        x + np.ones(2)
    with pytest.raises(TypeError, match="exponent must be a number, got Tensor"):
        x**x
    with pytest.raises(TypeError, match="data must be real numbers"):
        Tensor(["a"])
    with pytest.raises(ValueError, match="mean needs at least one element"):
        Tensor(np.ones((0, 3))).mean()
    with pytest.raises(ValueError, match="approximate must be 'none' or 'tanh', got 'erf'"):
        ad.gelu(x, approximate="erf")
    image, kernel = Tensor(np.ones((1, 2, 3, 3))), Tensor(np.ones((1, 2, 4, 4)))
    with pytest.raises(ValueError, match="weight of 4 x 4 is larger than the padded image, 3 x 3"):
        ad.conv2d(image, kernel)
    with pytest.raises(ValueError, match="as many channels"):
        ad.conv2d(image, Tensor(np.ones((1, 3, 2, 2))))
    with pytest.raises(ValueError, match="stride must be >= 1 and padding >= 0, got 0 and 0"):
        ad.conv2d(image, kernel, stride=0)


def test_a_small_network_trained_with_it_reads_digits():
    digits = load_digits()
    X, y = digits.data / 16, digits.target
    order = np.random.default_rng(0).permutation(len(X))
    train, test = order[:1400], order[1400:]
    rng = np.random.default_rng(1)
    shapes = [(64, 32), (32,), (32, 10), (10,)]
    weights = [Tensor(rng.normal(size=s) * (2 / s[0]) ** 0.5 * (len(s) > 1), requires_grad=True) for s in shapes]

    def logits(x):
        w1, b1, w2, b2 = weights
        return ad.relu(x @ w1 + b1) @ w2 + b2

    for _ in range(15):
        for batch in np.split(rng.permutation(train), 28):
            loss = -ad.log_softmax(logits(Tensor(X[batch])))[np.arange(len(batch)), y[batch]].mean()
            for weight in weights:
                weight.grad = None
            loss.backward()
            for weight in weights:
                weight.data = weight.data - 0.5 * weight.grad
    accuracy = (logits(Tensor(X[test])).data.argmax(1) == y[test]).mean()
    assert accuracy >= 0.95  # scikit-learn's logistic regression reaches 0.96 on such a split


def test_it_needs_numpy_alone():
    code = "import sys, breadth.nn.autodiff; print([m for m in ('torch', 'scipy', 'numba') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
