"""Working memory made of device physics."""

__version__ = "0.1.0"
