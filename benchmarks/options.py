"""The command line of a benchmark. With what takes long to import inside of functions, `--help`
answers at once.
"""

import argparse


def parser_of(
    document: str, data_folder: bool = False, source: str = ""
) -> argparse.ArgumentParser:
    """A parser whose help is what the script says of itself.

    Arguments
    ---------
    document : str
        The script's docstring.
    data_folder : bool
        Whether the script needs a corpus.
    source : str
        The network that it runs unless another is named; "" if it runs none.

    Returns
    -------
    argparse.ArgumentParser
        The parser, to which options of the script's own can be added.
    """
    parser = argparse.ArgumentParser(
        description=document, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    if data_folder:
        parser.add_argument(
            "--data_folder", required=True, help="the folder that holds LibriSpeech/ and musan/"
        )
    if source:
        parser.add_argument(
            "--source",
            default=source,
            help=f"a pretrained folder, or a name of `bloomnet list`; default: {source}",
        )
    return parser
