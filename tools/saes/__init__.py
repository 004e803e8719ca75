"""The autoencoders that ship with the zoo: recipes, training, and how good each is."""
