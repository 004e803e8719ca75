"""A simple model of a large harvest and a large dictionary: sizes and times from a few stated numbers."""

from dataclasses import dataclass

GB = 1e9
LISTED = 290  # bytes of a file in the manifest


@dataclass(frozen=True)
class Assumptions:
    """What is taken as given. `efficiency` and `place_bytes` were measured (docs/scale.md); nothing else was.

    Attributes:
        rows, width, bytes_per_number: of the point, in half precision.
        place_bytes: what a row's sample, step and position take.
        shard_bytes: of a file.
        workers: GPUs that harvest; each alone makes `rows_per_second` rows (a model of 7 billion parameters at 14 GFLOP
            a token and 100 TFLOP/s that it comes by).
        efficiency: what several workers make of that many times one; measured with two on one computer, where they
            share its memory and the driver. Workers that share less should lose less.
        worker_network, store_network: bytes per second of a worker, and of the bucket in all: what the workers send
            is held up by the one or by the other.
        price_gpu_hour, price_tb_month, price_million_puts: in dollars.
        latents, k, batch: of the dictionary and its training, which goes through the rows once.
        trainer_flops, trainer_memory: of a GPU that trains.
    """

    rows: float = 1e9
    width: int = 4096
    bytes_per_number: int = 2
    place_bytes: int = 16
    shard_bytes: float = 512 * 2**20
    workers: int = 256
    rows_per_second: float = 7000.0
    efficiency: float = 0.88
    worker_network: float = 1.25e9
    store_network: float = 100e9
    price_gpu_hour: float = 2.5
    price_tb_month: float = 23.0
    price_million_puts: float = 5.0
    latents: float = 2**20
    k: int = 64
    batch: int = 65_536
    trainer_flops: float = 200e12
    trainer_memory: float = 80e9

    @property
    def row_bytes(self) -> float:
        """Of one row as it is written."""
        return self.width * self.bytes_per_number + self.place_bytes

    @property
    def block_seconds(self) -> float:
        """Of a worker for one file: to make its rows and to send them, one after the other."""
        rows = self.shard_bytes / self.row_bytes
        return rows / (self.efficiency * self.rows_per_second) + self.shard_bytes / self.worker_network


def table(a: Assumptions) -> list[tuple[str, str]]:
    """Return what follows from the assumptions, a line each."""
    size = a.rows * a.row_bytes
    shards = size / a.shard_bytes
    hours = max(shards * a.block_seconds / a.workers, size / a.store_network) / 3600
    written = size / (hours * 3600)
    weights = 2 * a.latents * a.width
    step = (
        2 * a.batch * a.width * a.latents * 2
    )  # the encoder's product, and its weights' gradient at most as much
    steps = a.rows / a.batch
    memory = weights * 4 * 4  # float32: weights, gradient, Adam's two
    ranks = -(-memory // (0.6 * a.trainer_memory))
    training = steps * step / (a.trainer_flops * ranks) / 3600
    read = size / (training * 3600)
    gpu_hours = a.workers * hours
    return [
        (
            "rows on the storage",
            f"{size / 1e12:.1f} TB, {shards:,.0f} files of {a.shard_bytes / 2**20:.0f} MiB",
        ),
        (
            "manifest",
            f"{shards * LISTED / 1e6:.1f} MB, {20 * shards * LISTED / 1e6:,.0f} MB for all the times it is written",
        ),
        ("harvest", f"{hours * 60:.0f} minutes on {a.workers} workers, {gpu_hours:.0f} GPU hours"),
        (
            "network, harvest",
            f"{written / GB:.1f} GB/s into the bucket, {written / a.workers / 1e6:.0f} MB/s a worker",
        ),
        (
            "cost, harvest",
            f"${gpu_hours * a.price_gpu_hour:,.0f}, and ${shards / 1e6 * a.price_million_puts:.2f} for puts",
        ),
        ("cost, keeping", f"${size / 1e12 * a.price_tb_month:,.0f} a month"),
        (
            "dictionary",
            f"{weights / 1e9:.1f} billion weights; {memory / GB:.0f} GB with gradients and Adam: {ranks:.0f} ranks",
        ),
        ("training, one pass", f"{steps:,.0f} steps, {steps * step / 1e18:,.0f} EFLOP, {training:.1f} hours"),
        ("network, training", f"{read / GB:.2f} GB/s of rows"),
        ("cost, training", f"${training * ranks * a.price_gpu_hour:,.0f}"),
    ]
