"""Small networks that read a sequence and answer once: a recurrent one and a Transformer, each choice an argument."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from breadth.nn.dropout import Dropout
from breadth.nn.networks import Init, initialise_
from breadth.nn.norms import LayerNorm
from breadth.nn.positions.absolute import SinusoidalPositions
from breadth.nn.recurrent import GRU, LSTM, RNN
from breadth.nn.transformer import TransformerBlock

Cell = Literal["rnn", "lstm", "gru"]
_CELLS = {"rnn": RNN, "lstm": LSTM, "gru": GRU}


class RecurrentNetwork(nn.Module):
    """A recurrent net over the sequence, then a linear layer on its last hidden state, both directions' where asked.

    Args:
        in_features: of a step, >= 1.
        out_features: of the answer, >= 1.
        hidden_size: of each direction of each layer.
        num_layers: recurrent layers, one on the other.
        cell: "rnn", "lstm" or "gru".
        bidirectional: read the sequence backwards as well.
        dropout: share of the outputs between layers, and before the last linear one, dropped in training.
        init: of the last linear layer; the recurrent ones start as torch's.

    Raises:
        ValueError: if a number is out of its range, or the cell unknown.

    Cost: O(length x batch x hidden_size (in_features + hidden_size)), the length one step after another.
    References: Elman 1990, Cognitive Science 14; Sutskever, Vinyals & Le 2014, arXiv:1409.3215, section 2 (the last
        state stands for the sequence).
    Peer: torch.nn's layers with the weights copied, float64, 1e-12 (A).
    In production: use it for short sequences and streams; a Transformer where training has to run in parallel.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        hidden_size: int = 64,
        *,
        num_layers: int = 1,
        cell: Cell = "lstm",
        bidirectional: bool = False,
        dropout: float = 0.0,
        init: Init = "default",
    ):
        super().__init__()
        if cell not in _CELLS:
            raise ValueError(f"cell must be one of {', '.join(map(repr, _CELLS))}, got {cell!r}")
        if out_features < 1:
            raise ValueError(f"out_features must be >= 1, got {out_features}")
        self.recurrent = _CELLS[cell](
            in_features, hidden_size, num_layers, batch_first=True, dropout=dropout, bidirectional=bidirectional
        )
        self.dropout = Dropout(dropout)
        self.head = nn.Linear(hidden_size * (1 + bidirectional), out_features)
        initialise_(self.head, init)

    def forward(self, x: Tensor) -> Tensor:
        """Answers to sequences x (batch, length, in_features), shape (batch, out_features)."""
        state = self.recurrent(x)[1]
        h = state[0] if isinstance(state, tuple) else state  # (layers x directions, batch, hidden)
        last = h[-2:] if self.recurrent.bidirectional else h[-1:]
        return self.head(self.dropout(last.transpose(0, 1).flatten(1)))


class TransformerNetwork(nn.Module):
    """An embedding of each step, positions, pre-norm Transformer blocks, the mean over steps, then a linear layer.

    Args:
        in_features: of a step, >= 1.
        out_features: of the answer, >= 1.
        d_model: width of the blocks, a multiple of num_heads.
        num_layers: blocks.
        num_heads: of each block's attention.
        dim_feedforward: inner width of the feed-forward layers; None takes 4 d_model.
        positions: "sinusoidal" or None, which makes the network blind to order.
        dropout: share dropped in training, inside the blocks and before the last layer.
        init: of all linear weights.

    Raises:
        ValueError: if a number is out of its range, or positions is unknown.

    Cost: O(batch x num_layers x length x d_model (length + d_model)).
    References: Vaswani et al. 2017, arXiv:1706.03762, sections 3.1 and 3.5; Xiong et al. 2020, arXiv:2002.04745,
        figure 1 (pre-norm); Dosovitskiy et al. 2021, arXiv:2010.11929, appendix D.3 (mean over steps as the answer).
    Peer: torch.nn.TransformerEncoder with the weights copied, float64, 1e-12 (A).
    In production: fine-tune a pretrained encoder; from scratch it needs far more rows than a convolutional net.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        d_model: int = 64,
        *,
        num_layers: int = 2,
        num_heads: int = 4,
        dim_feedforward: int | None = None,
        positions: Literal["sinusoidal"] | None = "sinusoidal",
        dropout: float = 0.0,
        init: Init = "default",
    ):
        super().__init__()
        if min(in_features, out_features, num_layers) < 1:
            raise ValueError(
                "in_features, out_features and num_layers must be >= 1, got "
                f"{in_features}, {out_features} and {num_layers}"
            )
        if positions not in ("sinusoidal", None):
            raise ValueError(f"positions must be 'sinusoidal' or None, got {positions!r}")
        self.embed = nn.Linear(in_features, d_model)
        self.positions = SinusoidalPositions(d_model) if positions else nn.Identity()
        self.blocks = nn.ModuleList(
            TransformerBlock(d_model, num_heads, dim_feedforward, dropout) for _ in range(num_layers)
        )
        self.norm = LayerNorm(d_model)
        self.dropout = Dropout(dropout)
        self.head = nn.Linear(d_model, out_features)
        initialise_(self, init)

    def forward(self, x: Tensor) -> Tensor:
        """Answers to sequences x (batch, length, in_features), shape (batch, out_features)."""
        h = self.positions(self.embed(x))
        for block in self.blocks:
            h = block(h)
        return self.head(self.dropout(self.norm(h).mean(1)))
