from raudo._core.policy import REGISTRY
from raudo._core.queues import S3Fifo
REGISTRY["adaptive"] = S3Fifo
