"""Dataset: the samples of a family, read from a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from physml.surrogates._layout import Layout
from physml.surrogates._store import DatasetError, array_of, meta_of, open_file


class Dataset:
    """Inputs and outputs of a family's problems on a grid.

    Attributes:
        inputs: (count, *points, channels). outputs: (count, frames, *points, components), fields
            in the order of `layout.outputs`. latents: the numbers behind the parameters, by name.
        layout: the grid, the times, the fields. meta: everything else that the file says: family,
            method, seed, versions. path: where it was read.
    """

    def __init__(
        self,
        inputs: np.ndarray,
        outputs: np.ndarray,
        latents: dict[str, np.ndarray],
        layout: Layout,
        meta: dict[str, Any],
        path: Path | None = None,
    ):
        self.inputs, self.outputs, self.latents = inputs, outputs, latents
        self.layout, self.meta, self.path = layout, meta, path

    def __len__(self) -> int:
        return len(self.inputs)

    def __repr__(self) -> str:
        grid = "×".join(map(str, self.layout.points))
        return (
            f"Dataset({self.layout.family!r}, {len(self)} samples on {grid} points, "
            f"times {list(self.layout.times)}, by {self.meta.get('method')})"
        )

    def __getitem__(self, part: slice | Any) -> Dataset:
        """Some of the samples: a slice, indices or a mask."""
        if isinstance(part, int | np.integer):
            part = slice(int(part), int(part) + 1 or None)
        latents = {name: value[part] for name, value in self.latents.items()}
        return Dataset(
            self.inputs[part], self.outputs[part], latents, self.layout, self.meta, self.path
        )

    @property
    def axes(self) -> tuple[np.ndarray, ...]:
        """Coordinates of the grid."""
        return self.layout.axes()

    @property
    def times(self) -> np.ndarray:
        return np.asarray(self.layout.times)

    def field(self, name: str) -> np.ndarray:
        """One output field, (count, frames, *points, *shape)."""
        if name not in self.layout.outputs:
            raise KeyError(f"no output {name!r}; there are {list(self.layout.outputs)}")
        sizes, i = self.layout.sizes, self.layout.outputs.index(name)
        start = sum(sizes[:i])
        shape = dict(self.layout.fields)[name]
        return self.outputs[..., start : start + sizes[i]].reshape(*self.outputs.shape[:-1], *shape)


def load_dataset(path: str | Path, *, partial: bool = False) -> Dataset:
    """Reads what `generate` wrote.

    Arguments:
        partial: take the samples that are there from a file that is not finished.

    Raises:
        FileNotFoundError, DatasetError: there is no such file; it is truncated, unfinished, or
            holds something else.
    """
    path = Path(path)
    with open_file(path, "r") as file:
        meta = meta_of(file)
        try:
            done = array_of(file, "done")[:].astype(bool)
            if not done.all() and not partial:
                raise DatasetError(
                    f"{path} is unfinished: {int(done.sum())} of {len(done)} samples; run "
                    "pm.generate again with the same arguments, or load it with partial=True"
                )
            inputs, outputs = (array_of(file, name)[:][done] for name in ("inputs", "outputs"))
            latents = {
                name: array_of(file, f"latents/{name}")[:][done]
                for name in meta["family"]["parameters"]
            }
        except (KeyError, OSError) as error:
            raise DatasetError(f"{path} is damaged: {error}; generate it again") from None
    return Dataset(inputs, outputs, latents, Layout.from_json(meta["layout"]), meta, path)
