"""Importing the zoo costs nothing heavy."""

import subprocess
import sys


def test_importing_the_zoo_and_its_worlds_loads_no_optional_library():
    source = """
import sys
import anylens.zoo, anylens.zoo.check, anylens.zoo.train.shapes_vit, anylens.zoo.worlds.contact_sheet
print(sorted({"transformers", "diffusers", "PIL", "matplotlib"} & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
