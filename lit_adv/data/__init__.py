"""Shards in, shards out: reading, decoding, encoding, publishing, and the Lightning pieces around them."""
