"""Imported before the modules that import torch: an error of robocache where there is none."""

from .._frameworks import need_torch

need_torch("backend 'pytorch'")
