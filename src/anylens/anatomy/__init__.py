"""Watch one forward pass, and read the structure of the model off it."""
