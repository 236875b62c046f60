"""A run that is stopped within every optimizer's phase, and resumed, equals one that is not."""

import jax
import numpy as np

from physml.optimizers import (
    DSGNAR,
    FOOF,
    KFAC,
    SOAP,
    EnergyNaturalGradient,
    HessianFree,
    SelfScaledBFGS,
    SelfScaledBroyden,
)
from physml.training import Phase, Run, train
from tests.training.problems import OBJECTIVE, PARAMS, draw

OPTIMIZERS = (
    SOAP(1e-2, frequency=2),
    SelfScaledBFGS(),
    SelfScaledBroyden(),
    FOOF(),
    KFAC(decay=0.5),
    HessianFree(rank=4),
    # More columns than are kept, and more rows: sketches that depend on the step.
    DSGNAR(size=8),
    EnergyNaturalGradient(),
)
PHASES = [Phase(optimizer, steps=4) for optimizer in OPTIMIZERS]


def test_every_optimizer_resumes_exactly(tmp_path):
    def run(steps, folder=None):
        options = Run(steps=steps, resample_every=3, checkpoint=folder)
        return train(OBJECTIVE, PARAMS, PHASES, sampler=draw, run=options)

    last = 4 * len(PHASES)
    whole = run(last)
    for stop in range(2, last, 4):
        run(stop, tmp_path)
    parts = run(last, tmp_path)
    for a, b in zip(jax.tree.leaves(whole.params), jax.tree.leaves(parts.params), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(whole.history[:, 1:], parts.history[:, 1:])
    # What solved the linear systems is said.
    told = " ".join(whole.notes)
    for words in ("FOOF, 2 layers", "KFAC, 2 layers", "preconditioner nystrom", "sketched to 16×8"):
        assert words in told
