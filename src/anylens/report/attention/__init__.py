"""Attention on an input as a page that opens without a server."""

from anylens.report.attention.page import attention_page

__all__ = ["attention_page"]
