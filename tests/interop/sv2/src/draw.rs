/* draw.rs: random shares, sound ones and ones with known faults. */
use crate::seat::{Job, Seat, Share};
use crate::wire::{fault, Outcome};
use channels_sv2::{MAX_FUTURE_BLOCK_TIME, VERSION_ROLLING_MASK};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/* Faults that are planted; verdicts.c has the same list. */
pub const JOB: u8 = 1; /* An id that was never given. */
pub const GONE: u8 = 2; /* A job of an older tip, or pushed out by newer ones. */
pub const VERSION: u8 = 4;
pub const NTIME: u8 = 8;
pub const EXTRANONCE: u8 = 16;
pub const CHANNEL: u8 = 32;
pub const COPY: u8 = 64; /* Accepted before on this tip. */
pub const AGED: u8 = 128; /* No fault: within two hours of the node's clock, which went on. */

pub struct Drawn {
    pub seat: Option<usize>, /* None: of a channel that is not open. */
    pub session: u8,
    pub faults: u8,
    pub share: Share,
}

pub struct Draw {
    rng: StdRng,
    sequence: u32,
    favourite: usize, /* This channel mines more than all others, for a round. */
}

impl Draw {
    pub fn new(seed: u64) -> Self {
        Self {
            rng: StdRng::seed_from_u64(seed),
            sequence: 0,
            favourite: 0,
        }
    }

    pub fn round(&mut self, seats: usize) {
        self.favourite = self.rng.gen_range(0..seats);
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.rng.gen_range(0..100) < percent
    }

    /** Mostly the newest job, as a miner would. */
    fn live_job(&mut self, seat: &Seat) -> Option<Job> {
        let live = seat.live();
        let newest = live.len().checked_sub(1)?;
        let at = if self.chance(60) {
            newest
        } else {
            self.rng.gen_range(0..live.len())
        };
        Some(live[at])
    }

    fn sound(&mut self, seat: &Seat, job: &Job) -> Share {
        let rolled: u32 = self.rng.gen();
        let ntime = match self.rng.gen_range(0..20) {
            0 => job.min_ntime,
            1 => job.min_ntime + MAX_FUTURE_BLOCK_TIME,
            _ => job.min_ntime + self.rng.gen_range(0..=MAX_FUTURE_BLOCK_TIME),
        };
        let mut extranonce = vec![0; seat.rolled_bytes];
        self.rng.fill(&mut extranonce[..]);
        Share {
            is_extended: seat.is_extended(),
            channel: seat.id,
            sequence: self.sequence,
            job: job.id,
            nonce: self.rng.gen(),
            ntime,
            version: job.version ^ (rolled & VERSION_ROLLING_MASK),
            extranonce,
        }
    }

    fn unknown_job(&mut self, seat: &Seat) -> u32 {
        let newest = seat.jobs.last().map_or(0, |job| job.id);
        let first = seat
            .stale
            .first()
            .or(seat.jobs.first())
            .map_or(0, |job| job.id);
        match self.rng.gen_range(0..4) {
            0 => 0,
            1 if first > 1 => self.rng.gen_range(1..first),
            2 => newest + 1,
            _ => self.rng.gen_range(newest + 1..=u32::MAX),
        }
    }

    fn spoil(&mut self, seat: &Seat, share: &mut Share, job: &Job, fault: u8, age_s: u32) -> bool {
        match fault {
            JOB => share.job = self.unknown_job(seat),
            GONE => {
                let gone: Vec<u32> = seat.gone().map(|job| job.id).collect();
                if gone.is_empty() {
                    return false;
                }
                share.job = gone[self.rng.gen_range(0..gone.len())];
            }
            VERSION => {
                let fixed: Vec<u32> = (0..32)
                    .filter(|bit| VERSION_ROLLING_MASK >> bit & 1 == 0)
                    .collect();
                share.version ^= 1 << fixed[self.rng.gen_range(0..fixed.len())];
            }
            NTIME => {
                /* Just before, or behind whatever the passed time could allow. */
                let latest = job.min_ntime + MAX_FUTURE_BLOCK_TIME + age_s;
                share.ntime = match self.rng.gen_range(0..4) {
                    0 => job.min_ntime - 1,
                    1 => self.rng.gen_range(0..job.min_ntime),
                    2 => latest + 1,
                    _ => self.rng.gen_range(latest + 1..=u32::MAX),
                };
            }
            EXTRANONCE => {
                let bytes = self.rng.gen_range(0..=32usize);
                if !seat.is_extended() || bytes == seat.rolled_bytes {
                    return false;
                }
                share.extranonce.resize(bytes, 7);
            }
            _ => return false,
        }
        true
    }

    /** One that was accepted already, sometimes dressed up as another message. */
    fn copy(&mut self, seat: &mut Seat) -> Option<Share> {
        let mut share = match seat.accepted_before() {
            Some(share) if self.chance(50) => share,
            _ => {
                let recent = seat.accepted();
                if recent.is_empty() {
                    return None;
                }
                recent[self.rng.gen_range(0..recent.len())].clone()
            }
        };
        let live = seat.live();
        let fits = |job: &&Job| {
            (job.min_ntime..=job.min_ntime + MAX_FUTURE_BLOCK_TIME).contains(&share.ntime)
        };
        /* A repeated template gives a second job the same headers: the copy may name either. */
        share.job = live
            .iter()
            .find(|job| job.id == share.job && fits(job))
            .map(|job| job.id)
            .or_else(|| live.iter().rev().find(fits).map(|job| job.id))?;
        share.sequence = self.sequence;
        Some(share)
    }

    fn faulty(&mut self, seat: &mut Seat, share: &mut Share, job: &Job, age_s: u32) -> u8 {
        const SINGLE: [u8; 5] = [JOB, GONE, VERSION, NTIME, EXTRANONCE];
        let count = if self.chance(15) { 2 } else { 1 };
        let mut faults = 0;
        for _ in 0..count {
            let fault = SINGLE[self.rng.gen_range(0..SINGLE.len())];
            let both_jobs = (faults | fault) & (JOB | GONE) == JOB | GONE;
            if !both_jobs && self.spoil(seat, share, job, fault, age_s) {
                faults |= fault;
            }
        }
        faults
    }

    /** A channel that is open, but not in this connection. */
    fn other_session(&mut self, seats: &[Seat], id: u32) -> u32 {
        let here = seats
            .iter()
            .find(|seat| seat.id == id)
            .map(|seat| seat.session);
        let others: Vec<&Seat> = seats
            .iter()
            .filter(|seat| Some(seat.session) != here)
            .collect();
        others
            .get(self.rng.gen_range(0..others.len().max(1)))
            .map_or(0, |seat| seat.id)
    }

    fn foreign(&mut self, seats: &[Seat], share: &mut Share) {
        match self.rng.gen_range(0..5) {
            0 => share.channel = seats[0].group,
            1 => share.channel ^= 1 << 23, /* Another generation of the same place. */
            2 => share.is_extended = !share.is_extended,
            3 => share.channel = self.other_session(seats, share.channel),
            _ => share.channel = self.rng.gen_range(1 << 22..1 << 23),
        }
    }

    pub fn share(&mut self, seats: &mut [Seat], now_s: u32) -> Outcome<Drawn> {
        let any = self.rng.gen_range(0..seats.len());
        let at = if self.chance(60) { self.favourite } else { any };
        let Some(job) = self.live_job(&seats[at]) else {
            return fault("a channel without a job");
        };
        let (session, age_s) = (seats[at].session, now_s - job.born_s);
        self.sequence += 1;
        let mut share = self.sound(&seats[at], &job);
        let mut drawn = Drawn {
            seat: Some(at),
            session,
            faults: 0,
            share: share.clone(),
        };
        match self.rng.gen_range(0..100) {
            0..=59 => {}
            60..=85 => {
                drawn.faults = self.faulty(&mut seats[at], &mut share, &job, age_s);
                drawn.share = share;
            }
            86..=94 => {
                if let Some(copy) = self.copy(&mut seats[at]) {
                    drawn.faults = COPY;
                    drawn.share = copy;
                }
            }
            95..=97 if age_s > 0 => {
                let latest = job.min_ntime + MAX_FUTURE_BLOCK_TIME;
                drawn.share.ntime = latest + self.rng.gen_range(1..=age_s);
                drawn.faults = AGED;
            }
            98..=99 => {
                self.foreign(seats, &mut drawn.share);
                drawn.faults = CHANNEL;
                drawn.seat = None;
            }
            _ => {}
        }
        Ok(drawn)
    }
}
