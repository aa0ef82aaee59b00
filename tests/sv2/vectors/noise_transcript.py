#!/usr/bin/env python3
# noise_transcript.py: writes noise_transcript.txt, a whole Stratum v2 handshake and its first frames, from fixed keys.
#
# A second implementation in plain Python, slow and from the specifications alone (Stratum v2 section 4.5, BIP324,
# BIP340, RFC 8439), so that the C code is not compared with itself. Nothing runs it but whoever changes the vector:
#     python3 noise_transcript.py >noise_transcript.txt
import hashlib
import hmac
import struct

P = 2**256 - 2**32 - 977
N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
G = (0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798,
     0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8)
MINUS_3_ROOT = pow(-3 % P, (P + 1) // 4, P)

# Fixed secrets, and ElligatorSwift encodings of their public keys (any of the many would do; these were made once by
# libsecp256k1 0.5 with the extra bytes all zero, and are checked below).
KEYS = {
    "initiator": ("01" * 32,
        "7faa88f36bbcca284c63e9a182c1758e99b3de1a5d90e0921aafe780ae423128"
        "9f552096110f00bbc0caa4d1b9e70386ebe19e19969b9ce88a1c703b344c7ec7"),
    "responder": ("02" * 32,
        "1911442b279255ee091fdba58c86e50ed24db0b12b32460f15734008d08833be"
        "20cbd3021fc177575e1583b50fab44b316e264c15b23ba69054a9df53de8f460"),
    "static": ("03" * 32,
        "f7aaea3b6a5c50eb70a4457fd99758dc180e51663883c237356ae456904a777e"
        "133a91153c1e65b657b26b05c415b2a0b777370ccdd2272eed99f644abca66cc"),
}
AUTHORITY = "04" * 32
VALID_FROM, NOT_VALID_AFTER = 1800000000, 1800086400


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def tagged(tag, *parts):
    t = sha256(tag.encode())
    return sha256(t, t, *parts)


def add(a, b):
    if a is None or b is None:
        return b if a is None else a
    if a[0] == b[0]:
        if (a[1] + b[1]) % P == 0:
            return None
        slope = 3 * a[0] * a[0] * pow(2 * a[1], -1, P)
    else:
        slope = (b[1] - a[1]) * pow(b[0] - a[0], -1, P)
    x = (slope * slope - a[0] - b[0]) % P
    return x, (slope * (a[0] - x) - a[1]) % P


def multiply(point, k):
    out = None
    while k:
        out = add(out, point) if k & 1 else out
        point, k = add(point, point), k >> 1
    return out


def root(square):
    y = pow(square, (P + 1) // 4, P)
    return y if y * y % P == square % P else None


def lift(x):
    return x, root(x**3 + 7)


def ellswift_x(encoding):
    """BIP324, XSwiftEC."""
    u = int.from_bytes(encoding[:32], "big") % P or 1
    t = int.from_bytes(encoding[32:], "big") % P or 1
    if (u**3 + t**2 + 7) % P == 0:
        t = 2 * t % P
    big_x = (u**3 + 7 - t**2) * pow(2 * t, -1, P) % P
    big_y = (big_x + t) * pow(MINUS_3_ROOT * u, -1, P) % P
    quotient = big_x * pow(big_y, -1, P)
    half = pow(2, -1, P)
    for x in ((u + 4 * big_y**2) % P, (-quotient - u) * half % P, (quotient - u) * half % P):
        if root(x**3 + 7) is not None:
            return x
    raise ValueError("XSwiftEC always finds one")


def exchange(secret, theirs, initiator, responder):
    x, _ = multiply(lift(ellswift_x(theirs)), int.from_bytes(secret, "big"))
    return tagged("bip324_ellswift_xonly_ecdh", initiator, responder, x.to_bytes(32, "big"))


def schnorr_sign(secret, message):
    """BIP340 with extra bytes all zero."""
    d = int.from_bytes(secret, "big")
    point = multiply(G, d)
    d = d if point[1] % 2 == 0 else N - d
    x = point[0].to_bytes(32, "big")
    mask = int.from_bytes(tagged("BIP0340/aux", bytes(32)), "big")
    k = int.from_bytes(tagged("BIP0340/nonce", (d ^ mask).to_bytes(32, "big"), x, message), "big") % N
    r = multiply(G, k)
    k = k if r[1] % 2 == 0 else N - k
    r = r[0].to_bytes(32, "big")
    e = int.from_bytes(tagged("BIP0340/challenge", r, x, message), "big") % N
    return r + ((k + e * d) % N).to_bytes(32, "big")


def chacha_block(key, counter, nonce):
    """RFC 8439, section 2.3."""
    start = list(struct.unpack("<16I", b"expand 32-byte k" + key + struct.pack("<I", counter) + nonce))
    x = start[:]

    def quarter(a, b, c, d):
        for one, two, three, left in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            x[one] = (x[one] + x[two]) & 0xFFFFFFFF
            turned = x[three] ^ x[one]
            x[three] = (turned << left | turned >> (32 - left)) & 0xFFFFFFFF

    for _ in range(10):
        for i in range(4):
            quarter(i, 4 + i, 8 + i, 12 + i)
        for i in range(4):
            quarter(i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4)
    return struct.pack("<16I", *((a + b) & 0xFFFFFFFF for a, b in zip(x, start)))


def poly1305(key, message):
    r = int.from_bytes(key[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    total = 0
    for i in range(0, len(message), 16):
        total = (total + int.from_bytes(message[i : i + 16] + b"\1", "little")) * r % (2**130 - 5)
    return ((total + int.from_bytes(key[16:32], "little")) % 2**128).to_bytes(16, "little")


def seal(key, counter, plain, data=b""):
    nonce = bytes(4) + struct.pack("<Q", counter)
    cipher = b"".join(
        bytes(a ^ b for a, b in zip(plain[i : i + 64], chacha_block(key, 1 + i // 64, nonce)))
        for i in range(0, len(plain), 64))
    padded = data + bytes(-len(data) % 16) + cipher + bytes(-len(cipher) % 16)
    lengths = struct.pack("<QQ", len(data), len(cipher))
    return cipher + poly1305(chacha_block(key, 0, nonce), padded + lengths)


class Symmetric:
    """Noise, section 5.2."""

    def __init__(self):
        self.ck = sha256(b"Noise_NX_Secp256k1+EllSwift_ChaChaPoly_SHA256")
        self.h = sha256(self.ck)
        self.key = None

    def mix_hash(self, data):
        self.h = sha256(self.h, data)

    def hkdf(self, secret):
        key = hmac.digest(self.ck, secret, "sha256")
        first = hmac.digest(key, b"\1", "sha256")
        return first, hmac.digest(key, first + b"\2", "sha256")

    def mix_key(self, secret):
        self.ck, self.key = self.hkdf(secret)

    def encrypt_and_hash(self, plain):
        out = seal(self.key, 0, plain, self.h) if self.key else plain
        self.mix_hash(out)
        return out


def frame(key, counter, extension, kind, payload):
    header = struct.pack("<HB", extension, kind) + len(payload).to_bytes(3, "little")
    return seal(key, counter, header) + (seal(key, counter + 1, payload) if payload else b"")


def say(name, data):
    print(name, data.hex())


def main():
    secret = {name: bytes.fromhex(pair[0]) for name, pair in KEYS.items()}
    encoding = {name: bytes.fromhex(pair[1]) for name, pair in KEYS.items()}
    for name in KEYS:
        assert ellswift_x(encoding[name]) == multiply(G, int.from_bytes(secret[name], "big"))[0], name
    authority = bytes.fromhex(AUTHORITY)
    static_x = ellswift_x(encoding["static"]).to_bytes(32, "big")
    certified = struct.pack("<HII", 0, VALID_FROM, NOT_VALID_AFTER)
    certificate = certified + schnorr_sign(authority, sha256(certified, static_x))

    e, re, rs = encoding["initiator"], encoding["responder"], encoding["static"]
    state = Symmetric()
    state.mix_hash(e)
    state.encrypt_and_hash(b"")
    state.mix_hash(re)
    ee = exchange(secret["responder"], e, e, re)
    assert ee == exchange(secret["initiator"], re, e, re)
    state.mix_key(ee)
    sealed_static = state.encrypt_and_hash(rs)
    es = exchange(secret["static"], e, e, rs)
    assert es == exchange(secret["initiator"], rs, e, rs)
    state.mix_key(es)
    sealed_certificate = state.encrypt_and_hash(certificate)
    to_responder, to_initiator = state.hkdf(b"")

    print("# noise_transcript.txt: a handshake of Stratum v2 and its first frames; made by noise_transcript.py.")
    for name in KEYS:
        say(name + "_secret", secret[name])
        say(name + "_ellswift", encoding[name])
    say("authority_secret", authority)
    say("authority_xonly", multiply(G, int.from_bytes(authority, "big"))[0].to_bytes(32, "big"))
    say("static_xonly", static_x)
    say("certificate", certificate)
    say("ee", ee)
    say("es", es)
    say("act1", e)
    say("act2", re + sealed_static + sealed_certificate)
    say("handshake_hash", state.h)
    say("key_initiator_to_responder", to_responder)
    say("key_responder_to_initiator", to_initiator)
    # SubmitSharesStandard of six u32 1..6, its answer, a frame without payload, and 200 bytes.
    share = struct.pack("<6I", 1, 2, 3, 4, 5, 6)
    long_payload = bytes(range(200))
    say("frame_share", frame(to_responder, 0, 0x8000, 0x1A, share))
    say("frame_empty", frame(to_responder, 2, 0x0000, 0x7F, b""))
    say("frame_200", frame(to_responder, 3, 0x0001, 0x55, long_payload))
    say("frame_success", frame(to_initiator, 0, 0x8000, 0x1C, struct.pack("<IIIQ", 1, 2, 1, 7)))


main()
