"""The cache, the decode loop, and the entry points that drive them."""

import os

# OpenMP threads spin at every barrier. On two cores with other work on one, that made a decode step over ten times
# slower; threads that never spin lose half on an idle machine. A short spin is good at both. It has to stand here,
# before torch is imported, and changes no result
os.environ.setdefault("GOMP_SPINCOUNT", "10000")
