"""Models of the Hugging Face hub: downloaded at one revision into the user's cache, and linked from there.

Only configuration, tokenizer, chat template and safetensors are downloaded; no code, no pickles. The configuration is
downloaded first, so that a model type that cannot be trained is refused before its weights are downloaded.
"""

from __future__ import annotations

from pathlib import Path

from dopr.errors import UserError
from dopr.models.kinds import check_config
from dopr.models.model_folder import check_folder

FILES = ("*.safetensors", "*.json", "*.jinja", "merges.txt")


class HubError(UserError):
    """A model that cannot be downloaded; the message says what to do."""


def fetch(model: str, revision: str, folder: Path) -> None:
    """Download a model at a revision, and make `folder` with links to its files.

    Raises:
        HubError: The model cannot be downloaded, and is not in the cache.
        DataError: Its type is not supported.
    """
    from huggingface_hub import hf_hub_download, snapshot_download  # its import takes a second
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    try:
        config = hf_hub_download(model, "config.json", revision=revision)
        check_config(Path(config), f"base.model: {model}")
        snapshot = snapshot_download(model, revision=revision, allow_patterns=list(FILES), ignore_patterns=["*/*"])
    except (HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, OSError) as error:
        raise HubError(
            f"base.model: {model} at {revision} cannot be downloaded ({str(error).splitlines()[0]}); log in if it is "
            f"gated (hf auth login), or where there is a network run `hf download {model} --revision {revision} "
            "--local-dir FOLDER`, then set base.model to that folder and base.revision to null"
        ) from None
    folder.mkdir(parents=True)
    for path in sorted(Path(snapshot).iterdir()):
        if path.is_file():
            (folder / path.name).symlink_to(path.resolve())
    check_folder(folder)
