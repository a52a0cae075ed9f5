"""What a loader is asked for, but for datasets, ranks and device: checked, and as C takes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from . import _arguments, config
from .errors import InvalidArgumentError

INT32_MAX = 2**31 - 1

_JPEG_ON = ("auto", "cpu", "cuda")  # as rbc_jpeg_on numbers them
_ALIGN_ON = ("cpu", "cuda")  # as rbc_align_on numbers them
_EPOCHS = ("first", "last")  # of a mixture, or a number of samples


@dataclass(frozen=True)
class Parameters:
    """Arguments of DataLoader(), as its docstring describes them."""

    batch_size: int
    shuffle: bool | str
    seed: int
    num_threads: int
    num_slots: int
    memory_bytes: int
    drop_last: bool
    on_error: str
    remainder: str
    jpeg_dct: str | None
    jpeg: str
    align: str
    slots: str | None
    snap_ns: int

    @classmethod
    def check(cls, given: Mapping[str, Any]) -> Parameters:
        """Returns those among the arguments by their names."""
        jpeg, align, slots = given["jpeg"], given["align"], given["slots"]
        return cls(
            batch_size=_arguments.integer("batch_size", given["batch_size"], 1, INT32_MAX),
            seed=_arguments.integer("seed", given["seed"], 0, 2**64 - 1),
            shuffle=_shuffle(given["shuffle"]),
            drop_last=_arguments.flag("drop_last", given["drop_last"]),
            remainder=_arguments.choice(
                "remainder", given["remainder"], ("drop", "repeat", "uneven")
            ),
            on_error=_arguments.choice("on_error", given["on_error"], ("raise", "skip", "mask")),
            num_threads=_arguments.integer("num_threads", given["num_threads"], 0, INT32_MAX),
            num_slots=_arguments.integer("num_slots", given["num_slots"], 0, INT32_MAX),
            memory_bytes=_arguments.integer("memory_bytes", given["memory_bytes"], 0),
            jpeg_dct=given["jpeg_dct"],
            jpeg=_arguments.choice("jpeg", "auto" if jpeg is None else jpeg, _JPEG_ON),
            align=_arguments.choice("align", "cpu" if align is None else align, _ALIGN_ON),
            slots=None if slots is None else _arguments.choice("slots", slots, ("fixed",)),
            snap_ns=_arguments.integer("snap_ns", given["snap_ns"], 0),
        )

    def check_device(self, device: int) -> None:
        """Checks that batches on a device, -1 the CPU, can be as they are asked for."""
        if device < 0 and self.slots is not None:
            raise InvalidArgumentError(
                "slots: 'fixed' found with device 'cpu', wanted device='cuda': fixed addresses are "
                "for CUDA graphs"
            )
        if device < 0 and self.jpeg == "cuda":
            raise InvalidArgumentError(
                "jpeg: 'cuda' found with device 'cpu', wanted device='cuda' or jpeg='cpu': images "
                "are decoded on the device that batches are on"
            )

        if device < 0 and self.align == "cuda":
            raise InvalidArgumentError(
                "align: 'cuda' found with device 'cpu', wanted device='cuda' or align='cpu': "
                "numbers are aligned on the device that batches are on"
            )

    def native(self, epoch: str | int) -> dict[str, Any]:
        """Returns what _core.create_loader() wants of them, and of a mixture's epoch."""
        return {
            "batch_size": self.batch_size,
            "shuffle": 2 if self.shuffle == "blocks" else int(self.shuffle),
            "seed": self.seed,
            "drop_last": self.drop_last,
            "num_slots": self.num_slots,
            "on_error": self.on_error,
            "remainder": self.remainder,
            "jpeg_dct": self.jpeg_dct,
            "jpeg": _JPEG_ON.index(self.jpeg),
            "align": _ALIGN_ON.index(self.align),
            "fixed_slots": self.slots == "fixed",
            "device_memory": config.value("device_memory"),
            "snap_ns": self.snap_ns,
            "memory_bytes": self.memory_bytes or config.value("loader_memory_bytes") or 0,
            "epoch": _EPOCHS.index(epoch) if isinstance(epoch, str) else len(_EPOCHS),
            "epoch_samples": 0 if isinstance(epoch, str) else epoch,
        }


def _shuffle(given: bool | str) -> bool | str:
    if not isinstance(given, str):
        return _arguments.flag("shuffle", given)
    if given != "blocks":
        raise InvalidArgumentError(f"shuffle: found {given!r}, wanted True, False or 'blocks'")
    return given
