"""Aligned, shuffled batches from a dataset."""

from __future__ import annotations

import hashlib
import itertools
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from . import _arguments, _core, _normalize, config
from ._delivery import find_device, find_kind, stream_of
from ._members import Member, find_members
from ._parameters import Parameters
from ._progress import format_bytes
from ._share import Share, check_ranks, find_share
from ._state import MAX_EPOCH, State, read_state
from ._torch_data import BatchSampler, register
from .batch import Batch, Text
from .dataset import Dataset
from .errors import Error, InvalidArgumentError, NotFoundError
from .mixture import Mix
from .window import Window, as_given

__all__ = ["DataLoader"]

SNAP_NS = 1000


class DataLoader:
    """Batches of aligned windows, made by native threads and delivered in order.

    A sample is a tick of the clock in an episode, and every tick of every episode is one. A batch
    is a dict with, for every window: `<name>` [B, W, ...], `<name>_is_pad` [B, W] bool (the time
    lies outside the episode), `<name>_valid` [B, W] bool (the stream's samples speak of that time,
    see :class:`Window`), for point clouds `<name>_lengths` [B, W] int64, for grids of voxels
    `<name>_dropped`; and "episode_index" (of ``dataset.episodes``), "episode_id" (Episode.id, the
    same in every view), "step_index", "time_ns" (int64 [B]) and "task" (list of str). Text windows
    are lists of lists of str. Tensors stay valid for as long as they are held. See
    :class:`robocache.Batch` for what it can do.

    ``for batch in loader`` delivers one epoch; the next ``for`` delivers the next one, also after
    an early ``break``. Which samples an epoch holds, and in which order, depends on the episodes,
    the seed and the epoch alone. Batch k of rank r begins at position
    base + (k * world_size + r) * batch_size of that order, where base is 0, or the position of the
    state that the epoch is continued from.

    Args:
        dataset: the episodes to draw from, or a mixture of datasets: :func:`robocache.mix`.
        batch_size: samples a batch.
        rate_hz: the clock; by default the dataset's control rate. 29.97 means 30000/1001, and so on
            for all video rates; any other float a short fraction that rounds to it. In a mixture
            this, clock and require may be dicts of the datasets' names to what is each one's own.
        streams: stream names to Window, or to a list of them; a list of names takes one tick of
            each; by default all numeric and image streams, those left out with a warning that
            cannot be read or are named as another field of the batch is.
        delta_timestamps: LeRobot's dict of stream names to seconds, taken with mode "nearest".
        shuffle: True over all samples; "blocks" for data that is packed, chunks of arrays or groups
            of pictures, of which a global shuffle unpacks a whole one for nearly each sample:
            groups of segments of a few blocks each come in random order, and the samples of a group
            in random order among each other, so that each block is unpacked about once. Where
            nothing is packed that is a global shuffle. stats() has the factors to expect of either.
        seed: of the order.
        num_threads: worker threads; 0 means $ROBOCACHE_LOADER_THREADS, else the cores of the host
            over the ranks on it, see docs, less one for the loop where batches are on a GPU.
        num_slots: batches prepared ahead; 0 means num_threads + 2.
        memory_bytes: what all may take together but for batches that are held: a quarter of it for
            batches prepared ahead, a quarter for episodes at hand, a quarter for blocks that are
            unpacked, the rest for what is fetched ahead; 0 means
            $ROBOCACHE_LOADER_MEMORY_BYTES, else num_slots batches and 512 MiB.
        device: "cpu", or "cuda" or "cuda:1" for torch tensors there. Nothing waits for the device:
            work on the stream that is current when a batch is delivered comes after what the batch
            is made by; for other streams see Batch.record_stream().
        jpeg: where JPEGs are decoded, and images made of them, of batches on a GPU: "cuda", there;
            "cpu"; or "auto", the default: by the cores as long as that keeps the loader ahead, by
            the GPU as far as it does not. The pixels are the same. With device="cpu" by the cores.
        align: where numbers are resampled, normalised and put into vectors, of batches on a GPU:
            "cuda", there, those of many rows at once; or "cpu", the default, from where they are
            copied. Numbers, masks and errors are the same. What is delivered as it is stored is
            copied either way. With device="cpu" by the cores.
        slots: "fixed" has the tensors of every batch on a GPU at the same addresses, so that a CUDA
            graph captured once reads each, see docs/gpu.md: the next batch overwrites them.
        drop_last: leave out a last batch that is not full.
        on_error: what a damaged sample does: "raise" from the batch it is in, the next batch being
            next; "skip", which leaves it out of its batch; or "mask", which keeps its row with
            nothing in it: `is_pad` and `valid` False, zeros (NaN where outside="nan"), no text.
            :attr:`skipped` lists those left out or masked.
        rank, world_size: this process among those that share an epoch; by default those of
            torch.distributed where it is initialised, else $RANK and $WORLD_SIZE, else 0 of 1, as
            they are when an iteration begins.
        remainder: of samples that do not divide evenly by world_size: "drop" (fewer than
            world_size, or with drop_last those of the last round, are left out, so that all ranks
            have equally many batches), "repeat" (the first few come twice, to the same end) or
            "uneven" (every sample once; some ranks have one batch more or a smaller one, for which
            the others of a synchronous run would wait for ever). With one rank they are the same.
        array: "torch", "numpy" or "jax"; by default torch tensors where torch is installed. JAX has
            no 64-bit numbers unless jax_enable_x64 is set: until then such fields are NumPy's.
        jpeg_dct: "accurate" or "fast", see robocache.open(); by default as the dataset was opened.
        snap_ns: moments up to this many nanoseconds apart are one: stamps and targets, offsets in
            seconds and ticks. It takes up what was rounded on the way to nanoseconds; 0 compares
            exactly.
        clock: names of the streams that the clock is taken from: an episode's ticks run from the
            first to the last of their stamps. By default the action's stamps, without such those of
            the streams with one sample a step, without such the steps. A stream that lies outside
            of the clock is named in a warning, with its offset.
        require: names of streams; only ticks at which their windows would be valid, by mode,
            tolerance and max_gap, are samples. Their stamps are read when the loader is made.

    Raises:
        InvalidArgumentError: an argument is wrong, rate_hz is needed and not given, or the stamps
            of the clock's streams make an epoch more than ten times as long as its steps say.
        NotFoundError: there is no such stream; the message lists those there are.
        UnsupportedError: this build cannot deliver to the device.
    """

    def __init__(
        self,
        dataset: Dataset | Mix,
        batch_size: int = 1,
        *,
        rate_hz: float | Mapping[str, float | None] | None = None,
        streams: Mapping[str, Window | Sequence[Window]] | Sequence[str] | None = None,
        delta_timestamps: Mapping[str, Sequence[float]] | None = None,
        shuffle: bool | str = False,
        seed: int = 0,
        num_threads: int = 0,
        num_slots: int = 0,
        memory_bytes: int = 0,
        device: str = "cpu",
        drop_last: bool = False,
        on_error: str = "raise",
        rank: int | None = None,
        world_size: int | None = None,
        remainder: str = "drop",
        array: str | None = None,
        jpeg_dct: str | None = None,
        jpeg: str | None = None,
        align: str | None = None,
        slots: str | None = None,
        snap_ns: int = SNAP_NS,
        clock: str | Sequence[str] | Mapping[str, Any] | None = None,
        require: str | Sequence[str] | Mapping[str, Any] = (),
    ) -> None:
        options = {
            name: value for name, value in locals().items() if name not in ("self", "dataset")
        }
        if streams is not None:
            streams = options["streams"] = as_given(streams)
        self.dataset = dataset
        self._parameters = Parameters.check(options)
        self.batch_size = self._parameters.batch_size
        self.seed = self._parameters.seed
        self._ranks = check_ranks(rank, world_size)
        self._options = options
        self._members = find_members(
            dataset,
            streams=streams,
            delta_timestamps=delta_timestamps,
            rate_hz=rate_hz,
            clock=clock,
            require=require,
            on_error=self._parameters.on_error,
        )
        if isinstance(dataset, Dataset):
            options["clock"], options["require"] = self._members[0].clock, self._members[0].require
        self._kind = find_kind(array)
        self._device = find_device(device, self._kind)
        self._parameters.check_device(self._device)
        register(DataLoader)
        self._sent: tuple[int, int] | None = None  # ranks of the process that it was pickled in
        self._is_iterated = False  # since it was made or moved: its share is settled
        self._epoch_asked: int | None = None  # for the iteration after the one under way
        self._sampled: tuple[Iterator[Batch], int, int] | None = None
        self._create(find_share(self._ranks, None, is_starting=False))
        for message in self._warnings():
            where = dataset.path if isinstance(dataset, Dataset) else dataset
            warnings.warn(f"{where}: {message}", stacklevel=2)
        if len(self) == 0:
            warnings.warn(f"the loader has no batch: {self._why_empty()}", stacklevel=2)

    def _warnings(self) -> Iterator[str]:
        """Yields what the native loader found that is hardly meant."""
        for index in itertools.count():
            message = self._native.warning(index)
            if message is None:
                return
            yield message

    def _why_empty(self) -> str:
        if isinstance(self.dataset, Dataset) and len(self.dataset) == 0:
            return f"{self.dataset!r} is empty"
        if self.num_samples == 0 and self._members[0].require:
            return f"{', '.join(self._members[0].require)} is valid at no tick"
        world_size = f" and world_size {self.world_size}" if self.world_size > 1 else ""
        drop_last = self._parameters.drop_last
        return f"{self.num_samples} samples are too few for drop_last {drop_last}{world_size}"

    def _create(self, share: Share) -> None:
        """Makes the native loader, which begins anew."""
        self._share = share
        self._process = os.getpid()
        epoch = "first" if isinstance(self.dataset, Dataset) else self.dataset.epoch
        self._native = _core.create_loader(
            [member.native() for member in self._members],
            (self._kind, Batch, Text, stream_of(self._device)),
            num_threads=self._threads(),
            rank=share.rank,
            world_size=share.world_size,
            part=share.worker,
            num_parts=share.num_workers,
            device=self._device,
            **self._parameters.native(epoch),
        )

    def _threads(self) -> int:
        asked: int = self._parameters.num_threads or config.value("loader_threads") or 0
        # A loop on a GPU needs a core to launch its kernels in time.
        return asked or max(1, self._share.default_threads() - (self._device >= 0))

    def _settle(self, epoch: int, position: int, *, is_starting: bool = False) -> bool:
        """Takes this process' share as it is now, to go on at a position of the share before.

        torch.distributed may have been initialised since, or this be another process. Says whether
        anything changed.
        """
        share = find_share(self._ranks, self._sent, is_starting=is_starting)
        if share == self._share and self._process == os.getpid():
            return False
        if position > 0:
            self._share.check_move(self.batch_size, share, self.batch_size)
        if self._process == os.getpid():
            self._native.close()
        else:
            self.dataset = self.dataset._reopen()
            if isinstance(self.dataset, Dataset):
                reopened = [self.dataset]
            else:
                reopened = list(self.dataset.datasets.values())
            for member, dataset in zip(self._members, reopened, strict=True):
                member.dataset = dataset
        self._create(share)
        self._native.seek(epoch, position)
        return True

    def _settle_early(self) -> None:
        if not self._is_iterated:
            self._settle(*self._native.tell()[:2])

    @property
    def rank(self) -> int:
        """Of this process, as far as it is known before an iteration begins."""
        self._settle_early()
        return self._share.rank

    @property
    def world_size(self) -> int:
        """Processes that share an epoch, as far as it is known before an iteration begins."""
        self._settle_early()
        return self._share.world_size

    def __len__(self) -> int:
        """Batches of this rank in an epoch."""
        self._settle_early()
        return self._native.num_batches()

    @property
    def num_samples(self) -> int:
        """Samples of all ranks in an epoch."""
        return self._native.num_samples()

    @property
    def epoch(self) -> int:
        """The epoch that is being delivered, or is delivered next."""
        return self._native.tell()[0]

    def set_epoch(self, epoch: int) -> None:
        """Lets the next iteration deliver this epoch, from its beginning unless it is due anyway.

        As torch's DistributedSampler has it. Without a call every iteration delivers the epoch
        after the last. After :meth:`load_state_dict` the state's own epoch leaves its position.
        """
        epoch = _arguments.integer("epoch", epoch, 0, MAX_EPOCH)
        now, _, is_fresh = self._native.tell()
        if not is_fresh:
            self._epoch_asked = epoch
        elif epoch != now:
            self._native.seek(epoch, 0)

    @property
    def batch_sampler(self) -> BatchSampler:
        """For tools that skip batches of torch's DataLoader, or set its epoch."""
        return BatchSampler(self)

    # As of a torch DataLoader that has a batch sampler of its own and no workers.
    sampler = None
    prefetch_factor = None

    def collate_fn(self, items: list[Any]) -> Batch:
        """Returns the batch that the last item of :attr:`batch_sampler` stands for."""
        if self._sampled is None:
            raise InvalidArgumentError(
                f"collate_fn: {_arguments.found(items)} found, wanted an item of batch_sampler"
            )
        batches, epoch, position = self._sampled
        if self._native.tell()[:2] != (epoch, position):
            self._native.seek(epoch, position)
        return next(batches)

    def __iter__(self) -> Iterator[Batch]:
        epoch, position, is_fresh = self._native.tell()
        if not is_fresh:
            epoch, position = epoch + 1 if self._epoch_asked is None else self._epoch_asked, 0
        if not self._settle(epoch, position, is_starting=True) and not is_fresh:
            self._native.seek(epoch, position)
        self._epoch_asked = None
        self._is_iterated = True
        if config.value("watch_seconds") and (self._share.rank, self._share.worker) == (0, 0):
            from .observability.line import watch_as_set

            watch_as_set(self)
        return self._native.iterate()

    def state_dict(self) -> dict[str, Any]:
        """Returns where the loader stands, as a dict that JSON can hold.

        Its "position" is a number of samples of the epoch: those that all ranks together have been
        given, or all of them once the epoch is over. Load it in a loader over the same episodes
        with the same windows, rate_hz, seed and shuffle, of any batch_size, world size, drop_last
        and remainder, to go on with the sample after the last one delivered. A batch counts as
        delivered when next() has returned it, or has raised what is damaged in it. All ranks of a
        synchronous run stand at the same position, so any rank's state serves all of them: a rank
        that has no batch in the last round stands there once it has been told that its epoch is
        over.
        """
        self._settle_early()
        epoch, position, _ = self._native.tell()
        if self._epoch_asked is not None and position >= self.num_samples:
            epoch, position = self._epoch_asked, 0
        return State(epoch, position, self._share, self.batch_size).write(self._identity())

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Continues where a :meth:`state_dict` was taken, from the next iteration on.

        Taken at the end of an epoch, the next iteration is the next epoch. In the last round of an
        epoch, the next iteration of a rank that has no batch there is empty: all ranks go on in the
        same epoch. World size, batch_size, drop_last and remainder may differ: the samples that are
        left are dealt out anew, batch k of rank r from position + (k * world_size + r) * batch_size
        on. States of earlier versions, which counted batches, are taken as well.

        Raises:
            InvalidArgumentError: the state is of other samples or of another order, or of one of
                several worker processes, which do not keep step, and there are not as many here.
            ArgumentTypeError: it is no state.
        """
        epoch, position, share, batch_size = read_state(
            state_dict, self._identity(), self.num_samples
        )
        self._settle(epoch, 0)
        if position > 0:
            share.check_move(batch_size, self._share, self.batch_size)
        self._native.seek(epoch, position)
        if position > 0 and self._native.tell()[1] >= self.num_samples:
            self._native.seek(epoch + 1, 0)  # what is left is left out on every rank
        self._epoch_asked = None
        self._is_iterated = False

    def _identity(self) -> dict[str, Any]:
        """Returns what has to be as it was for a position to mean the same samples."""
        own = [member.identity(self._parameters.snap_ns) for member in self._members]
        rates = [member.rate for member in self._members]
        segments = [f"{length} x {count}" for _, length, count in self._native.members()]
        identity: dict[str, Any] = {}
        rate: float | str | None
        if isinstance(self.dataset, Dataset):
            identity["fingerprint"] = f"{self.dataset._selection.fingerprint():016x}"
            windows, rate = repr(own[0]), rates[0]
        else:
            identity["fingerprint"] = self.dataset._fingerprint()
            identity["mixture"] = f"epoch {self.dataset.epoch}"
            windows, rate = repr(own), " ".join(f"{rate:g}" for rate in rates)
        identity |= {
            "num_samples": self.num_samples,
            "shuffle": self._parameters.shuffle,
            "seed": self.seed,
            "rate_hz": rate,
            "windows": hashlib.sha256(windows.encode()).hexdigest()[:16],
        }
        if self._parameters.shuffle == "blocks":
            identity["segments"] = ", ".join(segments)
        return identity

    def stats(self) -> dict[str, Any]:
        """Returns counters since the loader was made, see docs: batches, samples, bytes, slots.

        "slots" above num_slots says that batches are being held. Times are in nanoseconds;
        "wait_ns" is how long the training loop waited. "memory_bytes" is the bound on what is held
        beside held batches, of which "slots_bytes", "episode_bytes", "block_bytes",
        "decoder_bytes" and "fetched_bytes" are in use. "unpack_factor_global" and
        "unpack_factor_blocks" say how often each packed block is to be unpacked in an epoch,
        shuffled so; 0 where nothing is packed. "pictures_decoded" are those of video that decoders
        went through, of which "images_decoded" counts the ones that were wanted. Of batches on a
        GPU "images_on_device" are those of them that it decoded, "core_image_ns" what a core takes
        for one and "loop_batch_ns" the training loop for a batch, as measured lately, by which
        jpeg="auto" goes; "device_bytes" and "pinned_bytes" are held there and for it. That GPU's
        time, by its own clock and summed over workers: "gpu_copy_ns", "gpu_decode_ns",
        "gpu_image_ns", "gpu_grid_ns", "gpu_align_ns".

        Where the time goes, by the stages "queue", "order", "read", "unpack", "decode", "align" and
        "deliver": "stage_<stage>_ns" that the threads were in it, "stage_<stage>_bytes" that came
        out, "wait_<stage>_ns" that the training loop waited for it, which add up to "wait_ns".
        "stage_deliver_ns" is what next() took beside waiting, "outside_ns" what passed between its
        calls: with "wait_ns" they are all the time from the first call of each iteration to its
        end. "idle_ns" is how long worker threads had nothing to do. As it is now: "batches_begun"
        and of them "batches_ready"; "ranges_fetched", parts of batches that wait for a worker;
        "threads", "threads_idle", "fetchers", "fetchers_idle". See also :attr:`waits_for`.
        """
        stages, memory = self._native.stages(), self._native.memory()
        del stages["waits_for"], memory["device_memory"]
        return {**self._native.stats(), **memory, **stages}

    def _standing(self) -> dict[str, int]:
        """Returns where it stands, as far as is known: from any thread, and nothing is settled."""
        epoch, position, _ = self._native.tell()
        return {
            "epoch": epoch,
            "position": position,
            "num_samples": self._native.num_samples(),
            "rank": self._share.rank,
            "world_size": self._share.world_size,
        }

    @property
    def waits_for(self) -> str | None:
        """The stage that the batch is in which next() waits for, in another thread, or None."""
        stage: str | None = self._native.stages()["waits_for"]
        return stage

    @property
    def device_memory(self) -> str | None:
        """What "device_bytes" of stats() are asked of, "torch" or "driver"; None: on the CPU."""
        asked: str | None = self._native.memory()["device_memory"]
        return asked

    def denormalize(self, name: str, values: Any, dataset: str | int | None = None) -> Any:
        """Returns what values of a field were before ``Window(normalize=)``, as for a robot to do.

        A window's scale and offset stay.

        Args:
            name: of the field.
            values: [..., *shape of a sample] of NumPy, torch or JAX, on any device, such as what a
                model predicts; of the same kind, in float64 where they are, else in float32. Of a
                window with `pad_to`, with or without the elements behind those of the dataset,
                which stay as they are.
            dataset: whose values they are to be, in a mixture: its name or index.

        Raises:
            NotFoundError: no field of that name is normalised.
            InvalidArgumentError: the values have another shape, or there is no such dataset.
        """
        normal = self._find_member(dataset).normal
        if _arguments.string("denormalize", name) not in normal:
            listed = ", ".join(map(repr, normal)) or "none"
            raise NotFoundError(f"denormalize: {name!r} is not normalised; {listed} is")
        return _normalize.undo(name, values, *normal[name])

    def _find_member(self, dataset: str | int | None) -> Member:
        if isinstance(self.dataset, Dataset):
            if dataset is not None:
                raise InvalidArgumentError(
                    f"denormalize: dataset {_arguments.found(dataset)} found, wanted None: the "
                    "loader is of no mixture"
                )
            return self._members[0]
        names = self.dataset.names
        if dataset is None or isinstance(dataset, str):
            if dataset not in names:
                raise InvalidArgumentError(
                    f"denormalize: dataset {dataset!r} found, wanted one of the mixture: "
                    f"{', '.join(map(repr, names))}"
                )
            return self._members[names.index(dataset)]
        return self._members[_arguments.integer("dataset", dataset, 0, len(names) - 1)]

    @property
    def skipped(self) -> list[str]:
        """Error messages of the samples left out or masked (on_error); the first 1,000."""
        messages: list[str] = []
        while (message := self._native.skipped(len(messages))) is not None:
            messages.append(message)
        return messages

    def close(self) -> None:
        """Stops the threads. Batches still held stay valid."""
        self._native.close()

    def __repr__(self) -> str:
        """Says what is delivered, to whom, with what, and what is next."""
        share, rates = self._share, [member.rate for member in self._members]
        shuffle = self._parameters.shuffle
        parts = [f"batches of {self.batch_size}"]
        if None not in rates:
            parts.append(", ".join(f"{rate:g}" for rate in dict.fromkeys(rates)) + " Hz")
        how = "shuffled by blocks, seed" if shuffle == "blocks" else "shuffled by seed"
        parts.append(f"{how} {self.seed}" if shuffle else "in order")
        remainder = self._parameters.remainder
        parts.append(f"rank {share.rank} of {share.world_size}, remainder {remainder!r}")
        if share.num_workers > 1:
            parts.append(f"worker {share.worker} of {share.num_workers}")
        parts.append(f"{self._threads()} threads")
        try:
            stats = self._native.stats()
            parts[0] = f"{self.num_samples} samples in {self._native.num_batches()} {parts[0]}"
            parts.append(f"slots of {format_bytes(stats['slot_bytes'])}")
            memory = self._native.memory()
            used = sum(memory[f"{name}_bytes"] for name in ("slots", "episode", "block", "fetched"))
            bound = format_bytes(memory["memory_bytes"])
            parts.append(f"{format_bytes(used)} of {bound} of memory in use")
            epoch, position, _ = self._native.tell()
            parts.append(f"epoch {epoch}, sample {position}")
        except Error as error:
            parts.append(str(error))
        return f"<DataLoader of {self.dataset!r}: {'; '.join(parts)}>"

    def __getstate__(self) -> dict[str, Any]:
        """Returns parameters and position; a loader made of them starts where this one stands."""
        return {
            "dataset": self.dataset,
            "options": self._options,
            "state": self.state_dict(),
            "ranks": (self._share.rank, self._share.world_size),
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        DataLoader.__init__(self, state["dataset"], **state["options"])
        self._sent = state["ranks"]
        self.load_state_dict(state["state"])

    def __enter__(self) -> DataLoader:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
