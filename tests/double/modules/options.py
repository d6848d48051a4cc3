"""The settings page."""


class OptionInfo:
    def __init__(
        self,
        default=None,
        label="",
        component=None,
        component_args=None,
        onchange=None,
        section=None,
        refresh=None,
        comment_before="",
        comment_after="",
        infotext=None,
        restrict_api=False,
        category_id=None,
    ):
        self.default, self.label, self.component, self.component_args = default, label, component, component_args
        self.onchange, self.section, self.restrict_api = onchange, section, restrict_api
        self.do_not_save = False

    def info(self, info):
        return self

    def link(self, label, url):
        return self

    def html(self, html):
        return self

    def needs_restart(self):
        return self

    def needs_reload_ui(self):
        return self


class Options:
    def __init__(self, data_labels, restricted_opts, cmd_opts):
        vars(self).update(data_labels=data_labels, restricted_opts=restricted_opts, cmd_opts=cmd_opts)
        vars(self)["data"] = {key: info.default for key, info in data_labels.items()}

    def __setattr__(self, key, value):
        if key not in self.data_labels:
            raise AttributeError(key)
        assert not self.cmd_opts.freeze_settings, "changing settings is disabled"
        self.data[key] = value

    def __getattr__(self, item):
        if item in self.data:
            return self.data[item]
        raise AttributeError(item)

    def set(self, key, value, is_api=False, run_callbacks=True):
        if self.data.get(key) == value:
            return False
        if is_api and self.data_labels[key].restrict_api:
            return False
        setattr(self, key, value)
        return True

    def get_default(self, key):
        return self.data_labels[key].default if key in self.data_labels else None

    def add_option(self, key, info):
        self.data_labels[key] = info
        self.data.setdefault(key, info.default)
