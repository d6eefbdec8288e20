"""Network layer: the broker, topics, the canonical codec, signed envelopes and the `Bus`.

It carries opaque bytes and never learns what a message means. Start reading at `envelope.py` (what
travels), `topics.py` (where) and `bus.py` (how).
"""

import logging

# A library says nothing on anybody's terminal unless whoever uses it has configured logging.
logging.getLogger(__name__).addHandler(logging.NullHandler())
