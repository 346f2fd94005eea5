"""`attend` beside the Attention operator of onnx, as its reference evaluator computes it in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from breadth.nn.attention.attend import attend
from tests.nn.attention.dense_attention import drawn

onnx = pytest.importorskip("onnx", minversion="1.18")  # opset 23, the first with Attention

RNG = np.random.default_rng(0)
MASK = RNG.random((2, 1, 9, 9)) < 0.5
MASK[0, 0, 4] = False
FORMS = {
    "plain": {},
    "causal": {"causal": True},
    "mask with an empty row": {"mask": MASK},
    "bias": {"bias": RNG.normal(size=(1, 4, 9, 9)), "causal": True},
    "softcap": {"softcap": 0.75, "causal": True, "scale": 0.25},
}


def theirs(q, k, v, *, causal=False, mask=None, bias=None, softcap=0.0, scale=None):
    from onnx import TensorProto, helper
    from onnx.reference import ReferenceEvaluator

    given = {"q": q, "k": k, "v": v}
    if mask is not None or bias is not None:
        given["m"] = mask if mask is not None else bias
    types = {name: TensorProto.BOOL if t.dtype == bool else TensorProto.DOUBLE for name, t in given.items()}
    options = {"is_causal": int(causal), "softcap": softcap} | ({} if scale is None else {"scale": scale})
    graph = helper.make_graph(
        [helper.make_node("Attention", list(given), ["y"], **options)],
        "attention",
        [helper.make_tensor_value_info(name, types[name], t.shape) for name, t in given.items()],
        [helper.make_tensor_value_info("y", TensorProto.DOUBLE, None)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)])
    (out,) = ReferenceEvaluator(model).run(None, given)
    return out


@pytest.mark.parametrize("shared", [1, 2, 4])
@pytest.mark.parametrize("name", FORMS)
def test_every_engine_is_onnx_s_attention(name, shared):
    given = drawn(shared=shared, length=9, n_keys=9)
    given.pop("grad")
    form = FORMS[name]
    expected = theirs(**given, **form)
    made = {n: torch.tensor(t) if isinstance(t, np.ndarray) else t for n, t in (given | form).items()}
    for engine in ("naive",) if "softcap" in form else ("naive", "sdpa", "auto"):
        # atol: sums of 9 terms of size 1; onnx holds attributes in float32, in which these and their roots are exact
        np.testing.assert_allclose(attend(**made, engine=engine).numpy(), expected, rtol=1e-12, atol=1e-13)
