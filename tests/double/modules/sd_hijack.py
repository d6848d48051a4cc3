"""What the WebUI patches into the checkpoint for a whole generation."""


class StableDiffusionModelHijack:
    circular_enabled = False

    def apply_circular(self, enable):
        self.circular_enabled = enable


model_hijack = StableDiffusionModelHijack()
