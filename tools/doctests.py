"""For the site: examples in docstrings, which begin with `>>>`, are code, and not quotations."""

from typing import Any

from markdown import Extension, Markdown
from markdown.preprocessors import Preprocessor


class _Fences(Preprocessor):
    """Puts fences around each example: from its first `>>>` to the next empty line."""

    def run(self, lines: list[str]) -> list[str]:
        found: list[str] = []
        fenced = example = False
        for line in lines:
            fenced ^= line.lstrip().startswith("```")
            if not fenced and not example and line.startswith(">>> "):
                found.append("```pycon")
                example = True
            elif example and not line.strip():
                found.append("```")
                example = False
            found.append(line)
        return [*found, "```"] if example else found


class Doctests(Extension):
    """The extension, as mkdocs.yml names it."""

    def extendMarkdown(self, md: Markdown) -> None:
        md.preprocessors.register(_Fences(md), "doctests", 60)  # before fences are read


def makeExtension(**settings: Any) -> Doctests:
    """Make it; Markdown calls this."""
    return Doctests(**settings)
