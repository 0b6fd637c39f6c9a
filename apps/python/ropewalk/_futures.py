"""Futures whose :meth:`cancel` takes back what runs already."""

from __future__ import annotations

import concurrent.futures
from typing import TYPE_CHECKING, Any, Optional

if TYPE_CHECKING:
    AnyFuture = concurrent.futures.Future[Any]
else:
    AnyFuture = concurrent.futures.Future


class Cancellable(AnyFuture):
    """Never counts as running for its base class, which then lets itself be cancelled until it is done."""

    def cancel(self) -> bool:
        """Takes it back, and has what runs it notified or ended. False if it is done."""
        was_cancelled = self.cancelled()
        if not super().cancel():
            return False
        if not was_cancelled:
            try:
                self.set_running_or_notify_cancel()
            except RuntimeError:
                return True  # two at once: the other one does it
            self.take_back()
        return True

    def take_back(self) -> None:
        """It was cancelled: once."""
        raise NotImplementedError

    def finish(self, value: Any, error: Optional[BaseException] = None) -> None:
        """Its result, unless it is cancelled."""
        try:
            if error is not None:
                self.set_exception(error)
            else:
                self.set_result(value)
        except concurrent.futures.InvalidStateError:
            pass
