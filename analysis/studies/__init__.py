"""Studies of ours: the pilot on the embedded suite, VaSE's claims, throughput."""
