"""A small simulated arm that records itself as a real one does: every sensor on its own clock.

`record_episodes` is the entry point. Needs MuJoCo and Pillow; renders without a display through
OSMesa unless MUJOCO_GL says otherwise. MuJoCo reads that variable when it is first imported: import
this package before it.
"""

import os

os.environ.setdefault("MUJOCO_GL", "osmesa")

from .record import CLOCKS, Episode, Samples, record_episode, record_episodes
from .simulate import load_model

__all__ = ["CLOCKS", "Episode", "Samples", "load_model", "record_episode", "record_episodes"]
