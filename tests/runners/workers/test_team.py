"""The processes that follow rank 0."""

import pytest
from kvarena.runners.workers import team


@pytest.mark.parametrize("size", [2, 3])
def test_a_follower_that_ends_before_it_has_begun_ends_the_run(monkeypatch, size):
    monkeypatch.setattr(team, "FOLLOWER", "import os, time; os.environ['RANK'] == '1' or time.sleep(60)")
    with pytest.raises(ValueError, match=rf"tensor_parallel={size}: a rank ended before it had begun; "):
        team.team_of.__wrapped__(size)
