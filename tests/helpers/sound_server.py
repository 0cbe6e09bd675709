"""Stand-ins for pactl and pacat: programs that keep a list of modules, and what is played."""

from pathlib import Path

PACTL = """#!/bin/sh
PATH=/usr/bin:/bin
cd "$SERVER" || exit 1
echo "$*" >> asked
if [ -e refuses ]; then printf 'Connection failure: Connection refused\\n' >&2; exit 1; fi
case "$1" in
list) cat modules ;;
get-default-source) cat default ;;
load-module)
    number=$(( $(wc -l < asked) + 100 ))
    shift
    name=$1
    shift
    printf '%s\\t%s\\t%s\\t\\n' "$number" "$name" "$*" >> modules
    echo "$number" ;;
unload-module)
    grep -q "^$2	" modules || { echo 'Failure: No such entity' >&2; exit 1; }
    grep -v "^$2	" modules > left
    mv left modules ;;
*) exit 1 ;;
esac
"""
PACAT = """#!/bin/sh
PATH=/usr/bin:/bin
cd "$SERVER" || exit 1
echo "$*" > player
[ -e dies ] && exit 1
exec cat > played
"""


class SoundServer:
    """A sound server in a folder.

    Arguments
    ---------
    folder : Path
        Where it is. Its `environment` is to be set, with which there are no other programs.
    """

    def __init__(self, folder: Path):
        self.folder, self.programs = folder, folder / "programs"
        self.programs.mkdir()
        for name, script in (("pactl", PACTL), ("pacat", PACAT)):
            (self.programs / name).write_text(script)
            (self.programs / name).chmod(0o755)
        (folder / "modules").write_text("1\tmodule-device-restore\t\t\n")
        (folder / "default").write_text("alsa_input.pci\n")
        self.environment = {"SERVER": str(folder), "PATH": str(self.programs)}

    def modules(self) -> list[str]:
        """The modules that are loaded, with their arguments."""
        lines = (self.folder / "modules").read_text().splitlines()
        return [" ".join(line.split("\t")[1:]).strip() for line in lines]
