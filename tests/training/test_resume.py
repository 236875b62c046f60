"""Checkpoints: resuming is exact, and what is wrong with a file is said."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest

from physml.optimizers import Adam
from physml.training import CheckpointError, Run, train
from tests.training.problems import OBJECTIVE, PARAMS, PHASES, POINTS, draw

STEPS = "80"
SCRIPT = Path(__file__).with_name("killed.py")


def equal(a, b):
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return all(np.array_equal(x, y) for x, y in pairs)


def steps_logged(path):
    return path.read_text().count('"step"') if path.exists() else 0


def test_a_killed_run_resumes_exactly(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    environment = {**os.environ, "PYTHONPATH": str(SCRIPT.parents[2])}
    subprocess.run([sys.executable, SCRIPT, whole, STEPS], check=True, env=environment)
    # Killed once before Gauss–Newton and once in it.
    for least in (8, 25):
        process = subprocess.Popen([sys.executable, SCRIPT, killed, "1000000"], env=environment)
        deadline = time.monotonic() + 120
        while steps_logged(killed / "log.jsonl") < least and time.monotonic() < deadline:
            assert process.poll() is None
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()
        lines = (killed / "log.jsonl").read_text().splitlines()
        assert json.loads(lines[-2])["step"] < int(STEPS)
    subprocess.run([sys.executable, SCRIPT, killed, STEPS], check=True, env=environment)
    with np.load(whole / "end.npz") as a, np.load(killed / "end.npz") as b:
        assert a.files == b.files
        for name in a.files:
            np.testing.assert_array_equal(a[name], b[name])
    logs = [
        [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
        for folder in (whole, killed)
    ]
    # No step is missing or there twice, and the losses are the same.
    steps = [[(e["step"], e["loss"]) for e in log if "event" not in e] for log in logs]
    assert steps[0] == steps[1]
    assert [step for step, _ in steps[0]] == list(range(1, 1 + len(steps[0])))


@pytest.mark.parametrize("stop", [3, 10, 15, 23])
def test_a_run_in_two_parts_equals_one(tmp_path, stop):
    def run(steps, folder=None):
        options = Run(steps=steps, resample_every=4, checkpoint=folder)
        return train(OBJECTIVE, PARAMS, PHASES, sampler=draw, validation=POINTS[::2], run=options)

    whole = run(25)
    run(stop, tmp_path)
    parts = run(25, tmp_path)
    assert equal(whole.params, parts.params) and equal(whole.batch, parts.batch)
    assert parts.steps == 25 and parts.status == "steps"
    np.testing.assert_array_equal(whole.history[:, 1:], parts.history[:, 1:])
    # A finished run goes no further.
    assert equal(run(25, tmp_path).params, whole.params)


def train_in(folder, fingerprint="", seed=0, optimizers=PHASES, params=PARAMS, **options):
    settings = {"steps": 3, "checkpoint": folder, "fingerprint": fingerprint, "seed": seed}
    return train(OBJECTIVE, params, optimizers, batch=POINTS, run=Run(**{**settings, **options}))


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    train_in(tmp_path, "Burgers")
    with pytest.raises(CheckpointError, match="fingerprint is 'Burgers', this run's is 'heat'"):
        train_in(tmp_path, "heat")
    with pytest.raises(CheckpointError, match="seed is 0, this run's is 1"):
        train_in(tmp_path, "Burgers", seed=1)
    with pytest.raises(CheckpointError, match=r"optimizers is .*'LBFGS'.* is \['Adam'\]"):
        train_in(tmp_path, "Burgers", optimizers=Adam())
    from physml.networks import MLP, partition

    wider = partition(MLP(1, 1, width=7, depth=1, key=jax.random.key(0)))[0]
    with pytest.raises(CheckpointError, match=r"params does not fit.*\[6, 1\], expected.*\[7, 1\]"):
        train_in(tmp_path, "Burgers", params=wider)
    again = train_in(tmp_path, "heat", resume=False)
    assert again.steps == 3


def test_a_damaged_checkpoint_gives_way_to_the_one_before(tmp_path):
    train_in(tmp_path, steps=3)
    train_in(tmp_path, steps=5)
    current, previous = tmp_path / "checkpoint.npz", tmp_path / "checkpoint.previous.npz"
    whole = current.read_bytes()
    for damaged in (whole[: len(whole) // 2], b"", b"not a checkpoint"):
        current.write_bytes(damaged)
        resumed = train_in(tmp_path, steps=3)
        assert resumed.steps == 3 and resumed.history[-1, 1] == 3
        assert previous.exists()
    middle = len(whole) // 2
    current.write_bytes(whole[:middle] + bytes([whole[middle] ^ 255]) + whole[middle + 1 :])
    assert train_in(tmp_path, steps=3).steps == 3
    current.write_bytes(whole[:100])
    previous.unlink()
    with pytest.raises(CheckpointError, match="no readable checkpoint"):
        train_in(tmp_path)


def test_pickled_arrays_are_not_read(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "executed"),)

    np.savez(tmp_path / "checkpoint.npz", json=np.array([Evil()], dtype=object))
    with pytest.raises(CheckpointError, match="no readable checkpoint"):
        train_in(tmp_path)
    assert not (tmp_path / "executed").exists()


def test_a_folder_that_cannot_be_written_is_found_first(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(CheckpointError, match=r"can't be written to .*file/run"):
        train_in(blocked / "run")
    with pytest.raises(OSError, match=r"the log .* can't be written"):
        train_in(None, log=blocked / "log.jsonl")
