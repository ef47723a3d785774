"""harness: which fine-tuning method and which quantization, on this model, this GPU and this task?"""

__version__ = "0.1.0"
