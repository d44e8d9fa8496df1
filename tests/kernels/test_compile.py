"""Every kernel compiles for a Hopper GPU as it is launched there, on a machine that has none."""

import json
import os
import subprocess
import sys
from pathlib import Path

SHARED = 227 * 1024  # bytes that a program may have on sm_90
OVERLAPPING = {
    *("append_token", "attend_codes", "attend_split", "join_splits", "norm_row", "product", "ranges", "rotate_head"),
    "gate_block",
}
ALONE = {
    *("add_distances", "add_listed_slots", "add_probabilities", "bound_pages", "choose_top", "mark_used"),
    "score_pages",
    *("decode_block", "encode_block"),
    *("choose_lowest", "close_ranks", "copy_or_empty", "drop_lowest", "draw_block"),
    *("join_norms", "mean_of_cosines", "norms", "pool_line", "projected_norms", "shares", "sum_units"),
}


def test_every_kernel_compiles_and_one_that_is_set_up_early_waits(tmp_path):
    """Of each launch: its kernel, whether it may overlap the one before it, whether it waits for it, shared bytes."""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    environment["TRITON_CACHE_DIR"] = str(tmp_path)
    program = Path(__file__).with_name("hopper.py")
    done = subprocess.run([sys.executable, program], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    launches = json.loads(done.stdout)
    assert {name for name, overlaps, _, _ in launches if overlaps} == OVERLAPPING
    assert {name for name, overlaps, _, _ in launches if not overlaps} == ALONE
    assert [name for name, overlaps, waits, _ in launches if overlaps != waits] == []
    assert max(shared for *_, shared in launches) <= SHARED
