# oracle.py: OpenTimestamps files through the reference implementation, for test_oracle.
#
# oracle.py check <cases >answers: a case is 4 bytes of length, low first, and a file; an answer is
# the same with what the reference writes for it, or the length ffffffff where it rejects it.
# oracle.py make SEED COUNT >cases: files of random trees that the reference writes.
import random
import struct
import sys

from opentimestamps.core import op, notary, serialize, timestamp
from opentimestamps.core.dubious.notary import EthereumBlockHeaderAttestation

REJECTED = 0xFFFFFFFF
OPS = [op.OpSHA1, op.OpRIPEMD160, op.OpSHA256, op.OpKECCAK256, op.OpReverse, op.OpHexlify]


class Bounded(serialize.BytesDeserializationContext):
    """As the reference, but numbers have 64 bits and 10 bytes."""

    def read_varuint(self):
        value = 0
        for shift in range(0, 70, 7):
            byte = self.fd_read(1)[0]
            value |= (byte & 0x7F) << shift
            if not byte & 0x80:
                if value >> 64:
                    raise serialize.DeserializationError("over 64 bits")
                return value
        raise serialize.DeserializationError("over 10 bytes")


# A known attestation's payload is read through the same class.
serialize.BytesDeserializationContext = Bounded


def set_or_merge(self, step, stamp):
    """The reference keeps the last of two forks of one op, and loses what the first attests."""
    if step in self:
        self[step].merge(stamp)
    else:
        dict.__setitem__(self, step, stamp)


timestamp.OpSet.__setitem__ = set_or_merge


def written(stamp):
    out = serialize.BytesSerializationContext()
    stamp.serialize(out)
    return out.getbytes()


def check():
    cases = sys.stdin.buffer
    while head := cases.read(4):
        data = cases.read(struct.unpack("<I", head)[0])
        try:
            if data[31:32] != b"\x01":  # Later releases take this byte alone.
                raise serialize.DeserializationError("version")
            answer = written(timestamp.DetachedTimestampFile.deserialize(Bounded(data)))
        except (serialize.DeserializationError, op.MsgValueError):
            sys.stdout.buffer.write(struct.pack("<I", REJECTED))
            continue
        sys.stdout.buffer.write(struct.pack("<I", len(answer)) + answer)


def attestation(rng):
    height = rng.getrandbits(rng.randint(1, 64))
    kind = rng.randrange(5)
    if kind == 0:
        return notary.BitcoinBlockHeaderAttestation(height)
    if kind == 1:
        return notary.LitecoinBlockHeaderAttestation(height)
    if kind == 2:
        return EthereumBlockHeaderAttestation(height)
    if kind == 3:
        letters = "abcXYZ019-._/:"
        return notary.PendingAttestation("".join(rng.choices(letters, k=rng.choice([0, 9, 30, 1000]))))
    return notary.UnknownAttestation(rng.randbytes(8), rng.randbytes(rng.choice([0, 5, 46, 8192])))


def grow(rng, stamp, depth):
    for _ in range(rng.choice([0, 1, 1, 1, 1, 1, 1, 1, 2]) if depth else 0):
        if rng.random() < 0.5:
            step = rng.choice([op.OpAppend, op.OpPrepend])(rng.randbytes(rng.choice([1, 4, 32, 200])))
        else:
            step = rng.choice(OPS)()
        try:
            grow(rng, stamp.ops.add(step), depth - 1)
        except op.MsgValueError:
            pass
    if not stamp.ops or rng.random() < 0.2:
        for _ in range(rng.randint(1, 3)):
            stamp.attestations.add(attestation(rng))


def make(seed, count):
    rng = random.Random(seed)
    hashes = [op.OpSHA1, op.OpRIPEMD160, op.OpSHA256, op.OpKECCAK256]
    for _ in range(count):
        file_op = rng.choice(hashes)()
        stamp = timestamp.Timestamp(rng.randbytes(file_op.DIGEST_LENGTH))
        grow(rng, stamp, rng.choice([1, 3, 12, 60]))
        data = written(timestamp.DetachedTimestampFile(file_op, stamp))
        sys.stdout.buffer.write(struct.pack("<I", len(data)) + data)


if __name__ == "__main__":
    if sys.argv[1:] == ["check"]:
        check()
    else:
        make(int(sys.argv[2]), int(sys.argv[3]))
