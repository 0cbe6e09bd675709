"""`python -m bloomnet_sb`: the command `bloomnet`."""

from bloomnet_sb.cli import main

if __name__ == "__main__":
    main()
