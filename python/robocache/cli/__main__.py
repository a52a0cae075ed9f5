"""``python -m robocache.cli``."""

import sys

from . import main

sys.exit(main())
