"""Networks by name: plain `nn.Module`s that know nothing of masks, sites or searches."""
