"""Work on documents, shared among threads: the kernels let go of the GIL."""

from concurrent.futures import ThreadPoolExecutor

__all__ = ["in_threads", "ranges"]


def in_threads(work, pieces, n_jobs, stopped=None):
    """Return `[work(piece) for piece in pieces]`, by up to n_jobs threads.

    Ctrl-C ends it after the pieces at work; `stopped`, a list, is filled for those who look.
    """
    if n_jobs <= 1 or len(pieces) <= 1:
        return [work(piece) for piece in pieces]
    with ThreadPoolExecutor(min(n_jobs, len(pieces)), thread_name_prefix="raudo-text") as pool:
        futures = [pool.submit(work, piece) for piece in pieces]
        try:
            return [future.result() for future in futures]
        except BaseException:
            if stopped is not None:
                stopped.append(True)
            for future in futures:
                future.cancel()
            raise


def ranges(n, step):
    """Cut [0, n) into stretches of `step`."""
    return [(lo, min(lo + step, n)) for lo in range(0, n, step)]
