"""The code that a demo's page shows: a script that runs by itself, in cells."""

from importlib.resources import files


def script_of(name: str) -> str:
    """Return the script of a modality."""
    return (files("anylens.demo") / "scripts" / f"{name.replace('-', '_')}.py").read_text(encoding="utf-8")


def sections(script: str) -> dict[str, str]:
    """Return the cells of a script, by the word that follows their `# %%`."""
    cells = script.split("# %% ")[1:]
    return {cell.partition("\n")[0].split(":")[0]: cell.partition("\n")[2].strip() for cell in cells}
