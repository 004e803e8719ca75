"""Pictures as PNG and sounds as WAV, written with the standard library alone."""

import base64
import io
import struct
import wave
import zlib
from dataclasses import dataclass

import torch
from torch import Tensor

KINDS = {2: 0, 3: 2}  # dimensions of the pixels -> PNG's type of colour: grey, or red, green and blue


@dataclass(frozen=True)
class Media:
    """A file that a page shows: its content and its kind, `image/png` or `audio/wav`."""

    content: bytes
    kind: str

    @property
    def suffix(self) -> str:
        """The end of a file's name."""
        return "." + self.kind.rpartition("/")[2]

    @property
    def address(self) -> str:
        """The address that holds the content itself."""
        return f"data:{self.kind};base64,{base64.b64encode(self.content).decode()}"


def png(pixels: Tensor) -> Media:
    """Return a picture, `[height, width]` or `[height, width, 3]`, 0..1, as PNG."""
    values = (pixels.detach().float().cpu().clamp(0, 1) * 255).round().to(torch.uint8)
    height, width = values.shape[:2]
    rows = values.reshape(height, -1)
    lines = torch.cat(
        [torch.zeros(height, 1, dtype=torch.uint8), rows], dim=1
    )  # each begins with its filter, none
    head = struct.pack(">IIBBBBB", width, height, 8, KINDS[values.ndim], 0, 0, 0)
    body = zlib.compress(lines.contiguous().numpy().tobytes(), 9)
    parts = ((b"IHDR", head), (b"IDAT", body), (b"IEND", b""))
    return Media(b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*part) for part in parts), "image/png")


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def wav(samples: Tensor, rate: int) -> Media:
    """Return a sound, `[time]`, -1..1, as WAV of 16 bits; what is louder is cut off."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        values = (samples.detach().float().cpu().clamp(-1, 1) * 32767).round().to(torch.int16)
        file.writeframes(values.numpy().astype("<i2").tobytes())
    return Media(buffer.getvalue(), "audio/wav")
