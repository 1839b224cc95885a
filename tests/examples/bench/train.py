# mypy: ignore-errors
"""A stand-in for train.py: the constants that the page sets, and a run that is played back."""

import prepare

# CONSTANTS


def build_model(config):
    return config


def main():
    prepare.start_run()


if __name__ == "__main__":
    main()
