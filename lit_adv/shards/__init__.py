"""What a shard is and where it lies: files and bytes, without torch and without Lightning."""
