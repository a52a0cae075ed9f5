"""What bench/profile_gpu.py profiles: each case of bench/gpu.py once, in an NVTX range."""

from __future__ import annotations

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
from device.cases import cases


def main() -> None:
    only = sys.argv[1] if len(sys.argv) > 1 else ""
    torch.manual_seed(0)
    for label, make in cases().items():
        if re.search(only, label):
            case = make()
            torch.cuda.synchronize()
            torch.cuda.nvtx.range_push(label.replace(":", " "))
            case.contenders["robocache"]()
            torch.cuda.synchronize()
            torch.cuda.nvtx.range_pop()
            del case
            torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
