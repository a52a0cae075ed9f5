"""HDF5 files of demonstrations as robomimic writes them: /data/demo_N/{obs/<key>, actions, ...}."""

from __future__ import annotations

from pathlib import Path

import h5py

import robocache as rc

from .hdf5_chunks import add_array, leaves


def probe(path: str) -> bool:
    return any(Path(path).glob("*.hdf5"))


def demos(file: h5py.File) -> list[h5py.Group]:
    names = sorted(file["data"], key=lambda name: int(name.removeprefix("demo_")))
    return [file["data"][name] for name in names]


def index(path: str, dataset: rc.Indexer) -> None:
    dataset.control_rate_hz = 20
    files = sorted(Path(path).glob("*.hdf5"))
    with h5py.File(files[0], locking=False) as file:
        for name, leaf in leaves(demos(file)[0]).items():
            kind, encoding = ("image", "pixels") if leaf.ndim == 4 else ("numeric", "plain")
            dataset.stream(
                name,
                kind=kind,
                dtype=leaf.dtype.newbyteorder("=").name,
                shape=leaf.shape[1:],
                encoding="swapped" if leaf.dtype.byteorder == ">" else encoding,
            )
    for each in files:
        dataset.part(each.name, read=read)


def read(part: rc.Part) -> None:
    with h5py.File(Path(part.folder) / part.path, locking=False) as file:
        for demo in demos(file):
            arrays = {name: add_array(part, leaf) for name, leaf in leaves(demo).items()}
            part.episodes(
                num_steps=[len(demo["actions"])],
                streams={name: rc.ArrayRows(array, first=[0]) for name, array in arrays.items()},
                metadata=[{"demo": demo.name, "success": bool(demo.attrs.get("success", False))}],
            )
