/* judge.rs: channels_sv2 as an independent validator of the pool's verdicts.
 *
 * verdicts.c, at the other end of a pipe, runs the pool's hall and hands on every frame that the
 * pool sends. From these alone channels are built, each twice: as the reference implementation's
 * client has it, and as its server has it. Then shares are drawn from a seed, judged by both (who
 * must agree), and written back as frames with the server's verdict beside each.
 *
 *   in    'F' session  frame        what the pool sends to a session
 *         'C' -        clock        of the pool, in seconds
 *         'D' -        count        draw so many shares
 *   each  kind u8, session u8, 2 unused, length u32, then that many bytes
 *   out   per share a record of 128 bytes: see Record::write */
use crate::draw::{Draw, Drawn};
use crate::seat::{Seat, Verdict};
use crate::wire::{debug, fault, Outcome};
use std::collections::HashMap;
use std::io::{BufReader, BufWriter, Read, Write};
use stratum_core::binary_sv2;
use stratum_core::framing_sv2::header::Header;
use stratum_core::mining_sv2::*;
use stratum_core::parsers_sv2::*;

const RECORD_BYTES: usize = 128;
const CODE_AT: usize = 8;
const FRAME_AT: usize = 48;

#[derive(Default)]
struct Judge {
    seats: Vec<Seat>,
    /** Jobs by id and whole extranonce length: what a group is told, its channels share. */
    jobs: HashMap<(u32, usize), NewExtendedMiningJobOwned>,
    clock_s: u32,
    roots: u64,
    /** The sequence number of a share of which the verdict is turned round; 0: none. */
    lie: u64,
}

impl Judge {
    fn members(&mut self, id: u32, session: u8) -> impl Iterator<Item = &mut Seat> {
        self.seats.iter_mut().filter(move |seat| {
            seat.session == session && (seat.id == id || (seat.group == id && id != 0))
        })
    }

    fn on_extended_job(&mut self, session: u8, job: NewExtendedMiningJobOwned) -> Outcome<()> {
        let clock_s = self.clock_s;
        let mut whole = 0;
        for seat in self.members(job.channel_id, session) {
            whole = seat.extranonce_bytes();
            seat.on_extended_job(&job, clock_s)?;
        }
        self.jobs.insert((job.job_id, whole), job);
        Ok(())
    }

    fn on_standard_job(&mut self, session: u8, job: NewMiningJobOwned) -> Outcome<()> {
        let clock_s = self.clock_s;
        let Some(seat) = self.seats.iter_mut().find(|seat| seat.id == job.channel_id) else {
            return fault(format!(
                "a job for channel {} of session {session}",
                job.channel_id
            ));
        };
        let Some(extended) = self.jobs.get(&(job.job_id, seat.extranonce_bytes())) else {
            return fault("a standard job of which the extended form is not known");
        };
        self.roots += 1;
        seat.on_standard_job(&job, extended, clock_s)
    }

    fn on_mining(&mut self, session: u8, message: MiningOwned) -> Outcome<()> {
        match message {
            MiningOwned::OpenStandardMiningChannelSuccess(open) => {
                self.seats.push(Seat::standard(session, &open)?);
            }
            MiningOwned::OpenExtendedMiningChannelSuccess(open) => {
                self.seats.push(Seat::extended(session, &open)?);
            }
            MiningOwned::NewExtendedMiningJob(job) => self.on_extended_job(session, job)?,
            MiningOwned::NewMiningJob(job) => self.on_standard_job(session, job)?,
            MiningOwned::SetNewPrevHash(tip) => {
                for seat in self.members(tip.channel_id, session) {
                    seat.on_tip(&tip)?;
                }
            }
            MiningOwned::SetTarget(set) => {
                for seat in self.members(set.channel_id, session) {
                    seat.on_target(set.maximum_target.to_array())?;
                }
            }
            other => return fault(format!("the pool sends no such message here: {other}")),
        }
        Ok(())
    }

    fn on_frame(&mut self, session: u8, bytes: &mut [u8]) -> Outcome<()> {
        let header = Header::from_bytes(bytes).map_err(debug("header"))?;
        let payload = &mut bytes[6..];
        match AnyMessage::try_from((header, payload))
            .map_err(debug("message"))?
            .into_owned()
        {
            AnyMessageOwned::Mining(message) => self.on_mining(session, message),
            _ => Ok(()), /* Set-up, which says nothing of shares. */
        }
    }
}

/** faults u8, block u8, bytes of code u8, of frame u8, session u8; code at 8, frame at 48. */
fn record(drawn: &Drawn, verdict: &Verdict) -> Outcome<[u8; RECORD_BYTES]> {
    let mut out = [0; RECORD_BYTES];
    let frame = frame(drawn)?;
    out[0] = drawn.faults;
    out[1] = u8::from(verdict.block);
    out[2] = verdict.code.len() as u8;
    out[3] = frame.len() as u8;
    out[4] = drawn.session;
    out[CODE_AT..][..verdict.code.len()].copy_from_slice(verdict.code.as_bytes());
    out[FRAME_AT..][..frame.len()].copy_from_slice(&frame);
    Ok(out)
}

fn frame(drawn: &Drawn) -> Outcome<Vec<u8>> {
    let share = &drawn.share;
    let message = if share.is_extended {
        Mining::SubmitSharesExtended(share.extended()?).into_owned()
    } else {
        MiningOwned::SubmitSharesStandard(share.standard())
    };
    let extension = if message.channel_bit() { 0x8000u16 } else { 0 };
    let kind = message.message_type();
    let payload = binary_sv2::to_bytes(message).map_err(debug("share"))?;
    let mut bytes = extension.to_le_bytes().to_vec();
    bytes.push(kind);
    bytes.extend_from_slice(&(payload.len() as u32).to_le_bytes()[..3]);
    bytes.extend(payload);
    Ok(bytes)
}

fn draw(judge: &mut Judge, draw: &mut Draw, count: u32, out: &mut impl Write) -> Outcome<()> {
    draw.round(judge.seats.len());
    for _ in 0..count {
        let drawn = draw.share(&mut judge.seats, judge.clock_s)?;
        let mut verdict = match drawn.seat {
            Some(at) => {
                let verdict = judge.seats[at].validate(&drawn.share)?;
                if verdict.code.is_empty() {
                    judge.seats[at].remember(&drawn.share);
                }
                verdict
            }
            None => Verdict {
                code: ERROR_CODE_SUBMIT_SHARES_INVALID_CHANNEL_ID.to_string(),
                block: false,
            },
        };
        if u64::from(drawn.share.sequence) == judge.lie {
            verdict.code = if verdict.code.is_empty() {
                "stale-share"
            } else {
                ""
            }
            .to_string();
        }
        out.write_all(&record(&drawn, &verdict)?)?;
    }
    Ok(out.flush()?)
}

pub fn run(seed: u64, lie: u64) -> Outcome<()> {
    let mut input = BufReader::with_capacity(1 << 20, std::io::stdin().lock());
    let mut output = BufWriter::with_capacity(1 << 20, std::io::stdout().lock());
    let mut judge = Judge {
        lie,
        ..Judge::default()
    };
    let mut drawing = Draw::new(seed);
    let mut head = [0; 8];
    loop {
        match input.read_exact(&mut head) {
            Err(end) if end.kind() == std::io::ErrorKind::UnexpectedEof => break,
            read => read?,
        }
        let bytes = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
        let mut body = vec![0; bytes as usize];
        input.read_exact(&mut body)?;
        match head[0] {
            b'F' => judge.on_frame(head[1], &mut body)?,
            b'D' => {
                let count = u32::from_le_bytes(body[..].try_into()?);
                draw(&mut judge, &mut drawing, count, &mut output)?;
            }
            b'C' => judge.clock_s = u32::from_le_bytes(body[..].try_into()?),
            _ => return fault("a record of no known kind"),
        }
    }
    eprintln!(
        "judge: seed={seed} channels={} merkle_roots_compared={}",
        judge.seats.len(),
        judge.roots
    );
    Ok(())
}
