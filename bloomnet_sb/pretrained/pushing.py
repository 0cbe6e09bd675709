"""A pretrained folder to the Hugging Face hub, with the header that the hub reads off its card."""

from pathlib import Path

import yaml
from huggingface_hub import CommitOperationAdd, HfApi, ModelCard, ModelCardData, errors

from bloomnet_sb.pretrained.fetching import HPARAMS_FILE, WEIGHTS_FILE
from bloomnet_sb.pretrained.hub import LOG_IN, first_line, one_line
from bloomnet_sb.pretrained.loading import load_pretrained
from bloomnet_sb.pretrained.saving import CARD_FILE
from bloomnet_sb.utils.errors import InputError

TASK_TAGS = {1: "speech-enhancement", 2: "speech-separation"}
# What a recipe's card has in place of the name that a folder gets
NAMELESS = 'source="this folder"'


def push(
    folder: str | Path,
    repo_id: str,
    private: bool = False,
    license: str | None = None,
    message: str | None = None,
) -> str:
    """Put a pretrained folder on the Hugging Face hub, in one commit.

    The folder stays as it is. What goes to the hub is loaded first, as anyone will load it; the
    card gets the hub's header (library, task, tags, licence), whose own entries stay.

    Arguments
    ---------
    folder : str or Path
        The folder, with hyperparams.yaml, model.safetensors and README.md.
    repo_id : str
        Where it goes, as name/model; the repository is made if there is none.
    private : bool
        Whether a repository that is made is for its owner only.
    license : str, optional
        The licence of the weights, by the hub's name for it, such as cc-by-4.0. Default: what the
        card's header says, if anything.
    message : str, optional
        Of the commit.

    Returns
    -------
    str
        The commit's address.

    Raises
    ------
    InputError
        If the folder cannot be loaded or has no card, the hub does not take the card or lets this
        user not write there, or it cannot be reached.

    Example
    -------
    >>> push("tests/samples", "name/model")
    Traceback (most recent call last):
    ...
    bloomnet_sb.utils.errors.InputError: tests/samples: a pretrained folder without hyperparams.yaml
    """
    folder = Path(folder)
    for name in (HPARAMS_FILE, WEIGHTS_FILE, CARD_FILE):
        if not (folder / name).is_file():
            raise InputError(f"{folder}: a pretrained folder without {name}")
    hparams = load_pretrained(folder / HPARAMS_FILE, folder / WEIGHTS_FILE)
    card = hub_card(folder / CARD_FILE, repo_id, hparams["modules"]["model"].num_sources, license)
    with one_line(repo_id, _reason):
        try:
            card.validate()
        except ValueError as error:
            raise InputError(
                f"{folder / CARD_FILE}: a header that the hub does not take "
                f"({' '.join(str(error).split())[:300]})"
            ) from None
        api = HfApi()
        api.create_repo(repo_id, private=private or None, exist_ok=True)
        operations = [
            CommitOperationAdd(path_in_repo=name, path_or_fileobj=folder / name)
            for name in (HPARAMS_FILE, WEIGHTS_FILE)
        ]
        operations.append(CommitOperationAdd(CARD_FILE, str(card).encode()))
        message = message or f"Add {folder.resolve().name}, made by bloomnet_sb"
        return api.create_commit(repo_id, operations, commit_message=message).commit_url


def hub_card(path: Path, repo_id: str, sources: int = 1, license: str | None = None) -> ModelCard:
    """A model card with the hub's header.

    Arguments
    ---------
    path : Path
        The card, with a header or without.
    repo_id : str
        The repository that it is for, which its examples then name.
    sources : int
        How many the network separates.
    license : str, optional
        See `push`.

    Returns
    -------
    ModelCard
        The card.

    Raises
    ------
    InputError
        If the header cannot be read.

    Example
    -------
    >>> path = Path("bloomnet_sb/pretrained/convtasnet-16k/README.md")
    >>> card = hub_card(path, "name/model", license="cc-by-sa-3.0")
    >>> card.data.pipeline_tag, card.data.license
    ('audio-to-audio', 'cc-by-sa-3.0')
    """
    try:
        text = path.read_text(encoding="utf-8")
        card = ModelCard(text.replace(NAMELESS, f'source="{repo_id}"'))
    except (ValueError, yaml.YAMLError) as error:
        raise InputError(f"{path}: no card with a header in YAML ({first_line(error)})") from None
    own = card.data.to_dict()
    task = TASK_TAGS[min(sources, 2)]
    header = {
        "library_name": "bloomnet_sb",
        "pipeline_tag": "audio-to-audio",
        "tags": ["speechbrain", "audio", task, "BLOOM-Net"],
        **own,
        **({"license": license} if license else {}),
    }
    card.data = ModelCardData(**header)
    return card


def _reason(error: Exception) -> str:
    answer = getattr(error, "response", None)
    refused = answer is not None and answer.status_code in (401, 403, 404)
    if refused or isinstance(error, errors.LocalTokenNotFoundError):
        return f"the Hugging Face hub lets this user not write there; {LOG_IN}"
    return f"could not be put on the Hugging Face hub ({first_line(error)})"
