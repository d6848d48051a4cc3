"""No VAE of its own."""


def get_loaded_vae_name():
    return None


def get_loaded_vae_hash():
    return None
