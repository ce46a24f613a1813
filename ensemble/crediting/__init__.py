"""Credits and inventories: what a change of soil carbon is worth under the rules of those who pay for it."""
