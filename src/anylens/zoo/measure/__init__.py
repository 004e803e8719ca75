"""How well each zoo model does on held-out samples of its world; one module per model, each with `measure`."""
