# block_oracle.py: paths from a root to a block's header through the reference implementation, for
# test_calendar_anchor_path.
#
# block_oracle.py <cases >paths: a case is a line "ROOT HEIGHT BLOCK", in hex; a path is a line of hex.
import sys

from bitcoin.core import CBlock
from opentimestamps.bitcoin import make_timestamp_from_block
from opentimestamps.core.serialize import BytesSerializationContext

for line in sys.stdin:
    root, height, block = line.split()
    stamp = make_timestamp_from_block(
        bytes.fromhex(root), CBlock.deserialize(bytes.fromhex(block)), int(height), max_tx_size=10000
    )
    out = BytesSerializationContext()
    stamp.serialize(out)
    print(out.getbytes().hex())
