"""Files of a repository on the Hugging Face hub, by SpeechBrain's `fetch`, all of one commit."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import huggingface_hub
from huggingface_hub import constants, errors
from huggingface_hub.errors import HTTPError  # that of its HTTP library
from huggingface_hub.file_download import repo_folder_name
from speechbrain.utils.fetching import FetchConfig, FetchFrom, FetchSource, LocalStrategy, fetch

from bloomnet_sb.utils.errors import InputError

LOG_IN = "log in with `hf auth login`, or set HF_TOKEN"


def fetch_from_hub(
    repo_id: str,
    filenames: Sequence[str],
    revision: str | None = None,
    savedir: str | Path | None = None,
    local_strategy: LocalStrategy | None = None,
    fetch_config: FetchConfig | None = None,
) -> list[Path]:
    """Fetch files of a repository, all of the commit that its revision is at now.

    Where the hub cannot be reached, they are those of the cache, at once: the hub is asked once,
    without the half minute that its client would go on trying.

    Arguments
    ---------
    repo_id : str
        As name/model.
    filenames : sequence of str
        The files.
    revision : str, optional
        A branch, tag or commit. Default: that of `fetch_config`, or the main branch.
    savedir : str or Path, optional
        Where links to the files go. Default: no links.
    local_strategy : LocalStrategy, optional
        What goes to `savedir`: SYMLINK, the default, or COPY.
    fetch_config : FetchConfig, optional
        SpeechBrain's: the revision, whether there is a network, the token, the cache. Default: the
        main branch, with the token of who is logged in.

    Returns
    -------
    list of Path
        Where the files are.

    Raises
    ------
    InputError
        If the hub has no such repository, revision or file, or does not show it to this user; if
        it cannot be reached and the cache has none; or if `savedir` cannot be written.

    Example
    -------
    >>> fetch_from_hub("no one/nothing", ["model.safetensors"])
    Traceback (most recent call last):
    ...
    bloomnet_sb.utils.errors.InputError: no one/nothing: ...
    """
    strategy = LocalStrategy.SYMLINK if local_strategy is None else local_strategy
    if strategy is LocalStrategy.NO_LINK:
        savedir = None  # else SpeechBrain returns the place of a link that it did not make
    elif strategy not in (LocalStrategy.SYMLINK, LocalStrategy.COPY):
        raise InputError(f"local_strategy is {strategy}, but may be SYMLINK, COPY or NO_LINK")
    config = _config(revision, fetch_config)
    if savedir is not None:
        _make(Path(savedir))
    with one_line(repo_id, lambda error: _reason(error, config)):
        # Not what another source or commit left in savedir
        pinned = replace(_at_its_commit(repo_id, config), overwrite=savedir is not None)
        source = FetchSource(FetchFrom.HUGGING_FACE, repo_id)
        paths = [
            fetch(name, source, savedir, local_strategy=strategy, fetch_config=pinned)
            for name in filenames
        ]
    if pinned.allow_network and pinned.revision != config.revision:
        _remember(repo_id, config, pinned.revision)
    return paths


def _config(revision: str | None, config: FetchConfig | None) -> FetchConfig:
    if config is None:
        return FetchConfig(token=huggingface_hub.get_token() is not None, revision=revision)
    if not isinstance(config, FetchConfig):
        raise InputError(f"fetch_config is {config!r}, but must be SpeechBrain's FetchConfig")
    if revision is not None and config.revision not in (None, revision):
        raise InputError(f"revision is {revision!r}, but {config.revision!r} in fetch_config")
    return config if revision is None else replace(config, revision=revision)


def _at_its_commit(repo_id: str, config: FetchConfig) -> FetchConfig:
    """The configuration with the commit that a revision is at; for the cache, without the hub."""
    if not config.allow_network:
        return config
    try:
        info = huggingface_hub.HfApi().model_info(
            repo_id,
            revision=config.revision,
            token=config.token,
            timeout=constants.HF_HUB_ETAG_TIMEOUT,
        )
    except (HTTPError, OSError) as error:
        answer = getattr(error, "response", None)
        if answer is not None and answer.status_code < 500:
            raise
        return replace(config, allow_network=False)
    return replace(config, revision=info.sha)


def _remember(repo_id: str, config: FetchConfig, commit: str) -> None:
    """Note in the cache, as the hub's client does, which commit a branch or tag is at."""
    cache = Path(config.huggingface_cache_dir or constants.HF_HUB_CACHE)
    refs = cache / repo_folder_name(repo_id=repo_id, repo_type="model") / "refs"
    ref = refs / (config.revision or constants.DEFAULT_REVISION)
    with suppress(OSError):  # a cache that cannot be written, but has the files, will do
        ref.parent.mkdir(parents=True, exist_ok=True)
        ref.write_text(commit, encoding="utf-8")


@contextmanager
def one_line(what: str, reason: Callable[[Exception], str]) -> Iterator[None]:
    """One line for what a hub and its client say; the faults of a program keep their traceback.

    Arguments
    ---------
    what : str
        The repository or the file, for the line.
    reason : callable
        What to say of an error.

    Raises
    ------
    InputError
        In place of an error that is the hub's.

    Example
    -------
    >>> with one_line("name/model", first_line):
    ...     raise errors.OfflineModeIsEnabled("offline")
    Traceback (most recent call last):
    ...
    bloomnet_sb.utils.errors.InputError: name/model: OfflineModeIsEnabled: offline
    """
    try:
        yield
    except Exception as error:
        # Its threads raise an error of their own from what the hub said.
        cause = error.__cause__ if isinstance(error, RuntimeError) else error
        if not _of_the_hub(cause):
            raise
        raise InputError(f"{what}: {reason(cause)}") from error  # type: ignore[arg-type]


def _of_the_hub(error: BaseException | None) -> bool:
    """Whether an error is the answer of a hub, or its client's way to say that there is none."""
    return isinstance(error, HTTPError | OSError) or type(error).__module__ == errors.__name__


def _reason(error: Exception, config: FetchConfig) -> str:
    match error:
        case errors.GatedRepoError():
            return f"gated on the Hugging Face hub; ask for access on its page there, and {LOG_IN}"
        case errors.RevisionNotFoundError():
            return f"no revision {config.revision!r} on the Hugging Face hub"
        case errors.LocalEntryNotFoundError():
            there = "the Hugging Face hub cannot be reached"
            if constants.is_offline_mode() or not config.allow_network:
                there = "the Hugging Face hub is not to be asked (HF_HUB_OFFLINE or allow_network)"
            return f"no such folder, not in the cache, and {there}"
        case errors.RemoteEntryNotFoundError():
            return f"on the Hugging Face hub, but without {str(error.response.url).split('/')[-1]}"
        case errors.RepositoryNotFoundError():
            return (
                "no such folder, and no such repository on the Hugging Face hub, or a private one "
                f"({LOG_IN})"
            )
        case errors.LocalTokenNotFoundError():
            return f"a token is asked for, but there is none; {LOG_IN}"
    return f"could not be fetched from the Hugging Face hub ({first_line(error)})"


def first_line(error: Exception) -> str:
    """What an error says, on one line.

    Example
    -------
    >>> first_line(OSError("no"))
    'OSError: no'
    """
    return next(iter(f"{type(error).__name__}: {error}".splitlines())).strip()


def _make(savedir: Path) -> None:
    try:
        savedir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"savedir {savedir}: cannot be written ({error.strerror})") from None
