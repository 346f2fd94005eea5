"""Skip connections, and the place of the normaliser: before the function or behind the sum."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from breadth.nn.dropout import Dropout


class Residual(nn.Module):
    """A function with a skip connection, x + f(x), with its normaliser before f or behind the sum.

        norm=None          x + dropout(f(x))
        norm_first=True    x + dropout(f(norm(x)))       pre-norm
        norm_first=False   norm(x + dropout(f(x)))       post-norm

    The gradient passes by f along the skip, so that it does not vanish with depth. It may well explode: without
    normaliser and scaled initialisation the sum grows by a factor at each layer. With pre-norm the stream grows as the
    root of the depth, and gradients stay of one size from the first step; with post-norm those of the last layers are
    large at the start, whence the warm-up of the learning rate.

    Args:
        fn: what is added; called with x and what else `forward` is given.
        norm: normaliser of the features, such as `LayerNorm(d)`; None has none.
        norm_first: pre-norm, else post-norm.
        dropout: share of f's output that is dropped in training, in [0, 1].
        shortcut: what x goes through where f changes its shape; None is the identity.

    Attributes:
        fn, norm, shortcut, dropout: modules; norm and shortcut may be None.

    Raises:
        ValueError: if dropout is outside [0, 1]; in `forward`, if f(x) has another shape than the skip, which would
            be broadcast.

    Cost: that of f and norm, and one addition.
    References: He et al. 2016, arXiv:1512.03385, eqs. 1 and 2; He et al. 2016, arXiv:1603.05027, eq. 5 (gradient along
        the skip); Xiong et al. 2020, arXiv:2002.04745, theorem 1 (pre- and post-norm); Vaswani et al. 2017,
        arXiv:1706.03762, section 3.1 (post-norm); Zhang, Dauphin & Ma 2019, arXiv:1901.09321, section 2 (explosion).
    Peer: torch.nn.TransformerEncoderLayer with its attention put to 0, both places of the normaliser, value and
        gradients, float64, 1e-12 (A); closed forms of the growth with depth (B).
    In production: use pre-norm, and a last normaliser behind the stack.
    """

    def __init__(
        self,
        fn: nn.Module,
        norm: nn.Module | None = None,
        *,
        norm_first: bool = True,
        dropout: float = 0.0,
        shortcut: nn.Module | None = None,
    ):
        super().__init__()
        self.fn, self.norm, self.shortcut = fn, norm, shortcut
        self.norm_first = norm_first
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        inner = self.norm(x) if self.norm is not None and self.norm_first else x
        branch = self.dropout(self.fn(inner, *args, **kwargs))
        skip = x if self.shortcut is None else self.shortcut(x)
        if branch.shape != skip.shape:
            raise ValueError(
                f"fn gave shape {tuple(branch.shape)} and the skip has {tuple(skip.shape)}; pass a shortcut to bring "
                "x to that shape"
            )
        y = skip + branch
        return self.norm(y) if self.norm is not None and not self.norm_first else y

    def extra_repr(self) -> str:
        return "" if self.norm is None else f"norm_first={self.norm_first}"
