"""Recurrent layers written out: Elman's RNN, LSTM and GRU, with torch.nn's arguments, gates and state_dict."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, linear

State = tuple[Tensor, ...]  # h, or h and c, each (batch, hidden_size)
Cell = Callable[[Tensor, State, Tensor, Tensor | None], State]


def rnn_cell(gates: Tensor, state: State, weight: Tensor, bias: Tensor | None, *, relu: bool = False) -> State:
    """h' = tanh(W_ih x + b_ih + W_hh h + b_hh), given the first two terms as `gates`; Elman 1990."""
    total = gates + linear(state[0], weight, bias)
    return (total.relu() if relu else total.tanh(),)


def lstm_cell(gates: Tensor, state: State, weight: Tensor, bias: Tensor | None) -> State:
    """c' = f c + i g and h' = o tanh(c'), with i, f, o sigmoids and g a tanh; Hochreiter & Schmidhuber 1997."""
    h, c = state
    i, f, g, o = (gates + linear(h, weight, bias)).chunk(4, -1)  # each (batch, hidden)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


def gru_cell(gates: Tensor, state: State, weight: Tensor, bias: Tensor | None) -> State:
    """h' = (1 - z) n + z h, n = tanh(n_x + r n_h): the reset gate r is applied after the product with h."""
    (h,) = state
    r_x, z_x, n_x = gates.chunk(3, -1)
    r_h, z_h, n_h = linear(h, weight, bias).chunk(3, -1)
    n = (n_x + (r_x + r_h).sigmoid() * n_h).tanh()
    return (torch.lerp(n, h, (z_x + z_h).sigmoid()),)


class _Recurrent(nn.Module):
    """Layers and directions around a cell; the parameters are named and shaped as torch's."""

    gates: int
    n_states: int = 1
    cell: Cell

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        for name, value in (("input_size", input_size), ("hidden_size", hidden_size), ("num_layers", num_layers)):
            if value < 1:
                raise ValueError(f"{name} must be >= 1, got {value}")
        if not 0 <= dropout <= 1:
            raise ValueError(f"dropout must be in [0, 1], got {dropout}")
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.dropout, self.bidirectional = bias, batch_first, dropout, bidirectional
        rows, directions = self.gates * hidden_size, 1 + bidirectional
        for layer in range(num_layers):
            columns = input_size if layer == 0 else directions * hidden_size
            for end in ("", "_reverse")[:directions]:
                shapes = {"weight_ih": (rows, columns), "weight_hh": (rows, hidden_size)}
                if bias:
                    shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
                for name, shape in shapes.items():
                    parameter = nn.Parameter(torch.empty(shape, device=device, dtype=dtype))
                    self.register_parameter(f"{name}_l{layer}{end}", parameter)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """All entries uniform within 1 / sqrt(hidden_size), as in torch."""
        bound = 1 / math.sqrt(self.hidden_size)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}, num_layers={self.num_layers}"

    def _run(self, x: Tensor, states: State | None, lengths: Tensor | None) -> tuple[Tensor, State]:
        """Outputs (L, B, directions x hidden) and last states (layers x directions, B, hidden), time first."""
        directions = 1 + self.bidirectional
        if x.ndim != 3 or x.shape[-1] != self.input_size:
            raise ValueError(f"input must have {self.input_size} features and 2 or 3 axes, got {tuple(x.shape)}")
        shape = (self.num_layers * directions, x.shape[1], self.hidden_size)
        if states is None:
            states = (x.new_zeros(shape),) * self.n_states
        for state in states:
            if state.shape != shape:
                raise ValueError(f"the first state must have shape {shape}, got {tuple(state.shape)}")
        seen = _seen(x, lengths)  # (L, B, 1), or None where every step is real
        last: list[State] = []
        for layer in range(self.num_layers):
            outputs = []
            for end in range(directions):
                start = tuple(state[layer * directions + end] for state in states)
                output, state = self._direction(x, start, seen, f"_l{layer}{'_reverse' if end else ''}", bool(end))
                outputs.append(output)
                last.append(state)
            x = torch.cat(outputs, -1)
            if self.dropout and layer < self.num_layers - 1:
                x = dropout(x, self.dropout, self.training)
        return x, tuple(torch.stack(states_of) for states_of in zip(*last, strict=True))

    def _direction(
        self, x: Tensor, state: State, seen: Tensor | None, suffix: str, backwards: bool
    ) -> tuple[Tensor, State]:
        weight_ih, weight_hh = (getattr(self, name + suffix) for name in ("weight_ih", "weight_hh"))
        bias_ih, bias_hh = (getattr(self, name + suffix, None) for name in ("bias_ih", "bias_hh"))
        if x.shape[0] == 0:
            return x.new_zeros(0, x.shape[1], self.hidden_size), state
        steps = linear(x, weight_ih, bias_ih).unbind(0)  # all products with x at once: L of (B, gates x hidden)
        outputs: list[Tensor] = [state[0]] * len(steps)
        for t in range(len(steps) - 1, -1, -1) if backwards else range(len(steps)):
            new = self.cell(steps[t], state, weight_hh, bias_hh)
            if seen is None:
                state, outputs[t] = new, new[0]
            else:  # past its end a sequence keeps its state and gives 0; backwards, it so begins at its own end
                state = tuple(torch.where(seen[t], b, a) for a, b in zip(state, new, strict=True))
                outputs[t] = new[0].masked_fill(~seen[t], 0.0)
        return torch.stack(outputs), state

    def _apply_to(self, x: Tensor, states: State | None, lengths: Tensor | None) -> tuple[Tensor, State]:
        """`_run` for inputs without a batch or with the batch first."""
        if x.ndim == 2:
            if lengths is not None:
                raise ValueError("lengths are for a batch; a single sequence is given at its length")
            states = None if states is None else tuple(state.unsqueeze(1) for state in states)
            output, last = self._run(x.unsqueeze(1), states, None)
            return output.squeeze(1), tuple(state.squeeze(1) for state in last)
        if not self.batch_first:
            return self._run(x, states, lengths)
        output, last = self._run(x.transpose(0, 1), states, lengths)
        return output.transpose(0, 1), last


def _seen(x: Tensor, lengths: Tensor | None) -> Tensor | None:
    if lengths is None:
        return None
    lengths = torch.as_tensor(lengths, device=x.device)
    if lengths.shape != x.shape[1:2] or lengths.is_floating_point():
        raise ValueError(f"lengths must be {x.shape[1]} integers, one a sequence, got {tuple(lengths.shape)}")
    if lengths.numel() and not 0 <= int(lengths.min()) <= int(lengths.max()) <= x.shape[0]:
        raise ValueError(f"lengths must be in [0, {x.shape[0]}], got {lengths.min().item()} to {lengths.max().item()}")
    return (torch.arange(x.shape[0], device=x.device)[:, None] < lengths)[..., None]


class RNN(_Recurrent):
    """Elman's recurrent layer: h_t = tanh(W_ih x_t + b_ih + W_hh h_(t-1) + b_hh), layer upon layer.

    Its gradient through T steps is a product of T Jacobians, which vanishes or explodes; see `LSTM`.

    Args:
        input_size: features of a step.
        hidden_size: features of h.
        num_layers: layers, each reading the outputs of the one below.
        nonlinearity: "tanh" or "relu".
        bias: learn both biases.
        batch_first: inputs and outputs are (batch, length, features) rather than (length, batch, features).
        dropout: share dropped of the outputs of each layer but the last, in [0, 1].
        bidirectional: a second direction, from each sequence's end; outputs are concatenated.

    Raises:
        ValueError: if an argument is out of its range, or shapes do not fit.

    Cost: O(length batch hidden (input + hidden)) a layer and direction; Python runs the steps one by one.
    Deviations:
        1. Ragged batches come as `lengths` (0 is allowed) rather than packed; outputs past a length are 0.
        2. A length of 0 gives no output and the first state; torch refuses it.
    References: Elman 1990, Cognitive Science 14(2); Schuster & Paliwal 1997, IEEE TSP 45(11) (bidirectional);
        Pascanu, Mikolov & Bengio 2013, arXiv:1211.5063, section 2 (the product of Jacobians).
    Peer: torch.nn.RNN, values and gradients, float64, 1e-12, packed sequences too (A).
    In production: use torch's, whose steps are compiled.
    """

    gates = 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: Literal["tanh", "relu"] = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"nonlinearity must be 'tanh' or 'relu', got {nonlinearity!r}")
        super().__init__(input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, device, dtype)
        self.nonlinearity = nonlinearity
        self.cell = partial(rnn_cell, relu=nonlinearity == "relu")

    def forward(self, input: Tensor, hx: Tensor | None = None, *, lengths: Tensor | None = None) -> tuple:
        """Outputs of the last layer at each step, and h after each sequence's last one, (layers x directions, B, H)."""
        output, (h,) = self._apply_to(input, None if hx is None else (hx,), lengths)
        return output, h


class LSTM(_Recurrent):
    """Long short-term memory: c_t = f c_(t-1) + i g and h_t = o tanh(c_t), gates in the order i, f, g, o.

    Along c the gradient is multiplied by f alone, which can stay near 1: that is what keeps it from vanishing.

    Args:
        input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional: as of `RNN`.

    Raises:
        ValueError: if an argument is out of its range, or shapes do not fit.

    Cost: four times an RNN's.
    Deviations: those of `RNN`; torch's proj_size is left out.
    References: Hochreiter & Schmidhuber 1997, Neural Computation 9(8); Gers, Schmidhuber & Cummins 2000, Neural
        Computation 12(10) (the forget gate).
    Peer: torch.nn.LSTM, values and gradients, float64, 1e-12, packed sequences too (A).
    In production: use torch's, whose steps are compiled.
    """

    gates, n_states = 4, 2
    cell = staticmethod(lstm_cell)

    def forward(
        self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None, *, lengths: Tensor | None = None
    ) -> tuple:
        """Outputs of the last layer at each step, and (h, c) after each sequence's last one."""
        return self._apply_to(input, hx, lengths)


class GRU(_Recurrent):
    """Gated recurrent unit: h_t = (1 - z) n + z h_(t-1), n = tanh(W x + b + r (U h + b')); gates in the order r, z, n.

    Args:
        input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional: as of `RNN`.

    Raises:
        ValueError: if an argument is out of its range, or shapes do not fit.

    Cost: three times an RNN's.
    Deviations: those of `RNN`; r is applied after the product with h, and z weighs the old h, as in torch. The paper
        applies r before the product.
    References: Cho et al. 2014, arXiv:1406.1078, eqs. 5-8.
    Peer: torch.nn.GRU, values and gradients, float64, 1e-12, packed sequences too (A).
    In production: use torch's, whose steps are compiled.
    """

    gates = 3
    cell = staticmethod(gru_cell)

    def forward(self, input: Tensor, hx: Tensor | None = None, *, lengths: Tensor | None = None) -> tuple:
        """Outputs of the last layer at each step, and h after each sequence's last one."""
        output, (h,) = self._apply_to(input, None if hx is None else (hx,), lengths)
        return output, h
