import numpy as np
import pytest

from bloomnet_sb.data.mixing import power
from bloomnet_sb.data.synthetic import synthetic_noise


@pytest.mark.parametrize("frames", [1, 100, 8000, 32001])
def test_every_noise_has_unit_power_and_its_length(frames):
    for seed in range(30):
        noise = synthetic_noise(frames, 16000, np.random.default_rng(seed))
        assert noise.shape == (frames,)
        assert np.isfinite(noise).all()
        assert power(noise) == pytest.approx(1, rel=1e-3)


def test_it_is_a_function_of_its_generator_and_varies():
    noises = [synthetic_noise(8000, 16000, np.random.default_rng(seed)) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(noises[0], noises[1])
    assert not np.array_equal(noises[0], noises[2])


def test_spectra_differ_from_noise_to_noise():
    centroids = []
    for seed in range(40):
        noise = synthetic_noise(16000, 16000, np.random.default_rng(seed))
        spectrum = np.abs(np.fft.rfft(noise)) ** 2
        centroids.append((spectrum * np.arange(len(spectrum))).sum() / spectrum.sum())
    assert min(centroids) < 500 < 2000 < max(centroids)
