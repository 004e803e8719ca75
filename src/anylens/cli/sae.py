"""`anylens sae train`, `eval` and `features`: sparse autoencoders on the rows of a folder that `harvest` wrote."""

import argparse
from pathlib import Path
from typing import Any

from anylens.core.errors import SaeError, StoreError
from anylens.harvest import Batches, Store
from anylens.sae import VARIANTS, Settings, leads, load, local_device, make, save, train
from anylens.sae.examples import strongest
from anylens.sae.metrics import agreement, quality
from anylens.sae.ranks.launch import start

WITH_K = ("topk", "batchtopk", "matryoshka")
SPARSITY = {"standard": "l1", "gated": "l1", "jumprelu": "l0"}
BATCH = 4096


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the three actions and what each takes."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    _add_train(actions.add_parser("train", help="train one on the rows of a point"))
    evaluate = actions.add_parser(
        "eval", help="measure one on rows, which should be others than it was trained on"
    )
    _add_common(evaluate)
    evaluate.add_argument("--compare", type=Path, metavar="SAE", help="another, such as one of another seed")
    features = actions.add_parser(
        "features", help="list features with the rows that they fire for most strongly"
    )
    _add_common(features)
    features.add_argument(
        "numbers", nargs="*", type=int, metavar="FEATURE", help="these (default: by density)"
    )
    features.add_argument("--top", type=int, default=10, help="so many features (default: %(default)s)")
    features.add_argument("--examples", type=int, default=3, help="rows of each (default: %(default)s)")


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sae", type=Path, metavar="SAE", help="folder of the autoencoder")
    parser.add_argument(
        "rows", metavar="ROWS", help="folder of rows, or its URL, as `anylens harvest` writes it"
    )
    parser.add_argument("--point", help="the point, where the folder has rows of several")


def _add_train(parser: argparse.ArgumentParser) -> None:
    usual = Settings()
    parser.add_argument(
        "rows", metavar="ROWS", help="folder of rows, or its URL, as `anylens harvest` writes it"
    )
    parser.add_argument("--point", help="the point, where the folder has rows of several")
    parser.add_argument(
        "--to",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="for the autoencoder, its log and checkpoints",
    )
    parser.add_argument("--variant", choices=VARIANTS, default="topk", help="default: %(default)s")
    parser.add_argument("--latents", type=int, help="how many (default: 8 times the width of a row)")
    parser.add_argument(
        "--k", type=int, default=32, help="active latents of a row, where the variant says so"
    )
    parser.add_argument("--sparsity", type=float, help="l1 or l0, where the variant has that")
    parser.add_argument("--steps", type=int, default=usual.steps, help="default: %(default)s")
    parser.add_argument("--lr", type=float, default=usual.lr, help="default: %(default)s")
    parser.add_argument("--batch", type=int, default=BATCH, help="rows of a step (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the weights and of the order of rows")
    parser.add_argument(
        "--ranks", type=int, default=1, help="processes of this computer that share the work (default: 1)"
    )
    parser.add_argument(
        "--parallel",
        choices=("data", "dictionary"),
        default="data",
        help="what they share out: the rows of each batch, or the latents (default: %(default)s)",
    )
    parser.add_argument(
        "--tensorboard", action="store_true", help="log for TensorBoard too, which must be installed"
    )
    parser.add_argument("--wandb", metavar="PROJECT", help="log to wandb too, which must be installed")


def run(arguments: argparse.Namespace) -> int:
    """Train, measure or list."""
    actions = {"train": _train_on_ranks, "eval": _evaluate, "features": _features}
    actions[arguments.action](arguments)
    return 0


def _train_on_ranks(given: argparse.Namespace) -> None:
    if given.ranks == 1:
        _train(given)
    else:
        start(given.ranks, _train, given)


def _train(given: argparse.Namespace) -> None:
    store = Store(given.rows)
    point = _point(store, given.point)
    column = store.column(point)
    sae = make(
        given.variant,
        column.width,
        8 * column.width if given.latents is None else given.latents,
        seed=given.seed,
        **_settings(given),
    )
    if given.parallel == "data":  # a dictionary that is divided goes to devices by its parts
        sae.to(local_device())
    batches = Batches(column, given.batch, seed=given.seed, epochs=None)
    settings = Settings(steps=given.steps, lr=given.lr)
    also = ["tensorboard"] if given.tensorboard else []
    also += [f"wandb:{given.wandb}"] if given.wandb else []
    train(sae, batches, settings, folder=given.to, also=also, parallel=given.parallel)
    if not leads():
        return
    origin = store.manifest.origin
    save(sae, given.to, metadata={"point": point, "model": origin.get("model"), "rows": store.count(point)})
    print(f"{given.to}: {given.variant} with {sae.d_sae:,} latents on {point}")
    print(quality(sae, Batches(column, given.batch, seed=given.seed)))


def _settings(given: argparse.Namespace) -> dict[str, Any]:
    """Return what the variant takes besides its sizes."""
    if given.variant in WITH_K:
        return {"k": given.k}
    name = SPARSITY[given.variant]
    if given.sparsity is None:
        raise SaeError(
            f"{given.variant} needs --sparsity, its {name}, such as 1.0: the larger, the fewer are active."
        )
    return {name: given.sparsity}


def _evaluate(given: argparse.Namespace) -> None:
    sae, store = load(given.sae), Store(given.rows)
    print(quality(sae, Batches(store.column(_point(store, given.point)), BATCH)))
    if given.compare:
        found = agreement(sae, load(given.compare))
        print(
            f"mean largest cosine with a direction of {given.compare}: {float(found.mean()):.3f}, "
            f"{float((found > 0.9).float().mean()):.0%} of directions over 0.9"
        )


def _features(given: argparse.Namespace) -> None:
    sae, store = load(given.sae), Store(given.rows)
    column = store.column(_point(store, given.point))
    found = quality(sae, Batches(column, BATCH))
    numbers = given.numbers or found.density.topk(min(given.top, sae.d_sae)).indices.tolist()
    examples = strongest(sae, Batches(column, BATCH), numbers, count=given.examples)
    for number in numbers:
        shown = "; ".join(map(str, examples[number])) or "never active"
        print(f"feature {number:>6}  density {float(found.density[number]):.4f}  {shown}")


def _point(store: Store, point: str | None) -> str:
    """Return the point asked for, or the only one there is."""
    if point is None and len(store.points) != 1:
        raise StoreError(f"{store.folder} has rows of {', '.join(store.points)}. Say which with --point.")
    return point or store.points[0]
