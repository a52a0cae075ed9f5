"""Opens mutated HDF5 files and loads from them: whatever the file, this process goes on.

libhdf5 crashes on some damaged files. It runs in processes of their own, which end with an error of
robocache here; anything else that is raised, or a crash of this process, is a fault. Prints what it
counted as JSON.

    python fuzz/hdf5_files.py [--seconds 1200] [--seed 0] [--keep FOLDER] [FILE.hdf5 ...]
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

import h5py
import numpy as np

import robocache as rc
from robocache import _causes
from robocache.formats import hdf5
from robocache.formats.hdf5 import process


def write_seeds(folder: Path) -> list[Path]:
    """Writes small files with every way to store that an indexer meets."""
    seeds = []
    numbers = np.arange(24 * 4, dtype="f4").reshape(24, 4)
    images = np.arange(24 * 8 * 8 * 3, dtype="u1").reshape(24, 8, 8, 3)
    stored = {
        "contiguous": {},
        "chunked": {"chunks": (5, 2)},
        "packed": {"chunks": True, "compression": "gzip", "shuffle": True, "fletcher32": True},
    }
    for libver in ("earliest", "latest"):
        for name, options in stored.items():
            path = folder / f"{name}_{libver}.hdf5"
            with h5py.File(path, "w", libver=libver) as file:
                for number in range(3):
                    demo = file.create_group(f"data/demo_{number}")
                    demo.attrs["num_samples"] = 24
                    demo.attrs["model"] = "text"
                    demo.create_dataset("actions", data=numbers, **options)
                    more = dict(options, chunks=True) if options else {}
                    demo.create_dataset("obs/image", data=images, **more)
                    demo["obs/words"] = [f"word {i}" for i in range(24)]
                    demo["obs/table"] = np.zeros(24, [("a", "f4"), ("b", "i8", (2,))])
                    demo["link"] = h5py.SoftLink("/data/demo_0")
                file["data"].attrs["env_args"] = json.dumps({"env_kwargs": {"control_freq": 20}})
                file["mask/train"] = [b"demo_0", b"demo_2"]
            seeds.append(path)
    return seeds


def mutate(content: bytes, rng: random.Random) -> bytes:
    """Returns the content cut off, or with bytes and numbers changed, mostly of its structure."""
    kind = rng.randrange(10)
    if kind == 0:
        return content[: rng.randrange(len(content))]
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        at = rng.randrange(len(changed))
        signatures = [b"TREE", b"SNOD", b"HEAP", b"OHDR", b"FRHP", b"BTHD", b"GCOL", b"FADB"]
        found = content.find(rng.choice(signatures), at)
        if found >= 0 and kind < 7:
            at = min(found + rng.randrange(64), len(changed) - 1)
        if kind % 2:
            changed[at] = rng.randrange(256)
        else:
            value = rng.choice((0, 1, 0xFF, 0xFFFF, 2**31 - 1, 2**32 - 1, 2**63 - 1, 2**64 - 1))
            size = rng.choice((1, 2, 4, 8))
            bytes_ = (value % 256**size).to_bytes(size, "little")
            changed[at : at + size] = bytes_[: len(changed) - at]
    return bytes(changed)


def attempt(path: Path, catalog: Path) -> str:
    """Opens and loads a file; returns what became of it."""
    try:
        dataset = rc.open(path, catalog=catalog, on_error="skip", progress=False, num_threads=1)
        if not len(dataset):
            return "no episode"
        loader = rc.DataLoader(
            dataset, batch_size=8, rate_hz=20, on_error="skip", shuffle=True, array="numpy"
        )
        for _, _batch in zip(range(6), loader, strict=False):
            pass
        for episode in list(dataset)[:2]:
            for stream in episode.values():
                stream.read(0, min(len(stream), 2))
    except rc.Error as error:
        if "libhdf5 crashed" in str(error):
            return "crash of libhdf5"
        if "found no end" in str(error):
            return "hang of libhdf5"
        if not isinstance(error, rc.errors.FormatError):
            return f"{type(error).__name__}: {str(error).rpartition('.hdf5')[2]}"
        return "FormatError"
    return "loaded"


def main() -> None:
    """Runs until the time is over."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=1200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--keep", type=Path, help="where files are kept that libhdf5 crashes or hangs on"
    )
    parser.add_argument("files", nargs="*", type=Path)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    rng = random.Random(arguments.seed)
    pool = process.readers(_causes.Opening())  # one process until a file ends it
    hdf5.readers = lambda opening: pool
    process.CPU_S = 3
    counts: Counter[str] = Counter()
    longest = 0.0
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        seeds = [path.read_bytes() for path in [*write_seeds(folder), *arguments.files]]
        path, catalog = folder / "mutated.hdf5", folder / "catalog.sqlite"
        while time.monotonic() - began < arguments.seconds:
            path.write_bytes(mutate(rng.choice(seeds), rng))
            for each in folder.glob("catalog.sqlite*"):
                shutil.rmtree(each) if each.is_dir() else each.unlink()
            before = time.monotonic()
            became = attempt(path, catalog)
            longest = max(longest, time.monotonic() - before)
            counts[became] += 1
            if became.endswith("of libhdf5") and arguments.keep is not None:
                arguments.keep.mkdir(exist_ok=True)
                shutil.copy(path, arguments.keep / f"{became[:5]}_{counts[became]}.hdf5")
    told = {
        "files": sum(counts.values()),
        "seconds": round(time.monotonic() - began),
        "seed": arguments.seed,
        "h5py": h5py.version.version,
        "hdf5": h5py.version.hdf5_version,
        "longest_s": round(longest, 2),
        "became": dict(counts.most_common()),
    }
    print(json.dumps(told, indent=2))


if __name__ == "__main__":
    main()
