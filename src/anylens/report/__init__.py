"""Pages and plots."""

from anylens.report.attention.page import attention_page
from anylens.report.features.page import features_page

__all__ = ["attention_page", "features_page"]
