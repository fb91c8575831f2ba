"""Transferable adversarial images at dataset scale, with PyTorch Lightning."""

__version__ = "0.1.0"
