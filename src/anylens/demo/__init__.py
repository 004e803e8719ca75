"""The demo: for each modality the whole job on a model of the zoo, from attaching to steering, as one page."""
