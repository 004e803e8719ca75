"""The features of an autoencoder as a page that opens without a server."""

from anylens.report.features.page import features_page

__all__ = ["features_page"]
