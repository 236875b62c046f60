"""Train until told otherwise: `python killed.py FOLDER STEPS`, then write the parameters."""

import sys
from pathlib import Path

import jax
import numpy as np

from physml.training import Run, train

jax.config.update("jax_enable_x64", True)
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
# The network is made when this is imported: not before the precision is set.
from tests.training.problems import OBJECTIVE, PARAMS, PHASES, draw  # noqa: E402

folder = Path(sys.argv[1])
result = train(
    OBJECTIVE,
    PARAMS,
    PHASES,
    sampler=draw,
    run=Run(
        steps=int(sys.argv[2]),
        resample_every=4,
        log=folder / "log.jsonl",
        checkpoint=folder,
        checkpoint_every=0.0,
    ),
)
np.savez(folder / "end.npz", *[np.asarray(leaf) for leaf in jax.tree.leaves(result.params)])
