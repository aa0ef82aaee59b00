/* bench.rs: what a share costs the reference implementation's crates, for `owm-bench pool --rival`.
 *
 * One channel on one thread, everything hot in the cache, no socket and nothing kept: decrypt and parse
 * the frame (codec_sv2, noise_sv2), channels_sv2's validate_share of a server, seal a Success. Prints
 * shares a second of processor time, the median of some runs: "bench standard", "bench extended". */
#[path = "../template.rs"]
#[allow(dead_code)]
mod template;
#[path = "../wire.rs"]
#[allow(dead_code)]
mod wire;

use channels_sv2::extranonce_manager::ExtranonceAllocator;
use channels_sv2::server::extended::ExtendedChannel;
use channels_sv2::server::standard::StandardChannel;
use codec_sv2::{Handshake, MessageFrame, NoiseDecoder, NoiseEncoder, Transport};
use noise_sv2::{Initiator, Responder};
use std::time::Duration;
use stratum_core::binary_sv2::{GetSize, Serialize, B032};
use stratum_core::bitcoin::Target;
use stratum_core::mining_sv2::*;
use stratum_core::parsers_sv2::*;
use template::Tip;
use wire::{debug, fault, public_key, secret_key, Outcome};

const RUNS: usize = 9;
const RUN_SHARES: u32 = 20_000;
const CHANNEL: u32 = 7;
const PREFIX_BYTES: usize = 8;
const ROLLED: usize = 8;
const SHARES_PER_MINUTE: f32 = 1e6; /* Only sizes the memory of shares. */

enum Channel {
    Standard(Box<StandardChannel>),
    Extended(Box<ExtendedChannel>),
}

fn handshake() -> Outcome<(Transport, Transport)> {
    let responder = Responder::from_authority_kp(
        &public_key(wire::AUTHORITY_PUBLIC)?,
        &secret_key(wire::AUTHORITY_SECRET)?,
        Duration::from_secs(3600),
    )
    .map_err(debug("responder"))?;
    let initiator =
        Initiator::from_raw_k(public_key(wire::AUTHORITY_PUBLIC)?).map_err(debug("initiator"))?;
    let (act1, waiting) = Handshake::initiator(initiator)
        .step_0()
        .map_err(debug("act 1"))?;
    let (act2, pool) = Handshake::responder(responder)
        .step_1(act1.payload().try_into()?)
        .map_err(debug("act 1"))?;
    let miner = waiting
        .step_2(act2.payload().try_into()?)
        .map_err(debug("act 2"))?;
    Ok((miner, pool))
}

/** Every header is a share of it. */
fn easiest() -> Target {
    Target::from_le_bytes([0xff; 32])
}

fn channel(extended: bool, tip: &Tip) -> Outcome<Channel> {
    let total = (PREFIX_BYTES + ROLLED) as u8;
    let mut prefixes = ExtranonceAllocator::new(vec![1, 2, 3, 4, 5, 6, 7], total, 200)
        .map_err(debug("prefixes"))?;
    let outputs = vec![template::reward()];
    let first = template::template(1, true, tip, 1);
    let set = template::set_new_prev_hash(1, tip);
    if extended {
        let prefix = prefixes
            .allocate_extended(ROLLED)
            .map_err(debug("prefix"))?;
        let mut channel = ExtendedChannel::new_for_pool(
            CHANNEL,
            String::new(),
            prefix,
            easiest(),
            1.0,
            true,
            ROLLED as u16,
            1,
            SHARES_PER_MINUTE,
            String::new(),
            None,
        )
        .map_err(debug("channel"))?;
        channel.set_target(easiest()).map_err(debug("target"))?;
        channel
            .on_new_template(first, outputs)
            .map_err(debug("template"))?;
        channel.on_set_new_prev_hash(set).map_err(debug("tip"))?;
        return Ok(Channel::Extended(Box::new(channel)));
    }
    let prefix = prefixes.allocate_standard().map_err(debug("prefix"))?;
    let mut channel = StandardChannel::new_for_pool(
        CHANNEL,
        String::new(),
        prefix,
        easiest(),
        1.0,
        1,
        SHARES_PER_MINUTE,
        String::new(),
        None,
    )
    .map_err(debug("channel"))?;
    channel.set_target(easiest()).map_err(debug("target"))?;
    channel
        .on_new_template(first, outputs)
        .map_err(debug("template"))?;
    channel.on_set_new_prev_hash(set).map_err(debug("tip"))?;
    Ok(Channel::Standard(Box::new(channel)))
}

fn job_id(channel: &Channel) -> Outcome<u32> {
    let id = match channel {
        Channel::Standard(channel) => channel.get_active_job().map(|job| job.get_job_id()),
        Channel::Extended(channel) => channel.get_active_job().map(|job| job.get_job_id()),
    };
    id.ok_or_else(|| "no active job".into())
}

fn seal<T: Serialize + GetSize + IsSv2Message>(
    encoder: &mut NoiseEncoder,
    state: &mut codec_sv2::TransportEncryptState,
    message: T,
    out: &mut Vec<u8>,
) -> Outcome<()> {
    let (kind, extension) = (message.message_type(), message.extension_type());
    let channel = message.channel_bit();
    let frame =
        MessageFrame::from_message(message, kind, extension, channel).map_err(debug("frame"))?;
    let sealed = encoder
        .encode_transport(frame, state)
        .map_err(debug("seal"))?;
    out.extend_from_slice(sealed.as_ref());
    Ok(())
}

/** Nanoseconds that this thread has run. */
fn cpu_ns() -> Outcome<f64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(text.split(' ').next().unwrap_or_default().parse()?)
}

struct Bench {
    channel: Channel,
    job: u32,
    time: u32,
    number: u32,
}

impl Bench {
    fn write(
        &mut self,
        encoder: &mut NoiseEncoder,
        state: &mut codec_sv2::TransportEncryptState,
        out: &mut Vec<u8>,
    ) -> Outcome<()> {
        let number = self.number;
        self.number += 1;
        let share = SubmitSharesStandard {
            channel_id: CHANNEL,
            sequence_number: number,
            job_id: self.job,
            nonce: number,
            ntime: self.time,
            version: 0x2000_0000,
        };
        if let Channel::Standard(_) = self.channel {
            return seal(
                encoder,
                state,
                MiningOwned::SubmitSharesStandard(share),
                out,
            );
        }
        let rolled = u64::from(number).to_le_bytes();
        let extended = SubmitSharesExtended {
            channel_id: share.channel_id,
            sequence_number: share.sequence_number,
            job_id: share.job_id,
            nonce: share.nonce,
            ntime: share.ntime,
            version: share.version,
            extranonce: B032::new(&rolled).map_err(debug("extranonce"))?,
        };
        let message = Mining::SubmitSharesExtended(extended).into_owned();
        seal(encoder, state, message, out)
    }

    fn judge(&mut self, frame: &mut wire::Frame) -> Outcome<()> {
        let AnyMessageOwned::Mining(message) = frame.parse()?.into_owned() else {
            return fault("not a share");
        };
        match (&mut self.channel, message) {
            (Channel::Standard(channel), MiningOwned::SubmitSharesStandard(share)) => {
                channel.validate_share(share).map_err(debug("verdict"))?;
            }
            (Channel::Extended(channel), MiningOwned::SubmitSharesExtended(share)) => {
                channel.validate_share(share).map_err(debug("verdict"))?;
            }
            _ => return fault("not a share of this channel"),
        }
        Ok(())
    }
}

fn run(extended: bool) -> Outcome<f64> {
    let tip = Tip::first();
    let channel = channel(extended, &tip)?;
    let job = job_id(&channel)?;
    let mut bench = Bench {
        channel,
        job,
        time: tip.time,
        number: 0,
    };
    let (miner, pool) = handshake()?;
    let (mut miner_seal, _) = miner.split();
    let (mut pool_seal, open) = pool.split();
    let (mut encoder, mut answers) = (NoiseEncoder::new(), NoiseEncoder::new());
    let mut decoder = NoiseDecoder::new();
    let mut state = Some(open);
    let mut rates = Vec::new();
    for _ in 0..RUNS {
        let (mut sent, mut answered) = (Vec::new(), Vec::new());
        for _ in 0..RUN_SHARES {
            bench.write(&mut encoder, &mut miner_seal, &mut sent)?;
        }
        let mut at = &sent[..];
        let start = cpu_ns()?;
        for number in 0..RUN_SHARES {
            let open = state.take().ok_or("no state")?;
            let (mut frame, open) = wire::read_frame(&mut at, &mut decoder, open)?;
            state = Some(open);
            bench.judge(&mut frame)?;
            let success = SubmitSharesSuccess {
                channel_id: CHANNEL,
                last_sequence_number: number,
                new_submits_accepted_count: 1,
                new_shares_sum: 1,
            };
            answered.clear();
            let message = MiningOwned::SubmitSharesSuccess(success);
            seal(&mut answers, &mut pool_seal, message, &mut answered)?;
        }
        rates.push(f64::from(RUN_SHARES) * 1e9 / (cpu_ns()? - start));
    }
    rates.sort_by(f64::total_cmp);
    Ok(rates[RUNS / 2])
}

fn main() {
    let extended = match std::env::args().nth(1).as_deref() {
        Some("standard") => false,
        Some("extended") => true,
        _ => {
            eprintln!("bench standard | extended");
            std::process::exit(2);
        }
    };
    match run(extended) {
        Ok(rate) => println!("{rate:.0} shares/s"),
        Err(error) => {
            eprintln!("bench: {error}");
            std::process::exit(1);
        }
    }
}
