/* seat.rs: one channel of the pool as the reference implementation sees it, client and server. */
use crate::wire::{debug, fault, Outcome};
use channels_sv2::client;
use channels_sv2::client::share_accounting as client_shares;
use channels_sv2::extranonce_manager::{
    AllocatedExtranoncePrefix, ExtranonceAllocator, ExtranoncePrefix,
};
use channels_sv2::server;
use channels_sv2::server::jobs::extended::ExtendedJob;
use channels_sv2::server::share_accounting as server_shares;
use std::collections::{HashMap, VecDeque};
use stratum_core::bitcoin::Target;
use stratum_core::mining_sv2::*;
use stratum_core::template_distribution_sv2::{
    NewTemplateOwned, SetNewPrevHashOwned as TemplateSetNewPrevHashOwned,
};

const PREFIX_BYTES: usize = 8; /* Of an extended channel; a standard one's is padded by zeros. */
const PAST_JOBS: usize = 7; /* With the newest 8, as the pool has them outstanding. */
const REMEMBERED: usize = 512; /* Below the 4096 that the reference client remembers. */
const SHARES_PER_MINUTE: f32 = 1e6; /* Only sizes the server's memory of shares. */

#[derive(Clone)]
pub struct Share {
    pub is_extended: bool,
    pub channel: u32,
    pub sequence: u32,
    pub job: u32,
    pub nonce: u32,
    pub ntime: u32,
    pub version: u32,
    pub extranonce: Vec<u8>,
}

impl Share {
    pub fn standard(&self) -> SubmitSharesStandardOwned {
        SubmitSharesStandard {
            channel_id: self.channel,
            sequence_number: self.sequence,
            job_id: self.job,
            nonce: self.nonce,
            ntime: self.ntime,
            version: self.version,
        }
    }

    pub fn extended(&self) -> Outcome<SubmitSharesExtended<'_>> {
        Ok(SubmitSharesExtended {
            channel_id: self.channel,
            sequence_number: self.sequence,
            job_id: self.job,
            nonce: self.nonce,
            ntime: self.ntime,
            version: self.version,
            extranonce: stratum_core::binary_sv2::B032::new(&self.extranonce)
                .map_err(debug("extranonce"))?,
        })
    }
}

/** code: "" when accepted. */
#[derive(Debug, PartialEq)]
pub struct Verdict {
    pub code: String,
    pub block: bool,
}

/** A job as shares are drawn for it. */
#[derive(Clone, Copy)]
pub struct Job {
    pub id: u32,
    pub version: u32,
    pub min_ntime: u32,
    pub born_s: u32,
}

enum Sides {
    Standard(
        client::standard::StandardChannel,
        server::standard::StandardChannel,
    ),
    Extended(
        client::extended::ExtendedChannel,
        server::extended::ExtendedChannel,
    ),
}

pub struct Seat {
    pub session: u8,
    pub id: u32,
    pub group: u32,
    pub rolled_bytes: usize,
    /** On this tip, oldest first: the last PAST_JOBS + 1 can be mined; those before went stale. */
    pub jobs: Vec<Job>,
    pub stale: Vec<Job>,
    future: Option<Job>,
    previous: [u8; 32],
    sides: Sides,
    recent: VecDeque<Share>,
    elsewhere: HashMap<[u8; 32], VecDeque<Share>>,
    prefix_bytes: usize,
}

fn client_verdict(
    result: Result<client_shares::ShareValidationResult, client_shares::ShareValidationError>,
) -> Outcome<Verdict> {
    use client_shares::ShareValidationError::*;
    let (code, block) = match result {
        Ok(client_shares::ShareValidationResult::Valid(_)) => ("", false),
        Ok(client_shares::ShareValidationResult::BlockFound(_)) => ("", true),
        Err(Invalid(code) | Stale(code) | InvalidJobId(code) | DoesNotMeetTarget(code))
        | Err(VersionRollingNotAllowed(code) | DuplicateShare(code) | BadExtranonceSize(code)) => {
            (code, false)
        }
        Err(other) => return fault(format!("the client's channel is broken: {other:?}")),
    };
    Ok(Verdict {
        code: code.to_string(),
        block,
    })
}

fn server_verdict(
    result: Result<server_shares::ShareValidationResult, server_shares::ShareValidationError>,
) -> Outcome<Verdict> {
    use server_shares::ShareValidationError::*;
    let (code, block) = match result {
        Ok(server_shares::ShareValidationResult::Valid(_)) => ("", false),
        Ok(server_shares::ShareValidationResult::BlockFound(..)) => ("", true),
        Err(Invalid(code) | Stale(code) | InvalidJobId(code) | DoesNotMeetTarget(code))
        | Err(VersionRollingNotAllowed(code) | DuplicateShare(code) | BadExtranonceSize(code)) => {
            (code, false)
        }
        Err(other) => return fault(format!("the server's channel is broken: {other:?}")),
    };
    Ok(Verdict {
        code: code.to_string(),
        block,
    })
}

/** The server takes only prefixes of its own allocator: one is made that gives exactly these. */
fn allocated(prefix: &[u8], whole: usize) -> Outcome<AllocatedExtranoncePrefix> {
    let mut all = ExtranonceAllocator::from_upstream_prefix(
        prefix[..PREFIX_BYTES - 1].to_vec(),
        vec![],
        whole as u8,
        256,
    )
    .map_err(debug("allocator"))?;
    let mut others = Vec::new();
    loop {
        let next = if prefix.len() > PREFIX_BYTES {
            all.allocate_standard()
        } else {
            all.allocate_extended(whole - PREFIX_BYTES)
        }
        .map_err(debug("prefix"))?;
        if next.as_bytes() == prefix {
            return Ok(next);
        }
        others.push(next);
    }
}

/** The job as the server would have built it itself; templates are named by the job's id. */
fn server_job(job: &NewExtendedMiningJobOwned) -> Outcome<ExtendedJob> {
    let template = NewTemplateOwned {
        template_id: u64::from(job.job_id),
        future_template: job.is_future(),
        version: job.version,
        coinbase_tx_version: 2,
        coinbase_prefix: vec![].try_into().map_err(debug("prefix"))?,
        coinbase_tx_input_sequence: 0,
        coinbase_tx_value_remaining: 0,
        coinbase_tx_outputs_count: 0,
        coinbase_tx_outputs: vec![].try_into().map_err(debug("outputs"))?,
        coinbase_tx_locktime: 0,
        merkle_path: job.merkle_path.clone(),
    };
    let prefix = job.coinbase_tx_prefix.to_owned_bytes();
    let suffix = job.coinbase_tx_suffix.to_owned_bytes();
    ExtendedJob::from_template(template, vec![], vec![], prefix, suffix, job.clone())
        .map_err(debug("job"))
}

impl Seat {
    fn new(session: u8, id: u32, group: u32, rolled: usize, sides: Sides, prefix: usize) -> Self {
        Self {
            session,
            id,
            group,
            rolled_bytes: rolled,
            jobs: Vec::new(),
            stale: Vec::new(),
            future: None,
            previous: [0; 32],
            sides,
            recent: VecDeque::new(),
            elsewhere: HashMap::new(),
            prefix_bytes: prefix,
        }
    }

    pub fn standard(session: u8, open: &OpenStandardMiningChannelSuccessOwned) -> Outcome<Self> {
        let prefix = open.extranonce_prefix.to_owned_bytes();
        let target = Target::from_le_bytes(open.target.to_array());
        let ours = client::standard::StandardChannel::new(
            open.channel_id,
            String::new(),
            ExtranoncePrefix::from_wire(prefix.clone()).map_err(debug("prefix"))?,
            target,
            1.0,
            Some(PAST_JOBS),
        )
        .map_err(debug("client's channel"))?;
        let mut theirs = server::standard::StandardChannel::new_for_pool(
            open.channel_id,
            String::new(),
            allocated(&prefix, prefix.len())?,
            Target::MAX,
            1.0,
            10,
            SHARES_PER_MINUTE,
            String::new(),
            Some(PAST_JOBS),
        )
        .map_err(debug("server's channel"))?;
        theirs.set_target(target).map_err(debug("target"))?;
        let sides = Sides::Standard(ours, theirs);
        let prefix = prefix.len();
        Ok(Self::new(
            session,
            open.channel_id,
            open.group_channel_id,
            0,
            sides,
            prefix,
        ))
    }

    pub fn extended(session: u8, open: &OpenExtendedMiningChannelSuccessOwned) -> Outcome<Self> {
        let prefix = open.extranonce_prefix.to_owned_bytes();
        let target = Target::from_le_bytes(open.target.to_array());
        let rolled = open.extranonce_size as usize;
        let ours = client::extended::ExtendedChannel::new(
            open.channel_id,
            String::new(),
            ExtranoncePrefix::from_wire(prefix.clone()).map_err(debug("prefix"))?,
            target,
            1.0,
            true,
            open.extranonce_size,
            Some(PAST_JOBS),
        )
        .map_err(debug("client's channel"))?;
        let mut theirs = server::extended::ExtendedChannel::new_for_pool(
            open.channel_id,
            String::new(),
            allocated(&prefix, prefix.len() + rolled)?,
            Target::MAX,
            1.0,
            true,
            open.extranonce_size,
            10,
            SHARES_PER_MINUTE,
            String::new(),
            Some(PAST_JOBS),
        )
        .map_err(debug("server's channel"))?;
        theirs.set_target(target).map_err(debug("target"))?;
        let sides = Sides::Extended(ours, theirs);
        let prefix = prefix.len();
        Ok(Self::new(
            session,
            open.channel_id,
            open.group_channel_id,
            rolled,
            sides,
            prefix,
        ))
    }

    pub fn is_extended(&self) -> bool {
        matches!(self.sides, Sides::Extended(..))
    }

    pub fn extranonce_bytes(&self) -> usize {
        self.prefix_bytes + self.rolled_bytes
    }

    fn note(&mut self, job: Job, future: bool) {
        if future {
            self.future = Some(job);
        } else {
            self.jobs.push(job);
        }
    }

    pub fn on_extended_job(&mut self, job: &NewExtendedMiningJobOwned, now_s: u32) -> Outcome<()> {
        let built = server_job(job)?;
        match &mut self.sides {
            Sides::Standard(ours, theirs) => {
                ours.on_new_group_channel_job(job.clone())
                    .map_err(debug("client's job"))?;
                theirs
                    .on_group_channel_job(built)
                    .map_err(debug("server's job"))?;
            }
            Sides::Extended(ours, theirs) => {
                ours.on_new_extended_mining_job(job.clone())
                    .map_err(debug("client's job"))?;
                theirs
                    .on_group_channel_job(built)
                    .map_err(debug("server's job"))?;
            }
        }
        let min_ntime = job.min_ntime.as_ref().copied().unwrap_or(0);
        let noted = Job {
            id: job.job_id,
            version: job.version,
            min_ntime,
            born_s: now_s,
        };
        self.note(noted, job.is_future());
        Ok(())
    }

    /** The pool has made the merkle root; the server makes it again from the extended form. */
    pub fn on_standard_job(
        &mut self,
        job: &NewMiningJobOwned,
        extended: &NewExtendedMiningJobOwned,
        now_s: u32,
    ) -> Outcome<()> {
        let Sides::Standard(ours, theirs) = &mut self.sides else {
            return fault("a standard job for an extended channel");
        };
        let mut same = extended.clone();
        same.min_ntime = job.min_ntime.clone();
        let built = server_job(&same)?;
        let standard = built
            .clone()
            .into_standard_job(self.id, theirs.get_extranonce_prefix().to_vec())
            .map_err(debug("standard job"))?;
        if standard.get_job_message() != job {
            return fault(format!(
                "another standard job:\n{}\n{job}",
                standard.get_job_message()
            ));
        }
        ours.on_new_mining_job(job.clone())
            .map_err(debug("client's job"))?;
        theirs
            .on_group_channel_job(built)
            .map_err(debug("server's job"))?;
        let min_ntime = job.min_ntime.as_ref().copied().unwrap_or(0);
        let noted = Job {
            id: job.job_id,
            version: job.version,
            min_ntime,
            born_s: now_s,
        };
        self.note(noted, job.is_future());
        Ok(())
    }

    pub fn on_tip(&mut self, tip: &SetNewPrevHashOwned) -> Outcome<()> {
        let from_template = TemplateSetNewPrevHashOwned {
            template_id: u64::from(tip.job_id),
            prev_hash: tip.prev_hash.clone(),
            header_timestamp: tip.min_ntime,
            n_bits: tip.nbits,
            target: [0xff; 32].into(),
        };
        match &mut self.sides {
            Sides::Standard(ours, theirs) => {
                ours.on_set_new_prev_hash(tip.clone())
                    .map_err(debug("client's tip"))?;
                theirs
                    .on_set_new_prev_hash(from_template)
                    .map_err(debug("server's tip"))?;
            }
            Sides::Extended(ours, theirs) => {
                ours.on_set_new_prev_hash(tip.clone())
                    .map_err(debug("client's tip"))?;
                theirs
                    .on_set_new_prev_hash(from_template)
                    .map_err(debug("server's tip"))?;
            }
        }
        let Some(job) = self.future.take().filter(|job| job.id == tip.job_id) else {
            return fault("SetNewPrevHash names no future job");
        };
        self.stale.append(&mut self.jobs);
        self.jobs.push(Job {
            min_ntime: tip.min_ntime,
            ..job
        });
        let recent = std::mem::take(&mut self.recent);
        self.elsewhere.insert(self.previous, recent);
        self.previous = tip.prev_hash.to_array();
        Ok(())
    }

    pub fn on_target(&mut self, target: [u8; 32]) -> Outcome<()> {
        let target = Target::from_le_bytes(target);
        match &mut self.sides {
            Sides::Standard(ours, theirs) => {
                ours.set_target(target).map_err(debug("client's target"))?;
                theirs.set_target(target).map_err(debug("server's target"))
            }
            Sides::Extended(ours, theirs) => {
                ours.set_target(target).map_err(debug("client's target"))?;
                theirs.set_target(target).map_err(debug("server's target"))
            }
        }
    }

    pub fn validate(&mut self, share: &Share) -> Outcome<Verdict> {
        let (ours, theirs) = match &mut self.sides {
            Sides::Standard(ours, theirs) => (
                client_verdict(ours.validate_share(share.standard()))?,
                server_verdict(theirs.validate_share(share.standard()))?,
            ),
            Sides::Extended(ours, theirs) => {
                let message = share.extended()?.into_owned();
                (
                    client_verdict(ours.validate_share(message.clone()))?,
                    server_verdict(theirs.validate_share(message))?,
                )
            }
        };
        if ours != theirs {
            return fault(format!(
                "client and server disagree: {ours:?} and {theirs:?}"
            ));
        }
        Ok(theirs)
    }

    /** Jobs that can be mined; the rest of those on this tip has been pushed out by newer ones. */
    pub fn live(&self) -> &[Job] {
        &self.jobs[self.jobs.len().saturating_sub(PAST_JOBS + 1)..]
    }

    pub fn gone(&self) -> impl Iterator<Item = &Job> {
        self.stale
            .iter()
            .chain(&self.jobs[..self.jobs.len() - self.live().len()])
    }

    pub fn remember(&mut self, share: &Share) {
        if self.recent.len() == REMEMBERED {
            self.recent.pop_front();
        }
        self.recent.push_back(share.clone());
    }

    pub fn accepted(&self) -> &VecDeque<Share> {
        &self.recent
    }

    /** Accepted on this tip before another one came between: the reference has forgotten them. */
    pub fn accepted_before(&mut self) -> Option<Share> {
        self.elsewhere
            .get_mut(&self.previous)
            .and_then(VecDeque::pop_front)
    }
}
