"""What holds of every method, for any method to be held to: tests of its rounds and of what is decoded under it.

    pytest --pyargs kvarena.contract --method=parity
    pytest --pyargs kvarena.contract --method="conf/method/parity.yaml method.window=8"

A method by its name as kvarena knows it, of ours or of a plugin, or by its file in a folder called method; then what
else is given of it. Without --method: all of ours. The models are tiny, budgets are 24 tokens, no GPU is needed.
"""
