"""From symbols to bytes and back: range coder, and observers, which are coders that write nothing."""
