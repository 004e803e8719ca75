"""The scripts that made the zoo's weights, each runnable as `python -m anylens.zoo.train.<name>`."""
