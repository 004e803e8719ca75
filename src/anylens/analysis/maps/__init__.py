"""The maps of attention and of the MLP: views of the model's own parameters, found by trying."""
