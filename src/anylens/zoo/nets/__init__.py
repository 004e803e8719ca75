"""Networks in plain PyTorch, for the kinds of model that no library has a class for."""
