"""What the information of a finished run says of it: whether training collapsed, and what to change.

The information I is at most log B, for batches of B pairs. Runs that learned end between 0.4 and 0.9 of it.
"""

import math
from collections.abc import Sequence

from pim_jax.training import log

NOTHING = 0.02  # of log B: less information or a lower rate than this is none
ALL = 0.98  # of log B: more information than this is all that a batch can show


def remark(rows: Sequence[dict], batch: int) -> str:
    """Says what went wrong with a finished run and what to change. Empty if nothing is seen.

    Args:
      rows: of the log: {"step": 10, "I": 1.2, ...}, in nats. Terms that an objective does not have are missing.
      batch: pairs in a batch.

    Examples:
      >>> remark([{"step": 9, "I": 0.001}], batch=50)[:66]
      'it collapsed: I ends at 0.001 nats, of at most log B = 3.91 nats; '
      >>> remark([{"step": 9, "I": 2.1, "Rx": 0.4, "Ry": 0.1}], batch=50)
      ''
    """
    information, *rates = map(log.ending(rows).get, ("I", "Rx", "Ry"))
    bound = math.log(batch)
    if information is None or not bound:
        return ""
    ends = f"I ends at {information:.2g} nats, of at most log B = {bound:.2f} nats"
    if information < NOTHING * bound:
        return (
            f"it collapsed: {ends}; z tells nothing of the frames. In a new --workdir, let β grow more slowly "
            "(beta_steps), lower learning_rate, or train for more steps"
        )
    if information > ALL * bound and None not in rates and max(rates) < NOTHING * bound:
        return (
            f"it is saturated: {ends}, Rx and Ry at {rates[0]:.2g} and {rates[1]:.2g}; the pairs of a batch are too "
            "easy to tell apart. In a new --workdir, raise batch, or train on more video, whose shots look more alike"
        )
    return ""
