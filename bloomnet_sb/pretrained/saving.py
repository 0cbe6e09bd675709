"""Writing a pretrained folder: what the network is made of, its weights, and its card."""

from io import StringIO
from pathlib import Path

from hyperpyyaml import resolve_references
from ruamel.yaml import YAML
from safetensors.torch import save

from bloomnet_sb.model import BloomNet
from bloomnet_sb.pretrained.fetching import HPARAMS_FILE, WEIGHTS_FILE
from bloomnet_sb.utils.atomic_files import written_whole
from bloomnet_sb.utils.errors import InputError

CARD_FILE = "README.md"
NETWORK_KEYS = ("sample_rate", "model")


def export_pretrained(
    model: BloomNet,
    hparams_file: str | Path,
    overrides: str | dict,
    folder: str | Path,
    model_card: str,
) -> None:
    """Write a folder that `BloomEnhancer.from_hparams` loads.

    Arguments
    ---------
    model : BloomNet
        The trained network.
    hparams_file : str or Path
        The YAML file that it was trained with; its keys model and sample_rate are kept.
    overrides : str or dict
        The overrides it was trained with.
    folder : str or Path
        Where hyperparams.yaml, model.safetensors and README.md go.
    model_card : str
        The text of README.md.

    Raises
    ------
    OSError
        If the file cannot be read, or the folder not be written.

    Example
    -------
    >>> from bloomnet_sb.nn.filterbanks import LearnedFilterbank
    >>> from bloomnet_sb.separators import ConvTasNetSeparator
    >>> folder = Path(getfixture("tmpdir"))
    >>> bank = "!new:bloomnet_sb.nn.filterbanks.LearnedFilterbank {num_filters: 16}"
    >>> network = f"model: !new:bloomnet_sb.BloomNet {{filterbank: {bank}}}"
    >>> _ = (folder / "train.yaml").write_text(f"sample_rate: 16000\\n{network}")
    >>> model = BloomNet(LearnedFilterbank(16), ConvTasNetSeparator(16, num_blocks=1))
    >>> export_pretrained(model, folder / "train.yaml", "", folder / "pretrained", "A card.")
    >>> sorted(path.name for path in (folder / "pretrained").iterdir())
    ['README.md', 'hyperparams.yaml', 'model.safetensors']
    """
    with open(hparams_file, encoding="utf-8") as file:
        write_pretrained(model, resolve_references(file, overrides), folder, model_card)


def write_pretrained(
    model: BloomNet, hparams: str | StringIO, folder: str | Path, model_card: str
) -> None:
    """Write a folder that the pretrained interfaces load.

    Arguments
    ---------
    model : BloomNet
        The network, with its weights.
    hparams : str or StringIO
        HyperPyYAML without references; its keys model and sample_rate are kept.
    folder : str or Path
        Where hyperparams.yaml, model.safetensors and README.md go.
    model_card : str
        The text of README.md.

    Raises
    ------
    OSError
        If the folder cannot be written.

    Example
    -------
    >>> from bloomnet_sb.nn.filterbanks import LearnedFilterbank
    >>> from bloomnet_sb.separators import ConvTasNetSeparator
    >>> folder = Path(getfixture("tmpdir"))
    >>> model = BloomNet(LearnedFilterbank(16), ConvTasNetSeparator(16, num_blocks=1))
    >>> hparams = "sample_rate: 16000\\nmodel: !new:bloomnet_sb.BloomNet\\n  num_filters: 16\\n"
    >>> write_pretrained(model, hparams, folder, "A card.")
    >>> (folder / "README.md").read_text()
    'A card.'
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    yaml = YAML()
    kept = network_keys(yaml, hparams)
    kept["modules"] = {"model": kept["model"]}
    with written_whole(folder / HPARAMS_FILE) as partial:
        yaml.dump(kept, partial)
    with written_whole(folder / WEIGHTS_FILE) as partial:
        # Not by save_file, whose files nobody else may read (mode 600).
        weights = {name: value.cpu() for name, value in model.state_dict().items()}
        partial.write_bytes(save(weights))
    with written_whole(folder / CARD_FILE) as partial:
        # Names that are no text have their bytes as escapes.
        partial.write_text(model_card, encoding="utf-8", errors="backslashreplace")


def network_keys(yaml: YAML, hparams: str | StringIO) -> dict:
    """The keys of HyperPyYAML without references that say what a network is.

    Raises
    ------
    InputError
        If one of them is missing.

    Example
    -------
    >>> list(network_keys(YAML(), "{sample_rate: 16000, model: null, seed: 1}"))
    ['sample_rate', 'model']
    """
    trained_with = yaml.load(hparams)
    for key in NETWORK_KEYS:
        if key not in trained_with:
            raise InputError(f"the YAML file has no key {key}, which a network's description needs")
    return {key: trained_with[key] for key in NETWORK_KEYS}
