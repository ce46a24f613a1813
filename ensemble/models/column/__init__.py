"""A layered soil column: RothC pools in every layer, protection, mixing, erosion and reduced pedogenesis."""
