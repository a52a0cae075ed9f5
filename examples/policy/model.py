"""A policy from a picture and a state to a chunk of actions: a transformer that learns a flow.

    picture  [B, S, S, 3] ─► patches ──┐
    state    [B, D] ─────────────────► ├─► transformer ─► velocity [B, T, A]
    noisy actions [B, T, A], time [B] ─┘

Flow matching: with actions a, noise n and time t, both drawn, x = (1 - t) n + t a lies on the way
from noise to actions, and the network learns the velocity a - n there. To act, it goes that way
from noise on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

FIELDS = ("picture", "state", "actions", "actions_is_pad", "actions_valid")  # of a batch


@dataclass(frozen=True)
class Shape:
    """What a policy is told, and how large it is."""

    state: int
    action: int
    chunk: int
    size: int = 224  # of pictures, in pixels
    patch: int = 16
    width: int = 384
    depth: int = 6
    head: int = 64

    @property
    def tokens(self) -> int:
        return (self.size // self.patch) ** 2 + 1 + self.chunk

    def flops(self) -> float:
        """Operations of a training step a frame: those forward, and twice as many backward."""
        layer = 24 * self.width**2 * self.tokens + 4 * self.width * self.tokens**2
        patches = (self.size // self.patch) ** 2
        return 3.0 * (self.depth * layer + 2 * patches * 3 * self.patch**2 * self.width)


class Block(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads = max(1, shape.width // shape.head)
        self.norms = nn.ModuleList(nn.LayerNorm(shape.width) for _ in range(2))
        self.project = nn.Linear(shape.width, 3 * shape.width)
        self.join = nn.Linear(shape.width, shape.width)
        self.widen = nn.Linear(shape.width, 4 * shape.width)
        self.narrow = nn.Linear(4 * shape.width, shape.width)

    def forward(self, tokens: Tensor) -> Tensor:
        batch, count, width = tokens.shape
        parts = self.project(self.norms[0](tokens)).view(batch, count, 3, self.heads, -1)
        queries, keys, values = parts.permute(2, 0, 3, 1, 4).unbind(0)
        seen = functional.scaled_dot_product_attention(queries, keys, values)
        tokens = tokens + self.join(seen.transpose(1, 2).reshape(batch, count, width))
        return tokens + self.narrow(functional.gelu(self.widen(self.norms[1](tokens))))


class Policy(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        width, patches = shape.width, (shape.size // shape.patch) ** 2
        self.see = nn.Linear(3 * shape.patch**2, width)
        self.feel = nn.Linear(shape.state, width)
        self.intend = nn.Linear(shape.action, width)
        self.when = nn.Linear(64, width)
        self.positions = nn.Parameter(torch.randn(patches + 1 + shape.chunk, width) * 0.02)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.depth))
        self.norm = nn.LayerNorm(width)
        self.move = nn.Linear(width, shape.action)
        nn.init.zeros_(self.move.weight)
        nn.init.zeros_(self.move.bias)

    def embed(self, picture: Tensor, state: Tensor, noisy: Tensor, time: Tensor) -> Tensor:
        """Returns a token for each patch, for the state and for each action."""
        side, count = self.shape.patch, self.shape.size // self.shape.patch
        pixels = picture.to(state.dtype) / 127.5 - 1
        cut = pixels.view(-1, count, side, count, side, 3).transpose(2, 3).flatten(3).flatten(1, 2)
        angles = time[:, 0] * torch.logspace(0, 3, 32, device=time.device)
        moment = self.when(torch.cat([angles.sin(), angles.cos()], 1))
        intended = self.intend(noisy) + moment[:, None]
        tokens = torch.cat([self.see(cut), self.feel(state)[:, None], intended], 1)
        return tokens + self.positions

    def forward(self, picture: Tensor, state: Tensor, noisy: Tensor, time: Tensor) -> Tensor:
        """uint8 [B, S, S, 3], [B, D], [B, T, A] and [B, 1, 1] to [B, T, A]."""
        tokens = self.embed(picture, state, noisy, time)
        for block in self.blocks:
            tokens = block(tokens)
        velocity: Tensor = self.move(self.norm(tokens[:, -self.shape.chunk :]))
        return velocity.float()

    @torch.no_grad()
    def act(self, picture: Tensor, state: Tensor, steps: int = 8) -> Tensor:
        """Returns a chunk of normalised actions, [B, T, A], on the way from noise."""
        actions = torch.randn(len(state), self.shape.chunk, self.shape.action, device=state.device)
        for step in range(steps):
            time = torch.full((len(state), 1, 1), step / steps, device=state.device)
            actions = actions + self(picture, state, actions, time) / steps
        return actions


class Trainer:
    """A policy, its optimizer, and a step of training; what is drawn hangs on seed and step alone.

    On a GPU the policy works in bfloat16 and is compiled, block by block. Where the process is
    alone the third step is captured in a CUDA graph: later ones cost the host little more than the
    copies of a batch to where the graph reads it, so that the GPU need not wait for busy cores.

    Args:
        shape: of the policy.
        device: "cpu" or a CUDA device.
        seed: of the weights, and of what is drawn in steps.
        rate: of learning.
        rank: whose rows these are, of several processes; None: there is one alone.
        is_compiled: on a GPU; the first steps take as many seconds longer as compiling does.
        is_captured: on a GPU, where the process is alone.
    """

    def __init__(
        self,
        shape: Shape,
        device: str,
        seed: int = 0,
        rate: float = 3e-4,
        rank: int | None = None,
        is_compiled: bool = True,
        is_captured: bool = True,
    ) -> None:
        torch.manual_seed(seed)
        self.device = torch.device(device)
        self.on_gpu = self.device.type == "cuda"
        self.seed = seed + (rank or 0) * 1_000_003
        self.policy = Policy(shape).to(self.device)
        self.module: Any = self.policy
        if self.on_gpu and is_compiled:
            self.policy.embed = torch.compile(self.policy.embed, dynamic=False)
            for block in self.policy.blocks:
                block.compile(dynamic=False)  # what is compiled for one serves all
        if rank is not None:
            devices = [self.device] if self.on_gpu else None
            self.module = nn.parallel.DistributedDataParallel(
                self.policy, devices, gradient_as_bucket_view=True
            )
        self.optimizer = torch.optim.AdamW(
            self.policy.parameters(), rate, fused=self.on_gpu, capturable=self.on_gpu
        )
        self.chance = torch.Generator(self.device)
        self.inputs: dict[str, Tensor] = {}
        captures = is_captured and self.on_gpu and rank is None
        self.captured = Captured(self.learn) if captures else None

    def step(self, batch: dict[str, Any], number: int) -> Tensor:
        """Learns from a batch; returns its loss, which nobody has waited for."""
        actions = batch["actions"]
        if not self.inputs:
            self.inputs = {name: torch.empty_like(batch[name]) for name in FIELDS}
            self.inputs["time"] = torch.empty(len(actions), 1, 1, device=self.device)
            self.inputs["noise"] = torch.empty_like(actions)
        for name in FIELDS:
            self.inputs[name].copy_(batch[name])
        self.chance.manual_seed(self.seed + number * 7919)
        self.inputs["time"].uniform_(generator=self.chance)
        self.inputs["noise"].normal_(generator=self.chance)
        return self.learn() if self.captured is None else self.captured()

    def learn(self) -> Tensor:
        """Does a step with what lies in `inputs`."""
        given = self.inputs
        time, noise, actions = (given[name] for name in ("time", "noise", "actions"))
        noisy = (1 - time) * noise + time * actions
        with torch.autocast(
            self.device.type, torch.bfloat16, enabled=self.on_gpu, cache_enabled=False
        ):
            velocity = self.module(given["picture"], given["state"], noisy, time)
        # What lies behind an episode's end, or where the stream has nothing, is not learnt.
        is_real = given["actions_valid"] & ~given["actions_is_pad"]
        error = (velocity - (actions - noise)).square().mean(2)
        loss = (error * is_real).sum() / is_real.sum().clamp(min=1)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def state_dict(self) -> dict[str, Any]:
        return {"policy": self.policy.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.policy.load_state_dict(state["policy"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.captured is not None:
            self.captured = Captured(self.learn)  # the optimizer's state lies elsewhere now


class Captured:
    """Work on a GPU that is the same each time, captured in a CUDA graph the third time."""

    def __init__(self, work: Callable[[], Tensor]) -> None:
        self.work = work
        self.stream = torch.cuda.Stream()
        self.graph: Any = None
        self.result: Any = None
        self.done = 0

    def __call__(self) -> Tensor:
        self.done += 1
        if self.done <= 2:  # libraries take their workspaces, the optimizer its state
            self.stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self.stream):
                result = self.work()
            torch.cuda.current_stream().wait_stream(self.stream)
            return result.clone()
        if self.graph is None:
            self.graph = torch.cuda.CUDAGraph()
            # Threads of loaders may allocate meanwhile.
            with torch.cuda.graph(
                self.graph, stream=self.stream, capture_error_mode="thread_local"
            ):
                self.result = self.work()
        self.graph.replay()
        return self.result.clone()
