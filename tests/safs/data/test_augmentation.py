import pytest
import torch

from safs.data.augmentation import Augmentation, crop_and_flip
from spaces.errors import SafsError

IMAGES = torch.randint(1, 256, (64, 3, 6, 9), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
BLACK = torch.zeros((), dtype=torch.uint8)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def one_by_one(images, views, padding, black=0):
    """What `crop_and_flip` should give, image by image: pad, cut, mirror."""
    seen = []
    for image, (down, right, mirrored) in zip(images, views.tolist(), strict=True):
        h, w = image.shape[1:]
        padded = torch.nn.functional.pad(image, (padding,) * 4, value=black)
        cut = padded[:, padding + down : padding + down + h, padding + right : padding + right + w]
        if mirrored:  # what is mirrored is the whole padded image, so that the cut comes from its other side
            cut = padded[:, padding + down : padding + down + h].flip(2)
            cut = cut[:, :, padding - right : padding - right + w]
        seen.append(cut)
    return torch.stack(seen)


@pytest.mark.parametrize(("crop", "flip"), [(0, True), (2, False), (4, True), (5, True)])
def test_a_batch_is_seen_as_image_by_image(crop, flip):
    views = Augmentation(crop, flip).draw(64, generator())
    assert torch.equal(crop_and_flip(IMAGES, views, BLACK), one_by_one(IMAGES, views, crop))


def test_floats_are_padded_with_their_own_black():
    images = IMAGES.float() / 255 - 0.5
    views = Augmentation(3, True).draw(64, generator())
    seen = crop_and_flip(images, views, torch.tensor([-0.5, -0.5, -0.5]).view(3, 1, 1))
    assert torch.equal(seen, one_by_one(images, views, 3, black=-0.5))
    assert (seen == -0.5).any()


def test_every_move_and_both_sides_come_up_equally_often():
    views = Augmentation(2, True).draw(10_000, generator())
    assert views.shape == (10_000, 3)
    for column in (0, 1):
        counts = torch.bincount(views[:, column] + 2, minlength=5)
        assert counts.tolist() == pytest.approx([2000] * 5, rel=0.1)
    assert views[:, 2].float().mean().item() == pytest.approx(0.5, abs=0.02)
    assert abs(torch.corrcoef(views.T.double())[0, 1].item()) < 0.05


def test_what_is_off_does_not_happen():
    views = Augmentation(crop=0, flip=False).draw(100, generator())
    assert not views.any()
    assert not Augmentation(crop=3, flip=False).draw(100, generator())[:, 2].any()


def test_the_views_of_a_seed_are_the_same_for_ever():
    assert Augmentation(4, True).draw(3, generator(7)).tolist() == FROZEN
    assert Augmentation(4, True).draw(3, generator(8)).tolist() != FROZEN


FROZEN = [[-4, 0, 1], [3, -2, 1], [0, 2, 0]]


def test_a_negative_padding_is_refused():
    with pytest.raises(SafsError, match="0 or more pixels, but got -1"):
        Augmentation(crop=-1)
