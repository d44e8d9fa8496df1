"""A profile as a picture: what each layer demands, and the part of the budget that it is given for it."""

from collections.abc import Sequence
from pathlib import Path

import torch
from matplotlib.figure import Figure

from ...methods.shares import robust_shares
from ..record import write_figure


def draw_profile(path: Path, model: str, demand: Sequence[float], rho: float) -> None:
    """A PNG."""
    layers, means = range(len(demand)), torch.tensor(demand, dtype=torch.float64)
    shares = len(demand) * robust_shares(means, gamma=0.5, least=0.25, most=2.0)
    figure = Figure(figsize=(4.8, 2.8), layout="constrained")
    axis = figure.subplots()
    axis.bar(layers, demand, color="0.8")
    axis.set(xlabel="layer", ylabel=f"tokens that hold {100 * rho:g} %", title=model)
    axis.set_xticks(layers)
    budget = axis.twinx()
    budget.plot(layers, shares.tolist(), color="black", marker="o", markersize=3)
    budget.axhline(1, color="black", linewidth=0.5, linestyle="dotted")
    budget.set(ylabel="ReasonAlloc's budget / mean", ylim=(0, None))
    write_figure(figure, path, dpi=150)
