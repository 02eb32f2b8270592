"""Dictionaries in Gemma Scope's file layout: ``params.npz`` with W_enc, b_enc, threshold, W_dec, b_dec.

The same loader reads what this project ships and what Lieberum et al. 2024 published ("Gemma Scope",
https://arxiv.org/abs/2408.05147). Activations go in as they stand in the model, unscaled.

    z = pre * (pre > threshold)   with   pre = relu(x @ W_enc + b_enc)          x_hat = z @ W_dec + b_dec
"""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

FILE = "params.npz"
ARRAYS = ("W_enc", "b_enc", "threshold", "W_dec", "b_dec")

REPOSITORY = "google/gemma-scope-2b-pt-res"
_CANONICAL_L0 = (
    *(105, 102, 141, 59, 124, 68, 70, 69, 71, 73, 77, 80, 82),
    *(84, 84, 78, 78, 77, 74, 73, 71, 70, 72, 75, 73, 116),
)
"""Mean L0 in the folder name of the canonical dictionary of width 16k, layers 0 to 25."""


class DamagedDictionary(ValueError):
    """A dictionary file is missing, cut short, or not in this layout; the message says which and what to do."""


@dataclass(frozen=True)
class Dictionary:
    """A sparse autoencoder with JumpReLU.

    Attributes:
        W_enc: [d_in, d_sae]. b_enc, threshold: [d_sae]. W_dec: [d_sae, d_in], rows are directions. b_dec: [d_in].
        hook: where in the model it reads and writes, such as ``blocks.12.hook_resid_post``; empty if unknown.
    """

    W_enc: Float[Tensor, "d_in d_sae"]
    b_enc: Float[Tensor, " d_sae"]
    threshold: Float[Tensor, " d_sae"]
    W_dec: Float[Tensor, "d_sae d_in"]
    b_dec: Float[Tensor, " d_in"]
    hook: str = ""

    @property
    def d_in(self) -> int:
        return self.W_dec.shape[1]

    @property
    def d_sae(self) -> int:
        return self.W_dec.shape[0]

    def encode(self, x: Float[Tensor, "*rows d_in"]) -> Float[Tensor, "*rows d_sae"]:
        """Latents of activations."""
        pre = (x.float() @ self.W_enc + self.b_enc).relu()
        return pre * (pre > self.threshold)

    def decode(self, z: Float[Tensor, "*rows d_sae"]) -> Float[Tensor, "*rows d_in"]:
        """Activations of latents, decoder bias included."""
        return z @ self.W_dec + self.b_dec

    def basis(self) -> Float[Tensor, "d_sae d_in"]:
        """Decoder rows scaled to root mean square 1, for query-key and output-value tables."""
        return self.W_dec * (self.d_in**0.5 / self.W_dec.norm(dim=1, keepdim=True).clamp(min=1e-12))


def load(path: Path | str, hook: str = "") -> Dictionary:
    """Read a dictionary.

    Args:
        path: the npz file, or the folder that holds ``params.npz``.
        hook: where it reads, kept with it.

    Raises:
        DamagedDictionary: the file is missing, cut short, lacks an array, or its shapes do not fit together.
    """
    path = Path(path)
    path = path / FILE if path.is_dir() else path
    if not path.is_file():
        raise DamagedDictionary(f"{path} is missing; a dictionary is a file {FILE} with {', '.join(ARRAYS)}")
    try:
        with np.load(path, allow_pickle=False) as file:
            read = {name: name if name in file.files else f"w{name[1:]}" for name in ARRAYS}  # some files say w_enc
            if missing := [name for name, key in read.items() if key not in file.files]:
                raise DamagedDictionary(f"{path} has no array {', '.join(missing)}; it is not in Gemma Scope's layout")
            arrays = {name: torch.from_numpy(file[key].astype(np.float32, copy=False)) for name, key in read.items()}
    except DamagedDictionary:
        raise
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise DamagedDictionary(f"{path} cannot be read, most likely because it was cut short ({error}).") from None
    _fit(path, arrays)
    return Dictionary(**arrays, hook=hook)


def _fit(path: Path, arrays: dict[str, Tensor]) -> None:
    d_sae, d_in = arrays["W_dec"].shape if arrays["W_dec"].dim() == 2 else (0, 0)
    wanted = {"W_enc": (d_in, d_sae), "b_enc": (d_sae,), "threshold": (d_sae,), "b_dec": (d_in,)}
    for name, shape in wanted.items():
        if tuple(arrays[name].shape) != shape:
            raise DamagedDictionary(
                f"{path}: {name} is {tuple(arrays[name].shape)}, but W_dec is {tuple(arrays['W_dec'].shape)}, "
                f"so it should be {shape}"
            )
    for name, array in arrays.items():
        if not torch.isfinite(array.sum(dtype=torch.float64)):  # one pass, no mask as large as the array
            raise DamagedDictionary(f"{path}: {name} holds numbers that are not finite.")


def save(dictionary: Dictionary, path: Path | str, half: bool = False) -> Path:
    """Write a dictionary in the same layout; returns the file.

    Args:
        path: the npz file, or a folder, made if it is not there.
        half: store as float16, at half the size; ``load`` gives float32 again.
    """
    path = Path(path)
    path = path if path.suffix == ".npz" else path / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    dtype = torch.float16 if half else torch.float32
    arrays = {name: getattr(dictionary, name).detach().cpu().to(dtype).numpy() for name in ARRAYS}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as target:  # np.savez, but with no time of day in the bytes
        for name, array in arrays.items():
            with target.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, np.ascontiguousarray(array), allow_pickle=False)
    return path


def canonical(layer: int, width: str = "16k") -> str:
    """Path of a layer's canonical residual dictionary inside ``REPOSITORY``.

    Raises:
        ValueError: for a layer or width without one here.
    """
    if width != "16k" or not 0 <= layer < len(_CANONICAL_L0):
        raise ValueError(f"canonical dictionaries: width 16k, layers 0 to 25; got {width}, layer {layer}")
    return f"layer_{layer}/width_16k/average_l0_{_CANONICAL_L0[layer]}/{FILE}"
