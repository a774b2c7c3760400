"""What a model returns: modules, shapes, strides, levels and classes."""
