"""A model with two voices, and the family that anylens knows it by."""
