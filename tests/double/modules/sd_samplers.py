"""Samplers by name."""

from types import SimpleNamespace

all_samplers = [SimpleNamespace(name=name) for name in ("DPM++ 2M", "Euler a", "Euler", "DDIM")]
all_samplers_map = {sampler.name: sampler for sampler in all_samplers}


def fix_p_invalid_sampler_and_scheduler(p):
    if p.sampler_name not in all_samplers_map:
        p.sampler_name = "DPM++ 2M"
    p.scheduler = p.scheduler or "Automatic"
