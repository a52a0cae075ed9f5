"""rc.Image in a loader: what a batch holds is what rc.Image makes of the stored image."""

from __future__ import annotations

import numpy as np
import pytest

import robocache as rc

PIL = pytest.importorskip("PIL.Image")

SIZES = [(48, 64), (80, 60), (33, 47)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three episodes of 12 steps: cameras with a size an episode, depth, raw pixels."""
    where = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    features = {
        "camera": rc.Feature("uint8", (-1, -1, 3), encoding="jpeg"),
        "wrist": rc.Feature("uint8", (-1, -1, 3), encoding="png"),
        "fixed": rc.Feature("uint8", (20, 30, 3), encoding="png"),
        "depth": rc.Feature("uint16", (-1, -1, 1), encoding="png"),
        "raw": rc.Feature("uint8", (10, 14, 3)),
        "range": rc.Feature("float32", (9, 11)),
        "state": rc.Feature("float32", (3,)),
        "language": rc.Feature("str"),
    }
    with rc.RldsWriter(where, "pictures", features, control_rate_hz=5) as writer:
        for height, width in SIZES:
            steps = {name: [] for name in features}
            for step in range(12):
                steps["camera"].append(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
                steps["wrist"].append(rng.integers(0, 256, (width, height, 3), dtype=np.uint8))
                steps["fixed"].append(rng.integers(0, 256, (20, 30, 3), dtype=np.uint8))
                steps["depth"].append(rng.integers(0, 2**16, (height, width, 1), dtype=np.uint16))
                steps["raw"].append(rng.integers(0, 256, (10, 14, 3), dtype=np.uint8))
                steps["range"].append(rng.normal(size=(9, 11)).astype(np.float32))
                steps["state"].append(np.full(3, step, np.float32))
                steps["language"].append("look")
            steps["wrist"][5] = b""
            writer.add_episode(steps)
    return where / "pictures"


@pytest.fixture(scope="module")
def dataset(folder):
    return rc.open(folder, progress=False)


@pytest.fixture(scope="module")
def stored(dataset):
    """Pixels as episodes have them: {stream: {episode: [...]}}."""
    names = ("camera", "wrist", "fixed", "depth", "raw", "range")
    return {
        name: {episode.id: _values(episode[name]) for episode in dataset.episodes} for name in names
    }


def _values(stream):
    try:
        return list(stream.values)
    except rc.Error:  # one is missing
        return [stream[i] if i != 5 else None for i in range(12)]


def load(dataset, streams, **arguments):
    settings = {"batch_size": 4, "array": "numpy", "seed": 7, "num_threads": 2, **arguments}
    return rc.DataLoader(dataset, streams=streams, **settings)


AUGMENTED = {
    "crop": ("random", (0.5, 1.0)),
    "aspect": (0.8, 1.25),
    "flip": 0.5,
    "brightness": 0.3,
    "contrast": 0.3,
    "saturation": 0.3,
    "hue": 0.1,
}


def check(batch, name, image, stored, stream, ticks, epoch=0, seed=7, frame_of=lambda i: i):
    """Holds a field to the image made of each stored one."""
    for row in range(len(batch["step_index"])):
        episode, step = int(batch["episode_id"][row]), int(batch["step_index"][row])
        for i, tick in enumerate(ticks):
            pixels = stored[stream][episode][min(max(step + tick, 0), 11)]
            key = rc.image_key(
                seed, epoch, episode, step, name=name, frame=frame_of(i), share=image.share
            )
            np.testing.assert_array_equal(batch[name][row, i], image(pixels, key=key))


@pytest.mark.parametrize("share", ["window", "sample", "frame"])
@pytest.mark.parametrize("shuffle", [False, True])
def test_batches_hold_what_image_makes(dataset, stored, share, shuffle):
    camera = rc.Image(
        (24, 32), **AUGMENTED, mean=(0.4, 0.5, 0.6), std=0.25, channels="first", share=share
    )
    fixed = rc.Image((16, 16), **AUGMENTED, share=share, orient="rotate_180")
    depth = rc.Image((12, 10), crop=("random", 0.6), flip=0.5, share=share)
    streams = {
        "camera": rc.Window([-1, 0], image=camera),
        "fixed": rc.Window([0, 1], image=fixed, name="other"),
        "depth": rc.Window([0], image=depth),
        "raw": rc.Window([-3, 2], image=fixed),
        "range": rc.Window([-1, 0, 3], image=depth),
        "state": rc.Window([0]),
    }
    loader = load(dataset, streams, shuffle=shuffle)
    for epoch in range(2):
        for batch in loader:
            assert batch["camera"].dtype == np.float32
            assert batch["camera"].shape == (4, 2, 3, 24, 32)
            check(batch, "camera", camera, stored, "camera", [-1, 0], epoch)
            check(batch, "other", fixed, stored, "fixed", [0, 1], epoch)
            check(batch, "depth", depth, stored, "depth", [0], epoch)
            check(batch, "raw", fixed, stored, "raw", [-3, 2], epoch)
            check(batch, "range", depth, stored, "range", [-1, 0, 3], epoch)


def test_frames_and_cameras_share_as_asked(dataset):
    """Of one crop of one picture the same pixels, where what is drawn is shared."""
    same = {}
    for share in ("window", "sample", "frame"):
        image = rc.Image((8, 8), crop=("random", (4, 4)), flip=0.5, share=share)
        windows = [rc.Window([0, 0], image=image), rc.Window([0, 0], image=image, name="again")]
        batch = next(iter(load(dataset, {"fixed": windows}, batch_size=36)))
        frames = (batch["fixed"][:, 0] == batch["fixed"][:, 1]).all((1, 2, 3)).mean()
        windows = (batch["fixed"][:, 0] == batch["again"][:, 0]).all((1, 2, 3)).mean()
        same[share] = (frames, windows)
    assert same["sample"] == (1, 1)
    assert same["window"][0] == 1
    assert same["window"][1] < 0.3
    assert max(same["frame"]) < 0.3


def test_epochs_differ_and_resume(dataset):
    image = rc.Image((16, 16), **AUGMENTED)
    streams = {"camera": rc.Window([0], image=image)}
    loader = load(dataset, streams, shuffle=True)
    epochs = [{}, {}]
    for epoch in epochs:
        for batch in loader:
            for row in range(4):
                which = (int(batch["episode_id"][row]), int(batch["step_index"][row]))
                epoch[which] = batch["camera"][row]
    assert epochs[0].keys() == epochs[1].keys()
    assert not any(np.array_equal(epochs[0][which], epochs[1][which]) for which in epochs[0])
    ranks = [
        load(dataset, streams, shuffle=True, rank=rank, world_size=3, batch_size=2, num_threads=1)
        for rank in range(3)
    ]
    for rank in ranks:
        rank.set_epoch(1)
        for batch in rank:
            for row in range(2):
                which = (int(batch["episode_id"][row]), int(batch["step_index"][row]))
                np.testing.assert_array_equal(batch["camera"][row], epochs[1][which])
    resumed = load(dataset, streams, shuffle=True)
    other = load(dataset, streams, shuffle=True)
    batches = iter(other)
    for _ in range(4):
        next(batches)
    resumed.load_state_dict(other.state_dict())
    np.testing.assert_array_equal(next(iter(resumed))["camera"], next(batches)["camera"])
    view = dataset.where("id >= 1")  # what is drawn does not hang on the view
    for batch in load(view, streams, batch_size=1):
        which = (int(batch["episode_id"][0]), int(batch["step_index"][0]))
        np.testing.assert_array_equal(batch["camera"][0], epochs[0][which])


def test_what_is_missing_is_zero_or_nan(dataset):
    image = rc.Image((8, 8), mean=0.5, std=0.5)
    streams = {
        "wrist": [
            rc.Window([0], image=image, mode="nearest"),
            rc.Window([-2, 0], image=image, outside="zero", name="zero"),
            rc.Window([-2, 0], image=image, outside="nan", name="nan"),
        ]
    }
    for batch in load(dataset, streams, batch_size=1):
        step = int(batch["step_index"][0])
        is_empty = step == 5
        assert batch["wrist_valid"][0, 0] == (not is_empty)
        assert (batch["wrist"] == 0).all() == is_empty  # not -1, which black pixels become
        assert (batch["zero"][0, 0] == 0).all() == (step < 2 or step == 7)
        assert np.isnan(batch["nan"][0, 0]).all() == (step < 2 or step == 7)
        assert not np.isnan(batch["nan"][0, 1]).any() or is_empty


def test_padding_is_made_like_the_frame_it_repeats(dataset, stored):
    image = rc.Image((8, 8), **AUGMENTED)
    batch = next(iter(load(dataset, {"camera": rc.Window([-1, 0], image=image)}, batch_size=1)))
    assert batch["camera_is_pad"][0].tolist() == [True, False]
    np.testing.assert_array_equal(batch["camera"][0, 0], batch["camera"][0, 1])


def test_rows_that_fail_are_masked(dataset):
    """A crop that does not lie in the images of the third episode."""
    image = rc.Image((8, 8), crop=(0, 0, 60, 40), mean=0.5, std=0.5)
    streams = {"camera": rc.Window([0], image=image)}
    loader = load(dataset, streams, on_error="mask", batch_size=36)
    batch = next(iter(loader))
    assert (batch["camera"].reshape(36, -1) == 0).all(1).tolist() == [False] * 24 + [True] * 12
    assert loader.stats()["samples_masked"] == 12
    says = r"episode 2, step 0: .*tfrecord.*byte \d+: sample 0: stream 'camera': image: a crop that"
    with pytest.raises(rc.Error, match=says):
        list(load(dataset, streams, batch_size=36))


def test_squeezed_and_torch(dataset):
    torch = pytest.importorskip("torch")
    image = rc.Image((8, 9), mean=0.5, std=0.5, dtype="bfloat16", channels="first")
    streams = {"camera": rc.Window(0, image=image, squeeze=True)}
    batch = next(iter(load(dataset, streams, array="torch")))
    assert batch["camera"].shape == (4, 3, 8, 9)
    assert batch["camera"].dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("stream", "window", "says"),
    [
        ("state", {"image": rc.Image((8, 8))}, r"'state': image: .*shape \[3\]"),
        ("language", {"image": rc.Image((8, 8))}, "'language': image: "),
        ("camera", {"image": rc.Image((8, 8)), "mode": "linear"}, "images are taken with hold"),
        ("camera", {"image": rc.Image()}, "JPEG of 80 x 60 pixels where the first"),
        ("camera", {"image": rc.Image(crop=("center", 0.5))}, "size is to be given"),
        ("fixed", {"image": rc.Image(crop=(0, 0, 31, 20))}, "'fixed': image: .*20 x 31"),
        ("camera", {"image": rc.Image((8, 8), crop=(0, 0, 60, 40))}, "40 x 60.*image of 33 x 47"),
        ("depth", {"image": rc.Image((8, 8), hue=0.1)}, "'depth': image: .*uint16, of which"),
        ("range", {"image": rc.Image((8, 8), filter="bilinear")}, "'range': image: .*float32"),
        ("fixed", {"image": rc.Image((8, 8), mean=(0, 0))}, "mean has 2 values"),
        ("fixed", {"image": rc.Image((8, 8)), "outside": "nan"}, "outside nan needs a float"),
        ("fixed", {"image": 8}, "Window: image: found 8, wanted a robocache.Image"),
    ],
)
def test_what_does_not_fit_is_said(dataset, stream, window, says):
    with pytest.raises(rc.Error, match=says):
        for _ in load(dataset, {stream: rc.Window([0], **window)}):
            pass


def test_without_a_size_images_keep_theirs(dataset, stored):
    image = rc.Image(orient="rotate_90", flip=1.0)
    cut = rc.Image(crop=("random", (5, 6)))
    streams = {
        "fixed": [rc.Window([0], image=image), rc.Window([0], image=cut, name="cut")],
        "camera": rc.Window([0], image=cut),
    }
    batch = next(iter(load(dataset, streams)))
    assert batch["fixed"].shape == (4, 1, 30, 20, 3)
    assert batch["cut"].shape == batch["camera"].shape == (4, 1, 5, 6, 3)
    check(batch, "fixed", image, stored, "fixed", [0])
    check(batch, "camera", cut, stored, "camera", [0])


def test_neighbours_share_what_is_decoded(dataset):
    image = rc.Image((8, 8), **AUGMENTED)
    loader = load(dataset, {"fixed": rc.Window([-1, 0], image=image)}, batch_size=12, num_threads=1)
    for _ in loader:
        pass
    assert loader.stats()["images_decoded"] < 2 * 36
