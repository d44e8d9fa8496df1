"""One folder an operation: __init__.py is the contract, reference.py the PyTorch twin."""
