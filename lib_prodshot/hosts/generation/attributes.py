"""Names that Prodshot adds to a generation of the WebUI: attributes, arguments and parameters of its answer."""

from __future__ import annotations

SESSION = "_prodshot_session"
"""The attribute of a generation's processing object that holds its session; shallow copies share it."""

REPORT_CONTROL = "report_control"
"""Among the accordion's arguments, in a dict: report in the response's parameters whether ControlNet was applied in
this generation, and what it said if not. WebUIs suppress its errors, so a remote client cannot know otherwise."""

CONTROL_TOLD = "_prodshot_control_told"
"""The attribute of a generation's processing object that holds what ControlNet has warned of in it."""

XMP_TEXT = "XML:com.adobe.xmp"
"""The PNG keyword of XMP, and Pillow's key of it in a picture's texts."""
