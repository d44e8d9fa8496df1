"""What a policy needs to know of a model beyond keys, values and queries; what cannot be supplied is refused.

L layers.
"""

from ...methods.policy import Policy
from ..cache import FromModel, Shape
from ..model import Model, output_weights


def known_of(model: Model, shape: Shape, policy: Policy) -> list[FromModel]:
    """[L], without what the probe finds; ValueError for what the model does not show."""
    if not policy.needs.output:
        return [FromModel()] * shape.layers
    try:
        return [FromModel(output_weight=weight) for weight in output_weights(model, shape)]
    except ValueError as error:
        raise ValueError(
            f"{type(policy).__name__} weighs values by the output projection: {error}; "
            "use method.weight._target_=kvarena.methods.weight.Unweighted"
        ) from error
