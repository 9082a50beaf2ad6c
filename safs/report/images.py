"""The training images in words: how many, where they were held, what became of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from safs.report import text


def describe_images(data: Mapping[str, Any]) -> list[str]:
    """Return a sentence each on the images, their place, their normalisation and their augmentation.

    Args:
        data: as `safs.data.dataset.Data.describe` has it; empty in a run directory without it.
    """
    if not data:
        return []
    size = f"{data['bytes'] / 1e9:,.2f} GB as {data['held_as']}"
    shape = "×".join(map(str, data["shape"]))
    held = "were streamed from the host's memory, batch by batch" if data["streamed"] else "lay on the training device"
    sentences = [f"{text.plural(data['examples'], 'training image')} of {shape} ({size}) {held}."]
    if data["normalisation"]:
        mean, std = (", ".join(f"{value:.4f}" for value in data["normalisation"][key]) for key in ("mean", "std"))
        sentences.append(f"Normalised with mean {mean} and standard deviation {std} per channel.")
    augmentation = data["augmentation"] or {"crop": 0, "flip": False}
    if augmentation["crop"]:
        sentences.append(f"Cropped at random from {augmentation['crop']} pixels of black padding on every side.")
    if augmentation["flip"]:
        sentences.append("Half of the training images were mirrored, at random.")
    return sentences
