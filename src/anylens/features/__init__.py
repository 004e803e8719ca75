"""What is known of the features of an autoencoder, and how inputs of each kind are shown with features on them."""

from anylens.features.attention import Attention, attention
from anylens.features.folder import Folder
from anylens.features.known import Example, Known, Sample, Survey
from anylens.features.survey import Wanted, survey

__all__ = ["Attention", "Example", "Folder", "Known", "Sample", "Survey", "Wanted", "attention", "survey"]
