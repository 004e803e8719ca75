"""Training in several processes: what a step asks of the other ranks, how its work is divided, how ranks are started.

A rank is one of the processes. Variants know nothing of them but `across`, and the training nothing but `Parallel`.
"""
