"""Budgets as rows. In: `Budget`, or the columns of a row. Out: the other. Without SQLAlchemy, for the data plane too."""

from collections.abc import Mapping
from typing import Any

import msgspec

from trunkline.accounts.types import Budget
from trunkline.storage.columns import BUDGET_COLUMNS

_alerts = msgspec.json.Decoder(tuple[int, ...])


def budget_values(budget: Budget) -> dict[str, Any]:
    """By column."""
    values = {name: getattr(budget, name) for name in BUDGET_COLUMNS}
    return values | {"alerts": msgspec.json.encode(budget.alerts).decode()}


def read_budget(columns: Mapping[str, Any]) -> Budget:
    """Of the columns of `budgets`."""
    return Budget(**dict(columns) | {"alerts": _alerts.decode(columns["alerts"])})
