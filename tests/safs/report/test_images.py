from safs.report.images import describe_images

STREAMED = {
    "examples": 1281167,
    "shape": [3, 64, 64],
    "classes": 1000,
    "held_as": "uint8",
    "bytes": 15742980096,
    "streamed": True,
    "normalisation": {"mean": [0.4816, 0.4574, 0.4078], "std": [0.2606, 0.2533, 0.2682]},
    "augmentation": {"crop": 8, "flip": True},
}


def test_streaming_normalisation_and_augmentation_are_told():
    assert describe_images(STREAMED) == [
        "1,281,167 training images of 3×64×64 (15.74 GB as uint8) were streamed from the host's memory, "
        "batch by batch.",
        "Normalised with mean 0.4816, 0.4574, 0.4078 and standard deviation 0.2606, 0.2533, 0.2682 per channel.",
        "Cropped at random from 8 pixels of black padding on every side.",
        "Half of the training images were mirrored, at random.",
    ]


def test_what_was_not_done_is_not_told():
    plain = STREAMED | {"streamed": False, "held_as": "float32", "normalisation": None, "augmentation": None}
    assert describe_images(plain) == [
        "1,281,167 training images of 3×64×64 (15.74 GB as float32) lay on the training device."
    ]
    assert len(describe_images(STREAMED | {"augmentation": {"crop": 0, "flip": False}})) == 2


def test_a_run_directory_of_an_earlier_version_tells_nothing():
    assert describe_images({}) == []
