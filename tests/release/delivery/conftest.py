from __future__ import annotations

from tests.release.delivery.shop import shop, trained_shop

__all__ = ["shop", "trained_shop"]
