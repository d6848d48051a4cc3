"""What one picture is made into: a packshot for each marketplace, from one find and one cut-out; of several products
one together, or one each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from lib_prodshot.errors import FieldProblem, RequestError
from lib_prodshot.markets.rules import Marketplace, RulesError, chosen

if TYPE_CHECKING:
    from lib_prodshot.request import Request
    from lib_prodshot.steps.interface import State

WITHOUT: Mapping[str, Any] = {"ground": "white", "shadow": "none"}
"""What 'auto' stands for without a marketplace."""


@dataclass(frozen=True)
class Target:
    """One packshot to make: for which marketplace ('' for none), by which settings, and which of them the marketplace
    set. `limit`: the bytes that its rules allow, 0 for any."""

    marketplace: str
    request: Request
    made: Mapping[str, Any] = field(default_factory=dict)
    limit: int = 0


def products_of(state: State) -> Iterator[State]:
    """The masked picture once for each frame's product: as it is, or (`several_products` each) with the mask of one
    product alone, numbered from 1 in the order of the detections."""
    built, request = state.built, state.request
    # an inverted mask is everything but the products: there is one of it
    if request.frame.several_products != "each" or not request.makes_packshot or built is None or request.invert:
        yield state
        return
    number = 0
    for place, (index, area) in enumerate(zip(built.chosen, built.areas)):
        if not area:
            continue
        number += 1
        piece = built.pieces[place]
        mask = piece.whole(*built.mask.shape)
        own = replace(built, mask=mask, alpha=mask, chosen=(index,), areas=(area,), pieces=(piece,))
        yield replace(state, built=own, number=number)


def targets_of(request: Request) -> tuple[Target, ...]:
    """The packshots that a request asks for: one without a marketplace, else one each.

    A marketplace sets what is at its default, where most defaults say 'auto'; what was set stays. Raises `RequestError`
    (field marketplace) as `known_markets`, and for a user's marketplace that sets what is no setting.
    """
    markets = known_markets(request.shop.marketplace)
    if not markets:
        return (Target("", _resolved(request, {})),)
    return tuple(_target(request, market) for market in markets)


def known_markets(names: str) -> tuple[Marketplace, ...]:
    """The marketplaces of a comma-separated list. Raises `RequestError` (field marketplace) for an unknown one, and for
    rules that cannot be read."""
    try:
        return chosen(names)
    except RulesError as error:
        raise RequestError([FieldProblem("marketplace", str(error))]) from error


def _target(request: Request, market: Marketplace) -> Target:
    changed = request.to_dict(only_changed=True)
    made = {name: value for name, value in market.settings().items() if name not in changed}
    if changed.get("ground") == "transparent" and made.get("format") == "jpeg":
        del made["format"]  # which knows no transparency
    try:
        resolved = _resolved(request, made)
    except RequestError as error:
        told = "; ".join(_placed(problem, market) for problem in error.problems)
        raise RequestError(
            [FieldProblem("marketplace", f"the rules of {market.name} cannot be used: {told}")]
        ) from error
    limits = [int(rule.maximum) for rule in market.rules if rule.measure == "bytes" and rule.maximum]
    return Target(market.name, resolved, made, min(limits, default=0))


def _placed(problem: FieldProblem, market: Marketplace) -> str:
    """A problem with the line and field of the user's file that sets the value."""
    figure = market.make.get(problem.field)
    return f"{figure.place}: {problem}" if figure is not None and figure.place else str(problem)


def _resolved(request: Request, made: Mapping[str, Any]) -> Request:
    """The request with nothing left unset."""
    values = {**request.to_dict(), **made, "marketplace": ""}
    unset = {name: value for name, value in WITHOUT.items() if values.get(name) == "auto"}
    return request.replace(**{**values, **unset})
