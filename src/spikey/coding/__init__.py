"""From symbols to bytes and back: range coder, Rice, and observers, which are coders that write nothing."""
