"""How well each zoo model does on held-out samples of its world; one module per model, each with `measure`.

`measure` is given the model and the keywords `samples` and `seed`, and `processor` if it takes one; it returns numbers
by name, dictionaries of numbers among them.
"""
