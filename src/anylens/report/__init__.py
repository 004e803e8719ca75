"""Pages and plots."""

from anylens.report.attention.page import attention_page
from anylens.report.drawing import drawing
from anylens.report.features.page import features_page

__all__ = ["attention_page", "drawing", "features_page"]
