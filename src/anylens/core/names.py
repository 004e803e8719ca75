"""Names of points are words joined by dots."""


def join(*parts: str) -> str:
    """Join the parts of a name, leaving out empty ones: the root of a model has no path."""
    return ".".join(part for part in parts if part)
