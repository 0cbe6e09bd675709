"""Installs bloomnet_sb."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
README = ROOT / "README.md"
PACKAGE = (ROOT / "bloomnet_sb" / "__init__.py").read_text(encoding="utf-8")
(VERSION,) = re.findall(r'^__version__ = "(.+?)"', PACKAGE, flags=re.MULTILINE)

EXPORT = ["onnx>=1.17", "onnxscript>=0.7.2"]
MEDIA = ["av>=15"]
LIVE = ["psutil>=5.9", "sounddevice>=0.4.6"]
RAY = ["ray>=2.40"]
STORES = ["gcsfs>=2024.2", "s3fs>=2024.2"]
SHARDS = ["webdataset>=1.0"]
TENSORBOARD = ["tensorboard>=2.16"]

setup(
    name="bloomnet_sb",
    version=VERSION,
    description="SpeechBrain recipes for BLOOM-Net speech enhancement",
    long_description=README.read_text(encoding="utf-8") if README.exists() else "",
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    classifiers=[
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3",
        "Topic :: Multimedia :: Sound/Audio :: Speech",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
    packages=find_packages(include=["bloomnet_sb", "bloomnet_sb.*"]),
    package_data={
        "bloomnet_sb": [
            "pretrained/*/*",
            "page/static/*",
            "web/static/*",
            "web/*.json",
            "corpus/static/*",
        ]
    },
    python_requires=">=3.10",
    install_requires=[
        "fsspec>=2024.2",
        "huggingface_hub>=2.2",
        "hyperpyyaml>=1.2.3",
        "jinja2>=3.1",
        "librosa>=0.10.2",  # speechmos needs it and onnxruntime, but does not say so
        "matplotlib>=3.8",
        "mutagen>=1.47",
        "numpy>=1.26",
        "onnxruntime>=1.17",
        "pesq>=0.0.4",
        "pillow>=10",
        "platformdirs>=3.8",
        "pyloudnorm>=0.1.1",
        "pystoi>=0.4.1",
        "pyyaml>=6.0",
        "rich>=13",
        "safetensors>=0.4",
        "scipy>=1.11",
        "soundfile>=0.13",
        "soxr>=0.3.6",
        "speechbrain>=1.1.2,<1.2",
        "speechmos>=0.0.1.1",
        "torch>=2.7.1",  # as SpeechBrain 1.1 asks for
        "torchaudio>=2.7.1",
        "tqdm>=4.66",
        "typer>=0.16",
    ],
    extras_require={
        # Training curves for TensorBoard
        "tensorboard": TENSORBOARD,
        # `bloomnet export`
        "export": EXPORT,
        # Sound devices for `bloomnet live`, the battery for budget.Power
        "live": LIVE,
        # m4a, mp4, webm and the sound of videos as input
        "media": MEDIA,
        # `bloomnet enhance --ray`
        "ray": RAY,
        # s3:// and gs:// for `bloomnet enhance`; hf:// needs no more
        "stores": STORES,
        # `bloomnet shard`, and training from shards
        "shards": SHARDS,
        # Tests and linting. Those beside Asteroid's modules are skipped without them; an extra
        # cannot say --no-deps, so they are in requirements-asteroid.txt.
        "test": [
            "hypothesis>=6.100",
            "mypy>=1.15",
            "playwright>=1.45",  # for a browser that is there; none is downloaded
            "pytest>=8",
            "pytest-cov>=5",
            "pytest-timeout>=2.3",
            "pytest-xdist>=3.5",
            "ruff>=0.12",
            "sherpa-onnx==2.0.1",  # what `bloomnet export --sherpa` writes for
            *EXPORT,
            *LIVE,
            *MEDIA,
            *RAY,
            *SHARDS,
            *TENSORBOARD,
        ],
    },
    entry_points={"console_scripts": ["bloomnet = bloomnet_sb.cli:main"]},
)
