"""What tests share: an independent decoder, contracts, golden files, made recordings, links, pages."""
