"""The last step of all: the result's file says how it was made, in its XMP."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from lib_prodshot.schema import setting
from lib_prodshot.steps.interface import State, Step, StepSettings

if TYPE_CHECKING:
    from lib_prodshot.outcome import Packshot
    from lib_prodshot.pictures.xmp import Name


class ProvenanceSettings(StepSettings):
    """What a result's file says of how it was made."""

    provenance: str = setting(
        "composite",
        section="output",
        choices=("off", "composite", "plain"),
        help="What the result's XMP says of how it was made (IPTC digital source type): composite (what really ran: "
        "compositeWithTrainedAlgorithmicMedia where diffusion painted a part), plain (trainedAlgorithmicMedia for "
        "that too, the value that Google Merchant names) or off (nothing is added).",
        named_only=True,
    )
    provenance_prompt: bool = setting(
        False,
        section="output",
        label="Tell the prompt",
        help="Also write the inpaint pass's prompt into the result's XMP, for whoever gets the file.",
        when={"provenance": ("composite", "plain")},
        named_only=True,
    )


class ProvenanceStep(Step[ProvenanceSettings]):
    """Merge the digital source type, and where a trained model painted its name and version, into the result's XMP.

    An enhanced picture keeps its own XMP. A packshot keeps of the picture's what says whose it is.
    """

    id = "declare"
    settings = ProvenanceSettings
    tab = "Output"
    prefix = ""
    per_target = True

    def applies(self, state: State) -> bool:
        """Where there is a result, and something is to be said of it."""
        return state.outcome.result is not None and self.options(state.request).provenance != "off"

    def run(self, state: State) -> State:
        """Figures: `digital_source_type`, with packshots `marketplace`."""
        from lib_prodshot.pictures import xmp
        from lib_prodshot.pictures.embedding import xmp_of

        packet = xmp_of(state.loaded)
        try:
            before = {} if packet is None else xmp.values(packet)
        except xmp.XmpError as error:
            return self._without_reading(state, str(error))
        return self._declare(state, packet, before)

    def _without_reading(self, state: State, reason: str) -> State:
        """XMP that cannot be read stays as it is in an enhanced picture; a packshot's is made anew."""
        if state.outcome.packshots:
            state.outcome.notes += (f"its XMP was not carried over: {reason}",)
            return self._declare(state, None, {})
        state.outcome.notes += (f"its XMP was kept as it is, and does not say how the result was made: {reason}",)
        return state

    def _declare(self, state: State, packet: bytes | None, before: dict[Name, str]) -> State:
        from lib_prodshot import provenance
        from lib_prodshot.pictures import xmp

        outcome, options = state.outcome, self.options(state.request)
        told = provenance.short_name(before.get(provenance.SOURCE_TYPE, ""))
        kind = provenance.source_type(told, state.painted, options.provenance == "plain")
        added = provenance.statements(before, kind, state.painted, state.finder.weights, options.provenance_prompt)
        made = outcome.packshots[-1] if outcome.packshots else None
        if packet is None:
            packet = xmp.made(added)
        else:
            packet = xmp.edited(packet, added, *(() if made is None else (xmp.says_rights,)))
        outcome.digital_source_type = kind
        if made is None:
            _into_result(state, packet)
            return replace(state, figures={"digital_source_type": kind})
        _into_packshot(state, made, packet, kind)
        if kind != provenance.source_type(told, state.painted, plain=False) and "provenance" in made.made:
            outcome.notes += (f"it says {kind}, not {provenance.COMPOSITE}: the marketplace's rule names that value",)
        return replace(state, figures={"marketplace": made.marketplace, "digital_source_type": kind})


def _into_result(state: State, packet: bytes) -> None:
    from lib_prodshot.pictures.embedding import with_xmp
    from lib_prodshot.pictures.writing import holds_xmp

    outcome = state.outcome
    assert outcome.result is not None
    outcome.result = replace(outcome.result, source=with_xmp(outcome.result.source, packet))
    if not holds_xmp(outcome.result.source):
        kind = outcome.result.source.format
        outcome.notes += (f"a {kind} file has no place for XMP: only the report says how the result was made",)


def _into_packshot(state: State, made: Packshot, packet: bytes, kind: str) -> None:
    from lib_prodshot.pictures.embedding import with_xmp

    assert made.result is not None
    made.result = replace(made.result, source=with_xmp(made.result.source, packet))
    made.digital_source_type = kind
    state.outcome.result = made.result
