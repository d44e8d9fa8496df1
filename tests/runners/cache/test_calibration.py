"""A file of learned columns that is not what kvarena-calibrate writes is refused when it is read."""

import pytest
import torch
from kvarena.contract.tiny_calibration import tiny_calibration
from kvarena.runners.cache import read_calibration
from kvarena.runners.calibrate import as_safetensors

DAMAGES = {
    "no_basis": (lambda made: {"values.basis": made["values.basis"]}, {}),
    "one_side": (lambda made: {"keys.basis": made["keys.basis"]}, {}),
    "fewer_layers": (lambda made: made | {"values.basis": made["values.basis"][:2]}, {}),
    "flat": (lambda made: made | {"keys.basis": made["keys.basis"].flatten()}, {}),
    "turns_nothing": (lambda made: made | {"keys.basis": torch.zeros_like(made["keys.basis"])}, {}),
    "broken_basis": (lambda made: made | {"keys.basis": made["keys.basis"] * torch.nan}, {}),
    "broken_codebook": (lambda made: made | {"values.codebook8": made["values.codebook8"] * torch.inf}, {}),
    "other_parts": (lambda made: made | {"keys.codebook8": made["keys.codebook4"]}, {}),
    "facts_of_nothing": (lambda made: made, None),
    "prints_of_nothing": (lambda made: made, {"fingerprints": {"weights": "abc"}}),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_was_not_learned_is_refused(tmp_path, damage):
    change, facts = DAMAGES[damage]
    tensors = {
        name: tensor.clone() for name, tensor in change(dict(read_calibration(tiny_calibration()).tensors)).items()
    }
    file = tmp_path / "own.safetensors"
    file.write_bytes(as_safetensors(tensors, facts))
    with pytest.raises(ValueError, match=r"own\.safetensors is no calibration of kvarena-calibrate"):
        read_calibration(str(file))
