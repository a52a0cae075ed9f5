"""Which part of an epoch this process takes, and with how many threads."""

from __future__ import annotations

import os
from dataclasses import dataclass

from . import _arguments
from ._torch_data import find_imported
from .errors import InvalidArgumentError


@dataclass(frozen=True)
class Share:
    """A rank's batches and, of these, those of one of the worker processes that it reads with."""

    rank: int = 0
    world_size: int = 1
    worker: int = 0
    num_workers: int = 1

    @property
    def num_lanes(self) -> int:
        """Processes that batches are dealt out to in turn."""
        return self.world_size * self.num_workers

    def check_move(self, batch_size: int, other: Share, other_batch_size: int) -> None:
        """Checks that `other` can go on at a position of this share, in the middle of an epoch.

        Raises:
            InvalidArgumentError: these would not stand at the same position.
        """
        if self.num_workers > 1 and (self.num_lanes, batch_size) != (
            other.num_lanes,
            other_batch_size,
        ):
            raise InvalidArgumentError(
                f"state: of one of {self.num_workers} workers on each of {self.world_size} ranks, "
                f"with batch_size {batch_size}, which do not keep step; it cannot be continued "
                f"with {other.num_workers} on each of {other.world_size} and batch_size "
                f"{other_batch_size}"
            )

    def default_threads(self) -> int:
        """Returns this process' part of the cores: those of the host over its processes.

        $LOCAL_WORLD_SIZE, as torchrun sets it, says how many processes share a host, whatever the
        ranks of loaders are: where several work on the same rows, all of them load. Open MPI says
        so, too. Slurm's figure also stands in shells without ranks, and is believed of ranks alone.
        Without any of them all ranks share a host.
        """
        cores = len(os.sched_getaffinity(0))
        ranks = self.world_size
        for name in ("LOCAL_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_SIZE", "SLURM_NTASKS_PER_NODE"):
            found = os.environ.get(name, "")
            if found.isdecimal() and int(found) > 0:
                is_slurm = name.startswith("SLURM")
                ranks = min(int(found), self.world_size) if is_slurm else int(found)
                break
        return max(1, cores // (ranks * self.num_workers))


def check_ranks(rank: object, world_size: object) -> tuple[int, int] | None:
    """Returns the rank and the world size that a user gave, or None."""
    if rank is None and world_size is None:
        return None
    if rank is None or world_size is None:
        raise InvalidArgumentError(
            f"rank: {rank} found with world_size {world_size}: give both or neither"
        )
    size = _arguments.integer("world_size", world_size, 1, 2**31 - 1)
    return _arguments.integer("rank", rank, 0, size - 1), size


def find_share(
    given: tuple[int, int] | None, sent: tuple[int, int] | None, *, is_starting: bool
) -> Share:
    """Returns the share of this process, as far as it is known now.

    Args:
        given: rank and world size that the user gave.
        sent: those of the process that sent the loader here, for worker processes.
        is_starting: batches are wanted now, so that the rank must be known.
    """
    worker = _find_worker()
    ranks = given or _find_ranks(is_starting)
    if ranks is None and worker is not None:
        ranks = sent
    return Share(*(ranks or (0, 1)), *(worker or (0, 1)))


def _find_worker() -> tuple[int, int] | None:
    """Returns which worker of torch's DataLoader this process is, and of how many."""
    torch_data = find_imported("torch.utils.data")
    info = None if torch_data is None else torch_data.get_worker_info()
    return None if info is None else (info.id, info.num_workers)


def _find_ranks(is_starting: bool) -> tuple[int, int] | None:
    """Returns rank and world size of torch.distributed or the environment, or None."""
    distributed = find_imported("torch.distributed")
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    rank, world_size = os.environ.get("RANK"), os.environ.get("WORLD_SIZE")
    if rank is None and (world_size in (None, "1")):
        return None
    # Launchers may set the world size alone; torch.distributed then knows the rank in time.
    if rank is None and not is_starting:
        rank = "0"
    try:
        ranks = int(rank or ""), int(world_size or "")
        if not 0 <= ranks[0] < ranks[1]:
            raise ValueError
    except ValueError:
        raise InvalidArgumentError(
            f"RANK, WORLD_SIZE: {rank!r}, {world_size!r} found in the environment, wanted a world "
            "size and a rank below it; or give rank and world_size, or initialise torch.distributed"
        ) from None
    return ranks
