/* noise.rs: handshakes and frames of noise_sv2 against dataplane/sv2, which noise_peer.c runs at
 * the other end of two pipes. Keys and frames come from a seed. */
use crate::wire::{debug, fault, public_key, read_frame, secret_key, Outcome};
use crate::wire::{AUTHORITY_PUBLIC, AUTHORITY_SECRET};
use codec_sv2::{Handshake, NoiseDecoder, NoiseEncoder, SerializedFrame, Transport};
use noise_sv2::{
    Initiator, Responder, ELLSWIFT_ENCODING_SIZE, INITIATOR_EXPECTED_HANDSHAKE_MESSAGE_SIZE,
};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::io::{Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const HANDSHAKES: usize = 100; /* In each direction. */
const FRAMES: usize = 50; /* After each of them, there and back. */
const CHUNK: usize = 65519;
const DAY_S: u32 = 86400;

struct Peer {
    child: Child,
    to: ChildStdin,
    from: ChildStdout,
}

impl Peer {
    fn start(program: &str) -> Outcome<Self> {
        let mut child = Command::new(program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{program}: {error}"))?;
        let to = child.stdin.take().ok_or("no pipe")?;
        let from = child.stdout.take().ok_or("no pipe")?;
        let mut peer = Self { child, to, from };
        peer.to.write_all(&secret_key(AUTHORITY_SECRET)?)?;
        Ok(peer)
    }

    fn read<const N: usize>(&mut self) -> Outcome<[u8; N]> {
        let mut bytes = [0; N];
        self.from.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

fn now() -> Outcome<u32> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() as u32)
}

/** Their responder: 'R' has a certificate that is over. */
fn initiate(
    peer: &mut Peer,
    rng: &mut StdRng,
    kind: u8,
    spoil: Option<usize>,
) -> Outcome<Option<Transport>> {
    let initiator = Initiator::from_raw_k_with_rng(public_key(AUTHORITY_PUBLIC)?, rng)
        .map_err(debug("initiator"))?;
    let (act1, waiting) = Handshake::initiator(initiator)
        .step_0()
        .map_err(debug("act 1"))?;
    peer.to.write_all(&[kind])?;
    peer.to.write_all(act1.payload())?;
    let mut act2 = peer.read::<INITIATOR_EXPECTED_HANDSHAKE_MESSAGE_SIZE>()?;
    if let Some(at) = spoil {
        act2[at] ^= 1 << rng.gen_range(0..8);
    }
    Ok(waiting.step_2_with_now(act2, now()?).ok())
}

/** Their initiator: 'I' expects another authority. now_s: when the certificate is made. */
fn respond(
    peer: &mut Peer,
    rng: &mut StdRng,
    kind: u8,
    now_s: u32,
    spoil: Option<usize>,
) -> Outcome<Option<Transport>> {
    let responder = Responder::from_authority_kp_with_rng(
        &public_key(AUTHORITY_PUBLIC)?,
        &secret_key(AUTHORITY_SECRET)?,
        Duration::from_secs(3600),
        rng,
    )
    .map_err(debug("responder"))?;
    peer.to.write_all(&[kind])?;
    let act1 = peer.read::<ELLSWIFT_ENCODING_SIZE>()?;
    let (act2, transport) = Handshake::responder(responder)
        .step_1_with_now_rng(act1, now_s, rng)
        .map_err(debug("act 1"))?;
    let mut act2 = act2.payload().to_vec();
    if let Some(at) = spoil {
        act2[at] ^= 1 << rng.gen_range(0..8);
    }
    peer.to.write_all(&act2)?;
    Ok((peer.read::<1>()? == [1]).then_some(transport))
}

/** Sizes around those of messages, of chunks, and of whole coinbases. */
fn size(rng: &mut StdRng) -> usize {
    match rng.gen_range(0..20) {
        0 => 0,
        1 => CHUNK - 1 + rng.gen_range(0..3),
        2 => 2 * CHUNK - 1 + rng.gen_range(0..3),
        3 => rng.gen_range(0..300_000),
        4..=6 => rng.gen_range(0..70_000),
        7..=12 => rng.gen_range(0..2_000),
        _ => rng.gen_range(0..100),
    }
}

/** Frames there and back: the peer answers with the same payload and the type's complement. */
fn exchange(peer: &mut Peer, transport: Transport, rng: &mut StdRng) -> Outcome<usize> {
    let (mut seal, mut open) = transport.split();
    let (mut encoder, mut decoder) = (NoiseEncoder::new(), NoiseDecoder::new());
    let mut large = 0;
    peer.to.write_all(&(FRAMES as u32).to_le_bytes())?;
    for _ in 0..FRAMES {
        let bytes = size(rng);
        let mut frame = vec![0; 6 + bytes];
        rng.fill(&mut frame[..]);
        frame[3..6].copy_from_slice(&(bytes as u32).to_le_bytes()[..3]);
        large += usize::from(bytes > 65536);
        let plain = SerializedFrame::from_bytes(frame.clone()).map_err(debug("frame"))?;
        let sealed = encoder
            .encode_transport(plain, &mut seal)
            .map_err(debug("seal"))?;
        peer.to.write_all(sealed.as_ref())?;
        let (answer, state) = read_frame(&mut peer.from, &mut decoder, open)?;
        open = state;
        let extension = u16::from_le_bytes([frame[0], frame[1]]);
        if answer.payload != frame[6..]
            || answer.header.ext_type() != extension
            || answer.header.msg_type() != !frame[2]
        {
            return fault("a frame came back as another one");
        }
    }
    Ok(large)
}

fn refused(transport: Option<Transport>, what: &str) -> Outcome<()> {
    match transport {
        None => Ok(()),
        Some(_) => fault(format!("accepted: {what}")),
    }
}

fn refusals(peer: &mut Peer, rng: &mut StdRng) -> Outcome<usize> {
    for at in 0..INITIATOR_EXPECTED_HANDSHAKE_MESSAGE_SIZE {
        refused(
            initiate(peer, rng, b'n', Some(at))?,
            "our act 2 with a bit changed",
        )?;
        refused(
            respond(peer, rng, b'i', now()?, Some(at))?,
            "their act 2 with a bit changed",
        )?;
    }
    refused(initiate(peer, rng, b'R', None)?, "our expired certificate")?;
    refused(
        respond(peer, rng, b'i', now()? - DAY_S, None)?,
        "their expired certificate",
    )?;
    refused(
        respond(peer, rng, b'i', now()? + DAY_S, None)?,
        "their future certificate",
    )?;
    refused(
        respond(peer, rng, b'I', now()?, None)?,
        "their unknown authority",
    )?;
    Ok(2 * INITIATOR_EXPECTED_HANDSHAKE_MESSAGE_SIZE + 4)
}

pub fn run(program: &str, seed: u64) -> Outcome<()> {
    let mut peer = Peer::start(program)?;
    let mut rng = StdRng::seed_from_u64(seed);
    let mut large = 0;
    for _ in 0..HANDSHAKES {
        let transport = initiate(&mut peer, &mut rng, b'r', None)?;
        let transport = transport.ok_or("the reference refuses our responder")?;
        large += exchange(&mut peer, transport, &mut rng)?;
        let transport = respond(&mut peer, &mut rng, b'i', now()?, None)?;
        let transport = transport.ok_or("we refuse the reference's responder")?;
        large += exchange(&mut peer, transport, &mut rng)?;
    }
    let refused = refusals(&mut peer, &mut rng)?;
    drop(peer.to);
    if !peer.child.wait()?.success() {
        return fault("noise_peer has failed");
    }
    println!(
        "noise: {} handshakes, {} frames each way ({large} above 64 KiB), {refused} refused",
        2 * HANDSHAKES,
        2 * HANDSHAKES * FRAMES
    );
    Ok(())
}
