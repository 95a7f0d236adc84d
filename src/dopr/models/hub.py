"""Models of the Hugging Face hub: downloaded into the user's cache, at one commit, and linked to from there.

Only what a policy is read from is taken: configuration, tokenizer, chat template and safetensors. No code, no pickles.
The configuration comes first: a kind of model that cannot be trained is refused before its weights are downloaded.
"""

from __future__ import annotations

from pathlib import Path

from dopr.errors import UserError
from dopr.models.kinds import check_config
from dopr.models.model_folder import check_folder

FILES = ("*.safetensors", "*.json", "*.jinja", "merges.txt")


class HubError(UserError):
    """A model that cannot be had; the message says what to do."""


def fetch(model: str, revision: str, folder: Path) -> None:
    """Make `folder` a model folder of links to the files of a model at a revision.

    Raises:
        HubError: it cannot be downloaded, and is not in the cache.
        DataError: it is no model of a supported kind.
    """
    from huggingface_hub import hf_hub_download, snapshot_download  # its import takes a second
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    try:
        config = hf_hub_download(model, "config.json", revision=revision)
        check_config(Path(config), f"base.model: {model}")
        found = snapshot_download(model, revision=revision, allow_patterns=list(FILES), ignore_patterns=["*/*"])
    except (HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, OSError) as error:
        raise HubError(
            f"base.model: {model} at {revision} cannot be downloaded ({str(error).splitlines()[0]}); log in if it is "
            f"gated (hf auth login), or where there is a network run `hf download {model} --revision {revision} "
            "--local-dir FOLDER`, then set base.model to that folder and base.revision to null"
        ) from None
    folder.mkdir(parents=True)
    for path in sorted(Path(found).iterdir()):
        if path.is_file():
            (folder / path.name).symlink_to(path.resolve())
    check_folder(folder)
