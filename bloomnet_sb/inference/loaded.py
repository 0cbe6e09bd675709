"""Networks as SpeechBrain's `Pretrained` loads them: from where, with which options, where to."""

import logging
import multiprocessing
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from speechbrain.inference.interfaces import Pretrained

from bloomnet_sb.inference.run_options import checked_run_opts
from bloomnet_sb.pretrained.fetching import HPARAMS_FILE, fetch_pretrained
from bloomnet_sb.pretrained.loading import load_pretrained, load_trusted
from bloomnet_sb.utils.errors import InputError
from bloomnet_sb.utils.folders import one_line

if TYPE_CHECKING:
    from speechbrain.utils.fetching import FetchConfig, FetchSource, LocalStrategy
    from speechbrain.utils.run_opts import RunOptions
    from typing_extensions import Self

logger = logging.getLogger(__name__)


class LoadedNetwork(Pretrained):
    """SpeechBrain's `Pretrained`, whose folders need not be trusted.

    Arguments
    ---------
    modules : dict
        The network, as "model".
    hparams : dict
        Its "sample_rate", in Hz.
    run_opts : RunOptions or dict, optional
        SpeechBrain's options of a run, such as {"device": "cuda:1"}. Default: a GPU, where there is
        one.
    freeze_params : bool
        Whether the network is in evaluation mode and without gradients.

    Raises
    ------
    InputError
        If an option cannot be.

    Example
    -------
    See `bloomnet_sb.inference.enhancer.BloomEnhancer`.
    """

    HPARAMS_NEEDED = ["sample_rate"]
    MODULES_NEEDED = ["model"]

    def __init__(
        self,
        modules: dict[str, torch.nn.Module] | None = None,
        hparams: dict | None = None,
        run_opts: "RunOptions | dict | None" = None,
        freeze_params: bool = True,
    ):
        super().__init__(modules, hparams, checked_run_opts(run_opts), freeze_params)

    @classmethod
    def from_hparams(
        cls,
        source: "str | Path | FetchSource",
        hparams_file: str = HPARAMS_FILE,
        savedir: str | Path | None = None,
        trust_source: bool = False,
        *,
        revision: str | None = None,
        overrides: dict | str | None = None,
        overrides_must_match: bool = True,
        download_only: bool = False,
        local_strategy: "LocalStrategy | None" = None,
        fetch_config: "FetchConfig | None" = None,
        run_opts: "RunOptions | dict | None" = None,
        freeze_params: bool = True,
    ) -> "Self":
        """Load a `pretrained` folder, as a recipe leaves it.

        The folder need not be trusted: it may name the networks of this package only, and its
        weights hold no code, see `bloomnet_sb.pretrained.loading`. What its key `caution` says is
        logged as a warning.

        Arguments
        ---------
        source : str, Path or FetchSource
            A folder with hyperparams.yaml and model.safetensors, the name of a network that came
            with the package (see `bloomnet_sb.pretrained.fetching.installed_names`), or the id of
            such a repository on the Hugging Face hub, as name/model or name/model@revision.
        hparams_file : str
            Another name for hyperparams.yaml.
        savedir : str or Path, optional
            Where links to what was fetched from the hub go. Default: no links, and the hub's own
            cache.
        trust_source : bool
            Whether hyperparams.yaml may have every tag of HyperPyYAML. Those run whatever code they
            name: only for folders of people whom you trust with all that your account can do.
        revision : str, optional
            A branch, tag or commit on the hub. Default: the main branch.
        overrides, overrides_must_match
            SpeechBrain's, for the keys of hyperparams.yaml; with `trust_source` only.
        download_only : bool
            Whether to fetch the files and load nothing.
        local_strategy, fetch_config
            SpeechBrain's, for the hub: links or copies in `savedir`; the token, the cache, no
            network. Both files are of one commit, that of the revision at the time; where the hub
            cannot be reached, of the cache.
        run_opts : RunOptions or dict, optional
            SpeechBrain's options of a run, such as {"device": "cuda:1"}. Default: a GPU, where
            there is one.
        freeze_params : bool
            Whether the network is in evaluation mode and without gradients.

        Returns
        -------
        BloomInterface
            The object, of the class that this is called on; None with `download_only`.

        Raises
        ------
        InputError
            If there is no such folder or repository, a file is missing, the weights are not those
            of the network in hyperparams.yaml, the network is not for this class, the folder holds
            what a folder that is not trusted may not, or an argument cannot be.
        """
        if overrides and not trust_source:
            raise InputError(
                "overrides are for trust_source=True: other folders hold a network and its rate"
            )
        run_opts = checked_run_opts(run_opts)  # before anything is fetched
        paths = fetch_pretrained(
            source, hparams_file, revision, savedir, local_strategy, fetch_config
        )
        if download_only:
            return None  # type: ignore[return-value]  # as SpeechBrain says
        if trust_source:
            hparams = load_trusted(*paths, overrides, overrides_must_match)
        else:
            hparams = load_pretrained(*paths)
        # What its maker says that users should know, once for all processes.
        if hparams.get("caution") and multiprocessing.parent_process() is None:
            logger.warning("%s: %s", source, one_line(str(hparams["caution"])))
        return cls(hparams["modules"], hparams, run_opts, freeze_params)
