"""gmemsim: what converting guest_memfd memory between shared and private costs the host."""

__version__ = "0.1.0"
