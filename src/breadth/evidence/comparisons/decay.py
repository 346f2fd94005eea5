"""One coefficient as decoupled decay and as a penalty, under three rules that treat a gradient differently."""

from breadth.evidence import contenders_networks as c
from breadth.evidence.comparison import Comparison
from breadth.evidence.contenders import DUMMY

DECAY = 0.03
RATES = {"sgd": 0.1, "momentum": 0.02, "adam": c.RATE}
WHO = {"sgd": "SGD", "momentum": "momentum", "adam": "Adam"}

COMPARISON = Comparison(
    name="decay",
    contenders=(
        *(
            c.network(
                f"{WHO[rule]} {kind}",
                c.with_decay,
                rule=rule,
                learning_rate=RATES[rule],
                weight_decay=DECAY * (kind != "none"),
                decoupled=kind == "decoupled",
            )
            for rule in RATES
            for kind in ("none", "L2", "decoupled")
        ),
        c.network("torch AdamW", c.torch_rule, origin="torch", rule="AdamW", weight_decay=DECAY),
        DUMMY,
    ),
    baseline="Adam decoupled",
    data=("digits", "breast_cancer", "anes96"),
    quick_data=("digits", "breast_cancer"),
    suite="eight",
)
