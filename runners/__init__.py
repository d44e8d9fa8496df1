"""The cache, the decode loop, and the entry points that drive them."""

import os

# on a CPU with other work on it, OpenMP threads that spin at every barrier made a decode step over 20 times slower. It
# has to stand here, before torch is imported, and changes no result
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
