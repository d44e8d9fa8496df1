"""The cache, the decode loop, and the entry points that drive them."""
