"""One checkpoint, loaded."""

from types import SimpleNamespace

from modules import shared

CheckpointInfo = SimpleNamespace
_TINY = SimpleNamespace(
    title="tiny-sd15.safetensors [5f4cf4601d]",
    name="tiny-sd15.safetensors",
    filename="/nowhere/tiny-sd15.safetensors",
    name_for_extra="tiny-sd15",
    shorthash="5f4cf4601d",
)
_OTHER = SimpleNamespace(
    title="other.safetensors [0123456789]",
    name="other.safetensors",
    filename="/nowhere/other.safetensors",
    name_for_extra="other",
    shorthash="0123456789",
)
checkpoints_list = {info.title: info for info in (_TINY, _OTHER)}
checkpoint_aliases = {name: info for info in (_TINY, _OTHER) for name in (info.title, info.name)}
model_data = SimpleNamespace(sd_model=shared.sd_model)
reloads = []


def get_closet_checkpoint_match(search_string):
    if not search_string:
        return None
    return next((info for info in checkpoints_list.values() if search_string in info.title), None)


def select_checkpoint():
    return checkpoint_aliases[shared.opts.sd_model_checkpoint]


def reload_model_weights(sd_model=None, info=None, forced_reload=False):
    reloads.append(shared.opts.sd_model_checkpoint)


def apply_token_merging(sd_model, token_merging_ratio):
    sd_model.applied_token_merged_ratio = token_merging_ratio


def send_model_to_cpu(m):
    pass


def send_model_to_device(m):
    pass
