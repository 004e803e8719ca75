"""Further sections of the vision demo: attention, patching, steering without an autoencoder, and ablation."""

from collections.abc import Callable

from anylens.demo.script import script_of
from anylens.demo.story import Further
from anylens.demo.tour_material import material_of
from anylens.lens import Lens
from anylens.report.tour import words
from anylens.report.tour.findings import as_numbers, study
from anylens.report.tour.sections import draw, write
from anylens.zoo import card

MODEL = "shapes-vit"
SCRIPT = "vision_tour"
PICTURE = "vision.png"  # the README shows it


def sections(
    lens: Lens, *, say: Callable[[str, str], None], tick: Callable[[str, int, int], None]
) -> Further:
    """Do the tour, and write it up."""
    material = material_of(lens.model, name=f"zoo:{MODEL}", measured=card(MODEL)["measured"])
    found = study(lens, material, say=say, tick=tick)
    images = draw(found, material, tick=tick)
    titles = (
        ("attention", ("It looks at the object.", words.looking(found.looking))),
        ("patching", ("The colour moves.", words.patching(found.patching))),
        ("direction", ("A plain direction pushes it too.", words.steering(found.steering, material))),
        ("ablation", ("Some heads are missed, most are not.", words.ablation(found.ablation))),
    )
    return Further(
        write(found, material, images),
        titles,
        {PICTURE: images["overview"]["light"], f"{SCRIPT}.py": script_of(SCRIPT).encode()},
        {"tour": as_numbers(found)},
    )
